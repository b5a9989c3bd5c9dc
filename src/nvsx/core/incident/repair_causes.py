"""Causes that lie with a repair, or with its not coming."""

from __future__ import annotations

from collections.abc import Callable

from nvsx.core.incident.cause_view import CauseFound, CauseView, CauseWords
from nvsx.core.incident.incident_stage import DRAIN_FAILED, REQUEST_FAILED, REQUESTING
from nvsx.core.incident.incident_state import AttemptRecord


def make_failure_finding(*failures: str) -> Callable[[CauseView], CauseFound]:
    def find(view: CauseView) -> CauseFound:
        attempt = view.failed
        if attempt is None or attempt.failure not in failures:
            return None
        return CauseWords(
            f"{attempt.title}: {attempt.detail}", _REMEDIES[attempt.failure](view, attempt)
        )

    return find


_REMEDIES: dict[str, Callable[[CauseView, AttemptRecord], str]] = {
    "refused": lambda view, a: (
        "fault-remediation takes it for still running and does not try again: find out why the "
        f"provider refuses, then repair {view.sight.node} by hand; {a.began.look}"
    ),
    "timeout": lambda view, a: (
        f"look at the console of {view.sight.node} before another try; {a.began.look}"
    ),
    "poll error": lambda _view, a: f"NVSentinel tries again by itself; {a.began.look}",
    "escalated": lambda _view, _a: "NVSentinel goes on with a reboot by itself",
    "other": lambda view, a: f"look at {view.sight.node} before another try; {a.began.look}",
    "": lambda _view, a: a.began.look,
}


def find_manual_mode(view: CauseView) -> CauseFound:
    attempt = view.incident.attempt
    waits = attempt is not None and attempt.ended is None and attempt.request == "manual"
    configured = view.sight.chain.manual is True and view.unserved
    if waits and attempt is not None:
        return CauseWords(
            f"{attempt.title}: {attempt.detail or 'a person has to do it'}",
            f"do it on {view.sight.node} by hand; {attempt.began.look}",
        )
    if configured and view.incident.open_session is not None:
        return CauseWords(
            "janitor is in manual mode: it sends no signal",
            f"be ready to repair {view.sight.node} by hand once the request is there",
        )
    return None


def find_repair_taken_away(view: CauseView) -> CauseFound:
    attempt = view.incident.attempt
    if attempt is None or attempt.ended is None or attempt.ended.outcome != "taken away":
        return None
    if view.incident.open_session is None:
        return None
    return CauseWords(
        f"{attempt.title} was taken away before it had ended: nothing repairs the node now",
        f"find out who deleted it; repair {view.sight.node} by hand",
    )


def find_unsupported_action(view: CauseView) -> CauseFound:
    repairing = view.sight.chain.repairing
    faults = view.unserved
    if repairing is None or not faults or view.incident.open_session is None:
        return None
    if any(f.latest.action in repairing or f.latest.action in ("", "UNKNOWN") for f in faults):
        return None
    actions = ", ".join(sorted({f.latest.action for f in faults}))
    return CauseWords(
        f"the recommended action for {view.listed(faults)} is {actions}: NVSentinel makes no "
        "request for it, people have to act",
        f"node {view.sight.node} stays cordoned until its checks are healthy; the event says "
        "what to do, the evidence is kept",
    )


def find_request_failed(view: CauseView) -> CauseFound:
    """The label goes to remediation-failed and back at each of NVSentinel's tries."""
    session = view.incident.open_session
    if session is None or not view.unserved or session.state not in (REQUEST_FAILED, REQUESTING):
        return None
    after = view.incident.attempt.order if view.incident.attempt else 0
    if not any(state == REQUEST_FAILED and order > after for state, _, order in session.states):
        return None
    return CauseWords(
        "NVSentinel reports that it could not ask for a repair of "
        f"{view.listed(view.unserved)}; it tries again by itself, with growing pauses of up "
        "to 16 minutes",
        f"kubectl -n nvsentinel logs deploy/fault-remediation | grep {view.sight.node}",
    )


def find_drain_failed(view: CauseView) -> CauseFound:
    session = view.incident.open_session
    if session is None or session.state != DRAIN_FAILED:
        return None
    return CauseWords(
        "NVSentinel reports that the drain failed, and goes no further by itself",
        f"kubectl -n nvsentinel logs deploy/node-drainer | grep {view.sight.node}",
    )
