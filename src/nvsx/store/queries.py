"""Questions about past runs, answered from the index alone: no journal is read.

`nvsx history` and `nvsx stats` ask them through `SqliteJournal.look`. Sandbox and drill
runs are left out unless they are asked for: they are no incidents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, tuple_

from nvsx.core.aliases import alias_of
from nvsx.core.pastruns import By, Hit, RunFilter, Sample
from nvsx.core.ports import RunRow
from nvsx.store.records import record
from nvsx.store.schema import run_stages, run_words, runs


def past_runs(db: Connection, wanted: RunFilter, limit: int | None) -> Sequence[RunRow]:
    """The runs that fit, newest first. Unfinished ones are told as they were written last."""
    query = select(runs).where(_where(db, wanted)).order_by(*_NEWEST)
    return [record(row).row for row in db.execute(_limited(query, limit)).mappings()]


def owners(db: Connection, run_ids: Sequence[str]) -> dict[str, str]:
    """The owner of each unfinished run among `run_ids`."""
    query = select(runs.c.run_id, runs.c.owner).where(
        runs.c.run_id.in_(run_ids), runs.c.finished.is_(None)
    )
    return {run_id: owner for run_id, owner in db.execute(query)}  # noqa: C416 - rows are no pairs


def samples(db: Connection, wanted: RunFilter, by: By) -> Sequence[Sample]:
    """The finished runs that fit, each with the group it counts in; by fault a run of
    several faults counts in each."""
    group, source = _grouped(by)
    query = (
        select(
            runs.c.run_id,
            group,
            runs.c.status,
            runs.c.degraded,
            runs.c.finished - runs.c.created,
            runs.c.mttr_s,
        )
        .select_from(source)
        .where(_where(db, wanted), runs.c.finished.is_not(None))
    )
    return [Sample(*row) for row in db.execute(query)]


def stage_lengths(db: Connection, wanted: RunFilter, by: By) -> Sequence[tuple[str, str, float]]:
    """(group, stage, seconds) of each stage that passed in a finished run that fits."""
    group, source = _grouped(by)
    query = (
        select(group, run_stages.c.stage, run_stages.c.elapsed_s)
        .select_from(source.join(run_stages, run_stages.c.run_id == runs.c.run_id))
        .where(_where(db, wanted), runs.c.finished.is_not(None), run_stages.c.status == "pass")
    )
    return [tuple(row) for row in db.execute(query)]


def hits(db: Connection, wanted: RunFilter) -> Sequence[Hit]:
    """The incidents that fit, oldest first, once for each GPU they struck."""
    query = _hits().where(_where(db, wanted), runs.c.node != "")
    return [Hit(*row) for row in db.execute(query)]


def hits_before(db: Connection, run_id: str, window: float) -> Sequence[Hit]:
    """The incidents on the run's node, or on a GPU its incident struck, that began at most
    `window` seconds before it; its own is the last. Oldest first; [] for an unknown run.

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
    query = _hits().where(
        _where(db, near),
        or_(on_node, on_gpu) if uuids else on_node,
        tuple_(runs.c.created, runs.c.run_id) <= (run["created"], run_id),
    )
    if staged:
        query = query.where(runs.c.cluster == run["cluster"])
    return [Hit(*row) for row in db.execute(query)]


def _hits() -> Select[Any]:
    gpus = and_(run_words.c.run_id == runs.c.run_id, run_words.c.kind.in_(("gpu", "pci")))
    return (
        select(
            runs.c.run_id,
            runs.c.node,
            runs.c.cluster,
            runs.c.session_key,
            runs.c.created,
            func.coalesce(run_words.c.kind, ""),
            func.coalesce(run_words.c.word, ""),
        )
        .select_from(runs.outerjoin(run_words, gpus))
        .order_by(runs.c.created, runs.c.run_id)
    )


_NEWEST = (runs.c.created.desc(), runs.c.run_id.desc())


def _limited(query: Select[Any], limit: int | None) -> Select[Any]:
    return query if limit is None else query.limit(limit)


def _grouped(by: By) -> tuple[ColumnElement[str], Any]:
    if by == "fault":
        faults = and_(run_words.c.run_id == runs.c.run_id, run_words.c.kind == "fault")
        return func.coalesce(run_words.c.word, "unknown"), runs.outerjoin(run_words, faults)
    return runs.c[by], runs


def _where(db: Connection, wanted: RunFilter) -> ColumnElement[bool]:
    terms: list[ColumnElement[bool]] = [runs.c.created >= 0]
    staged = or_(runs.c.sandbox, runs.c.drill)
    if wanted.kind != "all":
        terms.append(staged if wanted.kind == "sandbox" else ~staged)
    if wanted.node:
        terms.append(runs.c.node.in_(_nodes(db, wanted.node)))
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


def _nodes(db: Connection, wanted: str) -> list[str]:
    """The nodes of past runs with this name or alias; an alias can fit several."""
    known = db.execute(select(runs.c.node).distinct()).scalars()
    return [name for name in known if wanted in (name, alias_of(name))]
