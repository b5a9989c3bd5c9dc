"""Causes that lie with the NVSentinel that looks after the node."""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core.incident.cause_view import CauseFound, CauseView, CauseWords
from nvsx.core.incident.tolerances import NOTHING_SHOWN, QUARANTINED_WITHIN


def find_tripped_breaker(view: CauseView) -> CauseFound:
    held = view.incident.open_session is not None
    if view.sight.chain.breaker_tripped is not True or not (view.serious or held):
        return None
    effect = (
        "recoveries are blocked too, so the node stays cordoned"
        if held
        else "no node is cordoned until it is reset"
    )
    where = view.sight.chain.namespace
    return CauseWords(
        f"NVSentinel's circuit breaker is TRIPPED: {effect}",
        "find out why so many nodes failed; then set data.status to CLOSED and restart "
        f"fault-quarantine: kubectl -n {where} edit cm circuit-breaker",
    )


def find_monitor_only(view: CauseView) -> CauseFound:
    if view.sight.chain.monitor_only is not True or not view.serious:
        return None
    return CauseWords(
        f"NVSentinel only monitors here: it shows {view.listed(view.serious)} and does nothing",
        f"kubectl cordon {view.sight.node}, and repair it by hand",
    )


def find_dry_run(view: CauseView) -> CauseFound:
    session = view.incident.open_session
    dry = view.sight.chain.dry_run is True or (session is not None and session.dry_run)
    if not dry or not (view.serious or session is not None):
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


def find_module_missing(view: CauseView) -> CauseFound:
    where = view.sight.chain.namespace
    for name, work in _modules_with_work(view):
        if name in view.sight.chain.missing:
            return CauseWords(
                f"{name} is not there, so NVSentinel does not {work}",
                f"do it by hand, or bring it back: kubectl -n {where} get deploy {name}",
            )
    return None


def find_module_unwell(view: CauseView) -> CauseFound:
    """It is there, and too few of its pods are ready: it may come back by itself."""
    unwell, where = dict(view.sight.chain.unwell), view.sight.chain.namespace
    for name, work in _modules_with_work(view):
        if name in unwell:
            return CauseWords(
                f"{name} is not ready ({unwell[name]}), so NVSentinel does not {work}",
                f"kubectl -n {where} describe deploy {name}",
            )
    return None


def _modules_with_work(view: CauseView) -> Iterator[tuple[str, str]]:
    """Those that still have something to do for the node, and what."""
    if view.serious or view.incident.open_session is not None:
        for name, (work, not_in) in _MODULES.items():
            if view.stage not in not_in:
                yield name, work


def find_opted_out(view: CauseView) -> CauseFound:
    label = view.sight.chain.opted_out
    if not label or not (view.serious or view.incident.open_session):
        return None
    key = label.partition("=")[0]
    return CauseWords(
        f"label {label} keeps NVSentinel away from this node: it also stops recoveries",
        f"kubectl label node {view.sight.node} {key}-",
    )


def find_nothing_shown(view: CauseView) -> CauseFound:
    """NVSentinel's reporters on the node are at work, and two minutes have shown nothing."""
    incident = view.incident
    if incident.faults or incident.sessions or not incident.has_note(NOTHING_SHOWN):
        return None
    return CauseWords(
        "NVSentinel shows nothing so far",
        f"look at node {view.sight.node} yourself: kubectl describe node {view.sight.node}; what "
        "started this is all there is",
    )


def find_not_quarantined(view: CauseView) -> CauseFound:
    if view.incident.sessions or not view.serious:
        return None
    oldest = max(f.seen.age(view.sight) for f in view.serious)
    if oldest < QUARANTINED_WITHIN:
        return None
    return CauseWords(
        f"{view.listed(view.serious)} is there, and fault-quarantine has not cordoned the "
        "node: perhaps none of its rule sets matches",
        view.logs_of("fault-quarantine"),
    )
