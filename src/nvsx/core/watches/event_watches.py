"""Watches of Kubernetes Events about the target node and about its pods."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from nvsx.core import selectors
from nvsx.core.fields import LabelSelector, Regex, Text, Texts
from nvsx.core.watches.snapshot import Event, Needs, Snapshot
from nvsx.core.watches.verdict import Verdict, pending, satisfied
from nvsx.core.watches.watch_base import (
    Happening,
    Look,
    any_of_words,
    contains_pattern,
    in_namespace,
    is_unread,
    parse_selector,
)


class _EventWatch(Happening):
    about: ClassVar[str]

    reason: Texts = Field((), description="The Event's reason, one or a list.")
    type: Texts = Field((), description="NVSentinel uses the check name, or NodeDraining.")
    namespace: Text | None = Field(None, description="Where the Event is stored.")
    pattern: Regex | None = Field(None, description="Regular expression found in the message.")

    @model_validator(mode="after")
    def _require_reason_or_type(self) -> Self:
        if not (self.reason or self.type):
            raise ValueError("reason or type is required")
        return self

    @abstractmethod
    def _is_about(self, event: Event, snap: Snapshot) -> bool:
        """Whether the Event is about the node, or a pod of it."""

    def evaluate(self, look: Look) -> Verdict:
        """By an Event's last time: NVSentinel reuses one object and counts it up."""
        start = self.counts_from(look)
        hits = [
            e
            for e in look.snap.events
            if e.last >= start
            and (not self.type or e.type in self.type)
            and (not self.reason or e.reason in self.reason)
            and self.namespace in (None, e.namespace)
            and (self.pattern is None or contains_pattern(e.message, self.pattern))
            and self._is_about(e, look.snap)
        ]
        if not hits:
            unread = is_unread(look.snap, "events")
            return unread or pending("no such Event in this incident")
        newest = max(hits, key=lambda e: e.last)
        times = f" (seen {newest.count} times)" if newest.count > 1 else ""
        return satisfied(f"{newest.reason}: {newest.message}{times}", newest.last)

    def describe(self) -> str:
        matching = f" matching /{self.pattern}/" if self.pattern else ""
        names = any_of_words((*self.type, *self.reason))
        return f"Event {names} for {self._name_subject()}{in_namespace(self.namespace)}{matching}"

    def _name_subject(self) -> str:
        return self.about


class PodEventWatch(_EventWatch):
    """A Kubernetes Event about a pod on the target node."""

    about: ClassVar[str] = "a pod on the node"

    kind: Literal["pod-event"]
    selector: LabelSelector | None = Field(None, description="Labels of the pod.")

    def _is_about(self, event: Event, snap: Snapshot) -> bool:
        """An evicted pod is gone before its Event is read, so departed pods count too."""
        if event.kind != "Pod":
            return False
        wanted = parse_selector(self.selector) if self.selector else ()
        place = (event.object_namespace or event.namespace, event.object_name)
        known = (*snap.departed, *snap.pods_on_node())
        # The last of a name is the pod that has it now.
        pod = next((p for p in reversed(known) if (p.namespace, p.name) == place), None)
        return pod is not None and selectors.matches(wanted, pod.labels)

    def needs(self) -> Needs:
        return Needs(event_namespaces=(self.namespace or "",))

    def _name_subject(self) -> str:
        return f"{self.about} with labels {self.selector}" if self.selector else self.about


class NodeEventWatch(_EventWatch):
    """A Kubernetes Event about the target node."""

    about: ClassVar[str] = "the node"

    kind: Literal["node-event"]

    def _is_about(self, event: Event, snap: Snapshot) -> bool:
        return event.kind == "Node" and event.object_name == snap.node_name
