"""What NVSentinel's marks mean for a run: the `Chain` port, as pure functions.

The engine asks here whether a state has been reached, whose a custom resource is, what
the session proves about stages nvsx did not see, and when waiting has become useless.
"""

from __future__ import annotations

from collections.abc import Sequence

from nvsx.core.incident.session import HealthEvent, Session, Times
from nvsx.core.watches.event_watches import NodeEventWatch
from nvsx.core.watches.node_watches import (
    NodeAnnotationWatch,
    NodeConditionWatch,
    NodeFieldWatch,
    NodeLabelWatch,
    NvsentinelStateWatch,
)
from nvsx.core.watches.resource_watch import CrdWatch
from nvsx.core.watches.snapshot import Condition, Resource, Snapshot
from nvsx.core.watches.watch_base import DeadEnd, Outcome, WatchBase
from nvsx.nvsentinel import maintenance, marks, messages, names, times
from nvsx.nvsentinel.installation import Repair

#: The state from whose rank on a stage lies behind the session. A drain that failed does not
#: put the drain behind: the chain stands still in it.
_PASSED_BY = {"quarantine": "draining", "drain": "remediating"}

#: The marks whose absence means that NVSentinel has released the node.
_MARKS = (names.STATE_LABEL, names.QUARANTINE_ANNOTATION)

_REPAIRS = frozenset(k.plural for k in names.MAINTENANCE_KINDS)

TERMINATE = "TerminateNode"
#: The actions that take a machine away, where nothing else is configured.
_REPLACING = frozenset({"REPLACE_VM"})

_AFTER_QUARANTINE = ("quarantine", "drain", "remediate", "recover")
_AFTER_DRAIN = ("drain", "remediate", "recover")
_AFTER_REQUEST = ("remediate", "recover")
_REQUESTED = frozenset({names.STATE_REMEDIATING, names.STATE_REMEDIATION_SUCCEEDED})


