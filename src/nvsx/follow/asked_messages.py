"""What a run's scripts ask people to be told: heard while they run, and kept before their end is.

12:00:00 on-quarantine.sh begins; its `nvsx notify page` is stored at once, and recorded
12:00:03 it ends: whatever still lies in the spool is stored
12:00:03 its end is recorded: from now on it is never run again, and nothing of it is lost
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nvsx.core.errors import StoreError
from nvsx.core.journal import entries as j
from nvsx.core.notify.outbox import Delivery
from nvsx.core.notify.spool_format import SpoolAbout
from nvsx.core.notify.spool_port import AskedMessage
from nvsx.core.notify.told_words import is_failing, tell_outcome
from nvsx.follow.run_context import RunContext

TOLD_WITHIN = 3.0
"""Seconds. Most vendors answer within one; what takes longer is told on, also after the run."""
LOOK_AGAIN = 0.05

log = logging.getLogger(__name__)


@asynccontextmanager
async def hear_messages(run: RunContext) -> AsyncIterator[None]:
    """While a script runs: what it asks is stored as it comes. Raises StoreError."""
    if run.spool is None:
        yield
        return
    await run.spool.open(describe_spool(run))
    async with run.spool.listen(lambda asked: _record_asked(run, asked)):
        yield


async def take_in_messages(run: RunContext) -> None:
    """Store what lies in the spool. Raises StoreError; anything else is no reason to stop the run:
    the messages stay there, and are taken in after the next script or by a later nvsx."""
    if run.spool is None:
        return
    try:
        await run.spool.open(describe_spool(run))
        await run.spool.take_in(lambda asked: _record_asked(run, asked))
    except StoreError:
        raise
    except Exception:
        log.exception("messages of run %s wait", run.run_id)


@asynccontextmanager
async def hear_settled(run: RunContext) -> AsyncIterator[None]:
    """While the run lives: what became of its messages is in its journal."""
    if run.spool is None:
        yield
        return
    async with run.spool.hear_settled(lambda settled: _record_told(run, settled)):
        yield


async def wait_until_told(run: RunContext) -> None:
    """Before the run's end: give what was just asked a moment, so that the end knows of it."""
    if run.spool is None or not run.spool.is_delivered:
        return
    end = run.now + TOLD_WITHIN
    while run.now < end and _list_untold(run):
        await run.ports.clock.sleep(LOOK_AGAIN)


def _list_untold(run: RunContext) -> list[str]:
    """Targets of messages that nothing was heard of yet."""
    heard = {(told.call, told.target) for _, told in run.state.told.values()}
    return [
        target
        for _, asked in run.state.asked.values()
        for target in asked.targets
        if (asked.call, target) not in heard
    ]


async def _record_told(run: RunContext, settled: Sequence[Delivery]) -> None:
    """Each outcome once; of tries that fail the first, and when it is given up."""
    if run.state.finish is not None:
        return
    new = []
    for delivery in settled:
        known = run.state.told.get(delivery.number)
        held = delivery.state == "waiting" and (not delivery.tries or known is not None)
        if not held and (known is None or known[1].state != delivery.state):
            new.append(_make_told(delivery))
    await run.record(*new)


def _make_told(delivery: Delivery) -> j.Told:
    message, receipt = delivery.message, delivery.receipt
    return j.Told(
        stage=message.stage,
        number=delivery.number,
        call=message.call,
        target=delivery.target,
        state=delivery.state,
        words=tell_outcome(delivery),
        action=delivery.action,
        title=message.title,
        text=receipt.text if receipt is not None else "",
        reason=delivery.reason,
        ref=receipt.ref if receipt is not None else "",
        link=receipt.link if receipt is not None else "",
        account=receipt.account if receipt is not None else "",
        tries=delivery.tries,
        failing=is_failing(delivery),
    )


async def close_spool(run: RunContext) -> None:
    """After the run's end: nobody calls any more."""
    if run.spool is not None:
        await run.spool.remove()


def describe_spool(run: RunContext) -> SpoolAbout:
    """Whose messages these are. A rehearsal's stay inside, unless it is to tell people."""
    request = run.request
    return SpoolAbout(
        owner=run.lease.owner,
        run=run.run_id,
        runbook=run.runbook.metadata.name,
        incident=run.incident.incident if run.incident is not None else request.incident,
        node=run.node,
        rehearsal="sandbox" if request.sandbox else "drill" if request.drill else "",
        live=request.live_hooks,
    )


async def _record_asked(run: RunContext, asked: Sequence[AskedMessage]) -> None:
    """Each message once: after a crash it may come again."""
    new = [each for each in asked if each.message.call not in run.state.asked]
    await run.record(*map(_make_entry, new), durable=True)


def _make_entry(asked: AskedMessage) -> j.MessageAsked:
    message = asked.message
    return j.MessageAsked(
        stage=message.stage,
        call=message.call,
        kind=message.kind,
        title=message.title,
        text=message.text,
        severity=message.severity if message.kind == "page" else "",
        to=message.to,
        targets=tuple(d.target for d in asked.deliveries if d.target and not d.fallback),
        problem=asked.problem,
    )
