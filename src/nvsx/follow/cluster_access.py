"""The way to the cluster: through kubectl, from inside a pod, or to a sandbox.

`open_cluster` is for who only looks; a `Workplace` is for who works runs there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nvsx.cluster import kubeconfig
from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import DirectGateway, Gateway, InClusterGateway
from nvsx.cluster.kubectl_proxy import ProxyGateway
from nvsx.core.errors import Unreachable
from nvsx.core.whereabouts import Whereabouts
from nvsx.follow.surroundings import (
    SANDBOX_CONTEXT,
    SANDBOX_IS_GONE,
    find_whereabouts,
    refuse_stale_kubeconfig,
    uses_service_account,
)
from nvsx.nvsentinel.observer import NvsentinelObserver
from nvsx.project.home import Home
from nvsx.project.steady_time import read_time

if TYPE_CHECKING:
    from nvsentinel_sandbox.host import Sandbox


class SystemClock:
    """The real clock; it does not jump while the process lives."""

    def now(self) -> float:
        return read_time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class OpenCluster:
    """A cluster to look at: what it is, and NVSentinel's marks on it."""

    cluster: Cluster
    observer: NvsentinelObserver
    where: Whereabouts


@asynccontextmanager
async def open_cluster(home: Home) -> AsyncIterator[OpenCluster]:
    """Connect to the cluster, and to nothing else. Raises ClusterError, UsageError."""
    async with AsyncExitStack() as opened:
        gateway, context = choose_gateway(home)
        cluster = Cluster(gateway)
        opened.push_async_callback(cluster.close)
        where = await reach_cluster(cluster, context, home.env)
        observer = NvsentinelObserver(
            cluster, namespace=home.nvsentinel_namespace, clock=SystemClock()
        )
        opened.push_async_callback(observer.close)
        yield OpenCluster(cluster, observer, where)


async def reach_cluster(cluster: Cluster, context: str, env: Mapping[str, str]) -> Whereabouts:
    """Reach the cluster and find out what it is. Raises ClusterError."""
    try:
        await cluster.start()
        return await find_whereabouts(cluster, context, env)
    except Unreachable as error:
        if context != SANDBOX_CONTEXT:
            raise
        raise Unreachable(error.message, f"has the sandbox ended? {SANDBOX_IS_GONE}") from error


def choose_gateway(home: Home, sandbox: Sandbox | None = None) -> tuple[Gateway, str]:
    """The way to the cluster, and the name it goes by. Raises ClusterError, UsageError."""
    if sandbox is not None:
        return DirectGateway(sandbox.url, sandbox.read_only_token), "sandbox"
    if uses_service_account(home.env, home.context):
        return InClusterGateway(home.env), "in-cluster"
    refuse_stale_kubeconfig(home.env, home.context)
    context = kubeconfig.find_context(home.context)
    return ProxyGateway(context.name), context.name
