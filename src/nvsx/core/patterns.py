"""Every regular expression that an operator wrote is compiled and searched here.

The text is somebody else's: a tenant writes log lines and Events, a sender writes alerts.
A pattern with nested repeats can take years over one line made for it, and the whole daemon
would wait. So every search has a limit, and what needs longer is said to be too slow.

Two libraries do it. RE2 takes time in proportion to the text and to the pattern with its counts
written out, so a tenant cannot make an ordinary `nccl.*(timeout|error)` slow; its wheels are for
the platforms that CEL's are for. It cannot be stopped, and refuses lookaround, back references
and possessive repeats, which runbooks may contain: those patterns, and very long ones, are
`regex`'s, which can be told when to stop. `re` cannot.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol

import re2
import regex

#: Seconds over one text. A usual search takes microseconds; the event loop stands meanwhile.
LIMIT = 0.05
#: Seconds that all slow texts of one pattern may take together: many slow lines in one turn
#: hold the loop as well as one very slow line does.
BUDGET = 0.1
#: What a text may take without counting as slow: a flood of usual lines is no one's fault.
SLOW = 0.002
#: The share of a pattern's age that its budget is filled up by: 36 s of slow lines an hour.
REFILL = 0.01
#: Seconds over one text for a pattern of a sender's rule once it has been too slow.
HURRIED = 0.002
#: Characters of a text that are searched: container runtimes cut log lines there.
MAX_TEXT = 16_384
#: Characters of a pattern, and the highest count in `{…}` (as in RE2): both cost when compiled.
MAX_PATTERN = 2048
MAX_COUNT = 1000
#: Pieces of a pattern with its counts written out: `((a{1000}){1000}){1000}` would be compiled
#: for hours and fill the memory. So many take 20 ms.
MAX_PIECES = 20_000
#: Instructions of RE2's program: each may be tried at each character, so that these take 0.3 s
#: over the longest text. A longer program is left to `regex`, which can be told to stop.
MAX_PROGRAM = 4000
#: Tries at a text while the machine gives this process no time: that is not the pattern's fault.
_TRIES = 4

_PIECE = re.compile(
    r"(?P<count>\{\s*(\d*)\s*(?:,\s*(\d*)\s*)?\})"
    r"|(?P<open>\()|(?P<close>\))|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.",
    re.DOTALL,
)
_LITERAL = re.compile(r"[\w :=/,;@#-]{1,64}", re.ASCII)
_CLASSES = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\(\?[^:)]*[:)]?|\{[\d,]*\}")


class Found(Protocol):
    """A match, as both libraries have it."""

    @property
    def re(self) -> Any: ...
    def __getitem__(self, group: int | str, /) -> str | None: ...
    def groupdict(self) -> Mapping[str, str | None]: ...


class TooSlow(Exception):
    """A pattern took longer over a text than it may. `pattern` is the operator's."""

    def __init__(self, pattern: str) -> None:
        super().__init__(
            f"pattern /{pattern}/ takes too long over a text (more than {LIMIT * 1000:.0f} ms): "
            "give it no repeat within or beside another of the same characters"
        )
        self.pattern = pattern


class _Matcher:
    """One pattern: compiled, and what is remembered of its slowness.

    Example: BUDGET is 0.1 s. At 0 s a line takes 40 ms: 60 ms are left. At 1 s another takes
    40 ms: 20 ms and the 10 ms of one second are left. A third in the same moment takes 40 ms:
    nothing is left, so the pattern is too slow, and is not tried again.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.too_slow = False
        self._compiled = compiled(pattern)
        self._left = BUDGET
        self._filled_at = time.monotonic()

    def search(self, text: str, limit: float) -> Found | None:
        """Raises TooSlow; then `too_slow` is set for good.

        RE2 cannot be stopped, so a pattern that it was too slow for is `regex`'s from then on.
        """
        began = time.thread_time()
        for _ in range(_TRIES):
            try:
                found = self._compiled.search(text[:MAX_TEXT], limit)
            except TimeoutError:
                # The limit is of the clock; half of it worked says that the machine did not
                # hold this process up instead.
                if time.thread_time() - began >= limit / 2:
                    break
            else:
                self._take_from_budget(time.thread_time() - began)
                return found
        raise self._give_up()

    def _give_up(self) -> TooSlow:
        self.too_slow = True
        if isinstance(self._compiled, Linear):
            with suppress(ValueError):  # only RE2 reads it: then it stays RE2's
                self._compiled = read_by_regex(self.pattern)
        return TooSlow(self.pattern)

    def _take_from_budget(self, seconds: float) -> None:
        if seconds < SLOW:
            return
        now = time.monotonic()
        self._left = min(BUDGET, self._left + (now - self._filled_at) * REFILL) - seconds
        self._filled_at = now
        if self._left <= 0:
            raise self._give_up()


#: Patterns of watches, and apart from them those of senders' rules: what a sender makes slow
#: must not end a run.
_watch_matcher = lru_cache(maxsize=4096)(_Matcher)
_rule_matcher = lru_cache(maxsize=1024)(_Matcher)


class Linear:
    """A pattern of RE2's."""

    def __init__(self, pattern: str) -> None:
        options = re2.Options()
        options.log_errors = False  # it writes to standard error itself
        self._regex = re2.compile(pattern, options)
        self.size: int = self._regex.programsize

    def search(self, text: str, limit: float) -> Found | None:  # noqa: ARG002 - it needs none
        try:
            found: Found | None = self._regex.search(text)
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can carry
            found = self._regex.search(text.encode("utf-8", "replace").decode())
        return found


