"""The way to a service inside the cluster from outside: a `kubectl port-forward` child.

It listens on a free local port of 127.0.0.1, is started when first needed and again when
it has died, and never outlives nvsx (kubectl_children sees to that). It carries bytes and
nothing else: no credential is on its command line or in its output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from nvsx.cluster.kubectl_children import Child
from nvsx.core.errors import ClusterError
from nvsx.nvsentinel.event_store.event_store_errors import store_failure

_READY = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) ->")
#: kubectl may have to log in first, and then asks the API server for the service's pods.
_STARTUP = 20.0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Which cluster kubectl talks to. `environ` has the KUBECONFIG to use."""

    context: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def command(self, *args: str) -> tuple[str, ...]:
        return ("kubectl", *([f"--context={self.context}"] if self.context else []), *args)


class PortForward:
    """127.0.0.1:<port> → `port` of `service` in `namespace`."""

    def __init__(self, kubectl: Kubectl, namespace: str, service: str, port: int) -> None:
        self._kubectl = kubectl
        self._namespace = namespace
        self._service = service
        self._port = port
        self._child: Child | None = None
        self._local = 0

    @property
    def pid(self) -> int | None:
        """The child's process, None while there is none."""
        return self._child.pid if self._child else None

    async def open(self) -> int:
        """The local port, with kubectl listening on it. Raises HealthEventsError."""
        if self.pid is not None:
            return self._local
        await self.close()
        command = self._kubectl.command(
            "port-forward",
            f"--namespace={self._namespace}",
            "--address=127.0.0.1",
            f"service/{self._service}",
            f":{self._port}",
        )
        child = Child("kubectl port-forward", command, self._kubectl.environ, ready=_READY)
        try:
            self._local = int((await child.start(_STARTUP))[1])
        except ClusterError as error:
            raise store_failure(
                "unavailable",
                f"service {self._namespace}/{self._service} cannot be reached: {error.message}",
                "port-forwarding needs `create` on pods/portforward in that namespace; "
                f"try `kubectl -n {self._namespace} port-forward svc/{self._service} "
                f":{self._port}`",
            ) from error
        self._child = child
        return self._local

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.kill()
