"""`nvsx serve`: one daemon as a process, from its options to its last line.

Order matters: the daemon has begun before senders are let in, and they are shut out before
it ends. One process serves a cluster and state folder; signals end it cleanly.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)

from nvsx.core.errors import UsageError
from nvsx.core.notify.outbox import Delivery
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.one_daemon import hold_daemon_lock
from nvsx.follow.workplace import open_workplace
from nvsx.notify.message_desk import make_run_spools
from nvsx.notify.settled_news import SettledNews
from nvsx.notify.telling import Bell, open_telling
from nvsx.project.home import Home
from nvsx.serve.daemon import Daemon, MakeView
from nvsx.serve.daemon_voice import note_deliveries
from nvsx.serve.metrics import Metrics
from nvsx.serve.serve_options import ServeOptions, modes_of
from nvsx.serve.webhook.web_service import Webhooks

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Announce = Callable[[str], None]


@asynccontextmanager
async def open_daemon(
    home: Home, options: ServeOptions, make_report: MakeView
) -> AsyncIterator[Daemon]:
    """A daemon that is about to begin. Raises NvsxError when it cannot serve."""
    modes = modes_of(home, options)
    async with AsyncExitStack() as stack:
        bell, settled = Bell(), SettledNews()
        world = await stack.enter_async_context(
            open_workplace(home, make_spool=make_run_spools(home, bell.ring, settled))
        )
        if options.live_hooks and not world.where.sandbox:
            raise UsageError(
                f"--live-hooks is about a sandbox, and {world.where.name} is a real cluster",
                "leave it out: on a real cluster runs page people anyway",
            )
        stack.enter_context(hold_daemon_lock(home.state_dir, world.where.cluster))
        metrics = Metrics()

        def hear_settled(deliveries: Sequence[Delivery]) -> None:
            note_deliveries(metrics, deliveries)
            settled.tell(deliveries)

        names = home.settings.cluster.names
        telling = await stack.enter_async_context(
            open_telling(
                home,
                world.journal,
                SystemClock(),
                cluster_name=names[0] if names else world.where.name,
                live=options.live_hooks,
                on_settled=hear_settled,
            )
        )
        bell.call = telling.deliverer.nudge
        daemon = Daemon(
            world,
            modes,
            make_report,
            metrics=metrics,
            telling=telling,
            poll_interval=options.poll_interval or home.settings.serve.poll_interval,
            live_hooks=options.live_hooks,
        )
        yield daemon


async def serve(
    home: Home,
    options: ServeOptions,
    make_report: MakeView,
    announce: Announce,
    show: Announce = lambda _: None,
    watched: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Serve until Ctrl-C or SIGTERM; a second one ends the grace period. `make_report` makes
    the view that writes a run's report, which a screen knows how to do. `show` gets the
    header that callers need, which `announce` must not. The loop is `watched` once the store
    is open: to bring a large one up to date may take its time."""
    stop, at_once = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (at_once if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, asked)
    try:
        async with open_daemon(home, options, make_report) as daemon:
            with watched():
                await _serve_until(stop, at_once, daemon, options, announce, show)
        announce("stopped")
    finally:
        for number in _STOPS:
            loop.remove_signal_handler(number)


async def _serve_until(
    stop: asyncio.Event,
    at_once: asyncio.Event,
    daemon: Daemon,
    options: ServeOptions,
    announce: Announce,
    show: Announce,
) -> None:
    webhooks = Webhooks(daemon, options)
    try:
        resumed, adopted = await daemon.begin()
        for line in _greet_operator(daemon, resumed, adopted):
            announce(line)
        for line in await webhooks.start():
            announce(line)
        show(webhooks.authorization)
        announce("ready")
        await stop.wait()
        announce("stopping: running scripts may end; the rest resumes at the next start")
    finally:
        daemon.intake.close()
        await webhooks.stop()
        await _end_daemon(daemon, at_once)


async def _end_daemon(daemon: Daemon, at_once: asyncio.Event) -> None:
    ending = asyncio.ensure_future(daemon.end())
    hurry = asyncio.ensure_future(at_once.wait())
    await asyncio.wait({ending, hurry}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not ending.done():
        ending.cancel()
        await asyncio.wait({ending})
        await daemon.end(grace=0.0)
    else:
        ending.result()


def _greet_operator(daemon: Daemon, resumed: int, adopted: int) -> Iterator[str]:
    world, project = daemon.world, daemon.world.home.project
    count = len(daemon.shelf.loaded)
    yield f"project {project.root} ({count} runbook{'s' if count != 1 else ''})"
    names = ", ".join(daemon.identity.names)
    paged = "its runs page people" if daemon.identity.live_hooks else "nobody is paged"
    kind = f", a sandbox: {paged}" if world.where.sandbox else ""
    yield f"cluster {world.where.name} ({daemon.identity.uid}{kind}); events may call it {names}"
    yield f"modes {', '.join(daemon.modes)}; state {world.home.state_dir}"
    if resumed:
        yield f"{resumed} interrupted runs go on"
    if adopted:
        yield f"{adopted} open incidents had no run: adopted, late"
