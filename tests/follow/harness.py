"""A run on fakes in virtual time: what a test says happens to the node, and the journal.

`Story` owns the fakes; `story.begin()` starts a runner, `story.at(seconds, …)` plays the
node's life, `await story.finish()` gives the folded state.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.fakes import fake_observer as build
from tests.fakes.fake_incident_view import FakeIncidentDoor
from tests.fakes.fake_journal import FakeJournal
from tests.fakes.fake_observer import NODE, FakeObserver
from tests.fakes.fake_scripts import FakeScripts
from tests.fakes.virtual_clock import VirtualClock

from nvsx.core.incident.session import NO_SESSION, Session
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.notify.spool_port import MessageSpool
from nvsx.core.ports import ActionTurns, Fault
from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches.snapshot import Resource, Snapshot
from nvsx.follow.run_context import Ports, RunContext
from nvsx.follow.run_request import Patience, RunRequest
from nvsx.follow.runner import Runner
from nvsx.nvsentinel import names
from nvsx.nvsentinel.chain import NvsentinelChain
from nvsx.nvsentinel.sights import sight_of

STATES = ("quarantined", "draining", "drain-succeeded", "remediating", "remediation-succeeded")

CHAIN: list[dict[str, Any]] = [
    {
        "id": "detect",
        "watch": [{"kind": "node-condition", "type": "SysLogsXIDError", "errorCode": "79"}],
        "hook": "hooks/t/on-detect.sh",
    },
    {
        "id": "quarantine",
        "watch": [{"kind": "nvsentinel-state", "state": "quarantined"}],
        "hook": "hooks/t/on-quarantine.sh",
    },
    {"id": "drain", "watch": [{"kind": "nvsentinel-state", "state": "drain-succeeded"}]},
    {
        "id": "remediate",
        "watch": [{"kind": "crd", "resource": "maintenance", "completed": True}],
        "hook": "hooks/t/on-remediate.sh",
    },
    {
        "id": "recover",
        "watch": [
            {"kind": "node-condition", "type": "SysLogsXIDError", "absent": True},
            {"kind": "node-annotation", "key": "quarantineHealthEvent", "absent": True},
        ],
        "hook": "hooks/t/on-recover.sh",
    },
    {"id": "postmortem", "action": {"script": "scripts/collect.sh"}},
]


def runbook(stages: list[dict[str, Any]] | None = None, **more: Any) -> Runbook:
    """A runbook with these stages; the whole chain without any."""
    return Runbook.model_validate(
        {
            "apiVersion": "nvsx/v1",
            "kind": "Runbook",
            "metadata": {"name": "t"},
            "stages": stages or CHAIN,
            **more,
        }
    )


class FakeArtifacts:
    """Artifacts kept in memory; `folder` is a real folder only for its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, bytes] = {}
        self.broken: Exception | None = None

    async def write(self, name: str, data: bytes) -> str:
        if self.broken is not None:
            raise self.broken
        self.files[name] = data
        return name


class Recorder:
    """A view that keeps what it was shown."""

    def __init__(self) -> None:
        self.entries: list[j.Entry] = []
        self.replayed: list[j.Entry] = []

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        (self.replayed if replayed else self.entries).append(entry)

    async def close(self) -> None:
        return None


