"""A run in hand: its journal, its folded state, its ports, and the facts scripts get.

Every part of the engine works on a `RunContext` and nothing else, so that each operation
(prerequisites, action, watches, hook, postmortem) can be called by itself. All writing
goes through `record`: append first, then fold, then show.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from nvsx.core.aliases import alias_of
from nvsx.core.incident.incident_door import IncidentDoor
from nvsx.core.incident.incident_events import StateChanged
from nvsx.core.incident.incident_state import FaultRecord
from nvsx.core.incident.incident_view import IncidentView
from nvsx.core.incident.run_share import (
    find_attempts_of_run,
    find_fault_of_run,
    needs_people_for_run,
    only_waits_for_quiet,
    waits_for_this_run,
)
from nvsx.core.incident.session import HealthEvent
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.core.journal.run_rows import Lease
from nvsx.core.masking import Masker
from nvsx.core.notify.spool_port import MessageSpool
from nvsx.core.ports import (
    ActionTurns,
    Artifacts,
    Clock,
    Journal,
    NodeFeed,
    Observer,
    Scripts,
    View,
)
from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches.snapshot import Pod
from nvsx.core.watches.watch_base import Chain
from nvsx.follow.cancelling import Cancellation
from nvsx.follow.run_request import Patience, RunRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """What a run needs of the world. `turns` to act on a node are taken where other runs may act
    there too."""

    clock: Clock
    observer: Observer
    chain: Chain
    journal: Journal
    scripts: Scripts
    turns: ActionTurns | None = None


@dataclass(slots=True)
class RunContext:
    """One run being worked on by this process.

    `more_facts` gives NVSX_* variables that change while the run goes on (its storm).
    `clock_ahead` is how many seconds the cluster's clock is ahead, as far as that is known.
    Through `door` it comes to its `incident`, once it has a node. `only_following` is
    called when the run has nothing more to do but to watch (`is_only_following`): it then needs
    no turn among those that work. `seen_before_end`: the run came before its incident was over.
    `repair_at_join` is the newest attempt to repair at that moment. `last_written` is when an
    earlier owner wrote last. `people_called` are the causes, with the attempt, for which the
    failure hook was fired, `calling` is the newest such hook of a stage that stays open;
    `cause_noted` is the cause that was noted last, and in which stage. `jobs` are the pods that
    the incident hits, as of the quarantine (`jobs_are_final`); `incident_written` is what hooks
    find in NVSX_INCIDENT_FILE. What its scripts ask people to be told comes through `spool`.
    """

    ports: Ports
    runbook: Runbook
    request: RunRequest
    lease: Lease
    door: IncidentDoor
    artifacts: Artifacts
    root: Path
    views: Sequence[View] = ()
    runbook_hash: str = ""
    more_facts: Callable[[], Mapping[str, str]] = dict
    patience: Patience = field(default_factory=Patience)
    masker: Masker = field(default_factory=Masker)
    clock_ahead: float = 0.0
    state: RunState = field(default_factory=RunState)
    feed: NodeFeed | None = None
    incident: IncidentView | None = None
    is_only_following: bool = False
    only_following: Callable[[], None] = lambda: None
    seen_before_end: bool = True
    repair_at_join: int = 0
    last_written: float = 0.0
    cause_noted: tuple[str, StateChanged] | None = None
    calling: asyncio.Task[None] | None = None
    people_called: set[tuple[str, int]] = field(default_factory=set)
    jobs: tuple[Pod, ...] = ()
    jobs_are_final: bool = False
    incident_written: bytes = b""
    spool: MessageSpool | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)
    background: set[asyncio.Task[None]] = field(default_factory=set)
    lines_reported: int = 0
    event_told: bool = False
    waited_to_act: float = 0.0
    _pending: list[j.RunEvent] = field(default_factory=list)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def run_id(self) -> str:
        return self.lease.run_id

    @property
    def node(self) -> str:
        return self.state.target_node or self.request.node

    @property
    def trigger(self) -> HealthEvent | None:
        return self.request.event

    @property
    def now(self) -> float:
        return self.ports.clock.now()

    @property
    def goes_on_after_failure(self) -> bool:
        """A failed stage is no end of the incident. Only a person's run ends with it: people's CI
        waits for the exit code."""
        return self.incident is not None and not self.request.by_hand

    @property
    def needs_people(self) -> bool:
        """Whether the incident needs people for something that concerns the run. A person's run,
        and one that its incident waits for, is done when the fault is gone: the ten minutes of
        quiet after it are the incident's affair."""
        if self.incident is None:
            return False
        incident = self.incident.current
        may_end_first = self.request.by_hand or waits_for_this_run(incident)
        if may_end_first and only_waits_for_quiet(incident):
            return False
        return needs_people_for_run(incident, self.run_id)

    @property
    def fault(self) -> FaultRecord | None:
        """The incident's fault that the run is for."""
        if self.incident is None:
            return None
        return find_fault_of_run(self.incident.current, self.run_id, self.trigger)

    @property
    def repair_no(self) -> int:
        """Which attempt to repair the run is at: the newest made for it, or the one awaited."""
        if self.incident is None:
            return 1
        incident = self.incident.current
        mine = find_attempts_of_run(incident, self.run_id)
        return mine[-1].no if mine else len(incident.attempts) + 1

    @property
    def repair_known(self) -> int:
        """The newest attempt to repair that the run has dealt with."""
        told = [
            script.repair
            for stage in self.state.stages
            for script in stage.scripts
            if script.purpose == "attempt"
        ]
        remediate = self.state.stage("remediate")
        if remediate is not None:
            # Before it begins there is nothing to begin anew: it takes the newest there is.
            return remediate.repair if remediate.begins else sys.maxsize
        return max([self.repair_at_join, *told])

    def is_late(self, stage: str) -> bool:
        """Whether the stage was over when nvsx joined: what it tells is no news."""
        joined = self.state.incident
        return joined is not None and joined.late and stage in joined.over

    def begin_only_following(self) -> None:
        """From now on the run only watches."""
        if not self.is_only_following:
            self.is_only_following = True
            self.only_following()

    def queue_for_next_commit(self, *events: j.RunEvent) -> None:
        """Put events into the next `record`: they share its commit, in this order."""
        self._pending.extend(events)

    async def record(self, *events: j.RunEvent, durable: bool = False) -> None:
        """Append, then fold, then show. Raises StaleOwner and StoreError.

        Whoever is cancelled in here is so only after all three: what the journal took must
        not be missing from the state and the views.
        """
        work = asyncio.ensure_future(self._append_and_show(events, durable=durable))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            raise

    async def _append_and_show(self, events: Sequence[j.RunEvent], *, durable: bool) -> None:
        async with self._writing:
            batch = [self.masker.value(event) for event in (*self._pending, *events)]
            self._pending.clear()
            if not batch:
                return
            entries = await self.ports.journal.append(self.lease, batch, durable=durable)
            for entry in entries:
                self.state.apply(entry)
                self._show_entry(entry)

    def replay(self, entries: Sequence[j.Entry]) -> None:
        """Take what an earlier owner wrote, and show it as replayed."""
        for entry in entries:
            self.last_written = entry.t
            self.state.apply(entry)
            self._show_entry(entry, replayed=True)
            if isinstance(entry.body, j.Target) and entry.body.trigger_event:
                event = msgspec.convert(entry.body.trigger_event, HealthEvent)
                self.request = msgspec.structs.replace(self.request, event=event)
        self.lines_reported = len(self.state.reported)
        for _, note in self.state.notes:
            stage = self.state.stage(note.stage)
            if note.code and stage is not None:
                self.people_called.add((note.code, stage.repair))

    def _show_entry(self, entry: j.Entry, *, replayed: bool = False) -> None:
        """A view that breaks is its own problem: never the run's."""
        for view in self.views:
            try:
                view.show(entry, replayed=replayed)
            except Exception:
                log.exception("view %s failed", type(view).__name__)

    def facts(self, stage: str, **more: str) -> dict[str, str]:
        """The NVSX_* variables for a script of `stage`."""
        state, times = self.state, self.state.times
        current = state.stage(stage)
        began = current.began if current is not None and current.began else self.now
        failed = state.failed_stage
        if failed and self.goes_on_after_failure and stage not in (failed.id, "postmortem"):
            failed = None  # what comes true after it is told as what it is
        status = "failed" if failed else "cancelled" if state.cancelled else "running"
        ended = failed or state.cancelled
        cause = ended.reason if ended is not None else state.replaced
        generated = times.generated or (self.trigger.generated_at if self.trigger else None)
        fault = self.fault
        if fault is not None:
            generated = fault.latest.at
        mttr = times.time_to_repair() if stage in ("recover", "postmortem") else None
        folder = self.artifacts.folder
        facts = {
            "NVSX_STAGE": stage,
            "NVSX_RUNBOOK": self.runbook.metadata.name,
            "NVSX_TARGET_NODE": self.node,
            "NVSX_TARGET_ALIAS": alias_of(self.node) if self.node else "",
            "NVSX_ELAPSED_MS": _to_milliseconds(self.now - began),
            "NVSX_PROJECT_ROOT": str(self.root),
            "NVSX_PLAYGROUND": str(self.root),
            "NVSX_RUN_ID": self.run_id,
            "NVSX_INCIDENT_KEY": self.incident_key,
            "NVSX_TRIGGER": self.request.trigger,
            "NVSX_CLUSTER": self.request.cluster,
            "NVSX_RUN_STATUS": status,
            "NVSX_FAILED_STAGE": failed.id if failed else "",
            "NVSX_REASON": cause,
            "NVSX_INCIDENT_MS": _to_milliseconds(self.now - generated) if generated else "",
            "NVSX_MTTR_MS": _to_milliseconds(mttr) if mttr is not None else "",
            "NVSX_EVENT_FILE": str(folder / "event.json"),
            "NVSX_REPORT_FILE": str(folder / "report.txt"),
            "NVSX_IMPACT_FILE": str(folder / "impact.json"),
            "NVSX_ARTIFACT_DIR": str(folder),
        }
        if self.request.sandbox:
            facts["NVSX_SANDBOX"] = "1"
        if self.request.drill:
            facts["NVSX_DRILL"] = "1"
        if self.spool is not None:
            facts["NVSX_NOTIFY_DIR"] = self.spool.folder
        facts |= self._incident_facts(stage)
        return facts | dict(self.more_facts()) | more

    def _incident_facts(self, stage: str) -> dict[str, str]:
        """What scripts learn of the incident; the cause in the words that notes have."""
        if self.incident is None:
            return {"NVSX_REPAIR_NO": "1"}
        current, cause = self.incident.current, self.incident.current.cause
        return {
            "NVSX_INCIDENT_STATE": current.state,
            "NVSX_INCIDENT_ID": self.incident.incident,
            "NVSX_INCIDENT_FILE": str(self.artifacts.folder / "incident.json"),
            "NVSX_REPAIR_NO": str(self.repair_no),
            "NVSX_LATE": "1" if self.is_late(stage) else "",
            "NVSX_CAUSE_CODE": cause.code,
            "NVSX_CAUSE": cause.text,
            "NVSX_REMEDY": cause.remedy,
        }

    @property
    def incident_key(self) -> str:
        """Cluster, node and session; without the session while none was seen."""
        parts = (self.request.cluster, self.node, self.state.session.key)
        return "/".join(p for p in parts if p)


def _to_milliseconds(seconds: float) -> str:
    return str(max(0, round(seconds * 1000)))
