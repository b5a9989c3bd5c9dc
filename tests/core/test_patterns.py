"""Patterns of operators: what they find, and when they are given up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nvsx.core import patterns
from nvsx.core.patterns import TooSlow

HOSTILE = "a" * 4000 + "!"


class Work:
    """Stands for the time of day and of work: each search takes `each` seconds of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.searches = 0
        self.each = 0.0
        self.timed_out = False
        monkeypatch.setattr("nvsx.core.patterns.time.monotonic", lambda: self.now)
        monkeypatch.setattr("nvsx.core.patterns.time.thread_time", lambda: self.worked)
        monkeypatch.setattr(patterns, "compiled", lambda _: self)

    def search(self, text: str, limit: float) -> None:
        self.searches += 1
        self.worked += self.each
        if self.timed_out:
            raise TimeoutError


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """No test knows which patterns another found slow."""
    yield
    patterns._watch_matcher.cache_clear()
    patterns._rule_matcher.cache_clear()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """A matcher whose searches take as long as the test says."""
    return Work(monkeypatch)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", r"^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y", r"(.*)*b"]
)
@pytest.mark.parametrize("text", [HOSTILE, "a" * 16_000 + "!", "x" * 16_000 + "!y"])
def test_nested_repeats_are_searched_to_the_end(pattern: str, text: str) -> None:
    """What RE2 reads has an answer for any text."""
    assert isinstance(patterns.compiled(pattern), patterns.Linear)
    patterns.search(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("(?!x)(a+)+$", "aa"), (r"(a+)+(b)\2$", "aabb"), ("(?=a)(a|aa)+$", "aa")],
)
def test_what_re2_refuses_is_stopped(pattern: str, fits: str) -> None:
    """Lookaround and back references work, and are cut off over a text made for them."""
    assert isinstance(patterns.compiled(pattern), patterns.Limited)
    assert patterns.search(pattern, fits)
    with pytest.raises(TooSlow, match="takes too long over a text"):
        patterns.search(pattern, HOSTILE)


def test_a_slow_pattern_is_not_tried_again(work: Work) -> None:
    """A thousand runs with the same pattern cost one search, whatever their texts."""
    work.each, work.timed_out = patterns.LIMIT, True
    for _ in range(1000):
        with pytest.raises(TooSlow):
            patterns.search("p", "text")
    assert work.searches == 1


def test_a_machine_that_gives_no_time_is_not_the_patterns_fault(work: Work) -> None:
    """A search that was stopped without having worked is tried again."""
    work.each, work.timed_out = 0.0, True
    matcher = patterns._watch_matcher("p")
    work.search = lambda *_: _once(work)  # type: ignore[method-assign]
    assert matcher.search("text", patterns.LIMIT) is None
    assert (work.searches, matcher.too_slow) == (2, False)


def _once(work: Work) -> None:
    work.searches += 1
    if work.searches == 1:
        raise TimeoutError


@pytest.mark.parametrize(
    ("each", "pause", "texts", "slow"),
    [
        (0.04, 0.0, 2, False),
        (0.04, 0.0, 3, True),
        (0.04, 4.0, 100, False),
        (0.04, 1.0, 100, True),
        (0.0019, 0.0, 100_000, False),
        (patterns.SLOW, 0.0, 49, False),
        (patterns.SLOW, 0.0, 51, True),
        (patterns.BUDGET, 0.0, 1, True),
    ],
)
def test_many_slow_texts_use_up_a_budget(
    work: Work, each: float, pause: float, texts: int, slow: bool
) -> None:
    """Slow texts take from a budget that time fills up; a flood of usual ones takes nothing."""
    work.each = each
    told = False
    for _ in range(texts):
        try:
            patterns.search("p", "text")
        except TooSlow:
            told = True
        work.now += pause
    assert told is slow


@pytest.mark.parametrize(
    ("each", "searches"), [(patterns.LIMIT / 2, 1), (patterns.LIMIT / 2 - 0.001, 2), (0.0, 4)]
)
def test_half_of_the_limit_is_work_of_the_pattern(work: Work, each: float, searches: int) -> None:
    """Stopped with less than that worked, it is tried again, four times at most."""
    work.each, work.timed_out = each, True
    with pytest.raises(TooSlow):
        patterns.search("p", "text")
    assert work.searches == searches


def test_a_pattern_that_used_up_its_budget_is_too_slow_for_good(work: Work) -> None:
    """However quick later texts would be."""
    work.each = patterns.BUDGET
    for _ in range(2):
        with pytest.raises(TooSlow):
            patterns.search("p", "text")
    assert work.searches == 1


@pytest.mark.parametrize(
    ("seconds", "first", "later"),
    [(1.0, patterns.LIMIT, patterns.HURRIED), (0.001, 0.001, 0.001)],
)
def test_a_rule_that_was_too_slow_is_hurried(
    work: Work, monkeypatch: pytest.MonkeyPatch, seconds: float, first: float, later: float
) -> None:
    """It gets what the caller has left, at most the limit, and less once it was too slow."""
    limits: list[float] = []
    monkeypatch.setattr(work, "search", lambda _text, limit: limits.append(limit))
    patterns.search_within("p", "text", seconds)
    patterns._rule_matcher("p").too_slow = True
    patterns.search_within("p", "text", seconds)
    assert limits == [first, later]


@pytest.mark.parametrize(("each", "found"), [(patterns.LIMIT, True), (patterns.LIMIT / 2, False)])
def test_a_text_is_slow_from_the_limit_on(work: Work, each: float, found: bool) -> None:
    """Lint tries texts until one takes that long, or until its patience is over."""
    work.each = each
    assert bool(patterns.slow_text("p", patience=1.0)) is found
    assert work.searches == 1 if found else work.searches > 30


