"""The door on a cluster of the developer's own, when KUBECONFIG names one."""

from __future__ import annotations

import os

import pytest

from nvsx.cluster.door import Cluster
from nvsx.cluster.kubectl_proxy import ProxyGateway


async def test_a_real_cluster(real_kubeconfig: str | None) -> None:
    """Against a real API server: its version, its identity, and its nodes kept by a watch."""
    if real_kubeconfig is None:
        pytest.skip("KUBECONFIG names no real cluster")
    cluster = Cluster(ProxyGateway(environ={**os.environ, "KUBECONFIG": real_kubeconfig}))
    await cluster.start()
    try:
        assert await cluster.version()
        assert await cluster.cluster_id()
        nodes = await cluster.nodes()
        await nodes.settled()
        assert nodes.error == ""
        assert len(nodes) > 0
        assert nodes.last_seen > 0
    finally:
        await cluster.close()
