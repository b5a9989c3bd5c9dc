"""The event exporter: every health event that is stored, sent to a URL as a CloudEvent.

One POST an event, in structured mode, with a bearer token; anything but a 2xx is tried
again with growing pauses, and after the last of those anew with another id, as the real
one does when it starts again from its bookmark. At least once and without order. Statuses
are never sent. With `backfill`, events of the past month come first.
Source: event-exporter/pkg/{sink/http.go,exporter/exporter.go,auth/oidc.go}.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nvsentinel_sandbox.chain.stored import cloud_event
from nvsentinel_sandbox.errors import WrongCall
from nvsentinel_sandbox.world.health import Document, HealthEvent, Ledger

WORKERS = 10
_RETRIES = 17
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_TIMEOUT_SECONDS = 30.0
_EARLY_SECONDS = 30.0  # a token is renewed so long before it expires
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where events go and how the exporter identifies itself: `token`, or as an OAuth
    client (`token_url`, `client_id`, `client_secret`, `scope`). The repr has no secrets."""

    url: str
    token: str = field(default="", repr=False)
    token_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scope: str = "events"

    def __post_init__(self) -> None:
        for url in filter(None, (self.url, self.token_url)):
            if not url.startswith(("http://", "https://")):
                raise WrongCall(f"{url} is not an http URL", "give http://… or https://…")
        if self.token_url and not (self.client_id and self.client_secret):
            raise WrongCall(
                "the token endpoint needs a client", "give its id, and its secret by environment"
            )


class Exporter:
    """Sends a ledger's inserts, and `past` before them. `pace` divides its pauses."""

    def __init__(
        self,
        to: Destination,
        cluster: str,
        *,
        past: Iterable[HealthEvent] = (),
        pace: float = 1.0,
    ) -> None:
        self._to, self._cluster, self._pace = to, cluster, pace
        self._queue: asyncio.Queue[HealthEvent] = asyncio.Queue()
        self._past = tuple(past)
        self._tasks: list[asyncio.Task[None]] = []
        self._token, self._expires = to.token, float("inf") if to.token else 0.0
        self._asking = asyncio.Lock()
        self.sent = 0
        self.restarts = 0

    async def start(self, ledger: Ledger) -> None:
        """Follow the ledger. Whether anybody answers shows with the first event."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout)
        for event in self._past:
            self._queue.put_nowait(event)
        ledger.subscribe(self._on_document)
        self._tasks = [asyncio.create_task(self._send_queued_events()) for _ in range(WORKERS)]

    async def wait_until_sent(self) -> None:
        """Until all events so far were sent or given up."""
        await self._queue.join()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self._session.close()

    def _on_document(self, document: Document, changed: frozenset[str]) -> None:
        if not changed:
            self._queue.put_nowait(document.event)

    async def _send_queued_events(self) -> None:
        while True:
            event = await self._queue.get()
            while not await self._deliver_with_retries(cloud_event(event, self._cluster)):
                self.restarts += 1
            self.sent += 1
            self._queue.task_done()

    async def _deliver_with_retries(self, body: dict[str, Any]) -> bool:
        pause = _FIRST_PAUSE
        for _ in range(_RETRIES + 1):
            if (refusal := await self._post_once(body)) == "":
                return True
            _log.warning("the event receiver did not take an event: %s; trying again", refusal)
            await asyncio.sleep(pause / self._pace)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return False

    async def _post_once(self, body: dict[str, Any]) -> str:
        """Why it was not taken; nothing when it was."""
        import aiohttp

        try:
            headers = {"Content-Type": "application/cloudevents+json"}
            if token := await self._get_token():
                headers["Authorization"] = f"Bearer {token}"
            async with self._session.post(
                self._to.url, data=json.dumps(body), headers=headers
            ) as answer:
                if answer.status == 401 and self._to.token_url:
                    self._expires = 0.0  # a new token may be taken
                return "" if answer.ok and answer.status < 300 else f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    async def _get_token(self) -> str:
        """A token that is still good; asks the token endpoint for one where that is needed."""
        import aiohttp

        if not self._to.token_url or time.monotonic() < self._expires:
            return self._token
        async with self._asking:
            if time.monotonic() < self._expires:
                return self._token
            form = {
                "grant_type": "client_credentials",
                "client_id": self._to.client_id,
                "client_secret": self._to.client_secret,
                "scope": self._to.scope,
            }
            async with self._session.post(self._to.token_url, data=form) as answer:
                if not answer.ok:
                    raise aiohttp.ClientError(f"token endpoint: HTTP {answer.status}")
                found = await answer.json()
            self._token = str(found["access_token"])
            self._expires = time.monotonic() + float(found.get("expires_in", 300)) - _EARLY_SECONDS
            return self._token
