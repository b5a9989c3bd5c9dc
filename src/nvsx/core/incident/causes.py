"""Why an incident stands where it stands: one list of causes, each with code, text and remedy.

The same words reach hooks, messages, deck and report. A cause that can hold in any stage is looked
for in every stage; each names the stages in which it *cannot* hold, and the first that holds
counts, so the list goes from the most telling to the least. Codes are stable.

`people` says when somebody is needed: `now`, `later` (after five minutes without change, since
NVSentinel tries again by itself) or `never` (it is only what is awaited). While a repair is in
flight nobody is needed for another fault: only causes with `in_flight` count then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from nvsx.core.incident.attempt_news import was_to_be_replaced
from nvsx.core.incident.incident_state import AttemptRecord, FaultRecord, IncidentState, Stamp
from nvsx.core.incident.sight import NODE, SeenHold, Sight
from nvsx.core.incident.tolerances import CLEARED_AFTER_RELEASE, QUARANTINED_WITHIN

IncidentStage = Literal["detect", "quarantine", "drain", "remediate", "recover"]
Urgency = Literal["now", "later", "never"]
#: NVSentinel's own words on the node, as far as causes depend on them.
DRAIN_FAILED, REQUEST_FAILED, REQUESTING = "drain-failed", "remediation-failed", "remediating"
_DRAINING = ("", "quarantined", "draining", DRAIN_FAILED)


class CauseView(NamedTuple):
    """What a cause is looked for in."""

    incident: IncidentState
    sight: Sight
    stage: IncidentStage

    @property
    def serious(self) -> list[FaultRecord]:
        return [f for f in self.incident.faults if f.is_serious]

    @property
    def unserved(self) -> list[FaultRecord]:
        """Serious faults for which no repair has been asked yet, planned work apart."""
        served = {no for a in self.incident.attempts for no in self.incident.served_by(a)}
        return [f for f in self.serious if f.no not in served and not f.latest.planned]

    @property
    def failed(self) -> AttemptRecord | None:
        """The newest repair, when it failed and the node has not come back from it."""
        attempt = self.incident.attempt
        held = self.incident.open_session is not None or bool(self.serious)
        return attempt if attempt and attempt.failed and not attempt.has_worked and held else None

    def hold(self, kind: str, *, failed: bool = False) -> SeenHold | None:
        return next((h for h in self.sight.holds if h.kind == kind and h.failed == failed), None)

    def listed(self, faults: list[FaultRecord]) -> str:
        return ", ".join(f.short for f in faults)


class CauseWords(NamedTuple):
    """What people read: what holds, and what to do about it."""

    text: str
    remedy: str


Found = CauseWords | None


class CauseRule(NamedTuple):
    code: str
    people: Urgency
    not_in: frozenset[str]
    find: Callable[[CauseView], Found]
    in_flight: bool = False


class FoundCause(NamedTuple):
    code: str
    people: Urgency
    text: str
    remedy: str


def find_cause(view: CauseView) -> FoundCause | None:
    """The first cause of the list that holds; those that others found come last."""
    in_flight = is_in_flight(view.incident)
    for rule in CAUSES:
        if view.stage in rule.not_in or (in_flight and not rule.in_flight):
            continue
        found = rule.find(view)
        if found is not None:
            return FoundCause(rule.code, rule.people, *found)
    for seen in view.sight.causes:
        people: Urgency = "later" if seen.people and not in_flight else "never"
        return FoundCause(seen.code, people, seen.text, seen.remedy)
    return None


def is_in_flight(incident: IncidentState) -> bool:
    """Whether a repair is at work: asked for, not refused, not ended."""
    attempt = incident.attempt
    return (
        attempt is not None
        and attempt.ended is None
        and attempt.signal != "refused"
        and attempt.request != "manual"
    )


def stage_of_incident(incident: IncidentState) -> IncidentStage:
    """How far NVSentinel is, from its marks and requests."""
    session = incident.open_session
    if session is None:
        if incident.sessions:
            return "recover"
        return "quarantine" if any(f.is_serious for f in incident.faults) else "detect"
    if is_repaired(incident):
        return "recover"
    if incident.attempt is not None and not incident.attempt.has_worked:
        return "remediate"  # whatever the label says: a request was made
    return "drain" if session.state in _DRAINING else "remediate"


def is_repaired(incident: IncidentState) -> bool:
    """Every serious fault has had a repair that worked, the newest did: the release is awaited."""
    attempt = incident.attempt
    serious = [f for f in incident.faults if f.is_serious]
    if attempt is None:
        return bool(incident.sessions) and not serious
    worked = {no for a in incident.attempts if a.has_worked for no in incident.served_by(a)}
    return attempt.has_worked and all(f.no in worked for f in serious)


# --- the node ---------------------------------------------------------------------------------


def _node_gone(view: CauseView) -> Found:
    if not view.sight.node_is_gone or was_to_be_replaced(view.incident, view.sight):
        return None
    asked = view.incident.attempt
    waits = f" while {asked.title} waits for it" if asked and asked.ended is None else ""
    return CauseWords(
        f"the Node object was taken away by somebody else{waits}: NVSentinel showed no request "
        "for it",
        f"find out who deleted node {view.sight.node}; the machine behind it is not repaired",
    )


def _find_replacement(view: CauseView) -> Found:
    if not view.sight.node_is_gone:
        return None
    return CauseWords(
        "the Node object is gone, as NVSentinel's TerminateNode wants it: a new Node of the "
        "name, or none, comes next",
        "kubectl get nodes; on some providers the new machine comes under another name",
    )


def _find_uncordoned(view: CauseView) -> Found:
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


def _released_while_faulty(view: CauseView) -> Found:
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


def _not_ready(view: CauseView) -> Found:
    if not view.sight.node_is_there or view.sight.ready is True:
        return None
    word = "unknown" if view.sight.ready is None else "not Ready"
    return CauseWords(
        f"the kubelet of node {view.sight.node} is {word}: nothing moves there until it is back",
        f"kubectl describe node {view.sight.node}; if it does not come back, look at its console",
    )


def _find_unreadable(view: CauseView) -> Found:
    if view.sight.was_read(NODE):
        return None
    why = f": {view.sight.node_unread}" if view.sight.node_unread else ""
    return CauseWords(f"the node cannot be read now, so nothing is known of it{why}", "nvsx doctor")


# --- the repair -------------------------------------------------------------------------------


def _attempt_failed(*failures: str) -> Callable[[CauseView], Found]:
    def find(view: CauseView) -> Found:
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


def _find_manual_mode(view: CauseView) -> Found:
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


def _taken_away(view: CauseView) -> Found:
    attempt = view.incident.attempt
    if attempt is None or attempt.ended is None or attempt.ended.outcome != "taken away":
        return None
    if view.incident.open_session is None:
        return None
    return CauseWords(
        f"{attempt.title} was taken away before it had ended: nothing repairs the node now",
        f"find out who deleted it; repair {view.sight.node} by hand",
    )


def _find_unsupported_action(view: CauseView) -> Found:
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


def _not_requested(view: CauseView) -> Found:
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


def _drain_failed(view: CauseView) -> Found:
    session = view.incident.open_session
    if session is None or session.state != DRAIN_FAILED:
        return None
    return CauseWords(
        "NVSentinel reports that the drain failed, and goes no further by itself",
        f"kubectl -n nvsentinel logs deploy/node-drainer | grep {view.sight.node}",
    )


# --- the installation -------------------------------------------------------------------------


def _find_tripped_breaker(view: CauseView) -> Found:
    if view.sight.chain.breaker_tripped is not True or not view.serious:
        return None
    return CauseWords(
        "NVSentinel's circuit breaker is TRIPPED: no node is cordoned, and none is released",
        "find out why so many nodes failed; then set data.status of ConfigMap circuit-breaker "
        "to CLOSED and restart fault-quarantine",
    )


def _monitor_only(view: CauseView) -> Found:
    if view.sight.chain.monitor_only is not True or not view.serious:
        return None
    return CauseWords(
        f"NVSentinel only monitors here: it shows {view.listed(view.serious)} and does nothing",
        f"kubectl cordon {view.sight.node}, and repair it by hand",
    )


def _dry_run(view: CauseView) -> Found:
    session = view.incident.open_session
    dry = view.sight.chain.dry_run is True or (session is not None and session.dry_run)
    if not dry or not view.serious:
        return None
    return CauseWords(
        "NVSentinel runs dry: its labels move, nothing is cordoned, drained or repaired",
        f"repair {view.sight.node} by hand, or switch it off (Helm value global.dryRun)",
    )


_MODULES = {
    "fault-quarantine": ("cordon the node, nor release it", frozenset[str]()),
    "node-drainer": ("drain the node", frozenset({"remediate", "recover"})),
    "fault-remediation": ("ask for a repair", frozenset({"recover"})),
    "janitor": ("carry the repair out", frozenset({"recover"})),
}


def _module_missing(view: CauseView) -> Found:
    if not view.serious:
        return None
    for name, (work, not_in) in _MODULES.items():
        if name in view.sight.chain.missing and view.stage not in not_in:
            return CauseWords(
                f"{name} is not there, so NVSentinel does not {work}",
                f"do it by hand, or bring it back: kubectl -n nvsentinel get deploy {name}",
            )
    return None


def _opted_out(view: CauseView) -> Found:
    label = view.sight.chain.opted_out
    if not label or not (view.serious or view.incident.open_session):
        return None
    key = label.partition("=")[0]
    return CauseWords(
        f"label {label} keeps NVSentinel away from this node: it also stops recoveries",
        f"kubectl label node {view.sight.node} {key}-",
    )


def _not_quarantined(view: CauseView) -> Found:
    if view.incident.sessions or not view.serious:
        return None
    oldest = max(f.seen.age(view.sight) for f in view.serious)
    if oldest < QUARANTINED_WITHIN:
        return None
    return CauseWords(
        f"{view.listed(view.serious)} is there, and fault-quarantine has not cordoned the "
        "node: perhaps none of its rule sets matches",
        f"kubectl -n nvsentinel logs deploy/fault-quarantine | grep {view.sight.node}",
    )


# --- holds ------------------------------------------------------------------------------------


def _find_hold(
    kind: str, text: str, remedy: str, *, failed: bool = False
) -> Callable[[CauseView], Found]:
    def find(view: CauseView) -> Found:
        hold = view.hold(kind, failed=failed)
        if hold is None:
            return None
        words = {"name": hold.name, "who": hold.who, "node": view.sight.node}
        return CauseWords(
            text.format(**words) + (f": {hold.detail}" if hold.detail else ""),
            remedy.format(**words),
        )

    return find


_ANYWHERE = frozenset[str]()
_BEFORE_REPAIR = frozenset({"detect", "quarantine", "drain"})
_VALIDATIONS = "kubectl get validationrequests {name}"

CAUSES: tuple[CauseRule, ...] = (
    CauseRule("node-unreadable", "later", _ANYWHERE, _find_unreadable, in_flight=True),
    CauseRule("node-taken-away", "now", _ANYWHERE, _node_gone, in_flight=True),
    CauseRule("replacement-awaited", "never", _ANYWHERE, _find_replacement, in_flight=True),
    CauseRule("uncordoned-while-faulty", "now", _ANYWHERE, _find_uncordoned),
    CauseRule(
        "validation-failed",
        "now",
        frozenset({"detect"}),
        _find_hold(
            "validation",
            "validation {name} has failed, which is final: NVSentinel keeps the node",
            _VALIDATIONS + " -o yaml; repair {node}, then have it validated anew",
            failed=True,
        ),
        in_flight=True,
    ),
    CauseRule("dry-run", "now", _ANYWHERE, _dry_run),
    CauseRule("monitor-only", "now", _ANYWHERE, _monitor_only),
    CauseRule("breaker-tripped", "now", _ANYWHERE, _find_tripped_breaker),
    CauseRule("signal-refused", "now", _BEFORE_REPAIR, _attempt_failed("refused")),
    CauseRule("repair-timed-out", "now", _BEFORE_REPAIR, _attempt_failed("timeout")),
    CauseRule("provider-poll-error", "later", _BEFORE_REPAIR, _attempt_failed("poll error")),
    CauseRule("repair-escalated", "later", _BEFORE_REPAIR, _attempt_failed("escalated")),
    CauseRule("repair-failed", "now", _BEFORE_REPAIR, _attempt_failed("other", "")),
    CauseRule("repair-taken-away", "now", _BEFORE_REPAIR, _taken_away),
    CauseRule(
        "manual-mode", "now", frozenset({"detect", "recover"}), _find_manual_mode, in_flight=True
    ),
    CauseRule(
        "unsupported-action", "now", frozenset({"detect", "quarantine"}), _find_unsupported_action
    ),
    CauseRule("request-not-made", "later", _BEFORE_REPAIR, _not_requested),
    CauseRule("module-missing", "now", frozenset({"detect"}), _module_missing),
    CauseRule("drain-failed", "now", frozenset({"detect", "quarantine"}), _drain_failed),
    CauseRule("opted-out", "later", _ANYWHERE, _opted_out, in_flight=True),
    CauseRule("not-quarantined", "later", frozenset({"drain", "remediate"}), _not_quarantined),
    CauseRule(
        "released-while-faulty",
        "later",
        frozenset({"detect", "quarantine"}),
        _released_while_faulty,
    ),
    CauseRule(
        "driver-upgrade",
        "never",
        _ANYWHERE,
        _find_hold(
            "driver upgrade",
            "{who} upgrades the driver of the node",
            "see the state of the upgrade: kubectl get node {node} --show-labels",
        ),
    ),
    CauseRule("node-not-ready", "later", _ANYWHERE, _not_ready),
    CauseRule(
        "validation",
        "never",
        frozenset({"detect"}),
        _find_hold("validation", "validation {name} is under way", _VALIDATIONS),
    ),
    CauseRule(
        "handed-over",
        "never",
        frozenset({"detect"}),
        _find_hold(
            "handed over",
            "NVSentinel has handed the node over and keeps it cordoned until a validation succeeds",
            "kubectl get validationrequests",
        ),
    ),
    CauseRule(
        "maintenance",
        "never",
        _ANYWHERE,
        _find_hold(
            "maintenance",
            "planned maintenance {name}",
            "it ends when its request is deleted, not by an uncordon",
        ),
    ),
)
