"""Causes that lie with the node, or with whoever holds it."""

from __future__ import annotations

from collections.abc import Callable

from nvsx.core.incident.attempt_news import was_to_be_replaced
from nvsx.core.incident.cause_view import CauseFound, CauseView, CauseWords, tell_clock
from nvsx.core.incident.incident_state import Stamp
from nvsx.core.incident.sight import NODE
from nvsx.core.incident.tolerances import CLEARED_AFTER_RELEASE


def find_node_gone(view: CauseView) -> CauseFound:
    if not view.sight.node_is_gone or was_to_be_replaced(view.incident, view.sight):
        return None
    asked = view.incident.attempt
    waits = f" while {asked.title} waits for it" if asked and asked.ended is None else ""
    return CauseWords(
        f"the Node object was taken away by somebody else{waits}: NVSentinel showed no request "
        "for it",
        f"find out who deleted node {view.sight.node}; the machine behind it is not repaired",
    )


def find_replacement(view: CauseView) -> CauseFound:
    if not view.sight.node_is_gone:
        return None
    return CauseWords(
        "the Node object is gone, as NVSentinel's TerminateNode wants it: a new Node of the "
        "name, or none, comes next",
        "kubectl get nodes; on some providers the new machine comes under another name",
    )


def find_uncordoned(view: CauseView) -> CauseFound:
    session = view.incident.session
    if session is None or session.ended is None or session.ended_seen is None or not view.serious:
        return None
    removed = session.ended.how == "marks removed" and _is_settled(session.ended_seen, view)
    if session.ended.how != "by hand" and not removed:
        return None
    upgrade = view.hold("driver upgrade")
    who = f"{upgrade.who}'s driver upgrade" if upgrade else "somebody"
    return CauseWords(
        f"{who} put the node back in service while {view.listed(view.serious)} is there: "
        "NVSentinel has stopped its work on it",
        f"kubectl cordon {view.sight.node}, and repair it; or close the incident if it is known",
    )


def _is_settled(ended: Stamp, view: CauseView) -> bool:
    return ended.age(view.sight) >= CLEARED_AFTER_RELEASE


def find_released_while_faulty(view: CauseView) -> CauseFound:
    session = view.incident.session
    if session is None or session.ended_seen is None or not view.serious:
        return None
    if not _is_settled(session.ended_seen, view):
        return None
    return CauseWords(
        f"NVSentinel has released the node while {view.listed(view.serious)} is still there",
        f"look whether node {view.sight.node} is fit for work; kubectl describe node "
        f"{view.sight.node}",
    )


def find_not_ready(view: CauseView) -> CauseFound:
    if not view.sight.node_is_there or view.sight.ready is True:
        return None
    word = "unknown" if view.sight.ready is None else "not Ready"
    at, now = view.sight.ready_at, view.sight.at
    since = f" since {tell_clock(at, now)}" if at else ""
    why = f" ({view.sight.ready_why.rstrip('.')})" if view.sight.ready_why else ""
    return CauseWords(
        f"the kubelet of node {view.sight.node} is {word}{since}{why}: nothing moves there until "
        "it is back",
        f"kubectl describe node {view.sight.node}; if it does not come back, look at its console",
    )


def make_seen_finding(code: str) -> Callable[[CauseView], CauseFound]:
    """What those who know the cluster better have found."""

    def find(view: CauseView) -> CauseFound:
        seen = next((s for s in view.sight.causes if s.code == code), None)
        return CauseWords(seen.text, seen.remedy) if seen is not None else None

    return find


def find_unreadable(view: CauseView) -> CauseFound:
    if view.sight.was_read(NODE):
        return None
    why = f": {view.sight.node_unread}" if view.sight.node_unread else ""
    return CauseWords(f"the node cannot be read now, so nothing is known of it{why}", "nvsx doctor")


def make_hold_finding(
    kind: str, text: str, remedy: str, *, failed: bool = False
) -> Callable[[CauseView], CauseFound]:
    def find(view: CauseView) -> CauseFound:
        hold = view.hold(kind, failed=failed)
        if hold is None:
            return None
        words = {"name": hold.name, "who": hold.who, "node": view.sight.node}
        return CauseWords(
            text.format(**words) + (f": {hold.detail}" if hold.detail else ""),
            remedy.format(**words),
        )

    return find
