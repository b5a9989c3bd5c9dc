"""The daemon, put together: intake, dispatcher, sources, and what only time tells.

`begin` takes up what a dead process left, listens for new faults and adopts what is open
already; `end` begins nothing more, gives running scripts their grace, and leaves the rest
to the next start. Its process, signals and webhook socket are serving's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from nvsx.core.aliases import alias_of
from nvsx.core.errors import ClusterError, NvsxError, StoreError
from nvsx.core.incident.sight import SeenFault
from nvsx.core.journal.run_rows import Lease
from nvsx.core.ports import Artifacts, Journal, View
from nvsx.core.routing.inbox import Decision, Taken
from nvsx.core.routing.trigger_event import Answer, Intake, TriggerEvent
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.run_context import RunContext
from nvsx.follow.run_request import RunRequest
from nvsx.follow.runner import Matches
from nvsx.follow.stalls import StallBook
from nvsx.follow.workplace import Workplace
from nvsx.notify.message_desk import take_in_left_messages
from nvsx.notify.telling import Telling
from nvsx.project import cel
from nvsx.serve.daemon_voice import DaemonVoice
from nvsx.serve.dispatcher import Dispatcher
from nvsx.serve.history_keeping import DailyPrune
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.intake import Identity, TriggerIntake
from nvsx.serve.limits_of_settings import incident_limits_of, limits_of
from nvsx.serve.logs import LogView
from nvsx.serve.lookout import Lookout
from nvsx.serve.masked_intake import MaskedIntake
from nvsx.serve.metrics import Metrics
from nvsx.serve.poll_source import PollSource
from nvsx.serve.recovery import Recovery
from nvsx.serve.run_door import KeeperDoor
from nvsx.serve.runbook_shelf import RunbookShelf
from nvsx.serve.watch_source import WatchSource
from nvsx.store import inbox_of, incidents_of

log = logging.getLogger(__name__)

MakeView = Callable[[Journal, Artifacts], View]
"""Makes a view of one run over the journal and the run's artifacts."""

TICK = 30.0
"""Seconds between two looks at what only time tells: silences and runbook files."""
PRUNE_EVERY = 3600.0
"""Seconds between two deletions of old events: they are kept for days, so it may be late."""
MOST_UNROUTED = 10_000
"""Faults without a runbook that are remembered, so that each is said once."""
RESTART_PAUSE = 5.0
"""Seconds until faults are followed again after that broke: not a busy loop."""
STALE_AFTER = 180.0
"""A watch that was silent for longer is not fresh; bookmarks come every minute or so."""


class Counted:
    """The Intake port, with a count of what could not be stored: a sender that is told to
    come again, or a source that tries again, is else seen in the log alone."""

    def __init__(self, intake: Intake, metrics: Metrics) -> None:
        self._intake, self._metrics = intake, metrics

    async def offer(self, event: TriggerEvent) -> Answer:
        try:
            return await self._intake.offer(event)
        except StoreError:
            self._metrics.count_event(event.source, "unavailable")
            raise


