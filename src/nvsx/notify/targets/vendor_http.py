"""HTTP as targets use it: a limit for the whole request, no redirects, and errors as the outbox
needs them: whether a later try can succeed, when, and whether the vendor may have taken this one.

    03:12:00  POST; the vendor accepts the page, and the connection breaks before its answer
    03:12:00  DeliveryDelayed, unsure: the next try looks it up, uses the vendor's key, or says so
    03:12:00  had the connection been refused: DeliveryDelayed, and nothing can be there twice
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from nvsx import __version__
from nvsx.core.masking import Masker
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret
from nvsx.notify.targets.wording import shorten

WHOLE = 30.0
"""Seconds for a request with its answer."""
CONNECT = 10.0
"""Seconds until the connection stands. By this a vendor that is not there, where nothing can have
been taken, is told from one that does not answer."""
IDLE = 10.0
"""Seconds a connection is kept. One that the vendor closed meanwhile looks like a request that it
may have taken, so it is shorter than what servers keep (60 s and more)."""
MOST_READ = 4 * 1024 * 1024
LONGEST_WAIT = 3600.0
"""Seconds. A Retry-After beyond this is a mistake, or a vendor that is down for the day: an hour
later we look again."""
MAYBE_TAKEN = (502, 504)
"""Answers of a gateway that has heard nothing from the vendor behind it."""

_NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)


class HttpAnswer(NamedTuple):
    """A vendor's answer, whole."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body; an empty mapping when it is no JSON."""
        try:
            return json.loads(self.text) if self.text else {}
        except ValueError:
            return {}

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300


def read_reason(answer: HttpAnswer) -> str:
    """The vendor's own words for what went wrong, from the places where they are written."""
    found = answer.json
    if not isinstance(found, dict):
        found = {}
    parts: list[str] = []
    for name in ("message", "error", "errorMessages", "errors"):
        match found.get(name):
            case str() as text if text:
                parts.append(text)
            case list() as texts:
                parts += [str(text) for text in texts]
            case dict() as named:
                parts += [f"{key}: {text}" for key, text in named.items()]
    if limit := answer.headers.get("RateLimit-Reason"):
        parts.append(limit)
    plain = answer.text.strip() if "<" not in answer.text[:200] else ""
    return shorten(" · ".join(parts) or plain, 300)


def read_wait(headers: Mapping[str, str]) -> float:
    """Retry-After in seconds, written as seconds or as a date; 0 where there is none."""
    said = headers.get("Retry-After", "").strip()
    if not said:
        return 0.0
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else 0.0  # noqa: PLR0124 - nan


def find_host(url: str) -> str:
    """The host of an http or https URL; "" for anything else."""
    try:
        parts = urlsplit(url)
        # Asking for the port looks whether it is one.
        is_url = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return ""
    return (parts.hostname or "") if is_url else ""


class VendorHttp:
    """Requests of one target. Its session is made by the first, in the loop that asks."""

    def __init__(self, target: str, secrets: Iterable[TargetSecret] = ()) -> None:
        self.target = target
        self._secrets = tuple(secrets)
        self._session: aiohttp.ClientSession | None = None

    def mask(self, text: str) -> str:
        """`text` without the target's secrets, as they are now."""
        values = []
        for secret in self._secrets:
            try:
                values.append(secret.read())
            except DeliveryDelayed:
                continue
        return Masker(extra=values).mask(text)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        json_body: Any = None,
    ) -> HttpAnswer:
        """Ask, once. Returns what the vendor decided: 2xx, or a 4xx that trying again does not
        change. Raises DeliveryDelayed, and DeliveryRefused for a redirect.

        What is no part of an address in `url` has to be escaped.
        """
        headers = {"Accept": "application/json", **headers}
        if json_body is not None:
            body = json.dumps(json_body).encode()
            headers["Content-Type"] = "application/json"
        host = find_host(url)
        if not host:
            raise DeliveryRefused(self._word_error("its address is no http or https URL"))
        try:
            answer = await self._send_request(method, url, headers, body)
        except _NOT_SENT as exc:
            raise DeliveryDelayed(self._word_error(f"{host} cannot be reached: {exc}")) from None
        except TimeoutError:
            said = f"{host} did not answer within {WHOLE:.0f}s"
            raise DeliveryDelayed(self._word_error(said), unsure=True) from None
        except (aiohttp.ClientError, OSError) as exc:
            said = f"the connection to {host} broke before the answer: {exc or type(exc).__name__}"
            raise DeliveryDelayed(self._word_error(said), unsure=True) from None
        return self._judge_answer(host, answer)

    async def _send_request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=True,  # proxies as everywhere else
                timeout=aiohttp.ClientTimeout(total=WHOLE, connect=CONNECT),
                connector=aiohttp.TCPConnector(limit=4, keepalive_timeout=IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"nvsx/{__version__}"},
            )
        asked = self._session.request(
            method, url, headers=headers, data=body, allow_redirects=False
        )
        async with asked as response:
            read = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                read += chunk
                if len(read) > MOST_READ:
                    break
            return HttpAnswer(response.status, response.headers, read.decode(errors="replace"))

    def _judge_answer(self, host: str, answer: HttpAnswer) -> HttpAnswer:
        status = answer.status
        if status in (408, 425, 429) or status >= 500:
            words = "asks for fewer messages" if status == 429 else f"answered {status}"
            reason = read_reason(answer)
            said = self._word_error(f"{host} {words}{f': {reason}' if reason else ''}")
            raise DeliveryDelayed(said, read_wait(answer.headers), unsure=status in MAYBE_TAKEN)
        if 300 <= status < 400:
            # Followed, a POST becomes a GET, and secrets go to somebody else.
            there = find_host(answer.headers.get("Location", "")) or host
            hint = "write the address that answers itself as the target's url"
            raise DeliveryRefused(self._word_error(f"{host} redirects to {there}"), hint)
        return answer

    def refuse(
        self, answer: HttpAnswer, what: str, hint: str = "", *, gone: bool = False
    ) -> DeliveryRefused:
        """The error for an answer that no further try changes: `what` was refused."""
        reason = read_reason(answer)
        if answer.status in (401, 403) and not hint:
            hint = "is the key or token right, and does it have the rights?"
        said = f"{what} was refused ({answer.status}{f': {reason}' if reason else ''})"
        return DeliveryRefused(self._word_error(said), hint, gone=gone)

    def _word_error(self, text: str) -> str:
        return self.mask(f"{self.target}: {text}")

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
