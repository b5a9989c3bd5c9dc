"""Questions about past runs, answered from the index alone: no journal is read.

`nvsx history` and `nvsx stats` ask them through `SqliteJournal.look`. Sandbox and drill
runs are left out unless they are asked for: they are no incidents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects import sqlite

from nvsx.core.aliases import alias_of
from nvsx.core.journal.past_runs import By, Hit, RunFilter, Sample
from nvsx.core.journal.run_rows import RunRow
from nvsx.store import database
from nvsx.store.inbox_tables import storm_faults
from nvsx.store.journal_tables import run_lengths, run_words, runs


def past_runs(db: Connection, wanted: RunFilter, limit: int | None) -> Sequence[RunRow]:
    """The runs that fit, newest first. Unfinished ones are told as they were written last."""
    query = select(*(runs.c[name] for name in _FIELDS)).where(_make_condition(db, wanted))
    found = db.execute(_limit_rows(query.order_by(*_NEWEST), limit))
    return [RunRow(**dict(zip(_FIELDS, row, strict=True))) for row in found]


def of_incident(db: Connection, run_id: str, since: float) -> Sequence[str]:
    """The run and those that began at or after `since` (Unix seconds) and are of its incident,
    oldest first: on its node, unless both saw a quarantine and not the same one; or in its storm.
    """
    run = db.execute(select(runs).where(runs.c.run_id == run_id)).mappings().one()
    same = [runs.c.node == run["node"], runs.c.node != ""]
    if run["session_key"]:
        same.append(runs.c.session_key.in_(("", run["session_key"])))
    leader = select(storm_faults.c.leader).where(storm_faults.c.run_id == run_id).scalar_subquery()
    storm = select(storm_faults.c.run_id).where(
        storm_faults.c.leader == leader, storm_faults.c.leader != ""
    )
    near = and_(
        runs.c.cluster == run["cluster"],
        runs.c.sandbox == run["sandbox"],
        runs.c.drill == run["drill"],
        runs.c.created >= since,
        or_(and_(*same), runs.c.run_id.in_(storm)),
    )
    query = select(runs.c.run_id).where(or_(runs.c.run_id == run_id, near))
    return db.execute(query.order_by(runs.c.created, runs.c.run_id)).scalars().all()


def owners(db: Connection, run_ids: Sequence[str]) -> dict[str, str]:
    """The owner of each unfinished run among `run_ids`."""
    query = select(runs.c.run_id, runs.c.owner).where(
        runs.c.run_id.in_(run_ids), runs.c.finished.is_(None)
    )
    return {run_id: owner for run_id, owner in db.execute(query)}  # noqa: C416 - rows are no pairs


def samples(db: Connection, wanted: RunFilter, by: By) -> Sequence[Sample]:
    """The finished runs that fit, each with the group it counts in and the lengths of the
    stages that passed; by fault a run of several faults counts in each."""
    group, source = _group_by(by)
    took = runs.c.finished - runs.c.created
    query = (
        select(runs.c.run_id, group, runs.c.status, runs.c.degraded, took, runs.c.mttr_s, *_STAGES)
        .select_from(source.outerjoin(run_lengths, run_lengths.c.run_id == runs.c.run_id))
        .where(_make_condition(db, wanted), runs.c.finished.is_not(None))
    )
    return [
        Sample(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6:])
        for row in _read_rows(db, query)
    ]


def hits(db: Connection, wanted: RunFilter) -> Sequence[Hit]:
    """The incidents that fit, in no order, with the GPUs they struck."""
    every = wanted == RunFilter(kind=wanted.kind)
    return _read_hits(db, and_(_make_condition(db, wanted), runs.c.node != ""), every=every)


def hits_before(db: Connection, run_id: str, window: float) -> Sequence[Hit]:
    """The incidents on the run's node, or on a GPU its incident struck, that began at most
    `window` seconds before it, and its own; [] for an unknown run.

    Of an incident only incidents count; of a sandbox or drill run, only others on its cluster.
    """
    run = db.execute(select(runs).where(runs.c.run_id == run_id)).mappings().first()
    if run is None or not run["node"]:
        return []
    staged = run["sandbox"] or run["drill"]
    mine = db.execute(
        select(run_words.c.kind, run_words.c.word).where(run_words.c.run_id == run_id)
    )
    uuids = [row.word for row in mine if row.kind == "gpu"]
    on_node = and_(runs.c.cluster == run["cluster"], runs.c.node == run["node"])
    on_gpu = runs.c.run_id.in_(
        select(run_words.c.run_id).where(run_words.c.kind == "gpu", run_words.c.word.in_(uuids))
    )
    near = RunFilter(since=run["created"] - window, kind="sandbox" if staged else "real")
    terms = [
        _make_condition(db, near),
        or_(on_node, on_gpu) if uuids else on_node,
        tuple_(runs.c.created, runs.c.run_id) <= (run["created"], run_id),
    ]
    if staged:
        terms.append(runs.c.cluster == run["cluster"])
    return _read_hits(db, and_(*terms))


def _read_hits(db: Connection, which: ColumnElement[bool], *, every: bool = False) -> list[Hit]:
    """Two queries instead of a join: a run has many words, and rows are what costs. When
    `every` run is likely to fit, looking at all words is cheaper than choosing them."""
    struck: dict[str, list[tuple[str, str]]] = defaultdict(list)
    words = select(run_words.c.run_id, run_words.c.kind, run_words.c.word).where(
        run_words.c.kind.in_(("gpu", "pci"))
    )
    if not every:
        words = words.where(run_words.c.run_id.in_(select(runs.c.run_id).where(which)))
    for run_id, kind, word in _read_rows(db, words):
        struck[run_id].append((kind, word))
    c = runs.c
    found = select(c.run_id, c.node, c.cluster, c.session_key, c.created).where(which)
    return [
        Hit(run_id, node, cluster, session, at, struck.get(run_id, ()))
        for run_id, node, cluster, session, at in _read_rows(db, found)
    ]


_FIELDS = tuple(name for name in RunRow.__struct_fields__ if name != "alive")
_STAGES = tuple(c for c in run_lengths.c if c.name != "run_id")
_NEWEST = (runs.c.created.desc(), runs.c.run_id.desc())


def _read_rows(db: Connection, query: Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows as SQLite gives them: over many, SQLAlchemy costs as much again."""
    compiled = query.compile(dialect=_NAMED, compile_kwargs={"render_postcompile": True})
    found: Iterator[Sequence[Any]] = database.raw(db).execute(str(compiled), compiled.params)
    return found