def test_lint_tries_many_long_texts() -> None:
    """Each fills the room: what a pattern begins with, repeats, and an end that does not fit."""
    texts = list(patterns._make_repetitive_texts("^ERROR: (?!x)(a|b)+ end$"))
    assert {len(text) for _, text in texts} == {patterns.MAX_TEXT}
    assert ("'ERROR: ' and then 'a' again and again", True) in {
        (said, text.startswith("ERROR: aaaa") and text.endswith("a!")) for said, text in texts
    }
    assert any(text.startswith("aaaa") and text.endswith("a! end") for _, text in texts)


def test_lint_tries_twelve_letters_of_a_pattern() -> None:
    """Also those in its classes; signs repeat nothing."""
    said = {told for told, _ in patterns._make_repetitive_texts("(?!!)[bcdefghijklmnopqrs]+$")}
    tried = {letter for letter in "bcdefghijklmnopqrs" if f"{letter!r} again and again" in said}
    assert tried == set("bcdefghijklm")
    assert "'(' again and again" not in said


def test_lint_tries_six_literals_of_a_pattern() -> None:
    """In the order in which they stand."""
    words = ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]
    said = {told for told, _ in patterns._make_repetitive_texts(".*".join(words))}
    tried = {word for word in words if any(repr(word) in told for told in said)}
    assert tried == set(words[:6])


def test_a_rule_goes_on_working_for_other_texts() -> None:
    """A sender's hostile text finds nothing; the next sender's is matched, with its groups."""
    rule = "(?!x)(?P<node>(a|b+)+)$"
    with pytest.raises(TooSlow):
        patterns.search_within(rule, "b" * 4000 + "!", 1.0)
    found = patterns.search_within(rule, "ab", 1.0)
    assert found is not None
    assert found["node"] == "ab"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "missing"),
        ("a" * 2049, "2048 are the most"),
        ("[a-z]{1001}", "1000 are the most"),
        ("a{5,1001}", "1000 are the most"),
        ("(" * 1000 + ")" * 1000 + r"(?=a)", "nested too deeply"),
        ("((a{1000}){1000}){1000}", "1000000000 pieces, and 20000 are the most"),
        ("(?=a)(a{100}){201}", "20102 pieces"),
        ("(?x)(?=a)(a{ 900 }) { 900 }", "pieces"),
        ("(?x)(?=a)a{ 1001 }", "1000 are the most"),
    ],
)
def test_what_is_no_pattern_is_said(pattern: str, says: str) -> None:
    """The reason is in words."""
    with pytest.raises(ValueError, match=says):
        patterns.compiled(pattern)


@pytest.mark.parametrize(
    "pattern", ["a" * 2048, "[a-z]{1000}", r"\{5000}", "a{,1000}", "(?=a)(a{100}){199}"]
)
def test_what_is_just_within_the_limits_is_a_pattern(pattern: str) -> None:
    """The limits themselves are allowed, and an escaped brace is no count."""
    patterns.compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [("ab{3}", 4), ("(ab{3}){2}", 8), ("[{9}]", 1), (r"[)]{3}", 3), (r"\(a{9}\){9}", 19)],
)
def test_pieces_are_counted_with_the_counts_written_out(pattern: str, pieces: int) -> None:
    """A count inside another multiplies it; in a class and escaped it is none."""
    assert patterns.count_pieces(pattern)[1] == pieces


@pytest.mark.parametrize(
    ("pattern", "matcher"),
    [("(?:a?){1000}" * 2 + "b", patterns.Limited), ("(?:a?){1000}" + "b", patterns.Linear)],
)
def test_a_program_that_cannot_be_stopped_is_short(pattern: str, matcher: type) -> None:
    """RE2 takes 21 s over one line for 150 times `(?:a?){1000}`, and nothing can stop it."""
    assert isinstance(patterns.compiled(pattern), matcher)


def test_what_re2_was_too_slow_for_can_be_stopped_from_then_on(work: Work) -> None:
    """A sender's rule is tried again on every message, and each try must end in time."""
    matcher = patterns._Matcher("a+b")
    matcher._compiled = patterns.Linear("a+b")
    with pytest.raises(TooSlow):
        matcher._take_from_budget(0.2)
    assert isinstance(matcher._compiled, patterns.Limited)


@pytest.mark.parametrize(
    ("each", "done"), [(patterns.SLOW * 0.9, 1000), (patterns.SLOW, 50), (5.0, 1)]
)
def test_other_work_over_a_message_ends_too(
    monkeypatch: pytest.MonkeyPatch, each: float, done: int
) -> None:
    """A slow expression over a thousand alerts is given up; a usual one is done for all."""
    now = 0.0
    monkeypatch.setattr("nvsx.core.patterns.time.thread_time", lambda: now)
    left = patterns.SearchTime(patterns.SLOW * 49.5)

    def work() -> tuple[str, str]:
        nonlocal now
        now += each
        return "done", ""

    assert [left.compute(work)[0] for _ in range(1000)].count("done") == done


def test_half_a_surrogate_pair_is_searched() -> None:
    """JSON can carry one, and it is no reason to fail."""
    assert patterns.search("x$", "\ud800x")


def test_slow_texts_are_found_behind_what_a_pattern_begins_with() -> None:
    """The text that lint tries fits the pattern's own literals."""
    assert patterns.slow_text(r"^ERROR: (?!x)(\d+)+ end$") != ""
    assert patterns.slow_text(r"^ERROR: (?!x)\d+ end$") == ""
