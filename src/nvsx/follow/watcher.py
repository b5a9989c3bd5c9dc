"""Waits until a stage's watches are met, level-triggered on the node's snapshots.

Nothing is polled: the loop wakes when the snapshot changes, or when time alone can change
an answer (a `for`, the hard limit). Each pass writes what changed in one commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from nvsx.core import durations
from nvsx.core.incident.incident_events import IncidentEnded
from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.incident.incident_view import IncidentView
from nvsx.core.incident.proofs import prove_stage
from nvsx.core.incident.run_share import (
    find_attempts_of_run,
    needs_people_for_run,
    only_waits_for_quiet,
)
from nvsx.core.incident.tolerances import NO_RULE
from nvsx.core.journal import entries as j
from nvsx.core.ports import NodeFeed
from nvsx.core.runbook.schema import Stage
from nvsx.core.runbook.stage_order import STAGE_ORDER
from nvsx.core.watches import conditions
from nvsx.core.watches.kinds import AnyOf, describe
from nvsx.core.watches.snapshot import Snapshot
from nvsx.core.watches.verdict import Verdict
from nvsx.core.watches.watch_base import Look, Scope
from nvsx.follow.incident_chain import judge_by_incident
from nvsx.follow.own_session import (
    ended_session_is_ours,
    hide_other_session,
    note_progress,
    session_is_ours,
)
from nvsx.follow.run_context import RunContext

#: From this place on a stage comes to a further attempt.
REMEDIATE = STAGE_ORDER.index("remediate")
#: Stages that NVSentinel can have gone through before nvsx looked.
CHAIN = ("detect", "quarantine", "drain", "remediate")

#: Real time between two looks at the clock while a limit is far away.
LONGEST_WAIT = 3600.0


class Ended(NamedTuple):
    """How a stage, or a part of it, ended."""

    status: j.StageStatus
    reason: str = ""


class StaysOpen(NamedTuple):
    """A stage has not ended, and the run goes elsewhere. `again`: a further attempt to repair has
    begun. `passed by`: a later stage has come true meanwhile."""

    why: Literal["again", "passed by"]


class Terms(NamedTuple):
    """What may end a stage besides its watches. `deadline` is in Unix seconds. `may_fail` is false
    once an earlier stage has failed: then the run waits for what can still come true. `later` are
    the stages that may come true before it then."""

    deadline: float | None = None
    may_fail: bool = True
    later: Sequence[Stage] = ()


async def await_watches(run: RunContext, stage: Stage, terms: Terms) -> Ended | StaysOpen:
    """Wait for all watches of `stage`; at once `pass` when it has none.

    Ends with `fail` when one cannot be met any more, `skipped` when the incident was over
    before the stage was seen, and `timeout` at the deadline.
    """
    feed, view, deadline = run.feed, run.incident, terms.deadline
    if feed is None or view is None:
        return Ended("pass") if not stage.watch else Ended("fail", "no node to watch")
    told: dict[int, Verdict] = {}
    held: dict[int, float] = {}
    seen: Snapshot | None = None
    while True:
        snap = feed.current
        incident = view.current
        # Both are read before anything is awaited: a decision is about one moment.
        verdicts = look(run, stage, snap, held)
        _queue_changed_verdicts(run, stage, verdicts, told, only_kinds=snap is seen)
        note_progress(run, snap)
        ended = decide_end(run, stage, Seen(snap, incident), verdicts, terms)
        if isinstance(ended, Ended) and ended.status == "pass":
            return ended  # what is pending goes into the next commit, before any hook
        await run.record()
        if ended is not None:
            return ended
        # From here on a wake without a new snapshot can only have changed what time counts.
        seen = snap
        # A limit is for what the stage waits for, not for the incident's ten minutes of quiet.
        quiet = _all_met(verdicts) and only_waits_for_quiet(incident)
        # A node that cannot be read may have done long ago what is waited for.
        seeing = "node" not in snap.unread and not quiet
        if deadline is not None and run.now >= deadline and seeing:
            return Ended("timeout", _describe_timeout(stage, verdicts))
        # A limit that has passed waits until nvsx sees again, not for the clock.
        limit = deadline if deadline is not None and deadline > run.now else None
        looks = [limit, *(v.recheck_at for v in verdicts)]
        await _wait_for_change(run, feed, view, Seen(snap, incident), looks)


def look(run: RunContext, stage: Stage, snap: Snapshot, held: dict[int, float]) -> list[Verdict]:
    """The verdicts of the stage's watches on `snap`."""
    state = run.state.stage(stage.id)
    scope = Scope(
        now=run.now,
        stage=stage.id,
        run_began=run.state.began or run.now,
        stage_began=(state.began if state else None) or run.now,
        trigger=run.trigger,
        boot_id=run.state.boot_id,
        pace=run.patience.hold_scale,
    )
    eye = Look(hide_other_session(run, snap), scope, run.ports.chain)
    verdicts = [conditions.evaluate(item, eye, held, i) for i, item in enumerate(stage.watch)]
    return judge_by_incident(run, stage, snap, verdicts)


