"""Causes that lie with a repair, or with its not coming."""

from __future__ import annotations

from collections.abc import Callable

from nvsx.core.incident.cause_view import CauseFound, CauseView, CauseWords
from nvsx.core.incident.incident_stage import DRAIN_FAILED, REQUEST_FAILED, REQUESTING
from nvsx.core.incident.incident_state import AttemptRecord

_JANITORS_KINDS = frozenset({"RebootNode", "GPUReset", "TerminateNode"})
#: What people do where NVSentinel recommends an action and makes no request for it.
_PEOPLES_PART = {
    "CONTACT_SUPPORT": "open a case with the vendor, with the evidence kept here",
    "RUN_FIELDDIAG": "run the vendor's field diagnostics on the node",
    "RUN_DCGMEUD": "run the DCGM end-user diagnostics on the node",
    "CUSTOM": (
        "the event names the custom action: carry it out by hand, or map it in "
        "fault-remediation's remediationActions"
    ),
    "NONE": "decide by hand whether the node needs a repair",
}


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


def find_external_repair(view: CauseView) -> CauseFound:
    """A request that NVSentinel has handed to somebody outside it."""
    attempt = view.incident.attempt
    if attempt is None or attempt.ended is not None or attempt.request != "manual":
        return None
    if attempt.began.kind in _JANITORS_KINDS:
        return None
    return CauseWords(
        f"{attempt.title}: {attempt.detail or 'an external system has it'}",
        f"ask those who repair it; {attempt.began.look}",
    )


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
    wanted = sorted({f.latest.action for f in faults})
    actions = ", ".join(wanted)
    parts = dict.fromkeys(
        _PEOPLES_PART.get(a, "look at the event and decide by hand") for a in wanted
    )
    return CauseWords(
        f"the recommended action for {view.listed(faults)} is {actions}: NVSentinel makes no "
        "request for it, people have to act",
        f"{'; '.join(parts)}; node {view.sight.node} stays cordoned until its checks are healthy",
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
        view.logs_of("fault-remediation"),
    )


def find_drain_failed(view: CauseView) -> CauseFound:
    session = view.incident.open_session
    if session is None or session.state != DRAIN_FAILED:
        return None
    return CauseWords(
        "NVSentinel reports that the drain failed, and goes no further by itself",
        view.logs_of("node-drainer"),
    )
