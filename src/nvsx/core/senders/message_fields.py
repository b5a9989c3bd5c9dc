"""Finding node, runbook, check, error code and the rest in a message.

For each value the operator's rules come first, in their order; then whatever named groups
of those rules found beside their own value; then the places where this kind of sender
usually has it. A node is another matter: every word for one is kept, the usual places first, and
the cluster is asked which of them is a node. Every step is kept in words, since "why this
node?" must have an answer. No I/O: CEL comes in as a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from nvsx.core.fields import Model, Regex, Text
from nvsx.core.node_directory import could_name_node, is_address
from nvsx.core.patterns import SearchTime, TooSlow
from nvsx.core.routing.trigger_event import NodeWord
from nvsx.core.senders.http_request import quote

#: Characters of a text that a pattern is tried on: patterns are the operator's, texts are not.
MAX_SEARCHED = 1024

#: Seconds all patterns together may take over one message. A usual one takes microseconds.
PATIENCE = 0.1

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_RUNBOOK = re.compile(r"#?[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_MACHINE = re.compile(r"(?<![\w./-])[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)+(?![\w/])", re.ASCII)


#: The values a rule can find.
FOUND = (
    "node",
    "runbook",
    "check",
    "errorCode",
    "cluster",
    "resolved",
    "severity",
    "time",
    "key",
)


class Computed(NamedTuple):
    """What a CEL expression came to, as text; when it came to nothing, `reason` says why."""

    value: str
    reason: str = ""


#: Evaluates a CEL expression over `body`, the (part of the) message being decoded.
Compute = Callable[[str, Mapping[str, object]], Computed]


def no_computation(expression: str, body: Mapping[str, object]) -> Computed:  # noqa: ARG001
    """The evaluator where none is wired: no expression ever finds a value, and it says so."""
    return Computed("", "CEL is not evaluated here")


class Extract(Model):
    """How to find one value in a message."""

    from_: Text | None = Field(
        None, alias="from", description="Dotted path into the body; lists by number: a.0.b."
    )
    pattern: Regex | None = Field(
        None, description="Regular expression; the group of the value's name counts, or the first."
    )
    cel: Text | None = Field(None, description="CEL expression over `body` that gives the text.")
    first: bool = Field(
        False, description="node only: before the places where this kind of sender has it."
    )

    @property
    def place(self) -> str:
        """Where it looks, in words."""
        return self.from_ or f"cel {self.cel}"

    @model_validator(mode="after")
    def _one_way(self) -> Extract:
        if (self.from_ is None) == (self.cel is None):
            raise ValueError("a rule has exactly one of from, cel")
        return self


def is_node_name(text: str) -> bool:
    """Whether Kubernetes could have a node of this name: a DNS-1123 subdomain."""
    return len(text) <= 253 and all(_LABEL.fullmatch(part) for part in text.split("."))


def is_runbook_name(text: str) -> bool:
    """Whether it could be a runbook's name or nickname. It is compared, never a path."""
    return _RUNBOOK.fullmatch(text) is not None and ".." not in text


def is_error_code(text: str) -> bool:
    """Whether it could be one code, or several with commas: a sentence is none."""
    return len(text) <= 256 and not re.search(r"[^\w., :-]", text)


#: A rule whose find has not the shape of its value has found nothing: the next one is tried.
_SHAPES: Mapping[str, Callable[[str], bool]] = {
    "errorCode": is_error_code,
    "runbook": is_runbook_name,
}
_WHAT_IS_WRONG = {"errorCode": "no error code", "runbook": "no runbook's name"}


def find_machine_name(texts: Iterable[str]) -> str:
    """The only word that looks like a machine's name: letters and digits with - or . between
    them. "" where there are several: which of them is meant would be a guess."""
    words = {
        word.strip(".-").casefold()
        for text in texts
        for word in _MACHINE.findall(text[:MAX_SEARCHED])
    }
    found = [w for w in words if re.search(r"[a-z]", w) and re.search(r"\d", w)]
    return found[0] if len(found) == 1 else ""