class Story:
    """One node's life and one run on it."""

    def __init__(self, tmp: Path, book: Runbook | None = None, **request: Any) -> None:
        """Beside the run the node's incident is kept, as by a daemon's keeper."""
        self.clock = VirtualClock()
        self.door = FakeIncidentDoor(NODE)
        self.begin_at = self.clock.now()
        self.book = book or runbook()
        self.observer = FakeObserver(self.snap())
        self.scripts = FakeScripts(self.clock)
        self.journal = FakeJournal(self.clock)
        self.request = RunRequest(**{"node": NODE} | request)
        self.view = Recorder()
        self.artifacts = FakeArtifacts(tmp)
        self.runner: Runner | None = None
        self.task: asyncio.Task[j.Finish] | None = None
        self.looking: asyncio.Task[None] | None = None
        self.run_id = ""
        self.runbook_hash = ""
        self.patience = Patience()
        self.turns: ActionTurns | None = None
        self.spool: MessageSpool | None = None

    # -- the node ------------------------------------------------------------------------

    def snap(self, **changes: Any) -> Snapshot:
        return build.snapshot(self.clock.now(), **changes)

    def session(self, *states: str, **changes: Any) -> Session:
        """An open session that began at the story's begin."""
        at = self.begin_at
        event = build.health_event(generated_at=at)
        fields: dict[str, Any] = {"generated_at": at, "events": (event,)} | changes
        return build.session(*states, at=at, **fields)

    def fault(self, *states: str, **changes: Any) -> Snapshot:
        """The node with the condition and, with `states`, a session that went through them."""
        if states:
            return self.held(*states, **changes)
        bad = build.condition(at=self.begin_at)
        node = build.node(conditions=(bad,))
        return self.snap(**{"of": node, "session": NO_SESSION} | changes)

    def held(
        self, *states: str, ids: tuple[str, ...] = (build.EVENT_ID,), **changes: Any
    ) -> Snapshot:
        """As `fault`, with marks on the node that can be read: for a kept incident. Each id after
        the first is of an NVLink fault."""
        events = [_annotation_entry(i, nvlink=n > 0) for n, i in enumerate(ids)]
        bad = [build.condition(at=self.begin_at)]
        if len(ids) > 1:
            text = "ErrorCode:149 GPU:0 NVLink Recommended Action=RESTART_BM;"
            bad.append(build.condition(check="SysLogsNVLink", at=self.clock.now(), message=text))
        node = build.node(
            conditions=bad,
            cordoned=True,
            annotations={names.QUARANTINE_ANNOTATION: json.dumps(events)},
            labels={names.STATE_LABEL: states[-1]},
            **changes.pop("node", {}),
        )
        return self.snap(**{"of": node, "session": self.session(*states)} | changes)

    def reboot(self, *conditions: tuple[str, str, str], **changes: Any) -> Resource:
        return build.resource(*conditions, **{"created": self.clock.now()} | changes)

    def recovered(self, before: Session | None = None, **changes: Any) -> Snapshot:
        good = build.condition(healthy=True, at=self.clock.now())
        session = build.ended(before or self.session(*STATES), self.clock.now(), ending="recovered")
        node = build.node(conditions=(good,), boot_id="boot-2")
        return self.snap(**{"of": node, "session": session} | changes)

    def set(self, snapshot: Snapshot) -> None:
        snapshot = msgspec.structs.replace(snapshot, at=self.clock.now())
        self.look(snapshot)
        self.observer.set(snapshot)

    def look(self, snapshot: Snapshot | None = None) -> None:
        """The keeper looks at the node."""
        seen = snapshot or self.observer.feeds[NODE].current
        seen = msgspec.structs.replace(seen, at=self.clock.now())
        self.door.see(sight_of(seen, self.clock.elapsed, cluster_uid="c"))

    async def keep_looking(self) -> None:
        """The keeper's looks for time's sake."""
        while True:
            await self.clock.sleep(1)
            self.look()

    async def at(self, seconds: float, make: Callable[[], Snapshot]) -> None:
        """At `seconds` after the story's begin, the node becomes what `make` says."""
        await self.clock.sleep(max(0.0, self.begin_at + seconds - self.clock.now()))
        self.set(make())

    async def live(self) -> None:
        """The usual life: fault at 5 s, chain, reboot, recovery at 600 s."""
        done = ("NodeReady", "True", "Succeeded")
        sent = ("SignalSent", "True", "Succeeded")
        await self.at(5, self.fault)
        await self.at(7, lambda: self.fault("quarantined"))
        await self.at(8, lambda: self.fault(*STATES[:2]))
        await self.at(90, lambda: self.fault(*STATES[:3]))
        await self.at(96, lambda: self.fault(*STATES, resources=(self.reboot(sent),)))
        first = self.observer.feeds[NODE].current.resources[0]
        finished = msgspec.structs.replace(
            first,
            completed=self.begin_at + 500,
            conditions=self.reboot(sent, done).conditions,
        )
        await self.at(500, lambda: self.fault(*STATES, resources=(finished,)))
        await self.at(600, lambda: self.recovered(resources=(finished,)))

    # -- the run -------------------------------------------------------------------------

    async def begin(self, *, matches: Callable[[Fault], bool] | None = None) -> Runner:
        """Create the run and start working on it."""
        lease = await self.journal.create(
            NewRun(runbook=self.book.name, node=self.request.node, cluster="c")
        )
        self.run_id = lease.run_id
        if self.door.sight is None:
            self.look()
        return self._start(self._context(self.journal, lease), matches)

    async def resume(
        self, journal: FakeJournal, *, matches: Callable[[Fault], bool] | None = None
    ) -> Runner:
        """Go on with the run as another process."""
        lease = await journal.take_over(self.run_id)
        run = self._context(journal, lease)
        run.replay(await journal.read(self.run_id))
        await run.record(j.Resumed(owner="test", epoch=lease.epoch))
        return self._start(run, matches)

    def _context(self, journal: FakeJournal, lease: Any) -> RunContext:
        return RunContext(
            ports=Ports(
                self.clock, self.observer, NvsentinelChain(), journal, self.scripts, self.turns
            ),
            runbook=self.book,
            door=self.door,
            request=self.request,
            lease=lease,
            artifacts=self.artifacts,
            root=Path("/project"),
            runbook_hash=self.runbook_hash,
            views=(self.view,),
            patience=self.patience,
        )

    def _start(self, run: RunContext, matches: Callable[[Fault], bool] | None) -> Runner:
        run.spool = self.spool
        self.runner = Runner(run, matches=matches)
        if self.looking is None:
            self.looking = asyncio.create_task(self.keep_looking())
        self.task = asyncio.create_task(self.runner.work())
        return self.runner

    async def finish(self) -> RunState:
        """Wait for the end; the state folded from the journal alone."""
        assert self.task is not None
        await self.task
        if self.looking is not None:
            self.looking.cancel()
        return await self.state()

    async def state(self) -> RunState:
        return RunState.of(await self.journal.read(self.run_id))

    async def die(self) -> FakeJournal:
        """Kill the process as kill -9 would: nothing more is written. The next one's journal."""
        assert self.task is not None
        nxt = self.journal.another()
        self.journal.kill()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return nxt


def _annotation_entry(event_id: str, *, nvlink: bool) -> dict[str, Any]:
    kind, value = ("GPU", "0") if nvlink else ("PCI", "0000:b3:00")
    return {
        "id": event_id,
        "checkName": "SysLogsNVLink" if nvlink else "SysLogsXIDError",
        "isFatal": True,
        "errorCode": ["149" if nvlink else "79"],
        "recommendedAction": 24,
        "processingStrategy": 1,
        "entitiesImpacted": [{"entityType": kind, "entityValue": value}],
    }


def statuses(state: RunState) -> dict[str, str]:
    """Stage id → status."""
    return {s.id: s.status for s in state.stages}
