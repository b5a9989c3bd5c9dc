"""Everything else, by Apprise: Teams, Discord, e-mail, SNS and a hundred more.

Apprise tells neither a status nor how long to wait: a try has succeeded, or a line of its log says
why not. That line is read here, and decides whether a later try can help. Where a connection broke
nobody can know what was taken, so the next try says that it may be a repeat.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any
from weakref import WeakKeyDictionary

from nvsx.core.masking import Masker
from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret
from nvsx.notify.targets.vendor_http import WHOLE
from nvsx.notify.targets.wording import MAYBE_TWICE, plain_body, shorten, title_of

TITLE = 250
_STATUS = re.compile(r"error=(\d{3})")
_TYPES = {"open page": "failure", "note page": "failure", "close page": "success"}
#: One at a time in a loop: the log's lines do not say whose they are.
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class _LogLines(logging.Handler):
    """Keeps what Apprise logs, and from the terminal: it may have the URL in it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class AppriseSender:
    """One Apprise URL, which has its secrets in it."""

    kind = "apprise"
    has_threads = False

    def __init__(self, name: str, url: TargetSecret) -> None:
        self.name = name
        self._url = url

    async def deliver(self, order: Order) -> Receipt:
        async with _take_turn():
            return await self._deliver_alone(order)

    async def _deliver_alone(self, order: Order) -> Receipt:
        client = await asyncio.to_thread(self._make_client)  # a quarter of a second, the first time
        title = title_of(order)
        if order.unsure:
            title = f"{title} {MAYBE_TWICE}"
        (service,) = client
        body = plain_body(order, service.body_maxlen) or title
        title = shorten(title, min(service.title_maxlen or TITLE, TITLE))
        kind = _TYPES.get(order.action, "warning" if order.severity != "warning" else "info")
        await self._send_message(client, title=title, body=body, notify_type=kind)
        return Receipt(
            target=self.name,
            kind=self.kind,
            action=order.action,
            t=order.at,
            text=Masker(extra=[self._url.read()]).mask(f"{title}\n{body}"),
            account=str(service.service_name),
            repeat=order.unsure,
        )

    def _make_client(self) -> Any:
        """Apprise with the URL. Raises DeliveryDelayed without the library: what waits is
        delivered once it is installed."""
        try:
            import apprise
        except ImportError:
            hint = "pip install 'nvsx[notify]'"
            raise DeliveryDelayed(f"{self.name}: Apprise is not installed: {hint}") from None
        client = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
        lines = _catch_log()
        if not client.add(self._url.read()) or len(client) != 1:
            said = f"{self.name}: Apprise does not know the URL in {self._url.place}"
            raise DeliveryRefused(said, self._read_reason(lines.lines))
        return client

    async def _send_message(self, client: Any, **message: str) -> None:
        lines = _catch_log()
        try:
            async with asyncio.timeout(WHOLE):
                sent = await client.async_notify(**message)
        except TimeoutError:
            said = f"{self.name}: no answer within {WHOLE:.0f}s"
            raise DeliveryDelayed(said, unsure=True) from None
        if sent:
            return
        reason = self._read_reason(lines.lines)
        said = f"{self.name}: not delivered{f': {reason}' if reason else ''}"
        status = int(found[1]) if (found := _STATUS.search(reason)) else 0
        if 400 <= status < 500 and status not in (408, 425, 429):
            raise DeliveryRefused(said, f"is the URL in {self._url.place} right?")
        raise DeliveryDelayed(said, unsure="onnection" in reason)

    def _read_reason(self, lines: list[str]) -> str:
        """The last thing Apprise logged, without the URL's secrets."""
        return Masker(extra=[self._url.read()]).mask(shorten(lines[-1], 300)) if lines else ""

    async def check(self) -> str:
        """Apprise has no call that sends nothing, so only the URL is read."""
        async with _take_turn():
            (service,) = await asyncio.to_thread(self._make_client)
        return f"Apprise knows the URL ({service.service_name}); nothing was sent to try it"

    async def close(self) -> None:
        """Nothing is kept open."""


def _take_turn() -> asyncio.Lock:
    return _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _catch_log() -> _LogLines:
    """From now on Apprise's warnings go to what is returned, and nowhere else."""
    logger = logging.getLogger("apprise")
    lines = _LogLines()
    logger.handlers[:] = [lines]
    logger.propagate = False
    return lines
