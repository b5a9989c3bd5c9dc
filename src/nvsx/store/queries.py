"""Questions about past runs, answered from the index alone: no journal is read.

`nvsx stats` and reports ask them through `SqliteJournal.look`; `run_list` lists runs. Sandbox
and drill runs are left out unless they are asked for: they are no incidents.
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
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects import sqlite

from nvsx.core.journal.past_runs import By, Hit, RunFilter, Sample
from nvsx.store import database
from nvsx.store.inbox_tables import storm_faults
from nvsx.store.journal_tables import run_lengths, run_words, runs
from nvsx.store.run_list import make_conditions


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


_STAGES = tuple(c for c in run_lengths.c if c.name != "run_id")


def _read_rows(db: Connection, query: Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows as SQLite gives them: over many, SQLAlchemy costs as much again."""
    compiled = query.compile(dialect=_NAMED, compile_kwargs={"render_postcompile": True})
    found: Iterator[Sequence[Any]] = database.raw(db).execute(str(compiled), compiled.params)
    return found


_NAMED = sqlite.dialect(paramstyle="named")


def _group_by(by: By) -> tuple[ColumnElement[str], Any]:
    if by == "fault":
        faults = and_(run_words.c.run_id == runs.c.run_id, run_words.c.kind == "fault")
        return func.coalesce(run_words.c.word, "unknown"), runs.outerjoin(run_words, faults)
    return runs.c[by], runs


def _make_condition(db: Connection, wanted: RunFilter) -> ColumnElement[bool]:
    nodes = select(runs.c.node).distinct()
    where, values = make_conditions(wanted, lambda: db.execute(nodes).scalars())
    return and_(text(where).bindparams(**values), true())
