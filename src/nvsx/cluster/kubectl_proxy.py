"""The gateway through the operator's own kubectl: `kubectl proxy` on a private Unix socket.

Every kubeconfig feature is kubectl's, and another process enforces that nvsx only reads:
writes, exec, attach, port-forward, proxying and Secrets get 403 there. This module starts
that process and restarts it when it dies; that it never outlives nvsx, kubectl_children
sees to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from nvsx.cluster import kubeconfig
from nvsx.cluster.gateway import READ_TIMEOUT, HttpGateway, Params
from nvsx.cluster.kubectl_children import Child
from nvsx.cluster.pace import REAL, Backoff, Pace
from nvsx.core.errors import ClusterError, Unreachable

_NAME = "[^/]+"
# What nvsx reads: the version, discovery, collections and single objects, and pod logs.
ACCEPT = (
    "^/version$",
    f"^/api(/{_NAME})?$",
    f"^/apis(/{_NAME}(/{_NAME})?)?$",
    f"^/(api|apis/{_NAME})/{_NAME}/(namespaces/{_NAME}/)?[a-z0-9-]+(/{_NAME})?$",
    f"^/api/v1/namespaces/{_NAME}/pods/{_NAME}/log$",
)
REJECT = (
    f"^/api/v1/(namespaces/{_NAME}/)?secrets(/|$)",
    f"^/api/v1/(namespaces/{_NAME}/)?[a-z]+/{_NAME}/(exec|attach|portforward|proxy)(/|$)",
)
METHODS = "^(POST|PUT|PATCH|DELETE)$"

# Sun's limit of 1982: macOS takes 103 bytes and a zero, Linux 107.
_SOCKET_BYTES = 103
#: kubectl listens within a second; a dispatcher before it may ask the server first.
_STARTUP = 15.0
#: For the first read alone, which may run a credential plug-in that asks a person.
_FIRST_ANSWER = 15.0
#: A proxy that lived so long was a good one: it is restarted at once.
_STEADY = 60.0

_READY = re.compile("^Starting to serve")
_log = logging.getLogger(__name__)


class ProxyGateway(HttpGateway):
    """Reads the cluster of a kubeconfig context through a `kubectl proxy` of its own.

    `context` is a name, None for the current one; `kubeconfig` a file to use instead of
    what KUBECONFIG says. Raises on `start`: ClusterError (no kubectl, no context, proxy
    does not come up) and UsageError (unknown context). The cluster need not be reachable.
    """

    def __init__(
        self,
        context: str | None = None,
        *,
        kubeconfig: Path | None = None,
        environ: Mapping[str, str] | None = None,
        pace: Pace = REAL,
        first_answer: float = _FIRST_ANSWER,
    ) -> None:
        # Nobody can answer a plug-in's question here: the first read must not wait for long.
        super().__init__(context or "the cluster", "http://localhost", read_timeout=first_answer)
        self._wanted = context
        self._environ = dict(os.environ if environ is None else environ)
        if kubeconfig is not None:
            self._environ["KUBECONFIG"] = str(kubeconfig)
        self._pace = pace
        self._plugin = ""
        self._command: list[str] = []
        self._folder: Path | None = None
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._down: ClusterError | None = None

    @property
    def pid(self) -> int | None:
        """The proxy's process, None while there is none."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        if self._supervisor is not None:
            return
        context = await asyncio.to_thread(kubeconfig.find_context, self._wanted, self._environ)
        self.name = context.name
        self._plugin = context.plugin
        self._folder = _private_folder()
        self._command = _proxy_command(context, self._folder)
        try:
            await self._spawn_proxy()
        except BaseException:
            await self.close()
            raise
        self._supervisor = asyncio.create_task(self._keep_proxy_running(), name="kubectl proxy")

    async def close(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)
        await super().close()
        await self._kill_proxy()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    async def get(self, path: str, params: Params | None = None) -> bytes:
        body = await super().get(path, params)
        self._read_timeout = READ_TIMEOUT
        return body

    def _open_session(self) -> aiohttp.ClientSession:
        if self._down is not None:
            raise self._down
        return super()._open_session()

    def _make_connector(self) -> aiohttp.BaseConnector:
        if self._folder is None:
            raise ClusterError("the gateway was not started")
        return aiohttp.UnixConnector(path=str(self._folder / "s"), limit=0)

    def _advise_person(self) -> str:
        if self._plugin:
            return (
                f"the credential plug-in {self._plugin} may be waiting for a person: "
                "run `kubectl get nodes` once, then try again"
            )
        return f"see whether `kubectl --context {self.name} get nodes` works"

    # --- the process ----------------------------------------------------------------------

    async def _spawn_proxy(self) -> None:
        """Start kubectl and wait until it listens. Raises ClusterError when it does not."""
        assert self._folder is not None  # noqa: S101 - start() made it
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / "s").unlink(missing_ok=True)
        child = Child(
            "kubectl proxy",
            self._command,
            self._environ,
            ready=_READY,
            folder=str(self._folder),
        )
        try:
            await child.start(_STARTUP)
        except Unreachable as error:
            raise Unreachable(error.message, self._advise_person()) from error
        self._child = child

    async def _keep_proxy_running(self) -> None:
        backoff = Backoff(rng=self._pace.rng)
        while True:
            child, began = self._child, self._pace.now()
            if child is not None:
                code = await child.wait()
                await self._kill_proxy()
                self._down = Unreachable(child.epitaph(code), "it is being restarted")
                _log.warning("%s", self._down.message)
                if self._pace.now() - began >= _STEADY:
                    backoff.reset()
            await self._pace.sleep(backoff.next())
            try:
                await self._spawn_proxy()
            except ClusterError as error:
                self._down = error
            else:
                self._down = None

    async def _kill_proxy(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.kill()


def _proxy_command(context: kubeconfig.Context, folder: Path) -> list[str]:
    command = [
        "kubectl",
        "proxy",
        f"--context={context.name}",
        f"--unix-socket={folder / 's'}",
        f"--reject-methods={METHODS}",
        f"--accept-paths={','.join(ACCEPT)}",
        f"--reject-paths={','.join(REJECT)}",
        "--accept-hosts=^localhost$",
    ]
    if urlsplit(context.server).path.strip("/"):
        # Without it kubectl drops the path of servers behind a gateway (Rancher and others).
        command.append("--append-server-path=true")
    return command


def _private_folder() -> Path:
    """A new folder of mode 0700 whose socket path is short enough."""
    for parent in (None, "/tmp"):  # noqa: S108 - mkdtemp makes it private
        folder = Path(tempfile.mkdtemp(prefix="nvsx-", dir=parent))
        if len(os.fsencode(folder / "s")) <= _SOCKET_BYTES:
            return folder
        folder.rmdir()
    raise ClusterError("no folder for temporary files is short enough for a socket", "set TMPDIR")
