"""One waiting run as the findings of a diagnosis see it: snapshot, stage, installation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from nvsx.core.watches.snapshot import Condition, Resource, Snapshot
from nvsx.nvsentinel import maintenance, marks, messages, names
from nvsx.nvsentinel.installation import Installation


class WaitingCase(NamedTuple):
    """What a finding looks at. `now` is Unix seconds."""

    snap: Snapshot
    stage: str
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
        """A moment as people say it. Absolute, since a note is shown again when its text
        changes, and a text that counts seconds changes every time."""
        moment, today = (datetime.fromtimestamp(t, UTC) for t in (at, self.now))
        day = "" if moment.date() == today.date() else f"{moment:%Y-%m-%d} "
        return f"{day}{moment:%H:%M:%S} UTC"
