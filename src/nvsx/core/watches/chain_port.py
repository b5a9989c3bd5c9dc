"""The port to what NVSentinel's marks mean: rank of a state, whose a repair is, what is proven.

Its adapter is nvsentinel.chain; a fake is in tests.fakes.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from nvsx.core.incident.session import HealthEvent, Times
from nvsx.core.watches.kinds import Watch
from nvsx.core.watches.snapshot import Condition, Resource, Snapshot

#: `escalated`: it failed, and NVSentinel goes on by itself with another repair.
Outcome = Literal["succeeded", "failed", "escalated", "in-progress", "manual"]


class DeadEnd(msgspec.Struct, frozen=True):
    """Why a stage cannot pass any more. `overrules` even watches that hold: after a manual
    uncordon the marks of the incident are gone, and that is no recovery."""

    reason: str
    overrules: bool = False


class Chain(Protocol):
    """What NVSentinel's marks mean. Pure functions of what was observed: no I/O, no clock."""

    def state_rank(self, state: str) -> int | None:
        """How far along the chain a state-label value is; None for an unknown value."""
        ...

    def error_codes(self, condition: Condition) -> frozenset[str]:
        """The error codes in a node condition's message."""
        ...

    def is_maintenance(self, resource: Resource) -> bool:
        """Whether `resource: maintenance` means this kind."""
        ...

    def belongs(self, resource: Resource, snapshot: Snapshot) -> bool:
        """Whether a custom resource is part of the snapshot's session."""
        ...

    def outcome(self, resource: Resource) -> tuple[Outcome, str]:
        """How far a maintenance resource is, in a word and in a sentence."""
        ...

    def prove(
        self, watch: Watch, stage: str, snapshot: Snapshot, trigger: HealthEvent | None
    ) -> str:
        """What proves that `watch` held earlier in this session; "" when nothing does."""
        ...

    def still_held(self, watch: Watch, snapshot: Snapshot) -> str:
        """Why the absence of a mark that `watch` waits for is no release of the node yet;
        "" when it is."""
        ...

    def dead_end(self, stage: str, snapshot: Snapshot) -> DeadEnd | None:
        """Why `stage` cannot pass any more, if so."""
        ...

    def tell_times(self, known: Times, snapshot: Snapshot, trigger: HealthEvent | None) -> Times:
        """`known` with the marks that `snapshot` adds. `trigger` is the event that fired the
        run; without a quarantine session it alone tells when the fault was generated."""
        ...