class Daemon:
    """What serves. `begin` it, offer events through `intake`, `end` it."""

    def __init__(
        self,
        world: Workplace,
        modes: tuple[str, ...],
        make_report: MakeView,
        *,
        poll_interval: float = 10.0,
        live_hooks: bool = False,
        metrics: Metrics | None = None,
        telling: Telling | None = None,
    ) -> None:
        self.world = world
        self.modes = modes
        self._make_report = make_report
        self.clock = SystemClock()
        self.metrics = metrics or Metrics()
        self.shelf = RunbookShelf(world.home.project.root)
        self.inbox = inbox_of(world.journal)
        settings = world.home.settings
        self.identity = Identity(
            uid=world.where.cluster,
            names=tuple(settings.cluster.names) or (world.where.name,),
            context=world.where.name,
            project=str(world.home.project.root),
            sandbox=world.where.sandbox,
            live_hooks=live_hooks,
        )
        limits = limits_of(settings)
        stalls = StallBook(world.home.state_dir)
        self.dispatcher = Dispatcher(
            journal=world.journal,
            inbox=self.inbox,
            clock=self.clock,
            assemble=self._assemble_run,
            limits=limits,
            crashed=lambda _: self.metrics.count_crash(),
            ended=self._run_ended,
            stalled=stalls.note_of,
        )
        self.keeper = IncidentKeeper(
            incidents=incidents_of(world.journal),
            observer=world.observer,
            clock=self.clock,
            cluster=self.identity.uid,
            limits=incident_limits_of(settings, sandbox=world.where.sandbox),
            masker=world.home.masker,
            sandbox=world.where.sandbox,
            inspect=world.observer.installation,
            routes=self._is_wanted,
        )
        self.voice: DaemonVoice | None = None
        if telling is not None:
            self.voice = DaemonVoice(telling, self.metrics, self.identity.uid)
        self.recovery = Recovery(
            world.journal,
            self.dispatcher,
            self.keeper,
            self.clock,
            cluster=self.identity.uid,
            project=self.identity.project,
            set_aside=stalls.is_set_aside,
        )
        self.intake = TriggerIntake(
            inbox=self.inbox,
            keeper=self.keeper,
            observer=world.observer,
            clock=self.clock,
            identity=self.identity,
            shelf=self.shelf,
            evaluate=cel.evaluate,
            limits=limits,
            started=self._heed_decision,
            told=self._log_answer,
        )
        self.door = MaskedIntake(Counted(self.intake, self.metrics), world.home.masker)
        self.watch = WatchSource(world.observer, self.door, self.clock)
        self.lookout = Lookout(self.watch, self.keeper, self.clock)
        self.poll: PollSource | None = None
        if "poll" in modes and world.health_events is not None:
            self.poll = PollSource(
                world.health_events,
                self.door,
                self.inbox,
                self.clock,
                poll_interval,
                lookback=limits.max_event_age,
                name=f"poll:{world.where.cluster}",
            )
        self._limits = limits
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pruned = float("-inf")
        self._history = DailyPrune(world.journal, settings.history.keep)
        self._silent: frozenset[int] = frozenset()
        self._unrouted: dict[tuple[str, str, str], None] = {}
        self._add_gauges()

    # --- beginning and ending -------------------------------------------------------------

    async def begin(self) -> tuple[int, int]:
        """Take up what was left, then what is open: (resumed, adopted) runs."""
        await self._follow_incidents()
        resumed = await self.recovery.recover()
        self.dispatcher.start()
        if "watch" in self.modes:
            self._spawn_task(self._follow_faults_for_good(), "watch")
        if self.poll is not None:
            self._spawn_task(self.poll.follow(), "poll")
        await self.recovery.note_ended_runs()
        adopted = await self.watch.adopt()
        self._silent = await self._list_silences()
        self._spawn_task(self._keep_house(), "housekeeping")
        self._spawn_task(self.lookout.keep(), "lookout")
        return resumed, adopted

    async def _follow_incidents(self) -> None:
        """Before anything else: what is open is followed whatever becomes of runs."""
        watched = f"watched:{self.identity.uid}"
        if self.voice is not None:
            self.voice.heed_silences(await self.inbox.silences(self.clock.now()))
            self.voice.listen_to(self.keeper)
        known = await self.keeper.begin(known=await self.inbox.cursor(watched) is not None)
        await self.inbox.set_cursor(watched, {"at": self.clock.now()})
        if self.voice is not None:
            await self.voice.take_up_incidents(self.keeper)
            await take_in_left_messages(self.world.home, self.world.journal)
        adopted = [i for i, state in self.keeper.open_incidents if state.opened.adopted]
        if adopted and not known:
            log.warning(
                "nvsx knew nothing of this cluster: %d open incidents are followed and nobody is "
                "paged for them; `nvsx incidents adopt NODE` does",
                len(adopted),
            )

    async def _follow_faults_for_good(self) -> None:
        """Follow faults for good; whatever breaks, begin again and look at what was missed."""
        following = self.watch.follow()
        while True:
            try:
                await following
            except Exception:
                log.exception("following faults failed; it begins again")
            await self.clock.sleep(RESTART_PAUSE)
            following = self.watch.follow()
            self.watch.forget()
            await self._adopt_open_faults(all_ages=True)

    async def end(self, *, grace: float | None = None) -> None:
        """Take nothing more and leave what is unfinished to the next start."""
        self.intake.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.dispatcher.stop(grace)
        await self.keeper.end()

    def _spawn_task(self, work: Awaitable[Any], name: str) -> None:
        task = asyncio.ensure_future(work)
        task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._forget_task)

    def _forget_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended: %r", task.get_name(), error, exc_info=error)

    # --- runs -----------------------------------------------------------------------------

    def _assemble_run(
        self, lease: Lease, runbook: str, request: RunRequest
    ) -> tuple[RunContext, Matches]:
        loaded = self.shelf.get(runbook)
        door = KeeperDoor(self.keeper)
        run, matches = self.world.assemble_run(loaded, lease, request, door)
        report = self._make_report(self.world.journal, run.artifacts)
        run.views = (self.metrics.make_view(loaded.name), LogView(), report)
        return run, matches

    def _heed_decision(self, taken: Taken) -> None:
        self.dispatcher.taken(taken)
        decision = taken.decision
        joined = decision.outcome == "attached" and decision.asks
        if joined and not self.dispatcher.has(decision.run_id):
            # The run it met is another process's; if that has died, it is ours now.
            self._spawn_task(self.recovery.rescue(decision.run_id), "rescue")

    def _log_answer(self, event: TriggerEvent, answer: Answer, decision: Decision) -> None:
        outcome = "throttled" if decision.throttled else answer.outcome
        self.metrics.count_event(event.source, outcome)
        node = event.facts.node
        where = f" on {node} ({alias_of(node)})" if node else ""
        what = f"{event.facts.check_name} {','.join(event.facts.error_codes)}".strip() or "event"
        run = f" run {answer.run_id}" if answer.run_id not in answer.reason else ""
        fields = {"event_id": answer.event_id, "outcome": outcome, "run_id": answer.run_id}
        log.info(
            "%s: %s%s: %s%s: %s",
            event.source,
            what,
            where,
            outcome,
            run,
            answer.reason,
            extra={"nvsx": fields | {"source": event.source, "node": node}},
        )
        if event.unseen:
            self.lookout.everywhere()
        self.lookout.note_offered(event)
        if decision.throttled:
            self.lookout.later(node)

        if decision.unrouted:
            self._warn_unrouted(event)

    def _warn_unrouted(self, event: TriggerEvent) -> None:
        """A fault that is to be repaired and wakes nobody: counted and said once an incident."""
        found = self.keeper.incident_on(event.facts.node)
        fault = (found[0] if found else "", event.facts.node, event.facts.check_name)
        if fault in self._unrouted:
            return
        self._unrouted[fault] = None
        while len(self._unrouted) > MOST_UNROUTED:
            del self._unrouted[next(iter(self._unrouted))]
        self.metrics.count_unrouted()
        log.warning(
            "%s %s on %s is nobody's: no runbook takes it. Add one for it, or a catch-all",
            event.facts.check_name or "a fault",
            ",".join(event.facts.error_codes),
            event.facts.node,
        )

    def _is_wanted(self, node: str, fault: SeenFault) -> bool:
        """Whether a runbook takes a fault that is not fatal."""
        return self.intake.is_wanted(node, fault)

    def _run_ended(self, run_id: str, node: str) -> None:
        if node:
            self._spawn_task(self._tell_run_ended(run_id), f"end of {run_id}")

    async def _tell_run_ended(self, run_id: str) -> None:
        """What cannot be stored now is noted by housekeeping."""
        with suppress(StoreError, ClusterError):
            row = await self.world.journal.run(run_id)
            await self.keeper.tell_run_ended(run_id, row.status)

    # --- what only time tells -------------------------------------------------------------

    async def _keep_house(self) -> None:
        while True:
            await self.clock.sleep(TICK)
            try:
                await self._tidy_up()
            except NvsxError as error:
                log.warning("housekeeping waits: %s", error)
            except Exception:
                log.exception("housekeeping failed; it goes on")

    async def _tidy_up(self) -> None:
        changed = await self.shelf.refresh()
        silent = await self._list_silences()
        ended, self._silent = self._silent - silent, silent
        adopted = await self.keeper.take_in_what_people_wrote()
        if changed or ended or adopted:
            self.watch.forget()
            self.lookout.start_over()
        if "watch" in self.modes or ended or adopted:
            await self._adopt_open_faults(all_ages=bool(changed or ended or adopted))
        self.lookout.again()
        await self.recovery.note_ended_runs()
        now = self.clock.now()
        if self.voice is not None:
            await take_in_left_messages(self.world.home, self.world.journal)
            await self.voice.read_waiting(now)
        if now - self._pruned >= PRUNE_EVERY:
            self._pruned = now
            await self.inbox.prune(now - self._limits.keep_events)
        await self._history.prune_if_due(now)

    async def _adopt_open_faults(self, *, all_ages: bool) -> None:
        with suppress(ClusterError):
            await self.watch.adopt(all_ages=all_ages)

    async def _list_silences(self) -> frozenset[int]:
        found = await self.inbox.silences(self.clock.now())
        if self.voice is not None:
            self.voice.heed_silences(found)
        return frozenset(s.silence_id for s in found)

    # --- how it is ------------------------------------------------------------------------

    async def readyz(self) -> tuple[bool, dict[str, str]]:
        """Ready: the store can be written, the nodes are followed, the sources run."""
        told = {"store": "ok", "cluster": self._cluster_state(), "sources": self._source_state()}
        try:
            async with asyncio.timeout(2.0):
                await self.inbox.probe()
        except (StoreError, TimeoutError) as error:
            told["store"] = getattr(error, "message", "no answer")
        return all(v == "ok" for v in told.values()), told

    def _cluster_state(self) -> str:
        age = self._watch_age()
        if age < 0:
            return "the nodes have not been read yet"
        return "ok" if age <= STALE_AFTER else f"nothing heard of the nodes for {age:.0f} s"

    def _source_state(self) -> str:
        running = {task.get_name() for task in self._tasks}
        lost = [m for m in self.modes if m in ("watch", "poll") and m not in running]
        if lost:
            return f"not running: {', '.join(lost)}"
        polled = "ok" if self.poll is None else self.poll.state()
        return polled if polled == "ok" else f"poll: {polled}"

    def _watch_age(self) -> float:
        """Seconds since the cluster said anything about nodes; -1 before the first list."""
        nodes = next((h for h in self.world.cluster.health() if h.path == "/api/v1/nodes"), None)
        if nodes is None or not nodes.last_seen:
            return -1.0
        return max(0.0, self.clock.now() - nodes.last_seen)

    def _add_gauges(self) -> None:
        add = self.metrics.add_gauge
        add("nvsx_runs_working", "Runs being worked.", lambda: self.dispatcher.working)
        add("nvsx_runs_queued", "Runs waiting for room.", lambda: self.dispatcher.queued)
        add("nvsx_incidents_open", "Open incidents.", lambda: len(self.keeper.open_incidents))
        add("nvsx_watch_age_seconds", "Since the last word on nodes.", self._watch_age)
        add("nvsx_runbooks", "Runbooks in use.", lambda: len(self.shelf.loaded))
