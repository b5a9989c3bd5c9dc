"""Works the daemon's runs: a queue of identities, a bounded number at once, none forgotten.

The queue carries run ids and nothing else: whoever works a run re-reads its journal and
the cluster. A run that crashes is taken up again from its journal, or ended with its
reason; it never takes the daemon down. Stopping leaves every unfinished run in the journal
for the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from nvsx.core.errors import NvsxError, StaleOwner, StoreError, UsageError
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import Lease
from nvsx.core.ports import Clock, Journal
from nvsx.core.routing.inbox import Ask, Inbox, Taken
from nvsx.core.working import WORKED_RUN
from nvsx.follow.asks import heed, write_note
from nvsx.follow.run_context import RunContext
from nvsx.follow.run_request import RunRequest, request_of
from nvsx.follow.runner import Matches, Runner
from nvsx.serve.limits import Limits
from nvsx.serve.storms import StormBook

log = logging.getLogger(__name__)

#: A run that fails for a reason of its own is taken up again so often, then ended.
TRIES = 3
LONGEST_PAUSE = 60.0
#: How often and how long a write is tried that ends a run which cannot be worked.
_END_TRIES = 5


class Assemble(Protocol):
    """Puts a run together. Raises UsageError and InvalidRunbook when its runbook is gone."""

    def __call__(
        self, lease: Lease, runbook: str, request: RunRequest
    ) -> tuple[RunContext, Matches]: ...


@dataclass(slots=True)
class Slot:
    """A run of this process, queued or being worked. `counts`: it takes one of the turns."""

    lease: Lease
    resumed: bool = False
    run: RunContext | None = None
    runner: Runner | None = None
    task: asyncio.Task[None] | None = None
    cancel: Ask | None = None
    told: set[str] = field(default_factory=set)
    counts: bool = False


class Dispatcher:
    """See the module. `start` it, `submit` and `resume` runs, `stop` it.

    `crashed` is told of each run that stopped for a reason outside of it, `ended` of each that
    has finished, with its node: its incident goes on.
    `stalled` has words for the record of a resumed run in which the daemon stalled, else "".
    `wake` is for whoever learns that something is asked of a run.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        inbox: Inbox,
        clock: Clock,
        assemble: Assemble,
        limits: Limits,
        crashed: Callable[[str], None] = lambda _: None,
        ended: Callable[[str, str], None] = lambda *_: None,
        stalled: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._journal = journal
        self._inbox = inbox
        self._clock = clock
        self._assemble = assemble
        self._limits = limits
        self._crashed = crashed
        self._ended = ended
        self._stalled = stalled
        self._slots: dict[str, Slot] = {}
        self._queue: deque[str] = deque()
        self._working = 0
        self._stopping = False
        self._storms = StormBook()
        self._pump: asyncio.Task[None] | None = None

    # --- what is going on -----------------------------------------------------------------

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def working(self) -> int:
        return self._working

    def has(self, run_id: str) -> bool:
        """Whether this process has the run, queued or at work."""
        return run_id in self._slots

    # --- beginning and ending -------------------------------------------------------------

    def start(self) -> None:
        """Begin to work; runs submitted before begin now."""
        heeding = heed(self._inbox, self._clock, self._carry_out)
        self._pump = asyncio.create_task(heeding, name="asks")
        self._fill_places()

    def taken(self, taken: Taken) -> None:
        """What the intake has stored: a new run is queued, a storm is known."""
        decision = taken.decision
        if taken.lease is not None:
            if decision.storm:
                runs = (*decision.members, taken.lease.run_id)
                self._storms.join(decision.storm, runs, decision.storm_size)
            self.submit(taken.lease)

    def submit(self, lease: Lease, *, resumed: bool = False) -> None:
        """Queue a run this process owns. It is worked as soon as there is room."""
        if lease.run_id in self._slots:
            return
        self._slots[lease.run_id] = Slot(lease, resumed)
        self._queue.append(lease.run_id)
        self._fill_places()

    async def stop(self, grace: float | None = None) -> None:
        """Begin nothing more; let running scripts end for `grace` seconds; then leave what
        is not finished to the next start."""
        self._stopping = True
        self._queue.clear()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        until = self._clock.now() + (self._limits.grace if grace is None else grace)
        while True:
            for slot in self._slots.values():
                if slot.task is not None and not _in_script(slot):
                    slot.task.cancel()
            left = [s.task for s in self._slots.values() if s.task is not None]
            if not left or self._clock.now() >= until:
                break
            await self._clock.sleep(0.1)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # --- working --------------------------------------------------------------------------

    def _fill_places(self) -> None:
        while self._queue and not self._stopping and self._pump is not None:
            if self._working >= self._limits.max_concurrent_runs:
                return
            self._begin_work(self._queue.popleft())

    def _begin_work(self, run_id: str) -> None:
        slot = self._slots[run_id]
        self._working += 1
        slot.counts = True
        slot.task = asyncio.create_task(self._work_run(slot), name=f"run {run_id}")

    async def _work_run(self, slot: Slot) -> None:
        run_id = slot.lease.run_id
        WORKED_RUN.set(run_id)
        try:
            await self._to_the_end(slot)
        except StaleOwner:
            log.warning("run %s was taken over by another process", run_id)
        except asyncio.CancelledError:
            log.info("run %s is left to the next start", run_id)
        except Exception:
            # The last resort: the run stays unfinished, and the next start takes it up.
            log.exception("run %s cannot be worked", run_id)
            self._crashed(run_id)
        finally:
            self._give_turn_back(slot)
            del self._slots[run_id]
            self._storms.forget(run_id)
            self._fill_places()

    def _give_turn_back(self, slot: Slot) -> None:
        """A run that only watches its incident leaves its turn to the next."""
        if slot.counts:
            slot.counts = False
            self._working -= 1
            self._fill_places()

    async def _to_the_end(self, slot: Slot) -> None:
        """Work the run until it has finished, through crashes and a store that is busy."""
        failures, bugs, last = 0, 0, ""
        while True:
            try:
                await self._work_once(slot, last)
            except (StaleOwner, asyncio.CancelledError):
                raise
            except Exception as error:
                waits = isinstance(error, NvsxError) and (
                    error.retryable or isinstance(error, StoreError | UsageError)
                )
                if self._stopping:
                    return None  # what ended it is our own end
                failures, bugs = failures + 1, bugs + (not waits)
                last = str(error) if isinstance(error, NvsxError) else f"internal error: {error!r}"
                log.warning(
                    "run %s stopped: %s", slot.lease.run_id, last, exc_info=None if waits else error
                )
                self._crashed(slot.lease.run_id)
                if bugs >= TRIES:
                    return await self._end_run(slot, "failed", last)
            else:
                return None
            finally:
                slot.run = slot.runner = None
            await self._clock.sleep(min(LONGEST_PAUSE, 2.0**failures))

    async def _work_once(self, slot: Slot, last_error: str) -> None:
        """Take the run up from its journal and work it."""
        run_id = slot.lease.run_id
        entries = await self._journal.read(run_id)
        start = next((e.body for e in entries if isinstance(e.body, j.Start)), None)
        if entries and isinstance(entries[-1].body, j.Finish):
            return
        runbook = start.runbook if start else (await self._journal.run(run_id)).runbook
        request = await self._read_request(run_id, start)
        if slot.resumed:
            self._storms.know(run_id, await self._inbox.storm_of(run_id))
        run, matches = self._assemble(slot.lease, runbook, request)
        run.more_facts = lambda: self._storms.facts(run_id)
        if start is not None:
            run.replay(entries)
            slot.told = {n.text for _, n in run.state.notes}
            stage = run.state.current.id if run.state.current else ""
            if slot.resumed:
                epoch = slot.lease.epoch
                await run.record(j.Resumed(owner=slot.lease.owner, epoch=epoch, stage=stage))
                if text := self._stalled(run_id):
                    await run.record(j.NoteMade(stage=stage, text=text, code="stalled"))
            elif last_error:
                text = f"taken up again after: {last_error}"
                await run.record(j.NoteMade(stage=stage, text=text, code="taken-up"))
        slot.resumed = False
        slot.run, slot.runner = run, Runner(run, matches=matches)
        run.only_following = lambda: self._give_turn_back(slot)
        if slot.cancel is not None:
            slot.runner.cancel(slot.cancel.by, slot.cancel.text)
        await slot.runner.work()
        self._ended(run_id, run.node)

    async def _read_request(self, run_id: str, start: j.Start | None) -> RunRequest:
        """What the run was asked for: as an event asked, else as its journal tells."""
        stored = await self._inbox.request_of(run_id)
        if stored:
            return msgspec.json.decode(stored, type=RunRequest)
        if start is None:
            row = await self._journal.run(run_id)
            return RunRequest(
                node=row.node, trigger=row.trigger, cluster=row.cluster, by_hand=False
            )
        return msgspec.structs.replace(request_of(start), by_hand=False)

    async def _end_run(self, slot: Slot, status: j.RunStatus, reason: str) -> None:
        """End a run that cannot be worked, with the reason."""
        row = await self._journal.run(slot.lease.run_id)
        total = max(0.0, self._clock.now() - row.created)
        finish = j.Finish(
            ok=False, status=status, reason=reason, total_s=round(total, 3), exit_code=1
        )
        for turn in range(_END_TRIES):
            try:
                await self._journal.append(slot.lease, [finish], durable=True)
            except StaleOwner:
                raise
            except StoreError as error:
                log.warning("run %s cannot be ended: %s", slot.lease.run_id, error)
                await self._clock.sleep(2.0**turn)
            else:
                self._ended(slot.lease.run_id, row.node)
                return

    # --- what people ask ------------------------------------------------------------------

    async def _carry_out(self, ask: Ask) -> bool:
        """Do one ask; whether it is done with. One for a run elsewhere is not ours."""
        slot = self._slots.get(ask.run_id)
        if slot is None:
            return False
        if ask.kind == "cancel":
            return self._cancel_run(slot, ask)
        return slot.run is not None and await write_note(slot.run, ask, slot.told)

    def _cancel_run(self, slot: Slot, ask: Ask) -> bool:
        slot.cancel = ask
        if slot.runner is not None:
            slot.runner.cancel(ask.by, ask.text)
        elif slot.task is None and not self._stopping:
            self._queue.remove(slot.lease.run_id)
            self._begin_work(slot.lease.run_id)  # it only has to be ended: room or not
        return True


def _in_script(slot: Slot) -> bool:
    """Whether a script of the run is running now: then the run is worth waiting for."""
    run = slot.run
    if run is None:
        return False
    return any(s.ended is None for stage in run.state.stages for s in stage.scripts)