class Seen(NamedTuple):
    """The node and its incident at one moment."""

    snap: Snapshot
    incident: IncidentState


def decide_end(
    run: RunContext, stage: Stage, seen: Seen, verdicts: list[Verdict], terms: Terms
) -> Ended | StaysOpen | None:
    """How the stage ends; None while it goes on. The first row that fits counts.

    | while remediate waits for its RebootNode                              | it ends as     |
    |-----------------------------------------------------------------------|----------------|
    | a watch that can never be answered (its pattern is wrong)             | fail           |
    | NVSentinel has begun a further attempt                                | again          |
    | the RebootNode has succeeded                                          | pass           |
    | the incident is over                                                  | skipped        |
    | the signal was refused, and people are needed                         | fail, once     |
    | people are needed, and it can still come true: manual mode            | goes on        |
    | the node is released already (only after a failure)                   | passed by      |
    | a poll error: NVSentinel tries again by itself                        | goes on        |

    After a failure nothing fails any more: what can still come true is waited for.
    """
    snap, incident = seen
    wrong = next((v for v in verdicts if v.kind == "invalid"), None)
    if wrong is not None:
        return Ended("fail", f"the runbook is wrong: {wrong.detail}")
    # Before the verdicts: those of the former attempt may still be satisfied, and its hooks have
    # fired already.
    if further_attempt_began(run) and STAGE_ORDER.index(stage.id) >= REMEDIATE:
        return StaysOpen("again")
    over = incident.ended
    if came_after_the_end(run, stage, snap):
        how = snap.session.ending or "over"
        return Ended("skipped", f"passed unseen: the incident was {how} before this was seen")
    # What is true after the end proves nothing to a run that was not there before: on a healthy
    # node every fault is absent. That a node is there, as preflight asks, is true at any time.
    of_the_incident = stage.id in (*CHAIN, "recover")
    joined_after_end = over is not None and of_the_incident and not run.seen_before_end
    if _all_met(verdicts) and not joined_after_end and _may_pass(run, stage, snap, terms):
        return Ended("pass")
    if over is not None and of_the_incident:
        return Ended("skipped", say_not_seen_before(over))
    # An earlier stage has failed and people were called. To fail again would call them twice.
    if not terms.may_fail:
        return StaysOpen("passed by") if _find_stage_that_came_true(run, snap, terms) else None
    if stage.watch and (why := why_stage_is_dead(run, stage, snap)):
        return Ended("fail", why)
    cause = next((v for v in verdicts if v.kind == "failed"), None)
    return Ended("fail", cause.detail) if cause is not None else None


def say_not_seen_before(over: IncidentEnded) -> str:
    """Why a stage is left out that has not come true when the incident ends. Ended is not done.

    12:02 somebody uncordons the node, 12:30 a person has reset the GPU and the condition clears:
    remediate is not said to have passed, since NVSentinel never made a repair.
    """
    return f"not seen before the incident was over ({over.how})"


def came_after_the_end(run: RunContext, stage: Stage, snap: Snapshot) -> bool:
    """Whether a person started the run when NVSentinel had just released the node: who answers a
    page often comes too late. What broke then has no incident any more; the run says so, and ends.

    For a run that a fault or an alert has fired the past proves nothing: that is a new incident.
    """
    incident = run.incident.current if run.incident is not None else None
    if incident is None or incident.faults or incident.sessions or stage.id not in CHAIN:
        return False
    late = run.request.by_hand and run.trigger is None and not snap.session.open
    return late and ended_session_is_ours(run, snap.session)


def why_stage_is_dead(run: RunContext, stage: Stage, snap: Snapshot) -> str:
    """Why the stage cannot come true any more, in the incident's words; "" while it can.

    A failed request is no such reason while NVSentinel tries again by itself: then the incident
    does not need people. By hand what somebody else has ended is over at once. A fault for which
    fault-quarantine has no rule set is known to bring no quarantine, and nothing is waited for.
    """
    if stage.id == "quarantine" and run.incident is not None:
        incident = run.incident.current
        if incident.cause.code == NO_RULE and needs_people_for_run(incident, run.run_id):
            return incident.cause.text
    dead = run.ports.chain.dead_end(stage.id, snap) if session_is_ours(run, snap) else None
    if dead is None or run.incident is None:
        return ""
    # A daemon's run stays, since the incident may go on without NVSentinel.
    if dead.overrules and run.request.by_hand:
        return dead.reason
    return run.incident.current.cause.text if run.needs_people else ""


