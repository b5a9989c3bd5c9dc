"""The list of runs, read from SQLite directly: people wait for it at a prompt.

`queries` asks the harder questions, with the conditions that are written here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nvsx.core.aliases import alias_of
from nvsx.core.journal.past_runs import RunFilter
from nvsx.core.journal.run_rows import RunRow, mark_alive
from nvsx.store import owner
from nvsx.store.direct_look import look_directly

_COLUMNS = tuple(name for name in RunRow.__struct_fields__ if name != "alive")
_FLAGS = ("degraded", "sandbox", "drill")


def list_runs(state_dir: Path, wanted: RunFilter, limit: int | None) -> list[RunRow]:
    """The runs that fit, newest first, as they are now. Raises StoreError."""

    def look(db: sqlite3.Connection) -> list[RunRow]:
        where, values = make_conditions(
            wanted, lambda: (name for (name,) in db.execute("SELECT DISTINCT node FROM runs"))
        )
        query = (
            f"SELECT owner, {', '.join(_COLUMNS)} FROM runs "  # noqa: S608 - ours, no one else's
            f"WHERE {where} ORDER BY created DESC, run_id DESC LIMIT :limit"
        )
        found = db.execute(query, {**values, "limit": -1 if limit is None else limit})
        return [_row_as_seen(state_dir, owned_by, cells) for owned_by, *cells in found]

    return look_directly(state_dir, look)


def find_incidents(state_dir: Path, rows: Iterable[RunRow]) -> dict[str, str]:
    """The incident of each run that belongs to one. Raises StoreError."""
    query = (
        "SELECT run_id, incident FROM incident_runs "
        "WHERE run_id IN (SELECT value FROM json_each(?))"
    )
    wanted = json.dumps([row.run_id for row in rows])
    return look_directly(state_dir, lambda db: dict(db.execute(query, (wanted,))))


def _row_as_seen(state_dir: Path, owned_by: str, cells: list[Any]) -> RunRow:
    fields = dict(zip(_COLUMNS, cells, strict=True))
    row = RunRow(**fields | {name: bool(fields[name]) for name in _FLAGS})
    return mark_alive(row, row.finished is None and owner.is_alive(state_dir / "owners", owned_by))


def make_conditions(
    wanted: RunFilter, all_nodes: Callable[[], Iterable[str]]
) -> tuple[str, dict[str, Any]]:
    """What `wanted` says of a row of `runs`, in SQL with named values. `all_nodes` gives the
    nodes of past runs: a node may be called by its alias, and an alias can fit several."""
    terms = ["1 = 1"]
    values: dict[str, Any] = {}
    if wanted.kind != "all":
        terms.append(f"{'' if wanted.kind == 'sandbox' else 'NOT '}(runs.sandbox OR runs.drill)")
    if wanted.node:
        nodes = [name for name in all_nodes() if wanted.node in (name, alias_of(name))]
        named = {f"node_{at}": name for at, name in enumerate(nodes)}
        terms.append(
            f"runs.node IN ({', '.join(f':{key}' for key in named)})" if named else "1 = 0"
        )
        values |= named
    if wanted.outcome == "degraded":
        terms.append("runs.degraded")
    elif wanted.outcome:
        terms.append("runs.status = :outcome")
        values["outcome"] = wanted.outcome
    if wanted.active:
        terms.append("runs.finished IS NULL")
    for name, term in _TERMS.items():
        value = getattr(wanted, name)
        if value not in ("", None):
            terms.append(term)
            values[name] = value
    return " AND ".join(terms), values


_TERMS = {
    "runbook": "runs.runbook = :runbook",
    "tag": "runs.run_id IN (SELECT run_id FROM run_words WHERE kind = 'tag' AND word = :tag)",
    "incident": "runs.run_id IN (SELECT run_id FROM incident_runs WHERE incident = :incident)",
    "since": "runs.created >= :since",
    "until": "runs.created < :until",
}
