"""The list of past runs, read from SQLite directly: people wait for it at a prompt.

The database library takes longer to load than everything else that lists runs, and a list
needs one table. `queries` asks the harder questions, with the conditions that are written here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from nvsx.core.aliases import alias_of
from nvsx.core.errors import StoreError
from nvsx.core.journal.past_runs import RunFilter
from nvsx.core.journal.run_rows import RunRow, mark_alive
from nvsx.store import open_store, owner

BUSY_TIMEOUT_S = 5.0
"""How long to wait for another process's lock, as `open_store` does."""
SCHEMA_VERSION = 9
"""The number of steps in `migrations`; a database of another number goes through `open_store`."""

_COLUMNS = tuple(name for name in RunRow.__struct_fields__ if name != "alive")
_FLAGS = ("degraded", "sandbox", "drill")


def list_runs(state_dir: Path, wanted: RunFilter, limit: int | None) -> list[RunRow]:
    """The runs that fit, newest first, as they are now. Raises StoreError."""
    try:
        return _read_runs(state_dir, wanted, limit)
    except (sqlite3.Error, StoreError):
        # Not there yet, of an older nvsx, or broken: this makes it good or says what is wrong.
        open_store(state_dir, busy_timeout=BUSY_TIMEOUT_S).close()
    from nvsx.store import database

    with database.translated(state_dir):
        return _read_runs(state_dir, wanted, limit)


def _read_runs(state_dir: Path, wanted: RunFilter, limit: int | None) -> list[RunRow]:
    with closing(_open_read_only(state_dir)) as db:
        if db.execute("SELECT MAX(version) FROM migrations").fetchone() != (SCHEMA_VERSION,):
            raise StoreError(f"{state_dir} is not of this nvsx")
        where, values = make_conditions(
            wanted, lambda: (name for (name,) in db.execute("SELECT DISTINCT node FROM runs"))
        )
        query = (
            f"SELECT owner, {', '.join(_COLUMNS)} FROM runs "  # noqa: S608 - ours, no one else's
            f"WHERE {where} ORDER BY created DESC, run_id DESC LIMIT :limit"
        )
        found = db.execute(query, {**values, "limit": -1 if limit is None else limit})
        return [_row_as_seen(state_dir, owned_by, cells) for owned_by, *cells in found]


def find_incidents(state_dir: Path, rows: Iterable[RunRow]) -> dict[str, str]:
    """The incident of each run that belongs to one, after `list_runs`. Raises StoreError."""
    from nvsx.store import database

    query = (
        "SELECT run_id, incident FROM incident_runs "
        "WHERE run_id IN (SELECT value FROM json_each(?))"
    )
    with database.translated(state_dir), closing(_open_read_only(state_dir)) as db:
        return dict(db.execute(query, (json.dumps([row.run_id for row in rows]),)))


def _open_read_only(state_dir: Path) -> sqlite3.Connection:
    uri = f"{(state_dir / 'nvsx.db').absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, BUSY_TIMEOUT_S, uri=True)


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
