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

from nvsx.core.incident import installation_causes, node_causes, repair_causes
from nvsx.core.incident.cause_view import CauseFound, CauseView
from nvsx.core.incident.incident_stage import is_in_flight
from nvsx.core.incident.node_causes import make_seen_finding

Urgency = Literal["now", "later", "never"]


class CauseRule(NamedTuple):
    code: str
    people: Urgency
    not_in: frozenset[str]
    find: Callable[[CauseView], CauseFound]
    in_flight: bool = False


class FoundCause(NamedTuple):
    code: str
    people: Urgency
    text: str
    remedy: str


def find_cause(view: CauseView) -> FoundCause | None:
    """The first cause of the list that holds."""
    in_flight = is_in_flight(view.incident)
    for rule in CAUSES:
        if view.stage in rule.not_in or (in_flight and not rule.in_flight):
            continue
        found = rule.find(view)
        if found is not None:
            return FoundCause(rule.code, rule.people, *found)
    return None


_ANYWHERE = frozenset[str]()
_BEFORE_REPAIR = frozenset({"detect", "quarantine", "drain"})
_AFTER_QUARANTINE = frozenset({"drain", "remediate", "recover"})
_OUTSIDE_DRAIN = frozenset({"detect", "quarantine", "remediate", "recover"})
_VALIDATIONS = "kubectl get validationrequests {name}"

CAUSES: tuple[CauseRule, ...] = (
    CauseRule("node-unreadable", "later", _ANYWHERE, node_causes.find_unreadable, in_flight=True),
    CauseRule("node-taken-away", "now", _ANYWHERE, node_causes.find_node_gone, in_flight=True),
    CauseRule(
        "replacement-awaited", "never", _ANYWHERE, node_causes.find_replacement, in_flight=True
    ),
    CauseRule("uncordoned-while-faulty", "now", _ANYWHERE, node_causes.find_uncordoned),
    CauseRule(
        "validation-failed",
        "now",
        frozenset({"detect"}),
        node_causes.make_hold_finding(
            "validation",
            "validation {name} has failed, which is final: NVSentinel keeps the node",
            _VALIDATIONS + " -o yaml; repair {node}, then have it validated anew",
            failed=True,
        ),
        in_flight=True,
    ),
    CauseRule("dry-run", "now", _ANYWHERE, installation_causes.find_dry_run),
    CauseRule("monitor-only", "now", _ANYWHERE, installation_causes.find_monitor_only),
    CauseRule(
        "breaker-tripped",
        "now",
        frozenset({"drain", "remediate"}),
        installation_causes.find_tripped_breaker,
    ),
    CauseRule(
        "signal-refused", "now", _BEFORE_REPAIR, repair_causes.make_failure_finding("refused")
    ),
    CauseRule(
        "repair-timed-out", "now", _BEFORE_REPAIR, repair_causes.make_failure_finding("timeout")
    ),
    CauseRule(
        "provider-poll-error",
        "later",
        _BEFORE_REPAIR,
        repair_causes.make_failure_finding("poll error"),
    ),
    CauseRule(
        "repair-escalated", "later", _BEFORE_REPAIR, repair_causes.make_failure_finding("escalated")
    ),
    CauseRule(
        "repair-failed", "now", _BEFORE_REPAIR, repair_causes.make_failure_finding("other", "")
    ),
    CauseRule("repair-taken-away", "now", _BEFORE_REPAIR, repair_causes.find_repair_taken_away),
    CauseRule(
        "external-repair",
        "never",
        _BEFORE_REPAIR | {"recover"},
        repair_causes.find_external_repair,
        in_flight=True,
    ),
    CauseRule(
        "manual-mode",
        "now",
        frozenset({"detect", "recover"}),
        repair_causes.find_manual_mode,
        in_flight=True,
    ),
    CauseRule(
        "unsupported-action",
        "now",
        frozenset({"detect", "quarantine"}),
        repair_causes.find_unsupported_action,
    ),
    CauseRule("request-not-made", "later", _BEFORE_REPAIR, repair_causes.find_request_failed),
    CauseRule(
        "module-missing", "now", frozenset({"detect"}), installation_causes.find_module_missing
    ),
    CauseRule(
        "module-not-ready", "later", frozenset({"detect"}), installation_causes.find_module_unwell
    ),
    CauseRule(
        "drain-failed", "now", frozenset({"detect", "quarantine"}), repair_causes.find_drain_failed
    ),
    CauseRule("opted-out", "later", _ANYWHERE, installation_causes.find_opted_out, in_flight=True),
    CauseRule("no-rule", "later", _AFTER_QUARANTINE, make_seen_finding("no-rule")),
    CauseRule(
        "not-quarantined",
        "later",
        frozenset({"drain", "remediate"}),
        installation_causes.find_not_quarantined,
    ),
    CauseRule(
        "released-while-faulty",
        "later",
        frozenset({"detect", "quarantine"}),
        node_causes.find_released_while_faulty,
    ),
    CauseRule(
        "driver-upgrade",
        "never",
        _ANYWHERE,
        node_causes.make_hold_finding(
            "driver upgrade",
            "{who} upgrades the driver of the node",
            "see the state of the upgrade: kubectl get node {node} --show-labels",
        ),
    ),
    CauseRule("node-not-ready", "later", _ANYWHERE, node_causes.find_not_ready),
    CauseRule("drain-blocked", "later", _OUTSIDE_DRAIN, make_seen_finding("drain-blocked")),
    CauseRule("drain-waits", "never", _OUTSIDE_DRAIN, make_seen_finding("drain-waits")),
    CauseRule(
        "validation",
        "never",
        frozenset({"detect"}),
        node_causes.make_hold_finding("validation", "validation {name} is under way", _VALIDATIONS),
    ),
    CauseRule(
        "handed-over",
        "never",
        frozenset({"detect"}),
        node_causes.make_hold_finding(
            "handed over",
            "NVSentinel has handed the node over and keeps it cordoned until a validation succeeds",
            "kubectl get validationrequests",
        ),
    ),
    CauseRule(
        "maintenance",
        "never",
        _ANYWHERE,
        node_causes.make_hold_finding(
            "maintenance",
            "planned maintenance {name}",
            "it ends when its request is deleted, not by an uncordon",
        ),
    ),
    CauseRule(
        "healthy-but-cordoned",
        "later",
        frozenset({"detect", "quarantine"}),
        make_seen_finding("healthy-but-cordoned"),
    ),
    CauseRule(
        "pods-left",
        "never",
        frozenset({"detect", "quarantine", "drain", "recover"}),
        make_seen_finding("pods-left"),
        in_flight=True,
    ),
    CauseRule("nothing-shown", "never", _AFTER_QUARANTINE, installation_causes.find_nothing_shown),
    CauseRule("store-only", "never", _AFTER_QUARANTINE, make_seen_finding("store-only")),
    CauseRule("action-none", "never", _AFTER_QUARANTINE, make_seen_finding("action-none")),
)