class Limited:
    """A pattern that RE2 refuses."""

    def __init__(self, pattern: str) -> None:
        self._regex = regex.compile(pattern)

    def search(self, text: str, limit: float) -> Found | None:
        """Raises TimeoutError after `limit` seconds."""
        return self._regex.search(text, timeout=limit)


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Linear | Limited:
    """Raises ValueError saying why `pattern` is none, or cannot be used."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"it has {len(pattern)} characters, and {MAX_PATTERN} are the most")
    highest, pieces = count_pieces(pattern)
    if highest > MAX_COUNT:
        raise ValueError(f"it repeats {highest} times, and {MAX_COUNT} are the most")
    if pieces > MAX_PIECES:
        raise ValueError(
            f"its counts multiply to {pieces} pieces, and {MAX_PIECES} are the most: "
            "write * or + for a count inside another"
        )
    try:
        if (linear := Linear(pattern)).size <= MAX_PROGRAM:
            return linear
    except (re2.error, UnicodeEncodeError):
        pass  # `regex` says it in better words, or can read it
    return read_by_regex(pattern)


def read_by_regex(pattern: str) -> Limited:
    """Raises ValueError saying why `pattern` is none."""
    try:
        return Limited(pattern)
    except regex.error as exc:
        raise ValueError(str(exc)) from None
    except RecursionError:
        raise ValueError("its groups are nested too deeply") from None


def count_pieces(pattern: str) -> tuple[int, int]:
    """The highest count in `pattern`, and how many pieces it has with all counts written out.

    `ab{3}` has 1 + 3, `(ab{3}){2}` twice as many, `[{9}]` is one piece.
    """
    highest, last, sums = 0, 0, [0]  # `sums` of the groups that are open, the innermost last
    for found in _PIECE.finditer(pattern):
        if found["count"]:
            count = max((int(n) for n in found.groups()[1:3] if n), default=1)
            highest = max(highest, count)
            sums[-1] += last * (count - 1)
            last *= count
        elif found["open"]:
            sums.append(0)
        elif found["close"]:
            last = sums.pop() if len(sums) > 1 else 1
            sums[-1] += last
        elif found[0] not in "*+?|^$":
            # With (?x) a count may follow its group after a space.
            last = max(last, 1) if found[0].isspace() else 1
            sums[-1] += 1
    return highest, sum(sums)


def search(pattern: str, text: str) -> Found | None:
    """The first match in the beginning of `text`. Raises TooSlow, and for the same pattern
    from then on at once, for any text: 1,000 waiting runs must not each try it again."""
    matcher = _watch_matcher(pattern)
    if matcher.too_slow:
        raise TooSlow(pattern)
    return matcher.search(text, LIMIT)


def search_within(pattern: str, text: str, seconds: float) -> Found | None:
    """The first match, for a rule that must go on working for other senders' texts.

    Raises TooSlow when it took `seconds`, or LIMIT. A pattern that was too slow once is tried
    on later texts too, but for HURRIED seconds, in which a usual text is long done.
    """
    matcher = _rule_matcher(pattern)
    return matcher.search(text, min(seconds, HURRIED if matcher.too_slow else LIMIT))


class SearchTime:
    """The time that is left for the patterns of rules over one message.

    A pattern with nested repeats can take years over a text that somebody made for it, and
    the whole daemon would wait. Matching is cut off in the middle instead.

    With 0.1 s for a message of three alerts: a pattern takes 0.08 s over the first and finds
    nothing, is stopped after 0.02 s over the second, and is not begun over the third.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def search(self, pattern: str, text: str) -> Found | None:
        """The first match. Raises TooSlow when there is no time left for it."""
        if self._left <= 0:
            raise TooSlow(pattern)
        began = time.perf_counter()
        try:
            return search_within(pattern, text, self._left)
        finally:
            self._left -= time.perf_counter() - began

    def compute(self, work: Callable[[], tuple[str, str]]) -> tuple[str, str]:
        """What other work over the message gives, or ("", why it was not begun). What takes
        less than SLOW costs nothing: usual work may be done for thousands of alerts."""
        if self._left <= 0:
            return "", "the time for this message is used up by rules that take too long over it"
        began = time.thread_time()
        done = work()
        took = time.thread_time() - began
        self._left -= took if took >= SLOW else 0.0
        return done


def slow_text(pattern: str, patience: float = 0.5) -> str:
    """What kind of long, repetitive text `pattern` is too slow for, in words; "" for none found.

    Tries for `patience` seconds of work. Nothing is remembered.
    """
    rule, began = compiled(pattern), time.thread_time()
    for said, text in _make_repetitive_texts(pattern):
        at = time.thread_time()
        if at - began > patience:
            break
        try:
            rule.search(text, LIMIT * 2)
        except TimeoutError:
            pass
        if time.thread_time() - at >= LIMIT:
            return said
    return ""


def _make_repetitive_texts(pattern: str) -> Iterator[tuple[str, str]]:
    """Texts made for `pattern`: what it begins with, then one thing again and again, then
    something that does not fit, and what it ends with."""
    literals = list(dict.fromkeys(_LITERAL.findall(_CLASSES.sub("\0", pattern))))[:6]
    letters = [c for c in dict.fromkeys(pattern) if c.isalnum()][:12]
    units = list(dict.fromkeys(("a", "0", " ", "x", ".", "a ", "a0", *literals, *letters)))
    heads = list(dict.fromkeys(("", *literals[:2], "".join(literals[:2]))))
    tails = list(dict.fromkeys(("", "!", "\n!", *(f"!{text}" for text in literals[-1:]))))
    for unit in units:
        for head in heads:
            for tail in tails:
                room = max(0, MAX_TEXT - len(head) - len(tail))
                body = (unit * (room // len(unit) + 1))[:room]
                told = f"{unit!r} again and again"
                yield (f"{head!r} and then {told}" if head else told), head + body + tail
