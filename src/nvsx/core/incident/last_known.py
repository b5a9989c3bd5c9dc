"""The node as an incident's journal has it last, for those who decide without the cluster.

`nvsx incidents close` and the screens read the store alone. What they say of an open incident is
what was seen last, and no more: a fault that was not seen to clear stands, a hold that was not
seen to end holds.
"""

from __future__ import annotations

from nvsx.core.incident.deciding import Deciding, WatchMemory
from nvsx.core.incident.endings import what_keeps_open
from nvsx.core.incident.incident_events import IncidentEvent
from nvsx.core.incident.incident_state import IncidentState, NodeStory
from nvsx.core.incident.sight import (
    NO_MARKS,
    NODE,
    SeenAlert,
    SeenFault,
    SeenHold,
    SeenRepair,
    SeenSession,
    Sight,
)
from nvsx.core.incident.stepping import close_by_hand
from nvsx.core.incident.tolerances import IncidentLimits


def last_known_sight(incident: IncidentState, at: float) -> Sight:
    """The sight that would say nothing new, as of `at` in Unix seconds."""
    node = incident.node
    return Sight(
        at=at,
        mono=at,
        node=incident.opened.node,
        cluster_uid=incident.opened.cluster_uid,
        exists=node.there,
        node_uid=node.uid or incident.opened.node_uid,
        boot_id=node.boot_id,
        ready=node.ready,
        ready_at=node.ready_at or 0.0,
        schedulable=not incident.holds,
        session=_last_session(incident),
        faults=tuple(
            SeenFault(
                check=f.latest.check,
                error_codes=f.latest.error_codes,
                entities=f.latest.entities,
                ids=f.latest.ids,
                by=frozenset(f.latest.by),
                action=f.latest.action,
                fatal=f.latest.fatal,
                routed=f.latest.routed,
                planned=f.latest.planned,
                truncated=f.latest.truncated,
                message=f.latest.message,
                generated_at=f.latest.generated or 0.0,
            )
            for f in incident.faults
            if f.cleared is None
        ),
        alerts=tuple(
            SeenAlert(
                key=a.attached.key,
                started=a.attached.started,
                source=a.attached.source,
                check=a.attached.check,
                error_codes=a.attached.error_codes,
                names_fault=a.attached.names_fault,
            )
            for a in incident.alerts
            if not a.resolved
        ),
        repairs=tuple(
            SeenRepair(kind=a.began.kind, name=a.began.name, uid=a.began.uid)
            for a in incident.attempts
            if a.ended is None
        ),
        holds=tuple(
            SeenHold(
                kind=h.kind,  # type: ignore[arg-type]
                who=h.who,
                since=h.since or 0.0,
                name=h.name,
                detail=h.detail,
                keeps_open=h.keeps_open,
            )
            for h in incident.holds
        ),
        # Without a look at the node nothing is known of it, and not that it is gone or unready.
        unread=frozenset() if incident.node_since.at else frozenset({NODE}),
    )


def _last_session(incident: IncidentState) -> SeenSession:
    session = incident.open_session
    if session is None:
        return NO_MARKS
    return SeenSession(
        marked=True,
        labelled=bool(session.state),
        ids=session.ids,
        state=session.state,
        cordon_mark=session.began.cordon_mark,
        dry_run=session.dry_run,
        planned=session.planned,
    )


def list_awaited(incident: IncidentState, at: float) -> tuple[str, ...]:
    """What has to come yet before the incident is over, as far as it was seen; () once it is."""
    if incident.ended is not None:
        return ()
    story = NodeStory(incident.opened.node, open=incident)
    sight = last_known_sight(incident, at)
    return tuple(what_keeps_open(Deciding(story, WatchMemory(), sight, IncidentLimits()), incident))


def close_as_known(story: NodeStory, by: str, text: str, at: float) -> tuple[IncidentEvent, ...]:
    """What closing the open incident adds to its journal; () where none is open.

    12:00 XID 79 and a quarantine, 12:10 somebody closes it: over, closed by NAME; the condition
    and the quarantine are left over, and neither opens another incident by itself.
    """
    if story.open is None:
        return ()
    sight = last_known_sight(story.open, at)
    return close_by_hand(story, WatchMemory(), sight, by, text).events
