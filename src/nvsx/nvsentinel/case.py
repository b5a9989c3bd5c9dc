"""What is known of one node, as findings about waiting look at it."""

from __future__ import annotations

from typing import NamedTuple

from nvsx.core.incident.cause_view import tell_clock
from nvsx.core.watches.snapshot import Condition, Resource, Snapshot
from nvsx.nvsentinel import maintenance, marks, messages, names
from nvsx.nvsentinel.installation import Installation


class WaitingCase(NamedTuple):
    """What a finding looks at. `now` is Unix seconds."""

    snap: Snapshot
    inst: Installation | None
    now: float

    @property
    def marks(self) -> marks.Marks:
        return marks.read(self.snap.node) if self.snap.node is not None else marks.Marks()

    @property
    def sick(self) -> list[Condition]:
        """NVSentinel's conditions that report a fault now."""
        every = self.snap.node.conditions if self.snap.node is not None else ()
        return [c for c in every if messages.is_unhealthy(c)]

    @property
    def repairs(self) -> tuple[Resource, ...]:
        snap = self.snap
        return maintenance.repairs_of_session(snap.resources, snap.session, node=snap.node_name)

    @property
    def namespace(self) -> str:
        return self.inst.namespace if self.inst is not None else names.NAMESPACE

    def kubectl(self, command: str) -> str:
        return f"kubectl -n {self.namespace} {command}"

    def clock(self, at: float) -> str:
        return tell_clock(at, self.now)