def _all_met(verdicts: list[Verdict]) -> bool:
    return all(v.kind == "satisfied" for v in verdicts)


def _may_pass(run: RunContext, stage: Stage, snap: Snapshot, terms: Terms) -> bool:
    """Whether a stage whose watches are met has passed. The marks of a fault also go when somebody
    takes the node out of NVSentinel's hands, and are absent before it ever had them: for recover
    the incident has the word."""
    if stage.id != "recover" or run.incident is None:
        return True
    incident = run.incident.current
    if incident.ended is not None:
        return incident.ended.how in ("recovered", "replaced", "cleared")
    if run.needs_people:
        return False
    dead = run.ports.chain.dead_end(stage.id, snap) if session_is_ours(run, snap) else None
    if dead is not None and dead.overrules:
        return False
    return terms.may_fail or is_released(incident)


def is_released(incident: IncidentState) -> bool:
    """Whether NVSentinel held the node and has released it."""
    session = incident.session
    return (
        incident.was_quarantined
        and session is not None
        and session.ended is not None
        and session.ended.how == "released"
    )


def further_attempt_began(run: RunContext) -> bool:
    """Whether NVSentinel has begun a repair after the one that `remediate` was begun for. For a
    runbook without remediate, after those that its hook was told of."""
    if run.incident is None:
        return False
    mine = find_attempts_of_run(run.incident.current, run.run_id)
    return len(mine) > 1 and mine[-1].no > run.repair_known


def _find_stage_that_came_true(run: RunContext, snap: Snapshot, terms: Terms) -> Stage | None:
    """The first later stage that is proven, while an earlier one still waits: NVSentinel went past
    what the runbook waits for, and the hooks of what has come true fire."""
    for later in terms.later:
        if later.id not in ("remediate", "recover") or not later.watch:
            continue
        if run.incident is None or (
            later.id == "remediate"
            and (run.fault is None or not prove_stage(run.incident.current, run.fault, later.id))
        ):
            continue
        if _all_met(look(run, later, snap, {})) and _may_pass(run, later, snap, terms):
            return later
    return None


def _queue_changed_verdicts(
    run: RunContext,
    stage: Stage,
    verdicts: list[Verdict],
    told: dict[int, Verdict],
    *,
    only_kinds: bool,
) -> None:
    """Note the verdicts that changed. A detail that only counts time is no change."""
    for i, verdict in enumerate(verdicts):
        before = told.get(i)
        same_kind = before is not None and before.kind == verdict.kind
        if before is not None and same_kind and (only_kinds or before.detail == verdict.detail):
            continue
        told[i] = verdict
        item = stage.watch[i]
        run.queue_for_next_commit(
            j.WatchChange(
                stage=stage.id,
                index=i,
                kind="anyOf" if isinstance(item, AnyOf) else item.kind,
                verdict=verdict.kind,
                detail=verdict.detail,
                describe=describe(item),
            )
        )


async def _wait_for_change(
    run: RunContext,
    feed: NodeFeed,
    view: IncidentView,
    seen: Seen,
    looks: list[float | None],
) -> None:
    """Until snapshot or incident are others, or time alone can change something: at `looks`."""
    waits: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(feed.changed(seen.snap)),
        asyncio.ensure_future(view.changed(seen.incident)),
    ]
    news = tuple(waits)
    times = [t for t in looks if t is not None]
    if times:
        # Never 0: the clock may stand still between two looks, and the loop would spin.
        pause = min(max(min(t - run.now for t in times), 0.001), LONGEST_WAIT)
        waits.append(asyncio.ensure_future(run.ports.clock.sleep(pause)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
    for changed in news:
        if changed.done() and not changed.cancelled():
            changed.result()  # a broken feed ends the run with its own error, not with silence


def _describe_timeout(stage: Stage, verdicts: list[Verdict]) -> str:
    limit = stage.effective_timeout
    after = f" after {durations.format(limit)}" if limit is not None else ""
    open_ = [
        f"{describe(item)} ({v.detail or v.kind})"
        for item, v in zip(stage.watch, verdicts, strict=True)
        if v.kind != "satisfied"
    ]
    return f"still waiting{after} for: {'; '.join(open_)}"
