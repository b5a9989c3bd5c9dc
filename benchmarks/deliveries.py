"""How long a message takes from being accepted to its receipt, beside a bare request.

    python benchmarks/deliveries.py [TIMES]

A real store on disk, real HTTP to a receiver on this machine that answers at once. Each message is
accepted, judged, marked, sent and settled, with four flushed commits; a bare post of aiohttp takes
turns with it. Then a burst: a thousand messages of 250 incidents at once, at no rate.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from nvsx.core.notify.addressing import NotifyBook
from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import Delivery, OutboxFilter
from nvsx.core.notify.subject import Subject
from nvsx.follow.workplace import SystemClock
from nvsx.notify.deliverer import Deliverer, DeliveryTarget
from nvsx.notify.message_desk import MessageDesk
from nvsx.notify.targets.webhook_target import Webhook
from nvsx.store import open_store, outbox_of

BURST, INCIDENTS = 1000, 250
GOAL = 250.0
"""Milliseconds, p99: nobody reads faster."""


async def answer(request: web.Request) -> web.Response:
    """Takes anything."""
    await request.read()
    return web.Response(status=204)


async def ask_nothing(subject: str) -> Subject:
    """The store knows no incident: what is measured is the delivery."""
    return Subject(subject=subject)


async def measure(times: int) -> int:
    """Measure and print."""
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    with tempfile.TemporaryDirectory() as folder:
        journal = open_store(Path(folder))
        outbox, target, clock = outbox_of(journal), Webhook("audit", url, None), SystemClock()
        book = NotifyBook(kinds={"audit": "webhook"}, post=("audit",))
        desk = MessageDesk(outbox, book, clock.now, lambda: deliverer.nudge())  # noqa: PLW0108 - made below
        settled: dict[str, float] = {}

        def note(deliveries: Sequence[Delivery]) -> None:
            settled.update({d.message.call: time.perf_counter() for d in deliveries})

        fast = DeliveryTarget(target=target, per_minute=1e9, burst=BURST)
        deliverer = Deliverer(
            outbox,
            {"audit": fast},
            desk.accept,
            ask_nothing,
            clock,
            owner=journal.owner,
            on_settled=note,
        )
        task = asyncio.create_task(deliverer.run())
        bare, whole = [], []
        async with aiohttp.ClientSession() as session:
            for number in range(times):
                began = time.perf_counter()
                async with session.post(url, json={"title": "x"}) as said:
                    await said.read()
                bare.append((time.perf_counter() - began) * 1000)
                began = time.perf_counter()
                call = f"one/{number}"
                post = Message(call=call, kind="post", title="x", incident=f"i-{number}")
                await desk.accept([post])
                while call not in settled:  # noqa: ASYNC110 - finer than an event would be told
                    await asyncio.sleep(0.0005)
                whole.append((settled[call] - began) * 1000)
        show("aiohttp post", bare)
        show("accepted to receipt", whole)
        began = time.perf_counter()
        for number in range(BURST):
            incident = f"b-{number % INCIDENTS}"
            post = Message(call=f"b/{number}", kind="post", title=f"{number}", incident=incident)
            await desk.accept([post])
        accepted = time.perf_counter() - began
        while await outbox.deliveries(OutboxFilter(only_open=True, limit=1)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        took = time.perf_counter() - began
        print(f"burst of {BURST}: accepted in {accepted:.1f} s, all told after {took:.1f} s")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await target.close()
        journal.close()
    await runner.cleanup()
    met = statistics.quantiles(whole, n=100)[98] < GOAL
    print(f"goal: p99 below {GOAL:g} ms: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def show(name: str, values: list[float]) -> None:
    """One line."""
    p50, p99 = statistics.median(values), statistics.quantiles(values, n=100)[98]
    print(f"{name:20} p50 {p50:6.1f} ms, p99 {p99:6.1f} ms")


if __name__ == "__main__":
    sys.exit(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200)))
