"""`nvsx run`: one run by hand, on a cluster or on the embedded sandbox.

The command line and the shell call `run_by_hand` alike; they bring the views and, on a
terminal, the choice between nodes.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nvsx.commands.run.run_options import SIGNALS, Reins, RunOptions, check
from nvsx.commands.sandbox.sandbox_errors import translate_sandbox_errors
from nvsx.core.aliases import alias_of
from nvsx.core.errors import StoreBusy, StoreError, UsageError
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import Lease, NewRun
from nvsx.core.notify.told_words import tell_delivery
from nvsx.core.ports import View
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.follow.asks import heed_one
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.rehearsal import refuse_watched_drill
from nvsx.follow.run_context import RunContext
from nvsx.follow.run_request import RunRequest, place_request, request_of
from nvsx.follow.runner import Runner
from nvsx.follow.stalls import StallBook
from nvsx.follow.target_node import Choose, resolve_target_node
from nvsx.follow.workplace import Workplace, open_workplace
from nvsx.notify.message_desk import make_run_spools, take_in_left_messages
from nvsx.notify.settled_news import SettledNews
from nvsx.notify.telling import Bell, Telling, list_undelivered, open_telling
from nvsx.project.home import Home
from nvsx.screens.report.past_reports import ReportView
from nvsx.serve.run_door import open_own_keeper
from nvsx.store import inbox_of

if TYPE_CHECKING:
    from nvsentinel_sandbox.host import Sandbox

DELIVERIES_HAVE = 30.0
"""Seconds after a run's end for what people are still to be told."""
AT_ONCE = 0.5
"""Seconds a second Ctrl-C leaves the script that is running."""

Announce = Callable[[str], None]


async def choose_target(home: Home, choose: Choose) -> str | None:
    """The node to run on when none was named; None to wait for a fault.

    For front ends that cannot ask once they own the terminal. Raises as `run_by_hand`.
    """
    async with open_workplace(home) as workplace:
        return await resolve_target_node(workplace.observer, None, choose) or None


async def run_by_hand(
    home: Home,
    options: RunOptions,
    views: Sequence[View],
    *,
    choose: Choose | None = None,
    announce: Announce = lambda _: None,
    reins: Reins | None = None,
) -> j.Finish:
    """Run a runbook to its end. Raises NvsxError when it cannot begin.

    With `reins` the caller handles signals; without, the first Ctrl-C or SIGTERM cancels.
    `nvsx runs cancel` and `note` from another terminal are heeded within a second.
    """
    loaded = check(home, options)
    bell, settled = Bell(), SettledNews()
    spools = make_run_spools(home, bell.ring, settled)
    async with (
        _maybe_sandbox(loaded, options, announce) as sandbox,
        open_workplace(home, sandbox, spools) as workplace,
        open_telling(
            home,
            workplace.journal,
            SystemClock(),
            cluster_name=workplace.where.name,
            routed=False,
            live=options.live_hooks,
            on_settled=settled.tell,
        ) as telling,
        open_own_keeper(workplace, telling.speaker) as door,
    ):
        bell.call = telling.deliverer.nudge
        await take_in_left_messages(home, workplace.journal)
        lease, request = await _claim_run(workplace, loaded, options, choose, sandbox)
        run, matches = workplace.assemble_run(loaded, lease, request, door)
        runner = Runner(run, matches=matches)
        if workplace.where.sandbox and not options.sandbox:
            announce(_on_a_sandbox(workplace, run.request))
        injector = _Injector(sandbox, loaded, run.node) if sandbox else None
        report = ReportView(workplace.journal, run.artifacts)
        run.views = (*views, report, *([injector] if injector else []))
        if options.resume:
            await _replay_journal(run)
        heeding = asyncio.create_task(heed_one(inbox_of(workplace.journal), runner), name="asks")
        try:
            if reins is None:
                return await _work_until_signal(runner)
            reins.take(runner)
            return await runner.work()
        except StoreBusy as error:
            if sandbox is not None:
                raise  # its cluster ends with it
            again = f"nvsx run {loaded.name} --resume {run.lease.run_id}"
            raise StoreBusy(error.message, f"{error.hint}; then `{again}` goes on") from error
        finally:
            heeding.cancel()
            await asyncio.gather(heeding, return_exceptions=True)
            if injector is not None:
                await injector.close()
            await _deliver_the_rest(run, telling, announce)
            await report.close()


async def _deliver_the_rest(run: RunContext, telling: Telling, announce: Announce) -> None:
    """Wait for what people are still to be told, half a minute at most, and say what is left."""
    if run.incident is None:
        return
    try:
        await telling.speaker.speak_now(run.incident.incident, run.incident.current)
        left = await telling.deliverer.until_delivered([run.incident.incident], DELIVERIES_HAVE)
    except StoreError as error:
        announce(f"what people are still to be told waits: {error.message}")
        return
    for delivery in list_undelivered(left):
        announce(tell_delivery(delivery))
    if list_undelivered(left):
        announce("not everybody was told: the next nvsx of this state folder goes on trying")


@asynccontextmanager
async def _maybe_sandbox(
    loaded: LoadedRunbook, options: RunOptions, announce: Announce
) -> AsyncIterator[Sandbox | None]:
    if not options.sandbox:
        yield None
        return
    from nvsentinel_sandbox.host import Sandbox  # the cluster in a process is not free to import

    if loaded.runbook.drill is None:
        raise UsageError(
            f"{loaded.name} names no fault to inject",
            "add `drill: {fault: …}` to it; `nvsx sandbox faults` lists them",
        )
    announce("starting a sandbox cluster in this process")
    variant = options.variant or loaded.runbook.drill.variant or ""
    with (
        translate_sandbox_errors(),
        tempfile.TemporaryDirectory(prefix="nvsx-sandbox-") as folder,
    ):
        sandbox = Sandbox(
            state_dir=Path(folder), speed=options.speed, variant=variant, alias_of=alias_of
        )
        await sandbox.start()
        try:
            yield sandbox
        finally:
            await sandbox.stop()