class Finder:
    """Applies a source's rules to one message. `steps` tells what was tried and found.

    `rules` are the operator's, `usual` those that come with a kind of sender.
    """

    def __init__(
        self,
        rules: Mapping[str, tuple[Extract, ...]],
        document: Mapping[str, Any],
        compute: Compute,
        search_time: SearchTime | None = None,
        usual: Mapping[str, tuple[Extract, ...]] | None = None,
    ) -> None:
        self.steps: list[str] = []
        self.node_words: list[NodeWord] = []
        self.rubbish = ""  # the last text found for a node that cannot be one
        self.severity = ""  # the sender's word for it, once it was looked for
        self.by_rule: set[str] = set()
        self._usual = usual or {}
        self._document = document
        self._compute = compute
        self._search_time = search_time or SearchTime(PATIENCE)
        self._found: dict[str, str] = {}
        self._beside: dict[str, str] = {}
        self._node_rules = rules.get("node", ())
        for rule in self._node_rules:
            if rule.first:
                self._add_node_word(rule.place, self._apply_rule("node", rule))
        for name in FOUND:
            if name != "node" and (value := self._find_by_rules(name, rules.get(name, ()))):
                self._found[name] = value
                self.by_rule.add(name)

    def find(self, name: str, *usual: tuple[str, object]) -> str:
        """The value called `name`; "" when it is nowhere.

        `usual` are (place in words, value there): where this kind of sender has it.
        """
        if name in self._found:
            return self._found[name]
        if name in self._beside:
            self.by_rule.add(name)
            return self._beside[name]
        if value := self._find_in_usual_places(name):
            return value
        for place, said in usual:
            if text := _text_of(said):
                self.steps.append(f"{name}: {place} is {quote(text)}")
                return text
        if usual:
            self.steps.append(f"{name}: not in {', '.join(place for place, _ in usual)}")
        return ""

    def find_node(self, *usual: tuple[str, object], texts: Sequence[str] = ()) -> str:
        """The best guess at the node's name; all words for it are in `node_words`.

        A rule with `first: true` goes before the places where this kind of sender has it, any
        other after them, since those are checked against the cluster before they count. `texts`
        are for people; the one word in them that looks like a machine's name is the last resort.
        """
        for rule in self._usual.get("node", ()):
            self._add_node_word(rule.place, self._try_quietly("node", rule))
        for place, value in usual:
            if text := _text_of(value):
                self.steps.append(f"node: {place} is {quote(text)}")
                self._add_node_word(place, text)
        for rule in self._node_rules:
            if not rule.first:
                self._add_node_word(rule.place, self._apply_rule("node", rule))
        if beside := self._beside.get("node"):
            self._add_node_word("a named group of another rule", beside)
        if not self.node_words and (word := find_machine_name(texts)):
            self.steps.append(f"node: {quote(word)} is the one machine its text names")
            self._add_node_word("its text", word)
        places = [*(r.place for r in self._usual.get("node", ())), *(place for place, _ in usual)]
        if not self.node_words and places:
            self.steps.append(f"node: not in {', '.join(dict.fromkeys(places))}")
        names = (w.word.casefold() for w in self.node_words if not is_address(w.word))
        return next(filter(is_node_name, names), "")

    def _add_node_word(self, place: str, word: str) -> None:
        """What cannot be a node's name has found nothing, and the next place is tried."""
        word = word.strip()
        if word and not could_name_node(word):
            self.steps.append(f"node: {quote(word)} in {place} is no node name")
            self.rubbish = word
        elif word and word not in (known.word for known in self.node_words):
            self.node_words.append(NodeWord(place, word))

    def _find_by_rules(self, name: str, rules: Iterable[Extract]) -> str:
        for rule in rules:
            if value := self._apply_rule(name, rule):
                if name not in _SHAPES or _SHAPES[name](value):
                    return value
                self.steps.append(f"{name}: {quote(value)} is {_WHAT_IS_WRONG[name]}")
        return ""

    def _find_in_usual_places(self, name: str) -> str:
        """By the rules of the kind of sender; what they miss is told in one line."""
        rules = self._usual.get(name, ())
        for rule in rules:
            value = self._try_quietly(name, rule)
            if value and (name not in _SHAPES or _SHAPES[name](value)):
                return value
        if rules:
            self.steps.append(f"{name}: not in {', '.join(dict.fromkeys(r.place for r in rules))}")
        return ""

    def _try_quietly(self, name: str, rule: Extract) -> str:
        before = len(self.steps)
        value = self._apply_rule(name, rule)
        if not value:
            del self.steps[before:]
        return value

    def _apply_rule(self, name: str, rule: Extract) -> str:
        if rule.cel is not None:
            where, compute = f"cel {rule.cel}", partial(self._compute, rule.cel, self._document)
            text, reason = self._search_time.compute(compute)
        else:
            where = rule.from_ or ""
            text, reason = look_up(self._document, where, booleans=name == "resolved")
        if not text:
            self.steps.append(f"{name}: {where}: {reason}")
            return ""
        if rule.pattern is None:
            self.steps.append(f"{name}: {where} is {quote(text)}")
            return text
        try:
            match = self._search_time.search(rule.pattern, text[:MAX_SEARCHED])
        except TooSlow:
            match, why = None, "takes too long over it and was stopped: it has nested repeats"
        else:
            why = "does not match"
        if match is None:
            self.steps.append(f"{name}: {where} is {quote(text)}; pattern {rule.pattern} {why}")
            return ""
        groups = {key: value for key, value in match.groupdict().items() if value}
        for key in groups.keys() & set(FOUND) - {name}:
            self._beside.setdefault(key, groups[key])
            self.steps.append(f"{key}: {where} has {quote(groups[key])}")
        own = name if name in match.re.groupindex else min(match.re.groups, 1)
        value = match[own]
        found = quote(value) if value else "nothing"
        self.steps.append(f"{name}: {where} with pattern {rule.pattern} gives {found}")
        return value or ""


def look_up(document: Any, path: str, *, booleans: bool = False) -> tuple[str, str]:
    """(text, "") at a dotted path, or ("", why there is none). A key with dots in it is
    found as well: the longest key that exists goes first. true and false are texts only with
    `booleans`."""
    here, rest = document, path.split(".")
    while rest:
        here, rest = _step_into(here, rest)
        if here is None:
            return "", "it is not in the message"
    if isinstance(here, bool) and booleans:
        return ("true" if here else "false"), ""
    text = _text_of(here)
    return (text, "") if text else ("", "it is no text")


def _step_into(here: Any, rest: list[str]) -> tuple[Any, list[str]]:
    if isinstance(here, list):
        index = int(rest[0]) if re.fullmatch("[0-9]{1,6}", rest[0]) else len(here)
        return (here[index] if index < len(here) else None), rest[1:]
    if isinstance(here, Mapping):
        for size in range(len(rest), 0, -1):
            if (key := ".".join(rest[:size])) in here:
                return here[key], rest[size:]
    return None, []


def _text_of(value: object) -> str:
    """Text of a text, or of a whole number, also one with .0; "" for anything else."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
