"""Maintenance resources: which belong to a session, and how each of them went.

Fault-remediation creates a RebootNode, TerminateNode, GPUReset or whatever the operator
mapped an action to; janitor or somebody outside works on it. "Remediated" in NVSentinel's
label only means that such a resource was created: this module reads what became of it.
Sources: janitor/api/v1alpha1/*_types.go, janitor/pkg/controller/rebootnode_controller.go,
charts/lifecycle-manager/crds, fault-remediation/pkg/reconciler/reconciler.go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

from nvsx.core import durations
from nvsx.core.incident.session import Session
from nvsx.core.watches.snapshot import Condition, Resource
from nvsx.core.watches.watch_base import Outcome
from nvsx.nvsentinel import names, sessions

#: How far before its session a request may have been created. A session's beginning is the
#: monitor's clock on the node, a creation time the API server's in whole seconds, and clocks
#: of nodes can be off.
NODE_CLOCK_OFF_BY = 120.0

_ID = re.compile(
    r"(?:^|-)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{24})$"
)
_KINDS = frozenset((k.group, k.kind) for k in names.MAINTENANCE_KINDS)
Progress = tuple[Outcome, str]


def event_id_in_name(name: str) -> str:
    """The health-event id at the end of a resource's name, "" when there is none.

    Read from the right, since node names have dashes too: an ObjectId (24 hex digits) or a
    UUID, as in `maintenance-<node>-<id>`.
    """
    found = _ID.search(name)
    return found[1] if found else ""


def belongs_to_session(resource: Resource, session: Session, *, node: str = "") -> bool:
    """Whether `resource` is part of `session`: by the event id in its name, else by time.

    By time: created within the session, from two minutes before it began, and never before
    the end of the one before it. Completed resources stay for 14 days, so an old one must
    never be taken for this incident's:

        09:50:00  a RebootNode, done at 09:58; the session before this one ends at 09:59
        10:00:00  the fault; this session
        10:01:00  a RebootNode: ours. The one of 09:50 is not, though it is there for two weeks
        10:20:00  released; a RebootNode of 10:25 is the next session's
    """
    if node and resource.node and resource.node != node:
        return False
    if session.known and event_id_in_name(resource.name):
        ids = {session.key, *(sessions.event_identity(e) for e in session.events)}
        if event_id_in_name(resource.name) in ids:
            return True
    began = session.began
    if began is None or not resource.created:
        return False
    if resource.created < math.floor(began) - NODE_CLOCK_OFF_BY:
        return False
    if session.previous_end is not None and resource.created <= session.previous_end:
        return False
    return session.ended_at is None or resource.created <= session.ended_at


def repairs_of_session(
    resources: Iterable[Resource], session: Session, *, node: str = ""
) -> tuple[Resource, ...]:
    """The maintenance resources of `session`, oldest first."""
    mine = (r for r in resources if is_maintenance(r) and belongs_to_session(r, session, node=node))
    return tuple(sorted(mine, key=lambda r: (r.created, r.name)))


def is_maintenance(
    resource: Resource, configured: frozenset[tuple[str, str]] = frozenset()
) -> bool:
    """Whether NVSentinel creates such resources to repair a node.

    `configured` has (group, kind) pairs the operator's configuration adds. A resource that
    carries an event id in its name the way NVSentinel writes it counts too.
    """
    pair = (resource.group, resource.kind)
    return (
        pair in _KINDS
        or pair in configured
        or (resource.name.startswith("maintenance-") and bool(event_id_in_name(resource.name)))
    )


# --- how it went --------------------------------------------------------------------------


def read_outcome(resource: Resource, *, complete_type: str = "") -> Progress:
    """How far `resource` is, as chain_port.Outcome has it, and in a sentence.

    `complete_type` is the condition the operator configured as the one that completes it.
    """
    machine = _MACHINES.get(resource.kind)
    if machine is not None:
        return machine(resource)
    return _read_any_kind(resource, complete_type)


def _condition_words(condition: Condition) -> str:
    return condition.message or condition.reason or condition.type


def _duration_words(resource: Resource) -> str:
    start = resource.started or resource.created
    if not (start and resource.completed):
        return ""
    return f" after {durations.format(max(0.0, resource.completed - start))}"


def _make_signal_reader(done_type: str, goal: str) -> Callable[[Resource], Progress]:
    """RebootNode and TerminateNode: a signal to the provider, then waiting for its effect.

        +0 s   created, no conditions: signal not sent yet
        +5 s   SignalSent True, NodeReady Unknown: in progress
        +9 m   NodeReady True and a completion time: succeeded

    NodeReady False counts as an end with reason Timeout, or with a completion time. A refused
    signal (SignalSent False) leaves NodeReady Unknown for ever: fault-remediation takes that
    for "in progress", and this does not.
    """

    def read(resource: Resource) -> Progress:
        signal, done = resource.condition("SignalSent"), resource.condition(done_type)
        if done is not None and done.status == "True":
            return "succeeded", f"{goal}{_duration_words(resource)}"
        if done is not None and done.status == "False" and done.reason == "Timeout":
            return "failed", f"timed out{_duration_words(resource)}: {_condition_words(done)}"
        if done is not None and done.status == "False" and resource.completed:
            return "failed", f"failed{_duration_words(resource)}: {_condition_words(done)}"
        if signal is not None and signal.status == "False":
            return "failed", f"signal refused: {_condition_words(signal)}"
        if resource.completed:
            return "failed", f"ended without {done_type}{_duration_words(resource)}"
        manual = resource.condition("ManualMode")
        if manual is not None and manual.status == "True":
            return "manual", "janitor is in manual mode: a person has to do it"
        if signal is not None and signal.status == "True":
            return (
                "in-progress",
                f"signal sent ({_condition_words(signal)}), waiting for {done_type}",
            )
        return "in-progress", "signal not sent yet"

    return read


def _read_gpu_reset(resource: Resource) -> Progress:
    """Phases Pending, InProgress, Terminating, Succeeded, Failed, Unknown."""
    if resource.phase == "Succeeded":
        return "succeeded", f"GPU reset{_duration_words(resource)}"
    wrong = next((c for c in resource.conditions if _tells_a_failure(c)), None)
    if resource.phase == "Failed":
        return _reset_failed(resource, _condition_words(wrong) if wrong else "no reason given")
    complete = resource.condition("Complete")
    if complete is not None and complete.status == "True":
        bad = "fail" in complete.reason.lower() or "timeout" in complete.reason.lower()
        if bad:
            return _reset_failed(resource, _condition_words(complete))
        return "succeeded", f"{_condition_words(complete)}{_duration_words(resource)}"
    if resource.completed:
        return "failed", f"ended{_duration_words(resource)} in phase {resource.phase or 'unknown'}"
    done = [c.type for c in resource.conditions if c.status == "True"]
    step = f", done: {', '.join(done)}" if done else ""
    return "in-progress", f"phase {resource.phase or 'not set yet'}{step}"


def _tells_a_failure(condition: Condition) -> bool:
    """Before each step's True janitor writes a False that only says that the step waits or
    is under way: its reason is Pending or another word in -ing."""
    under_way = condition.reason.endswith("ing")
    return condition.status == "False" and bool(condition.message) and not under_way


def _reset_failed(resource: Resource, why: str) -> Progress:
    """The Job of a failed reset says so in the node's syslog, which is a new fatal event
    (GPU_RESET_FAILURE, RESTART_VM). One that failed before its Job began leaves no such line."""
    began = resource.condition("ResetJobCreated")
    if began is not None and began.status == "True":
        return "escalated", f"GPU reset failed: {why}; NVSentinel goes on with a reboot"
    return "failed", f"GPU reset failed: {why}"


def _read_external(resource: Resource) -> Progress:
    """ExternalRemediationRequest: somebody outside NVSentinel repairs the node and says so."""
    complete = resource.condition("ExternalRemediationComplete")
    if complete is not None and complete.status == "True":
        return "succeeded", f"repaired outside NVSentinel{_duration_words(resource)}"
    if complete is not None and complete.status == "False":
        return "failed", f"the external repair failed: {_condition_words(complete)}"
    released = resource.condition("NVSentinelOwnershipReleased")
    if released is not None and released.status == "True":
        return "manual", "handed over: the external system has to repair the node and report back"
    return "in-progress", "NVSentinel has not released the node yet"


#: Conditions that kinds of operators commonly end with. A bad one is looked for first: of two
#: that disagree the worse is believed.
_GOOD = ("Complete", "Completed", "Succeeded", "Ready", "Done")
_BAD = ("Failed", "Failure")


def _read_any_kind(resource: Resource, complete_type: str) -> Progress:
    """A kind nvsx does not know: the configured condition, else the usual names and phases."""
    phase = resource.phase.lower()
    if complete_type:
        found = resource.condition(complete_type)
        if found is not None and found.status != "Unknown":
            return ("succeeded" if found.status == "True" else "failed"), _condition_words(found)
        return "in-progress", f"waiting for {complete_type}"
    if phase in ("succeeded", "completed", "complete"):
        return "succeeded", f"phase {resource.phase}"
    if phase in ("failed", "error"):
        return "failed", f"phase {resource.phase}"
    for type_ in _BAD:
        found = resource.condition(type_)
        if found is not None and found.status == "True":
            return "failed", _condition_words(found)
    for type_ in _GOOD:
        found = resource.condition(type_)
        if found is not None and found.status == "True":
            return "succeeded", _condition_words(found)
        if found is not None and found.status == "False" and resource.completed:
            return "failed", _condition_words(found)
    return "in-progress", f"phase {resource.phase}" if phase else "no result yet"


_MACHINES: dict[str, Callable[[Resource], Progress]] = {
    "RebootNode": _make_signal_reader("NodeReady", "rebooted and Ready"),
    "TerminateNode": _make_signal_reader("NodeTerminated", "terminated"),
    "GPUReset": _read_gpu_reset,
    "ExternalRemediationRequest": _read_external,
}
