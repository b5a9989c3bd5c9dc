"""Gateways: how nvsx reaches one API server, for reading only.

A gateway turns a path into bytes (`get`) or into a stream of chunks (`stream`), and turns
every way this can fail into one error of core.errors with its next step. It has no
method that writes. Reflectors, log followers and the door stand on it; it knows nothing of
Kubernetes objects. `DirectGateway` talks to a sandbox, `InClusterGateway` to the API
server from inside a pod; `nvsx.cluster.kubectl_proxy` goes through the operator's own kubectl.
"""

from __future__ import annotations

import abc
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from nvsx import __version__
from nvsx.cluster import api_answers
from nvsx.cluster.cluster_clock import Skew
from nvsx.core.errors import ClusterError, Unauthorized, Unreachable

Params = Mapping[str, str]
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
CONNECT_TIMEOUT = 10.0
#: Seconds without a byte of an answer; a list of ten thousand nodes begins within a few.
READ_TIMEOUT = 30.0
#: What a stream may last beyond the time it asked for, before its peer is taken for dead.
STREAM_MARGIN = 60.0
_CHUNK = 256 * 1024


class Gateway(abc.ABC):
    """Reads one API server. `name` is the context or cluster, as messages call it."""

    name: str = "the cluster"

    def clock_ahead(self) -> float:
        """Seconds the API server's clock is ahead of ours at least; negative when behind."""
        return 0.0

    @abc.abstractmethod
    async def start(self) -> None:
        """Bring up what reading needs; raises ClusterError when that is not possible."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Release every socket and process; safe to call twice."""

    @abc.abstractmethod
    async def get(self, path: str, params: Params | None = None) -> bytes:
        """The body of a 200 answer. Raises ClusterError (see core.errors)."""

    async def read_json(self, path: str, params: Params | None = None) -> Any:
        """`get`, decoded from JSON. Raises ClusterError."""
        body = await self.get(path, params)
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Unreachable(f"{path}: the answer is not JSON ({error})") from error

    @abc.abstractmethod
    def stream(
        self, path: str, params: Params | None = None, *, idle: float | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Enter to connect, iterate raw chunks as they come; a clean end ends the iteration.

        `idle` is how many seconds without a byte mean a dead peer; None waits for ever.
        Both entering and iterating raise ClusterError.
        """


class HttpGateway(Gateway):
    """What the gateways share: one aiohttp session, time limits, translated errors."""

    def __init__(self, name: str, base: str, *, read_timeout: float = READ_TIMEOUT) -> None:
        self.name = name
        self._base = base.rstrip("/")
        self._read_timeout = read_timeout
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._skew = Skew()

    def clock_ahead(self) -> float:
        return self._skew.ahead

    async def start(self) -> None:
        """Nothing is sent yet: the first read tells whether anybody answers."""
        self._open_session()

    async def close(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, params: Params | None = None) -> bytes:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT, sock_read=self._read_timeout
        )
        try:
            async with self._open_response(path, params, timeout) as response:
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable_because(error) from error

    @asynccontextmanager
    async def stream(
        self, path: str, params: Params | None = None, *, idle: float | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        timeout = aiohttp.ClientTimeout(
            total=_allow_lifetime(params), sock_connect=CONNECT_TIMEOUT, sock_read=idle
        )
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(
                    self._open_response(path, params, timeout)
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self._unreachable_because(error) from error
            yield self._read_chunks(response, idle)

    async def _read_chunks(
        self, response: aiohttp.ClientResponse, idle: float | None
    ) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except TimeoutError as error:
            waited = f" for {idle:g}s" if idle else " in time"
            raise api_answers.Broken(f"{self.name} sent nothing{waited}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise api_answers.Broken(
                f"the stream from {self.name} broke off: {_describe_error(error)}"
            ) from error

    @asynccontextmanager
    async def _open_response(
        self, path: str, params: Params | None, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        client, sent = self._open_session(), time.time()
        async with client.get(
            self._base + path,
            params=dict(params or {}),
            headers={"Accept": "application/json", **self._make_headers()},
            timeout=timeout,
            ssl=self._make_tls(),
            allow_redirects=False,
        ) as response:
            self._skew.heard(response.headers.get("Date", ""), sent, time.time())
            if response.status != 200:
                body = await response.content.read(api_answers.LIMIT)
                raise self._refusal_of(path, response, body)
            yield response

    def _refusal_of(self, path: str, response: aiohttp.ClientResponse, body: bytes) -> ClusterError:
        retry = response.headers.get("Retry-After", "")
        return api_answers.error_of_answer(self.name, path, response.status, body, retry)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClusterError(f"the connection to {self.name} was closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._make_connector(),
                # Proxies in the environment are kubectl's affair, and loopback needs none.
                trust_env=False,
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"nvsx/{__version__}"},
                read_bufsize=_CHUNK,
            )
        return self._session

    def _make_connector(self) -> aiohttp.BaseConnector:
        # Every watch holds a connection for minutes: a limit would be a deadlock.
        return aiohttp.TCPConnector(limit=0)

    def _make_headers(self) -> dict[str, str]:
        return {}

    def _make_tls(self) -> ssl.SSLContext | bool:
        return True

    def _unreachable_because(self, error: Exception) -> ClusterError:
        if isinstance(error, TimeoutError):
            return Unreachable(f"{self.name} did not answer in time", self._advise_person())
        return Unreachable(
            f"{self.name} cannot be reached: {_describe_error(error)}", self._advise_person()
        )

    def _advise_person(self) -> str:
        return "check the network to the API server"


class DirectGateway(HttpGateway):
    """An API server at a plain URL: the sandbox's."""

    def __init__(self, url: str, token: str = "", *, name: str = "the sandbox") -> None:
        super().__init__(name, url)
        self._token = token

    def _make_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _advise_person(self) -> str:
        return "is the sandbox still running?"


def service_account_folder(environ: Mapping[str, str]) -> Path:
    """Where this pod's service account is mounted: where the kubelet puts it by itself, or where
    NVSX_SERVICE_ACCOUNT_DIR says that a projected volume has it."""
    return Path(environ.get("NVSX_SERVICE_ACCOUNT_DIR") or SERVICE_ACCOUNT)


class InClusterGateway(HttpGateway):
    """From inside a pod: the service account's token and CA, read again for each request.

    Kubernetes rotates both under the pod's feet
    (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        host = environ.get("KUBERNETES_SERVICE_HOST", "")
        port = environ.get("KUBERNETES_SERVICE_PORT", "443")
        if ":" in host:
            host = f"[{host}]"
        super().__init__("the cluster of this pod", f"https://{host}:{port}")
        self._host = host
        self._folder = service_account_folder(environ)
        self._ca = b""
        self._context: ssl.SSLContext | None = None

    async def start(self) -> None:
        if not self._host:
            raise ClusterError(
                "this is not a pod: KUBERNETES_SERVICE_HOST is not set",
                "outside a cluster nvsx reads through kubectl",
            )
        self._make_headers()
        self._make_tls()
        await super().start()

    def _make_headers(self) -> dict[str, str]:
        token = self._read_mounted_file("token").decode("ascii", "replace").strip()
        return {"Authorization": f"Bearer {token}"}

    def _make_tls(self) -> ssl.SSLContext:
        ca = self._read_mounted_file("ca.crt")
        if self._context is None or ca != self._ca:
            # A new context is a new key in the connection pool: old connections end.
            try:
                self._context = ssl.create_default_context(cadata=ca.decode("ascii"))
            except (ssl.SSLError, UnicodeDecodeError) as error:
                raise Unauthorized(
                    f"the CA in {self._folder / 'ca.crt'} cannot be used: {error}",
                    "see the pod's service account mount",
                ) from error
            self._ca = ca
        return self._context

    def _read_mounted_file(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise Unauthorized(
                f"{self._folder / name} cannot be read: {error.strerror}",
                "give the pod a service account with automountServiceAccountToken: true",
            ) from error


def _allow_lifetime(params: Params | None) -> float | None:
    """A stream that outlives the timeoutSeconds it asked for is held by a dead peer."""
    asked = (params or {}).get("timeoutSeconds", "")
    return float(asked) + STREAM_MARGIN if asked else None


def _describe_error(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__