class NvsentinelChain:
    """Implements `chain_port.Chain`; stateless.

    `repairs` are the kinds this NVSentinel is configured to create, with the condition that
    completes each (ConfigMap fault-remediation).
    """

    def __init__(self, repairs: Sequence[Repair] = ()) -> None:
        self._configured = frozenset((r.group, r.kind) for r in repairs)
        self._replacing = {r.action for r in repairs if r.kind == TERMINATE} or _REPLACING
        self._completes = {(r.group, r.kind): r.complete_condition for r in repairs}

    def state_rank(self, state: str) -> int | None:
        return names.STATE_RANKS.get(state)

    def error_codes(self, condition: Condition) -> frozenset[str]:
        return messages.error_codes(condition)

    def is_maintenance(self, resource: Resource) -> bool:
        return maintenance.is_maintenance(resource, self._configured)

    def belongs(self, resource: Resource, snapshot: Snapshot) -> bool:
        return maintenance.belongs_to_session(resource, snapshot.session, node=snapshot.node_name)

    def outcome(self, resource: Resource) -> tuple[Outcome, str]:
        pair = (resource.group, resource.kind)
        return maintenance.read_outcome(resource, complete_type=self._completes.get(pair, ""))

    def tell_times(self, known: Times, snapshot: Snapshot, trigger: HealthEvent | None) -> Times:
        return times.add_times(known, snapshot, trigger)

    def prove(
        self, watch: WatchBase, stage: str, snapshot: Snapshot, trigger: HealthEvent | None
    ) -> str:
        """What the session proves: an event in its annotation, or a state that comes later.

        Only facts that NVSentinel itself sets are proven so; a label of the team's own is
        looked at as it is now.

            10:15  quarantined   10:16  draining   10:17  remediating
            10:20  a run begins in `quarantine`: the cordon is proven by `draining`, which
                   comes after it; its own label `team/ack` is not, and has to be there
        """
        if isinstance(watch, NodeConditionWatch) and watch.status == "True":
            return _prove_by_event(watch, snapshot.session, trigger)
        if not self._is_behind_session(stage, snapshot.session):
            return ""
        if not isinstance(watch, CrdWatch) and self.is_own_mark(watch):
            return f"proven by state {snapshot.session.states[-1][0]}, which comes later"
        return ""

    def is_own_mark(self, watch: WatchBase) -> bool:
        """See the port. A taint or a label of the team's own is none."""
        match watch:
            case NvsentinelStateWatch():
                return True
            case NodeFieldWatch():
                return watch.field == "spec.unschedulable" and bool(watch.expect)
            case NodeLabelWatch() | NodeAnnotationWatch():
                return watch.key in _MARKS
            case NodeEventWatch():
                return "NodeDraining" in watch.type
            case CrdWatch():
                return watch.resource == "maintenance" or watch.plural_and_group[0] in _REPAIRS
            case _:
                return False

    def _is_behind_session(self, stage: str, session: Session) -> bool:
        first = _PASSED_BY.get(stage)
        if first is None:
            return False
        rank = names.STATE_RANKS[first]
        return any(names.STATE_RANKS.get(state, 0) >= rank for state, _ in session.states)

    def still_held(self, watch: WatchBase, snapshot: Snapshot) -> str:
        """Since v1.20 a healthy node loses annotation and state label before it is released:
        NVSentinel's cordon stays until a validation succeeds (issue #1854)."""
        if not isinstance(watch, NodeLabelWatch | NodeAnnotationWatch):
            return ""
        whole_mark = watch.key in _MARKS and not watch.value and not watch.pattern
        if not whole_mark or snapshot.node is None or not snapshot.session.open:
            return ""
        if not marks.read(snapshot.node).handed_over:
            return ""
        return "handed over, and still cordoned by NVSentinel until a validation succeeds"

    def dead_end(self, stage: str, snapshot: Snapshot) -> DeadEnd | None:
        """Why `stage` cannot pass any more.

        10:15  quarantined
        10:40  uncordoned by hand: quarantine, drain, remediate and recover are dead
        or     drain-failed: drain and what follows it are dead, quarantine is done
        or     the RebootNode timed out: remediate and recover are dead, until a newer
               request exists
        or     the Node went: all are dead, unless its repair takes the machine away
        """
        session = snapshot.session
        if session.ending == "cancelled" and stage in _AFTER_QUARANTINE:
            detail = session.ending_detail or "somebody took the node out of quarantine"
            return DeadEnd(f"cancelled by hand: {detail}", overrules=True)
        if session.ending == "terminated" and stage in _AFTER_QUARANTINE:
            if stage in _AFTER_REQUEST and self._repair_replaces_machine(snapshot):
                return None
            return DeadEnd(session.ending_detail or "the node is gone")
        if session.state == names.STATE_DRAIN_FAILED and stage in _AFTER_DRAIN:
            return DeadEnd("NVSentinel's drain failed: the chain goes no further by itself")
        if stage in _AFTER_REQUEST:
            return self._find_failed_repair(snapshot)
        return None

    def _repair_replaces_machine(self, snapshot: Snapshot) -> bool:
        """Whether NVSentinel's own repair takes the machine away, and its Node with it."""
        mine = self._repairs_of_session(snapshot)
        if mine:
            return any(r.kind == TERMINATE for r in mine)
        # The request goes with the Node: what asked for it, and how far it came, is left.
        session = snapshot.session
        asked = any(e.action in self._replacing for e in session.events)
        return asked and not _REQUESTED.isdisjoint(session.reached())

    def _repairs_of_session(self, snapshot: Snapshot) -> list[Resource]:
        return [
            r for r in snapshot.resources if self.is_maintenance(r) and self.belongs(r, snapshot)
        ]

    def _find_failed_repair(self, snapshot: Snapshot) -> DeadEnd | None:
        """The newest request decides: NVSentinel can make another one after a failure."""
        if not snapshot.session.open:
            return None
        mine = self._repairs_of_session(snapshot)
        if not mine:
            return None
        newest = max(mine, key=lambda r: (r.created, r.name))
        outcome, detail = self.outcome(newest)
        if outcome != "failed":
            return None
        return DeadEnd(f"{newest.kind} {newest.name}: {detail}")


def _prove_by_event(
    watch: NodeConditionWatch, session: Session, trigger: HealthEvent | None
) -> str:
    events = [*session.events, *([trigger] if trigger is not None else [])]
    for event in events:
        if event.check not in watch.type or event.healthy:
            continue
        if watch.error_code and not set(watch.error_code).intersection(event.error_codes):
            continue
        codes = f" {', '.join(event.error_codes)}" if event.error_codes else ""
        return f"proven by the session: {event.check}{codes}"
    return ""
