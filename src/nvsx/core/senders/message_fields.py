"""Finding node, runbook, check, error code and cluster in a message.

For each value the operator's rules come first, in their order; then whatever named groups
of those rules found beside their own value; then the places where this kind of sender
usually has it. Every step is kept in words, since "why this node?" must have an answer.
No I/O: CEL comes in as a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from nvsx.core.fields import Model, Regex, Text
from nvsx.core.patterns import SearchTime, TooSlow
from nvsx.core.senders.http_request import quote

#: Characters of a text that a pattern is tried on: patterns are the operator's, texts are not.
MAX_SEARCHED = 1024

#: Seconds all patterns together may take over one message. A usual one takes microseconds.
PATIENCE = 0.1

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_RUNBOOK = re.compile(r"#?[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


#: The values a rule can find.
FOUND = ("node", "runbook", "check", "errorCode", "cluster")


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


class Finder:
    """Applies a source's rules to one message. `steps` tells what was tried and found."""

    def __init__(
        self,
        rules: Mapping[str, tuple[Extract, ...]],
        document: Mapping[str, Any],
        compute: Compute,
        search_time: SearchTime | None = None,
    ) -> None:
        self.steps: list[str] = []
        self._document = document
        self._compute = compute
        self._search_time = search_time or SearchTime(PATIENCE)
        self._found: dict[str, str] = {}
        self._beside: dict[str, str] = {}
        for name in FOUND:
            for rule in rules.get(name, ()):
                if value := self._apply_rule(name, rule):
                    self._found[name] = value
                    break

    def find(self, name: str, *usual: tuple[str, object]) -> str:
        """The value called `name`; "" when it is nowhere.

        `usual` are (place in words, value there): where this kind of sender has it.
        """
        if name in self._found:
            return self._found[name]
        if name in self._beside:
            return self._beside[name]
        for place, value in usual:
            if text := _text_of(value):
                self.steps.append(f"{name}: {place} is {quote(text)}")
                return text
        if usual:
            self.steps.append(f"{name}: not in {', '.join(place for place, _ in usual)}")
        return ""

    def _apply_rule(self, name: str, rule: Extract) -> str:
        if rule.cel is not None:
            where, compute = f"cel {rule.cel}", partial(self._compute, rule.cel, self._document)
            text, reason = self._search_time.compute(compute)
        else:
            where = rule.from_ or ""
            text, reason = look_up(self._document, where)
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


def look_up(document: Any, path: str) -> tuple[str, str]:
    """(text, "") at a dotted path, or ("", why there is none). A key with dots in it is
    found as well: the longest key that exists goes first."""
    here, rest = document, path.split(".")
    while rest:
        here, rest = _step_into(here, rest)
        if here is None:
            return "", "it is not in the message"
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
    """Text of a text or whole number; "" for anything else."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""
