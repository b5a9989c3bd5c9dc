"""The sandbox's Kubernetes API server: HTTP on loopback, in front of the object store.

Stock kubectl and nvsx's own client talk to it as to a cluster. It checks the Host header
and the bearer token, finds out what is asked, and hands over to reading, writing,
streaming and discovery; every error leaves as a Status. It runs no containers: exec,
attach and port-forward are refused. It listens on loopback only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web

from nvsentinel_sandbox.kube import (
    access,
    discovery,
    loopback,
    openapi,
    statuses,
    streaming,
    writing,
)
from nvsentinel_sandbox.kube.access import Access
from nvsentinel_sandbox.kube.formats import negotiate
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.kube.reading import Reader
from nvsentinel_sandbox.kube.requests import Request, RequestLog, Target, target_of
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.statuses import (
    ApiError,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
)
from nvsentinel_sandbox.kube.streamfaults import StreamFaults
from nvsentinel_sandbox.kube.watching import WatchCache

BOOKMARK_SECONDS = 60.0
_JSON = "application/json"
_INTERACTIVE = frozenset({"attach", "exec", "portforward", "proxy"})
_HEALTH = ("/healthz", "/livez", "/readyz")
_REFUSALS: dict[int, tuple[type[ApiError], str]] = {
    401: (statuses.Unauthorized, "Unauthorized"),
    403: (statuses.Forbidden, "forbidden by request of a test"),
    410: (statuses.Expired, "too old resource version: by request of a test"),
    429: (statuses.TooManyRequests, "too many requests, please try again later"),
    500: (statuses.InternalError, "Internal error occurred: by request of a test"),
    503: (statuses.ServiceUnavailable, "the server is currently unable to handle the request"),
    504: (statuses.Timeout, "the server was unable to return a response in the time allotted"),
}


class ApiServer:
    """Serves one object store.

    Args:
        store: the objects.
        token: the bearer token that may do everything; random by default.
        read_only_token: the one that may only read; random by default.
        watch_window: changes kept per kind; a watch from before them is Expired.
        faults: what clients must survive; may be armed at any time.
        bookmark_seconds: pause between the bookmarks of a watch.
        speed: how much faster than life the cluster behind it runs, told in /version.
        pages: what a pod serves, by namespace, pod, port and path, behind its proxy.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        token: str | None = None,
        read_only_token: str | None = None,
        watch_window: int = 4096,
        faults: StreamFaults | None = None,
        bookmark_seconds: float = BOOKMARK_SECONDS,
        speed: float = 1.0,
        pages: Callable[[str, str, str, str], str | None] | None = None,
    ) -> None:
        self.store = store
        self.faults = faults or StreamFaults()
        self.requests = RequestLog()
        self.url = self.secure_url = ""
        self.version = discovery.version(speed)
        self._access = Access.with_tokens(token, read_only_token)
        self._cache = WatchCache(store, watch_window)
        self._reader = Reader(store)
        self._bookmark_seconds = bookmark_seconds
        self._pages = pages
        self._hosts: frozenset[str] = frozenset()
        self._runner: web.ServerRunner | None = None
        self._server: loopback.Server | None = None

    @property
    def token(self) -> str:
        return self._access.token

    @property
    def read_only_token(self) -> str:
        return self._access.read_only_token

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, secure_port: int = 0) -> None:
        """Listen, with TLS for kubectl and without for clients in this process.

        `secure_url` and `url` are set when this returns. ValueError for other than loopback.
        """
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the sandbox listens on loopback only, not on {host}")
        server = loopback.Server(self._handle_request, handler_cancellation=True, access_log=None)
        self._server = server
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        tls = loopback.context()
        await web.TCPSite(self._runner, host, secure_port, ssl_context=tls).start()
        ports = [address[1] for address in self._runner.addresses]
        names = ("127.0.0.1", "localhost", "[::1]")
        self._hosts = frozenset(f"{name}:{port}" for name in names for port in ports)
        shown = f"[{host}]" if ":" in host else host
        self.url, self.secure_url = f"http://{shown}:{ports[0]}", f"https://{shown}:{ports[1]}"

    async def stop(self) -> None:
        """End the open watches and stop listening. The store stays as it is."""
        self._cache.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._server is not None:
            await self._server.drop_connections()
            self._server = None

    def append_log(self, namespace: str, pod: str, container: str, line: str) -> None:
        """One more line in a container's log."""
        self.store.append_log(namespace, pod, container, line)

    def end_watches(self) -> None:
        """End every open watch cleanly, as a restarting server or a load balancer does."""
        self._cache.end_watches()

    def expire(self) -> None:
        """Make every resource version and `continue` token so far too old: 410."""
        self._cache.expire()
        self._reader.expire()

    # --- one request ----------------------------------------------------------------------

    async def _handle_request(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer_request(request)
        except ApiError as error:
            return _status_response(error)
        except web.HTTPRequestEntityTooLarge as error:
            too_large = TooLarge(f"Request entity too large: {error.text}")
            return _json_response(too_large.status(), too_large.code)
        except Exception as error:  # noqa: BLE001 - a server answers, whatever broke in it
            failure = InternalError(f"Internal error occurred: {type(error).__name__}: {error}")
            return _json_response(failure.status(), failure.code)

    async def _answer_request(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.host not in self._hosts:
            # A page on the web can point its own name at 127.0.0.1, but not this header.
            raise Forbidden(f"the Host header {request.host!r} is not this server")
        given = request.headers.get("Authorization", "")
        path, authorization = access.split_token(request.path, given)
        account = self._access.account(authorization)
        registry, query = self.store.registry, request.query
        target = target_of(registry, request.method, path, query)
        verb = target.verb if target else ""
        agent = request.headers.get("User-Agent", "")
        self.requests.add(Request(request.method, path, verb, account, agent))
        if code := self.faults.take_refusal(path, verb or "get"):
            kind, message = _REFUSALS[code]
            raise kind(message, retry_after=1 if code == 429 else 0)
        if target is None:
            access.check_path(account, path)
            return self._answer_plain_path(request, path)
        access.check(account, target)
        if (page := self._find_pod_page(target, path)) is not None:
            return web.Response(text=page)
        if target.subresource in _INTERACTIVE:
            raise Forbidden(
                f"{target.subresource} is not available in the sandbox: nothing runs in its pods"
            )
        if target.resource is None:
            raise NotFound("the server could not find the requested resource")
        if target.resource.stored and target.verb in access.READ_VERBS:
            return await self._answer_read(request, path, target, target.resource)
        content_type = request.content_type if "Content-Type" in request.headers else ""
        body = await request.read()
        write = writing.Write(target, target.resource, query, body, content_type, agent)
        return self._answer_write(write, account)

    def _answer_write(self, write: writing.Write, account: str) -> web.Response:
        try:
            if write.resource.stored:
                code, found = writing.perform(self.store, write)
            elif write.target.verb == "create":
                code, found = 201, access.review(account, writing.read_review(write))
            else:
                raise _not_allowed()
            answer = _json_response(found, code)
        except ApiError as error:
            answer = _status_response(error)
        for warning in write.warnings:
            told = warning.replace("\\", "\\\\").replace('"', '\\"')
            answer.headers.add("Warning", f'299 - "{told}"')
        return answer

    def _find_pod_page(self, target: Target, path: str) -> str | None:
        """What the pod serves there, if it serves anything; `target.name` may end in a port."""
        if (target.plural, target.subresource, target.verb) != ("pods", "proxy", "get"):
            return None
        pod, _, port = target.name.partition(":")
        page = path.partition("/proxy/")[2]
        return self._pages(target.namespace, pod, port, page) if self._pages else None

    def _answer_plain_path(self, request: web.BaseRequest, path: str) -> web.Response:
        registry = self.store.registry
        if request.method != "GET":
            raise _not_allowed()
        if path.startswith(_HEALTH):
            return web.Response(text="ok")
        if path in ("/version", "/version/"):  # clients ask with and without the slash
            return _json_response(self.version)
        if path == "/openapi/v3":
            return _json_response(openapi.index(registry))
        if path == "/openapi/v2":
            return web.Response(body=openapi.V2_DOCUMENT, headers={"Content-Type": openapi.V2_TYPE})
        if path.startswith("/openapi/v3/"):
            found = openapi.document(registry, path.removeprefix("/openapi/v3/"))
        else:
            whole = discovery.wants_aggregated(request.headers.get("Accept", ""))
            found = discovery.document(registry, path, aggregated=whole)
            if found and found.get("kind") == "APIGroupDiscoveryList":
                body = msgspec.json.encode(found)
                return web.Response(body=body, headers={"Content-Type": discovery.AGGREGATED})
        if found is None:
            raise NotFound("the server could not find the requested resource")
        return _json_response(found)

    async def _answer_read(
        self, request: web.BaseRequest, path: str, target: Target, resource: Resource
    ) -> web.StreamResponse:
        query = request.query
        if target.subresource == "log" and resource.name == "pods":
            return await self._answer_log(request, target)
        if target.subresource not in ("", "status") or (
            target.subresource and "status" not in resource.subresources
        ):
            raise NotFound("the server could not find the requested resource")
        include = query.get("includeObject", "")
        shape = negotiate(request.headers.get("Accept", ""), include, self.store.now)
        if target.verb == "get":
            return _encoded_response(self._reader.get(target, resource, shape))
        if target.verb == "list":
            if query.get("continue") and self.faults.take_expired_continue():
                self._reader.expire()
            return _encoded_response(self._reader.list(target, resource, query, shape))
        watch = streaming.Watch(self.store, self._cache, target, resource, query)
        response = web.StreamResponse(headers={"Content-Type": _JSON})
        await response.prepare(request)
        fault = self.faults.take_end(path)
        transport = request.transport
        with suppress(ConnectionError):  # a client may leave at any time
            await watch.run(response, transport, shape, fault, self._bookmark_seconds)
        return response

    async def _answer_log(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        log = streaming.PodLog(self.store, target, request.query)
        if not log.follows:
            return web.Response(body=log.text(), content_type="text/plain")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with suppress(ConnectionError):
            await log.run(response)
        return response


def _status_response(error: ApiError) -> web.Response:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return _json_response(error.status(), error.code, headers)


def _not_allowed() -> ApiError:
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def _json_response(
    found: dict[str, Any], code: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return _encoded_response(msgspec.json.encode(found), code, headers)


def _encoded_response(
    body: bytes, code: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(body=body, status=code, content_type=_JSON, headers=headers)