_NAMED = sqlite.dialect(paramstyle="named")


def _limit_rows(query: Select[Any], limit: int | None) -> Select[Any]:
    return query if limit is None else query.limit(limit)


def _group_by(by: By) -> tuple[ColumnElement[str], Any]:
    if by == "fault":
        faults = and_(run_words.c.run_id == runs.c.run_id, run_words.c.kind == "fault")
        return func.coalesce(run_words.c.word, "unknown"), runs.outerjoin(run_words, faults)
    return runs.c[by], runs


def _make_condition(db: Connection, wanted: RunFilter) -> ColumnElement[bool]:
    terms: list[ColumnElement[bool]] = [true()]
    staged = or_(runs.c.sandbox, runs.c.drill)
    if wanted.kind != "all":
        terms.append(staged if wanted.kind == "sandbox" else ~staged)
    if wanted.node:
        terms.append(runs.c.node.in_(_find_nodes(db, wanted.node)))
    if wanted.runbook:
        terms.append(runs.c.runbook == wanted.runbook)
    if wanted.outcome == "degraded":
        terms.append(runs.c.degraded)
    elif wanted.outcome:
        terms.append(runs.c.status == wanted.outcome)
    if wanted.tag:
        tagged = select(run_words.c.run_id).where(
            run_words.c.kind == "tag", run_words.c.word == wanted.tag
        )
        terms.append(runs.c.run_id.in_(tagged))
    if wanted.since is not None:
        terms.append(runs.c.created >= wanted.since)
    if wanted.until is not None:
        terms.append(runs.c.created < wanted.until)
    return and_(*terms)


def _find_nodes(db: Connection, wanted: str) -> list[str]:
    """The nodes of past runs with this name or alias; an alias can fit several."""
    known = db.execute(select(runs.c.node).distinct()).scalars()
    return [name for name in known if wanted in (name, alias_of(name))]
