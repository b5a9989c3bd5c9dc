"""A run as the store lists it, as it is made, and the right to append to it."""

from __future__ import annotations

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """The right to append to one run: void as soon as another owner has a higher epoch."""

    run_id: str
    owner: str
    epoch: int


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be created. `node` is "" while armed; `cluster` scopes the node claim."""

    runbook: str
    cluster: str = ""
    node: str = ""
    trigger: str = "cli"
    sandbox: bool = False
    drill: bool = False
    project: str = ""


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the store's index; derived from its journal, kept for quick lists."""

    run_id: str
    runbook: str
    cluster: str
    node: str
    trigger: str
    status: str
    created: float
    finished: float | None = None
    session_key: str = ""
    mttr_s: float | None = None
    degraded: bool = False
    reason: str = ""
    sandbox: bool = False
    drill: bool = False
    project: str = ""
    alive: bool = False


def mark_alive(row: RunRow, owner_alive: bool) -> RunRow:
    """`row` with what only a look at its owner can tell: alive, or interrupted."""
    if row.finished is not None:
        return msgspec.structs.replace(row, alive=False)
    if owner_alive:
        return msgspec.structs.replace(row, alive=True)
    return msgspec.structs.replace(row, alive=False, status="interrupted")
