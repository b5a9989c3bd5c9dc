"""A run's row in the index, folded from its journal.

Every Journal applies `update_row` to each event in the transaction that stores it, so that
`nvsx history` and the dispatcher need not read whole journals. What a row says is never
news: it can be rebuilt from the entries at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.journal.entries import (
    Armed,
    Finish,
    Resumed,
    RunEvent,
    SessionSeen,
    StageBegin,
    Start,
    Target,
)
from nvsx.core.journal.run_rows import NewRun, RunRow


def make_first_row(run_id: str, run: NewRun, created: float) -> RunRow:
    """The row of a run that has no events yet. `created` is in Unix seconds."""
    return RunRow(
        run_id=run_id,
        runbook=run.runbook,
        cluster=run.cluster,
        node=run.node,
        trigger=run.trigger,
        status="running" if run.node else "armed",
        created=created,
        sandbox=run.sandbox,
        drill=run.drill,
        project=run.project,
        alive=True,
    )


def update_row(row: RunRow, event: RunEvent, t: float) -> RunRow:
    """`row` after `event`, which was appended at `t` (Unix seconds)."""
    replace = msgspec.structs.replace
    match event:
        case Start():
            return replace(row, node=event.target_node or row.node)
        case Armed():
            return replace(row, status="armed")
        case Target():
            return replace(row, node=event.target_node, status="running")
        case StageBegin():
            return replace(row, status="running")
        case Resumed():
            return replace(row, status="running" if row.node else "armed")
        case SessionSeen() if event.session.key:
            return replace(row, session_key=event.session.key)
        case Finish():
            return replace(
                row,
                status=event.status,
                finished=t,
                mttr_s=event.mttr_s,
                degraded=event.degraded,
                reason=event.reason,
                alive=False,
            )
        case _:
            return row


WordKind = Literal["tag", "fault", "gpu", "pci"]
"""What runs are looked up and grouped by besides their row: the runbook's tags, the faults
(`SysLogsXIDError 79`), and the GPUs they struck, by UUID and by PCI address."""

_ENTITIES: dict[str, WordKind] = {"GPU_UUID": "gpu", "PCI": "pci"}


def find_words(event: RunEvent) -> set[tuple[WordKind, str]]:
    """The words a run is found by after `event`."""
    match event:
        case Start():
            found: set[tuple[WordKind, str]] = {("tag", tag) for tag in event.tags}
            if event.trigger_event:
                found |= set(_name_fault(msgspec.convert(event.trigger_event, HealthEvent)))
            return found
        case SessionSeen():
            return {word for e in event.session.events for word in _name_fault(e)}
        case _:
            return set()


def _name_fault(event: HealthEvent) -> Iterator[tuple[WordKind, str]]:
    if event.healthy or not event.check:
        return
    yield "fault", " ".join((event.check, *sorted(event.error_codes)))
    for entity, value in event.entities:
        if entity in _ENTITIES and value:
            yield _ENTITIES[entity], value


def finish_abandoned(row: RunRow, now: float) -> Finish:
    """The end of a run whose process died and which nobody is going to resume."""
    return Finish(
        ok=False,
        status="interrupted",
        degraded=row.degraded,
        total_s=max(0.0, now - row.created),
        reason="its process died, and it was dropped instead of resumed",
        exit_code=1,
    )
