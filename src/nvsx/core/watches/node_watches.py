"""Watches of what is true of the target node now: conditions, fields, taints, labels, state."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from nvsx.core.fields import Regex, Text, Texts
from nvsx.core.watches.condition_status import ConditionStatus
from nvsx.core.watches.snapshot import Condition, Node
from nvsx.core.watches.verdict import Verdict, invalid, pending, satisfied, unknown
from nvsx.core.watches.watch_base import (
    TOLERANCE,
    Look,
    Scope,
    WatchBase,
    any_of_words,
    contains_pattern,
    miss_node,
    satisfied_if,
)

#: Characters of a label's or annotation's value that a verdict shows.
SHOWN_VALUE = 60


class NodeConditionWatch(WatchBase):
    """A condition on the target node, such as the one NVSentinel sets for a check."""

    kind: Literal["node-condition"]
    type: Texts = Field(description="Condition type, one or a list: any of them.")
    status: ConditionStatus = Field("True", description="NVSentinel's True means unhealthy.")
    error_code: Texts = Field((), description="ErrorCode in the message: any of them, exactly.")
    reason: Texts = Field((), description="The condition's reason, one or a list.")

    def evaluate(self, look: Look) -> Verdict:
        node = look.snap.node
        if node is None:
            return miss_node(look.snap)
        why = []
        for wanted in self.type:
            found = node.condition(wanted)
            codes = look.chain.error_codes(found) if found is not None else frozenset()
            differs = self._say_difference(wanted, found, codes)
            if found is not None and not differs:
                code = f" {', '.join(sorted(codes))}" if codes else ""
                return satisfied(f"{wanted} is {found.status}{code}", found.transition or None)
            why.append(differs)
        return pending("; ".join(why))

    def _say_difference(self, wanted: str, found: Condition | None, codes: frozenset[str]) -> str:
        """How a condition differs from what is waited for; "" when it does not."""
        if found is None:
            return f"no condition {wanted}"
        if found.status != self.status:
            return f"{wanted} is {found.status}"
        if self.error_code and not codes.intersection(self.error_code):
            seen = ", ".join(sorted(codes)) or "none"
            return f"{wanted} is {found.status}, with error code {seen}"
        if self.reason and found.reason not in self.reason:
            return f"{wanted} is {found.status}, with reason {found.reason}"
        return ""

    def wait_until_shown(self, look: Look) -> Verdict | None:
        """A fault's condition and its event travel by different queues: right after the event
        that fired the run, a node that does not show the fault yet has not recovered from it.
        Source: platform-connectors/pkg/connectors (separate store and Kubernetes queues).

        | time     | the condition                        | "it is not there" means        |
        |----------|--------------------------------------|--------------------------------|
        | 03:00:00 | the event is generated, fires a run  |                                |
        | 03:00:01 | none, or a heartbeat of 02:59        | not shown yet: pending         |
        | 03:00:02 | False, with a heartbeat of 03:00:02  | healthy: it has cleared        |
        | 03:02:00 | none                                 | it has cleared: TOLERANCE over |
        """
        trigger, node = look.scope.trigger, look.snap.node
        if trigger is None or node is None or trigger.check not in self.type:
            return None
        until = trigger.generated_at + TOLERANCE
        found = node.condition(trigger.check)
        shown = found is not None and found.heartbeat >= math.floor(trigger.generated_at)
        if shown or look.scope.now >= until:
            return None
        return pending("NVSentinel has not shown this fault on the node yet", until)

    def describe(self) -> str:
        text = f"node condition {any_of_words(self.type)} is {self.status}"
        if self.error_code:
            text += f" with error code {any_of_words(self.error_code)}"
        return text + (f" with reason {any_of_words(self.reason)}" if self.reason else "")


class NodeFieldWatch(WatchBase):
    """A fact of the target node. An absent boolean reads as false."""

    kind: Literal["node"]
    field: Literal["spec.unschedulable", "ready", "exists", "bootID"] = Field(
        description="bootID holds once the node has booted again."
    )
    expect: Annotated[
        bool, WithJsonSchema({"enum": [True, False, "true", "false", "changed", "unchanged", ""]})
    ] = Field(True, description="For bootID, true means changed.")

    @field_validator("expect", mode="before")
    @classmethod
    def _read_expectation(cls, value: object) -> object:
        """Early runbooks compared kubectl's text, where an absent boolean prints nothing."""
        if isinstance(value, bool):
            return value
        words = {"true": True, "changed": True, "false": False, "unchanged": False, "": False}
        text = str(value).strip().lower() if value is not None else ""
        if text not in words:
            raise ValueError(f"'{value}' is not true or false")
        return words[text]

    def evaluate(self, look: Look) -> Verdict:
        node = look.snap.node
        if self.field == "exists":
            return self._evaluate_existence(look)
        if node is None:
            return miss_node(look.snap)
        if self.field == "bootID":
            return self._evaluate_boot(node.boot_id, look.scope)
        if self.field == "ready":
            words = {True: "Ready", False: "not Ready", None: "Ready: Unknown"}[node.ready]
            return satisfied_if((node.ready is True) == self.expect, f"node is {words}")
        words = "cordoned" if node.unschedulable else "schedulable"
        return satisfied_if(node.unschedulable == self.expect, f"node is {words}")

    def _evaluate_existence(self, look: Look) -> Verdict:
        if look.snap.node is not None:
            return satisfied_if(self.expect, "the node is there")
        missing = miss_node(look.snap)
        gone = missing.kind == "pending" and not self.expect
        return satisfied(f"{look.snap.node_name} is gone") if gone else missing

    def _evaluate_boot(self, boot_id: str, scope: Scope) -> Verdict:
        if not scope.boot_id or not boot_id:
            return unknown("the boot id before the incident is not known")
        changed = boot_id != scope.boot_id
        return satisfied_if(
            changed == self.expect, f"boot id {'changed' if changed else 'unchanged'}"
        )

    def vanishes_with_node(self) -> bool:
        return self.field != "exists"

    def describe(self) -> str:
        yes, no = {
            "spec.unschedulable": ("node is cordoned", "node is schedulable"),
            "ready": ("node is Ready", "node is not Ready"),
            "exists": ("node exists", "node is gone"),
            "bootID": ("node has booted again", "node has not booted again"),
        }[self.field]
        return yes if self.expect else no


