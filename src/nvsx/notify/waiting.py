"""Waiting for something to happen, on the injected clock."""

from __future__ import annotations

import asyncio

from nvsx.core.ports import Clock


async def wait_for_event(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Until the event, `seconds` at most."""
    waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
