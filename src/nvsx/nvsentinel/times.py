"""The times of a repair, folded from what was observed, mark by mark.

`add_times` adds to the known marks what one snapshot shows. NVSentinel's own timestamps come
first, the time of looking only where it writes none (drain labels). A mark that was never
seen stays None: nothing is made up, and time to repair stays None with it.

    10:15:30.12  generated        the event's own time
    10:15:30     condition_seen   the condition's transition
    10:15:32     quarantined      the cordon label
    10:16:50     drain_began      when the state label was seen as draining
    10:17:00     drain_finished   when it was seen as drain-succeeded or drain-failed
    10:17:06     remediation_created, the oldest request of the session
    10:27:10     node_ready       the newest request's completion
    10:29:30     healthy          the last check's transition
    10:29:32     unquarantined    the uncordon label: time to repair is 14 min 1.88 s
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nvsx.core.incident.session import HealthEvent, Session, Times
from nvsx.core.watches.snapshot import Condition, Resource, Snapshot
from nvsx.nvsentinel import maintenance, messages, names

#: Times of conditions and labels are cut to the second, a generatedTimestamp has nanoseconds:
#: a mark may seem up to a second older than the fault it belongs to.
WHOLE_SECOND = 1.0


def add_times(previous: Times, snapshot: Snapshot, trigger: HealthEvent | None = None) -> Times:
    """`previous` with the marks that `snapshot` adds.

    `trigger` is the event that started it all, for nodes without a quarantine session.
    """
    session = snapshot.session
    starts = [t for t in (previous.generated, session.generated_at) if t]
    if not starts and trigger is not None and trigger.generated_at:
        starts = [trigger.generated_at]
    generated = min(starts, default=None)
    checks = {e.check for e in session.events} | ({trigger.check} if trigger else set())
    found = _find_conditions(snapshot, checks)
    mine = maintenance.repairs_of_session(snapshot.resources, session, node=snapshot.node_name)
    states = dict(session.states)
    return msgspec.structs.replace(
        previous,
        generated=generated,
        condition_seen=previous.condition_seen or _condition_seen_at(found, generated, snapshot.at),
        quarantined=previous.quarantined or session.quarantined_at,
        drain_began=previous.drain_began or states.get(names.STATE_DRAINING),
        drain_finished=previous.drain_finished
        or states.get(names.STATE_DRAIN_SUCCEEDED)
        or states.get(names.STATE_DRAIN_FAILED),
        remediation_created=previous.remediation_created or _requested_at(mine),
        node_ready=_node_ready_at(previous, snapshot, mine),
        healthy=_healthy_at(previous, found, generated, session),
        unquarantined=previous.unquarantined or _unquarantined_at(session, generated),
    )


def _find_conditions(snapshot: Snapshot, checks: Iterable[str]) -> list[Condition]:
    if snapshot.node is None:
        return []
    every = (snapshot.node.condition(check) for check in checks)
    return [c for c in every if c is not None and messages.is_check(c)]


def _condition_seen_at(found: list[Condition], generated: float | None, at: float) -> float | None:
    """When the fault first showed as a condition. The transition time is an earlier fault's
    when the condition was True before this incident; then the heartbeat is ours."""
    times = []
    for condition in found:
        if not messages.is_unhealthy(condition):
            continue
        floor = (generated or 0.0) - WHOLE_SECOND
        own = [t for t in (condition.transition, condition.heartbeat) if t and t >= floor]
        times.append(own[0] if own else at)
    return min(times, default=None)


def _requested_at(mine: tuple[Resource, ...]) -> float | None:
    return min((r.created for r in mine if r.created), default=None)


def _node_ready_at(previous: Times, snapshot: Snapshot, mine: tuple[Resource, ...]) -> float | None:
    """When the node was Ready after its newest maintenance."""
    if not mine:
        return previous.node_ready
    newest = mine[-1]
    done = newest.condition("NodeReady")
    if done is not None:
        if done.status != "True":
            return previous.node_ready if newest.completed else None
        return newest.completed or done.transition or previous.node_ready
    kubelet = snapshot.node.condition("Ready") if snapshot.node else None
    if kubelet is not None and kubelet.status == "True" and kubelet.transition > newest.created:
        return kubelet.transition
    return previous.node_ready


def _healthy_at(
    previous: Times, found: list[Condition], generated: float | None, session: Session
) -> float | None:
    """When the last condition of the incident turned healthy; None while one is not.

    A healthy condition whose last transition is older than the fault was never unhealthy of
    it: the fault has been seen elsewhere and its condition is still to come.
    """
    if not found:
        return previous.healthy
    if any(messages.is_unhealthy(c) for c in found):
        return previous.healthy if session.ending else None
    turned = max(c.transition for c in found)
    if generated is not None and turned < generated - WHOLE_SECOND:
        return previous.healthy
    return turned or None


def _unquarantined_at(session: Session, generated: float | None) -> float | None:
    """Only a recovery counts: a cancelled or terminated session has no time to repair."""
    if session.ending != "recovered" or session.ended_at is None:
        return None
    if generated is None or session.ended_at < generated - WHOLE_SECOND:
        return None
    return session.ended_at