class TaintWatch(WatchBase):
    """A taint on the target node. NVSentinel sets none unless an operator configured it."""

    kind: Literal["taint"]
    key: Text = Field(description="The taint's key.")
    value: Text | None = Field(None, description="Its value; any by default.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Its effect; any by default."
    )

    def evaluate(self, look: Look) -> Verdict:
        if look.snap.node is None:
            return miss_node(look.snap)
        for t in look.snap.node.taints:
            if (
                t.key == self.key
                and self.value in (None, t.value)
                and self.effect in (None, t.effect)
            ):
                return satisfied(f"taint {t.key}={t.value}:{t.effect}")
        return pending(f"no taint {self.key}")

    def describe(self) -> str:
        value = f"={self.value}" if self.value else ""
        return f"node has taint {self.key}{value}" + (f":{self.effect}" if self.effect else "")


class _KeyedWatch(WatchBase):
    """A label or an annotation: `word` says which."""

    word: ClassVar[str]

    key: Text = Field(description="The whole key, prefix included.")
    value: Texts = Field((), description="One or a list: any of them, exactly.")
    pattern: Regex | None = Field(None, description="Regular expression found in the value.")

    @model_validator(mode="after")
    def _allow_one_way(self) -> Self:
        if self.value and self.pattern:
            raise ValueError("value and pattern exclude each other: keep one")
        return self

    @abstractmethod
    def _values_of(self, node: Node) -> Mapping[str, str]:
        """The labels or annotations."""

    def evaluate(self, look: Look) -> Verdict:
        if look.snap.node is None:
            return miss_node(look.snap)
        value = self._values_of(look.snap.node).get(self.key)
        if value is None:
            return pending(f"no {self.word} {self.key}")
        short = value if len(value) <= SHOWN_VALUE else value[: SHOWN_VALUE - 3] + "..."
        if self.value and value not in self.value:
            return pending(f"{self.word} {self.key} is {short}")
        if self.pattern and not contains_pattern(value, self.pattern):
            return pending(f"{self.word} {self.key} does not match")
        return satisfied(f"{self.word} {self.key}={short}")

    def describe(self) -> str:
        text = f"node has {self.word} {self.key}"
        if self.value:
            return f"{text}={any_of_words(self.value)}"
        return text + (f" matching /{self.pattern}/" if self.pattern else "")


class NodeLabelWatch(_KeyedWatch):
    """A label on the target node; without value or pattern, its presence."""

    word: ClassVar[str] = "label"

    kind: Literal["node-label"]

    def _values_of(self, node: Node) -> Mapping[str, str]:
        return node.labels


class NodeAnnotationWatch(_KeyedWatch):
    """An annotation on the target node; without value or pattern, its presence."""

    word: ClassVar[str] = "annotation"

    kind: Literal["node-annotation"]

    def _values_of(self, node: Node) -> Mapping[str, str]:
        return node.annotations


class NvsentinelStateWatch(WatchBase):
    """NVSentinel's state label has reached one of these, or a later rank, in this session."""

    kind: Literal["nvsentinel-state"]
    state: Texts = Field(description="One or a list, such as quarantined or drain-succeeded.")

    def evaluate(self, look: Look) -> Verdict:
        """A label changes faster than anybody looks, so the states of the whole session count.

        | time  | label           | `state: draining`                              |
        |-------|-----------------|------------------------------------------------|
        | 03:00 | quarantined     | pending                                        |
        | 03:01 | draining        | (nobody looked)                                |
        | 03:02 | drain-succeeded | satisfied: it comes later, so draining was too |
        """
        session = look.snap.session
        ranks = {state: look.chain.state_rank(state) for state in self.state}
        known = [rank for rank in ranks.values() if rank is not None]
        if len(known) < len(ranks):
            strange = next(state for state, rank in ranks.items() if rank is None)
            return invalid(f"NVSentinel has no state {strange}")
        if look.snap.node is None and not session.known:
            return miss_node(look.snap)
        for state, at in session.states:
            if state in self.state:
                return satisfied(f"state {state}", at)
        for state, at in session.states:
            rank = look.chain.state_rank(state)
            if rank is not None and rank > min(known):
                return satisfied(f"state {state}, which comes later", at)
        return pending(f"state is {session.state}" if session.state else "no state label")

    def describe(self) -> str:
        return f"NVSentinel's state has reached {any_of_words(self.state)}"
