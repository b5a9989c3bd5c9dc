"""Causes that lie with the NVSentinel that looks after the node."""

from __future__ import annotations

from nvsx.core.incident.cause_view import CauseFound, CauseView, CauseWords
from nvsx.core.incident.tolerances import QUARANTINED_WITHIN


def find_tripped_breaker(view: CauseView) -> CauseFound:
    if view.sight.chain.breaker_tripped is not True or not view.serious:
        return None
    return CauseWords(
        "NVSentinel's circuit breaker is TRIPPED: no node is cordoned, and none is released",
        "find out why so many nodes failed; then set data.status of ConfigMap circuit-breaker "
        "to CLOSED and restart fault-quarantine",
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


def find_module_missing(view: CauseView) -> CauseFound:
    if not view.serious:
        return None
    for name, (work, not_in) in _MODULES.items():
        if name in view.sight.chain.missing and view.stage not in not_in:
            return CauseWords(
                f"{name} is not there, so NVSentinel does not {work}",
                f"do it by hand, or bring it back: kubectl -n nvsentinel get deploy {name}",
            )
    return None


def find_opted_out(view: CauseView) -> CauseFound:
    label = view.sight.chain.opted_out
    if not label or not (view.serious or view.incident.open_session):
        return None
    key = label.partition("=")[0]
    return CauseWords(
        f"label {label} keeps NVSentinel away from this node: it also stops recoveries",
        f"kubectl label node {view.sight.node} {key}-",
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
        f"kubectl -n nvsentinel logs deploy/fault-quarantine | grep {view.sight.node}",
    )
