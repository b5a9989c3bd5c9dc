"""The daemon's core on fakes in virtual time: intake, dispatcher, recovery and watching.

`Hall` owns the fakes of one cluster and one state folder. `die()` kills its process and
`another()` starts the next one on what it left.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tests.fakes import fake_observer as build
from tests.fakes.fake_inbox import FakeInbox
from tests.fakes.fake_journal import FakeJournal
from tests.fakes.fake_observer import FakeObserver
from tests.fakes.fake_scripts import FakeScripts
from tests.fakes.virtual_clock import VirtualClock
from tests.follow.harness import FakeArtifacts

from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_events import IncidentOpened, RunJoined
from nvsx.core.incident.incident_state import IncidentState, Stamp
from nvsx.core.incident.sight import SeenFault
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.core.journal.run_rows import Lease, RunRow
from nvsx.core.ports import Fault
from nvsx.core.routing.inbox import Decision, Taken
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import Answer, TriggerEvent
from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches.snapshot import Snapshot
from nvsx.follow.run_context import Ports, RunContext
from nvsx.follow.run_request import RunRequest
from nvsx.follow.runner import Matches
from nvsx.nvsentinel import names
from nvsx.nvsentinel.chain import NvsentinelChain
from nvsx.serve.dispatcher import Dispatcher
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.incident_publisher import IncidentNews
from nvsx.serve.intake import Identity, TriggerIntake
from nvsx.serve.limits import Limits
from nvsx.serve.lookout import Lookout
from nvsx.serve.recovery import Recovery
from nvsx.serve.watch_source import WatchSource

CLUSTER = "uid-1"
PROJECT = "/project"


def book(name: str = "gpu-off-bus", **more: Any) -> Runbook:
    """A runbook for XID 79: a hook at detect, then it waits for the condition to clear."""
    fault = {"kind": "node-condition", "type": "SysLogsXIDError"}
    fields: dict[str, Any] = {
        "apiVersion": "nvsx/v1",
        "kind": "Runbook",
        "metadata": {"name": name},
        "triggers": [{"check": "SysLogsXIDError", "errorCode": ["79"]}],
        "stages": [
            {"id": "detect", "hook": f"hooks/{name}/on-detect.sh"},
            {"id": "recover", "watch": [fault | {"absent": True}], "hook": f"hooks/{name}/done.sh"},
        ],
    }
    return Runbook.model_validate(fields | more)


THERMAL: dict[str, Any] = {
    "triggers": [{"check": "GpuThermalWatch", "fatal": "any"}],
    "stages": [{"id": "detect", "hook": "hooks/thermal-throttle/on-detect.sh"}],
}


LISTED = {
    "checkName": "SysLogsXIDError",
    "isFatal": True,
    "recommendedAction": 24,
    "errorCode": ["79"],
    "entitiesImpacted": [{"entityType": "PCI", "entityValue": "0000:b3:00"}],
    "processingStrategy": 1,
}


class Shelf:
    """The runbooks of the project."""

    def __init__(self, *books: Runbook) -> None:
        self.books = list(books)

    def runbooks(self) -> list[Runbook]:
        return self.books

    def find(self, wanted: str) -> Runbook:
        for runbook in self.books:
            if runbook.name == wanted:
                return runbook
        raise UsageError(f"there is no runbook '{wanted}'")


class QuietView:
    """An incident that is nothing but its run, and in which nothing happens."""

    incident = "i-quiet"

    def __init__(self, node: str) -> None:
        opened = IncidentOpened(key=node, node=node, by="by hand")
        self.current = IncidentState(opened=opened, began=Stamp(0.0), key=node, aliases=())

    async def changed(self, seen: IncidentState) -> IncidentState:
        never: asyncio.Future[IncidentState] = asyncio.Future()
        return await never

    async def tell_run_ended(self, run_id: str, status: str) -> None:
        return None


class QuietDoor:
    """Runs end with their stages, whatever becomes of the incident that the keeper has."""

    async def join(self, node: str, joined: RunJoined) -> QuietView:
        return QuietView(node)


class Hall:
    """One process of the daemon's core."""

    def __init__(
        self,
        *nodes: str,
        limits: Limits | None = None,
        books: tuple[Runbook, ...] = (),
        before: Hall | None = None,
        empty_store: bool = False,
    ) -> None:
        self.clock: VirtualClock = before.clock if before else VirtualClock()
        self.observer: FakeObserver = before.observer if before else FakeObserver(cluster=CLUSTER)
        self.scripts: FakeScripts = before.scripts if before else FakeScripts(self.clock)
        self.journal: FakeJournal = before.journal.another() if before else FakeJournal(self.clock)
        self.inbox = FakeInbox(self.journal)
        self.limits: Limits = limits or (before.limits if before else Limits())
        default = (book(), book("thermal-throttle", **THERMAL))
        self.shelf: Shelf = before.shelf if before else Shelf(*(books or default))
        self.answers: list[Answer] = []
        self.decisions: list[Decision] = []
        self.crashes: list[str] = []
        for name in nodes:
            self.heal(name)
        self.dispatcher = Dispatcher(
            journal=self.journal,
            inbox=self.inbox,
            clock=self.clock,
            assemble=self.assemble,
            limits=self.limits,
            crashed=self.crashes.append,
            ended=self._run_ended,
        )
        self.incidents = self.journal.shared.incidents
        if not empty_store:
            self.incidents.known.add(CLUSTER)
        self.news: list[IncidentNews] = []
        self.keeper = IncidentKeeper(
            incidents=self.incidents,
            observer=self.observer,
            clock=self.clock,
            cluster=CLUSTER,
            limits=IncidentLimits(),
            routes=self._is_wanted,
        )
        self.keeper.listen(self.news.append)
        self.recovery = Recovery(
            self.journal,
            self.dispatcher,
            self.keeper,
            self.clock,
            cluster=CLUSTER,
            project=PROJECT,
        )
        self.intake = TriggerIntake(
            inbox=self.inbox,
            keeper=self.keeper,
            observer=self.observer,
            clock=self.clock,
            identity=Identity(uid=CLUSTER, names=("prod",), project=PROJECT),
            shelf=self.shelf,
            evaluate=lambda *_: self.fail_evaluation(),
            limits=self.limits,
            started=self._taken,
            told=self._told,
        )
        self.watch = WatchSource(self.observer, self.intake, self.clock)
        self.lookout = Lookout(self.watch, self.keeper, self.clock)
        self._tasks: list[asyncio.Task[Any]] = []

    @staticmethod
    def fail_evaluation() -> Any:
        """No runbook here has an expression."""
        raise AssertionError("nothing to evaluate")

    def _taken(self, taken: Taken) -> None:
        self.dispatcher.taken(taken)

    def _told(self, event: TriggerEvent, answer: Answer, decision: Decision) -> None:
        self.answers.append(answer)
        self.decisions.append(decision)
        self.lookout.note_offered(event)
        if decision.throttled:
            self.lookout.later(event.facts.node)

    def _is_wanted(self, node: str, fault: SeenFault) -> bool:
        return self.intake.is_wanted(node, fault)

    def _run_ended(self, run_id: str, node: str) -> None:
        async def tell() -> None:
            row = await self.journal.run(run_id)
            await self.keeper.tell_run_ended(run_id, row.status)

        if node:
            self._tasks.append(asyncio.create_task(tell()))

    def assemble(
        self, lease: Lease, runbook: str, request: RunRequest
    ) -> tuple[RunContext, Matches]:
        run = RunContext(
            ports=Ports(self.clock, self.observer, NvsentinelChain(), self.journal, self.scripts),
            runbook=self.shelf.find(runbook),
            request=request,
            lease=lease,
            door=QuietDoor(),
            artifacts=FakeArtifacts(Path("/artifacts")),
            root=Path(PROJECT),
        )
        return run, lambda _: True

    # -- the daemon ----------------------------------------------------------------------

    async def begin(self, *, watch: bool = True) -> tuple[int, int]:
        """Start as the daemon does: (resumed, adopted) runs."""
        await self.keeper.begin()
        resumed = await self.recovery.recover()
        self.dispatcher.start()
        await self.recovery.note_ended_runs()
        if watch:
            self._tasks.append(asyncio.create_task(self.watch.follow()))
        self._tasks.append(asyncio.create_task(self.lookout.keep()))
        return resumed, await self.watch.adopt()

    async def die(self) -> None:
        """Kill the process as kill -9 would: nothing more is written."""
        self.journal.kill()
        self.journal.fail_appends = RuntimeError("the process is dead")
        self.inbox.fail = RuntimeError("the process is dead")
        self.dispatcher._stopping = True
        slots = self.dispatcher._slots.values()
        tasks = [*self._tasks, *(s.task for s in slots if s.task)]
        if self.dispatcher._pump:
            tasks.append(self.dispatcher._pump)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.keeper.end()

    def another(self) -> Hall:
        """The next process on the same state folder."""
        return Hall(before=self)

    async def close(self) -> None:
        """Stop as at SIGTERM, with no grace."""
        self.intake.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.dispatcher.stop(0.0)
        await self.keeper.end()

    # -- the cluster ---------------------------------------------------------------------

    def heal(self, node: str) -> None:
        self._set(node, conditions=(build.condition(healthy=True, at=self.clock.now()),))

    def ill(self, *nodes: str, session: str = "", more: Sequence[dict[str, Any]] = ()) -> None:
        """The condition of XID 79 is on these nodes, and NVSentinel's marks for the event named
        `session` and `more` of them; the stream of faults says nothing."""
        events = [{"id": session}, *more]
        for node in nodes:
            marks: dict[str, Any] = {}
            if session:
                at = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
                listed = [LISTED | {"generatedTimestamp": at} | more for more in events]
                marks["annotations"] = {names.QUARANTINE_ANNOTATION: json.dumps(listed)}
                marks["labels"] = {
                    names.STATE_LABEL: "quarantined",
                    "k8saas.nvidia.com/cordon-by": "NVSentinel",
                    "k8saas.nvidia.com/cordon-timestamp": self._stamp(),
                }
                marks["cordoned"] = True
            self._set(node, conditions=(build.condition(at=self.clock.now()),), **marks)

    def break_(
        self, node: str, session: str = "", *, keep_session: bool = False, **changes: Any
    ) -> Fault:
        """XID 79 appears on `node`: the condition, or with `session` the quarantine.

        With `keep_session` the node still tells of its last session, as a real one does.
        """
        at = self.clock.now()
        before = self.observer.feeds[node].current.session
        self.ill(node, session=session)
        if keep_session:
            snap = self.observer.feeds[node].current
            self.observer.set(msgspec.structs.replace(snap, session=before))
        event = build.health_event(node, id=session, generated_at=at, **changes)
        fault = Fault(node, event, session, since=at)
        self.observer.incidents = [f for f in self.observer.incidents if f.node != node] + [fault]
        self.observer.add_fault(fault)
        return fault

    def quarantine(self, node: str, session: str) -> None:
        """XID 79 on `node`, and NVSentinel's session on it."""
        fault = self.break_(node, session)
        now = self.clock.now()
        marks = build.session(
            node=node, at=now, key=session, events=(fault.event,), generated_at=now
        )
        snap = self.observer.feeds[node].current
        self.observer.set(msgspec.structs.replace(snap, session=marks))

    def over(self, node: str) -> None:
        """The fault is gone, and with it the session if there was one."""
        before = self.observer.feeds[node].current.session
        self.heal(node)
        if before.open:
            snap = self.observer.feeds[node].current
            ended = build.ended(before, self.clock.now(), ending="recovered")
            self.observer.set(msgspec.structs.replace(snap, session=ended))
        self.observer.incidents = [f for f in self.observer.incidents if f.node != node]

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y-%m-%dT%H-%M-%SZ")

    def _set(self, node: str, *, labels: Mapping[str, str] | None = None, **changes: Any) -> None:
        kept = {"nvidia.com/gpu.present": "true"}
        if node in self.observer.feeds:
            before = self.observer.feeds[node].current.node
            kept |= before.labels if before is not None else {}
        for name in (names.STATE_LABEL, *(n for n in kept if "/cordon-" in n)):
            if kept.pop(name, ""):
                kept["k8saas.nvidia.com/uncordon-timestamp"] = self._stamp()
        made = build.node(node, labels=kept | dict(labels or {}), **changes)
        self.observer.set(Snapshot(at=self.clock.now(), node_name=node, node=made))

    # -- events --------------------------------------------------------------------------

    def event(self, node: str = "n1", **changes: Any) -> TriggerEvent:
        """An XID 79 event of a webhook; facts and the event's own fields by name."""
        facts: dict[str, Any] = {
            "node": node,
            "check_name": "SysLogsXIDError",
            "error_codes": ("79",),
            "is_fatal": True,
            "generated_at": self.clock.now(),
        }
        of_events = TriggerEvent.__struct_fields__
        facts |= {k: v for k, v in changes.items() if k not in of_events}
        own = {k: v for k, v in changes.items() if k in of_events}
        fields: dict[str, Any] = {
            "source": "nvsentinel",
            "delivery": "",
            "received": self.clock.now(),
        } | own
        return TriggerEvent(facts=TriggerFacts(**facts), **fields)

    async def offer(self, node: str = "n1", **changes: Any) -> Answer:
        return await self.intake.offer(self.event(node, **changes))

    # -- what came of it -----------------------------------------------------------------

    async def rows(self) -> list[RunRow]:
        return list(reversed(await self.journal.runs(limit=100_000)))

    async def state(self, run_id: str) -> RunState:
        return RunState.of(await self.journal.read(run_id))

    async def notes(self, run_id: str) -> list[str]:
        return [n.text for _, n in (await self.state(run_id)).notes]

    async def until(self, run_id: str, event: type[j.RunEvent]) -> None:
        """Wait until the run has an event of this kind."""
        async for entry in self.journal.follow(run_id):
            if isinstance(entry.body, event):
                return

    def hooks(self, path: str) -> list[str]:
        """The nodes whose runs finished this hook successfully, in order."""
        calls = self.scripts.ran(path)
        return [
            c.script.facts["NVSX_TARGET_NODE"]
            for c in calls
            if c.result is not None and c.result.ok
        ]
