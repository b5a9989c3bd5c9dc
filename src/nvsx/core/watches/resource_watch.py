"""The watch of custom resources about the target node: repairs, and whatever else a team has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nvsx.core.fields import Model, Text
from nvsx.core.watches.condition_status import ConditionStatus
from nvsx.core.watches.snapshot import NOT_INSTALLED, Needs, Resource, ResourceSource, Snapshot
from nvsx.core.watches.verdict import Verdict, failed, pending, satisfied, unknown
from nvsx.core.watches.watch_base import (
    Chain,
    Happening,
    Look,
    in_namespace,
    is_unread,
    satisfied_if,
)


class CrdCondition(Model):
    """A condition in the status of a custom resource."""

    type: Text = Field(description="Condition type, such as NodeReady.")
    status: ConditionStatus = "True"


class CrdWatch(Happening):
    """A custom resource for the target node, such as a RebootNode.

    `resource` is the plural, or `maintenance` for whatever kinds this NVSentinel creates.
    """

    kind: Literal["crd"]
    resource: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] = Field(
        description="The plural, such as rebootnodes, or maintenance."
    )
    group: Text | None = Field(None, description="API group, where the plural says too little.")
    version: Text | None = Field(None, description="API version, where it matters.")
    namespace: Text | None = Field(None, description="For namespaced resources.")
    condition: CrdCondition | None = Field(
        None, description="`{type, status}` in its status; status is True by default."
    )
    completed: bool | None = Field(None, description="True: it has a completion time.")

    @property
    def plural_and_group(self) -> tuple[str, str]:
        """`resource` may carry the group: `rebootnodes.janitor.dgxc.nvidia.com`."""
        plural, _, group = self.resource.partition(".")
        return plural, self.group or group

    def evaluate(self, look: Look) -> Verdict:
        """The newest resource of the incident decides: NVSentinel tries again after a failure.

        | time  | what happens                                     | `completed: true`        |
        |-------|--------------------------------------------------|--------------------------|
        | 02:00 | a RebootNode of yesterday's session is there     | pending: not of this one |
        | 03:05 | a RebootNode with this session's event id, fails | failed, with its cause   |
        | 03:20 | another one, running                             | pending                  |
        | 03:24 | it has completed, and succeeded                  | satisfied                |
        """
        of_kind = [r for r in look.snap.resources if self._is_of_kind(r, look.chain)]
        mine = [r for r in of_kind if self._is_of_incident(r, look)]
        if not mine:
            return self._evaluate_none(look.snap, len(of_kind))
        newest = max(mine, key=lambda r: (r.created, r.name))
        verdict = self._evaluate_one(newest, look.chain)
        # What has ended stays so; what had not may have, since its kind could last be read.
        unread = is_unread(look.snap, f"resources/{newest.plural}")
        return unread if unread is not None and verdict.kind == "pending" else verdict

    def _is_of_kind(self, r: Resource, chain: Chain) -> bool:
        if self.namespace not in (None, r.namespace):
            return False
        if self.resource == "maintenance":
            return chain.is_maintenance(r)
        plural, group = self.plural_and_group
        return r.plural == plural and group in ("", r.group)

    def _is_of_incident(self, r: Resource, look: Look) -> bool:
        """By the event id in its name; where no session says whose it is, or the runbook asks
        for another beginning, by time."""
        in_time = r.created >= self.counts_from(look)
        if self.since not in (None, "incident"):
            return in_time
        return look.chain.belongs(r, look.snap) or (in_time and not look.snap.session.known)

    def _evaluate_none(self, snap: Snapshot, earlier: int) -> Verdict:
        plural, _ = self.plural_and_group
        unread = {k: v for k, v in snap.unread.items() if k.startswith("resources/")}
        if plural == "maintenance":
            # A kind that this cluster does not have cannot hide a repair.
            why = {reason for reason in unread.values() if NOT_INSTALLED not in reason}
        else:
            why = {reason for key, reason in unread.items() if key == f"resources/{plural}"}
        if why:
            return unknown("; ".join(sorted(why)))
        if earlier:
            return pending(f"none of this incident ({earlier} of earlier ones)")
        return pending("none yet")

    def _evaluate_one(self, r: Resource, chain: Chain) -> Verdict:
        outcome, detail = chain.outcome(r)
        name = f"{r.kind} {r.name}"
        if self.condition is not None:
            found = r.condition(self.condition.type)
            if found is not None and found.status == self.condition.status:
                at = found.transition or None
                return satisfied(f"{name}: {found.type} is {found.status}", at)
            if outcome == "failed":
                return failed(f"{name}: {detail}")
            status = found.status if found else "absent"
            return pending(f"{name}: {self.condition.type} is {status}")
        if self.completed is None:
            return satisfied(f"{name} was created", r.created)
        if self.completed is False:
            return satisfied_if(not r.completed, f"{name}: {detail}")
        if outcome == "succeeded":
            return satisfied(f"{name}: {detail}", r.completed or None)
        if outcome == "failed":
            return failed(f"{name}: {detail}")
        return pending(f"{name}: {detail}")

    def needs(self) -> Needs:
        """The kinds of `maintenance` are followed for every run."""
        if self.resource == "maintenance":
            return Needs()
        source = ResourceSource(*self.plural_and_group, self.version or "", self.namespace or "")
        return Needs(resources=(source,))

    def describe(self) -> str:
        name = "maintenance resource" if self.resource == "maintenance" else self.resource
        group = f".{self.group}" if self.group else ""
        text = f"{name}{group} for the node{in_namespace(self.namespace)}"
        if self.condition is None and self.completed is None:
            return f"{text} exists"
        if self.condition:
            text += f" has {self.condition.type} {self.condition.status}"
        if self.completed is not None:
            and_ = " and" if self.condition else ""
            text += f"{and_} is {'' if self.completed else 'not '}completed"
        return text