async def _claim_run(
    workplace: Workplace,
    loaded: LoadedRunbook,
    options: RunOptions,
    choose: Choose | None,
    sandbox: Sandbox | None,
) -> tuple[Lease, RunRequest]:
    """Create (or take over) the run, with its claim on the node."""
    if options.resume:
        lease, wish = await _taken_over(workplace, loaded, options.resume, options)
        request = place_request(workplace.where, wish)
    else:
        wanted = options.target_node or (sandbox.default_node if sandbox else None)
        node = await resolve_target_node(workplace.observer, wanted, choose)
        if options.drill:
            await refuse_watched_drill(workplace, node)
        request = place_request(workplace.where, _request_of_options(workplace, node, options))
        lease = await workplace.journal.create(
            NewRun(
                runbook=loaded.name,
                cluster=workplace.where.cluster,
                node=node,
                sandbox=request.sandbox,
                drill=options.drill,
                project=str(loaded.root),
            )
        )
    return lease, request


def _request_of_options(workplace: Workplace, node: str, options: RunOptions) -> RunRequest:
    return RunRequest(
        node=node,
        cluster=workplace.where.cluster,
        context=workplace.where.name,
        project=str(workplace.home.project.root),
        sandbox=options.sandbox,
        drill=options.drill,
        live_hooks=options.live_hooks,
        strict=options.strict,
        fresh=options.sandbox or options.drill,
        dwell=options.dwell,
    )


async def _taken_over(
    workplace: Workplace, loaded: LoadedRunbook, run_id: str, options: RunOptions
) -> tuple[Lease, RunRequest]:
    """Become the owner of an interrupted run, with its request as it was first made."""
    entries = await workplace.journal.read(run_id)
    start = next((e.body for e in entries if isinstance(e.body, j.Start)), None)
    if start is None:
        raise UsageError(f"run {run_id} never began", "start a new one")
    if start.runbook != loaded.name:
        raise UsageError(
            f"run {run_id} is of runbook {start.runbook}, not {loaded.name}",
            f"nvsx run {start.runbook} --resume {run_id}",
        )
    if not _same_project(start.project, loaded.root):
        raise UsageError(
            f"run {run_id} is of the project {start.project}, not {loaded.root}",
            f"nvsx --project {start.project} run {start.runbook} --resume {run_id}",
        )
    if start.cluster != workplace.where.cluster:
        raise UsageError(
            f"run {run_id} was on another cluster (context {start.context})",
            "that sandbox is gone: start a new run"
            if start.sandbox
            else f"use --context {start.context}",
        )
    lease = await workplace.journal.take_over(run_id)
    StallBook(workplace.home.state_dir).forgive(run_id)
    request = request_of(start)
    return lease, msgspec.structs.replace(
        request,
        strict=request.strict or options.strict,
        live_hooks=request.live_hooks or options.live_hooks,
        dwell=options.dwell,
    )


def _on_a_sandbox(workplace: Workplace, request: RunRequest) -> str:
    """What a person is told whose kubeconfig leads to a sandbox."""
    told = f"{workplace.where.name} is a sandbox: the run is not in the statistics"
    paged = "its hooks may page people" if request.live_hooks else "it pages nobody"
    return f"{told}, and {paged}"


def _same_project(recorded: str, root: Path) -> bool:
    """Whether a run's project is the one at hand; one that was moved away is taken for it."""
    before = Path(recorded)
    return not recorded or not before.exists() or before.resolve() == root.resolve()


async def _replay_journal(run: RunContext) -> None:
    run.replay(await run.ports.journal.read(run.run_id))
    await run.record(j.Resumed(owner=run.lease.owner, epoch=run.lease.epoch))


async def _work_until_signal(runner: Runner) -> j.Finish:
    """Work the run; the first Ctrl-C or SIGTERM cancels it, the second stops at once."""
    work = asyncio.ensure_future(runner.work())
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def interrupt(code: int, word: str) -> None:
        if asked:
            work.cancel()
            # A script gets this long to clean up, not the usual grace: then it is killed.
            loop.call_later(AT_ONCE, work.cancel)
        asked.append(code)
        runner.cancel("operator", word, code)

    # nohup leaves SIGHUP ignored: whoever starts a run so wants it to outlive the terminal.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heeded = [s for s in SIGNALS if not (nohup and s[0] == signal.SIGHUP)]
    for signum, code, word in heeded:
        loop.add_signal_handler(signum, interrupt, code, word)
    try:
        return await work
    except asyncio.CancelledError:
        if not asked:
            raise
        return j.Finish(
            ok=False, status="interrupted", reason="stopped at once", exit_code=asked[0]
        )
    finally:
        for signum, _, _ in heeded:
            loop.remove_signal_handler(signum)


class _Injector:
    """A view that causes the drill's fault once the run watches for it, and no earlier."""

    def __init__(self, sandbox: Sandbox, loaded: LoadedRunbook, node: str) -> None:
        self._sandbox, self._node = sandbox, node
        drill = loaded.runbook.drill
        self._fault = drill.fault if drill else ""
        self._stages = [s.id for s in loaded.runbook.stages]
        self._task: asyncio.Task[str] | None = None

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        body = entry.body
        if replayed or self._task is not None or not isinstance(body, j.StageBegin):
            return
        if body.stage not in ("preflight", "baseline") or body.stage == self._stages[-1]:
            self._task = asyncio.create_task(
                self._sandbox.inject(self._fault, self._node, people=True)
            )

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
