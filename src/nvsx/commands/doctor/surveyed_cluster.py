"""The cluster's part of a survey: what answers, what may be read, what of NVSentinel is there.

Every request is a GET through a gateway. The rights are tried on the resources that
`ops.rbac` lists, with lists of one object and watches that end at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import Gateway
from nvsx.commands.doctor.doctor_facts import (
    ClusterSeen,
    Nodes,
    NodeSeen,
    StoreSeen,
    TriedRight,
    Trouble,
)
from nvsx.core.aliases import alias_of
from nvsx.core.errors import ClusterError, Forbidden, NotFound, Unauthorized
from nvsx.core.watches.snapshot import Node, ResourceSource
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.surroundings import runs_in_pod
from nvsx.nvsentinel import marks, names, new_faults, rbac
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.observer import NvsentinelObserver
from nvsx.nvsentinel.workloads import as_map

_CONNECT_SECONDS = 3.0
_PORTS = {"mongodb": 27017, "postgresql": 5432}
_STORE_LABELS = {
    "mongodb": ("mongodb", "percona-server-mongodb"),
    "postgresql": ("postgresql",),
}


async def survey_cluster(gateway: Gateway, namespace: str, store_uri: str) -> ClusterSeen:
    """Look at one cluster and close the gateway. `namespace` is where NVSentinel should be,
    "" to look for it. Raises nothing for what the cluster answers."""
    cluster = Cluster(gateway)
    try:
        await cluster.start()
        version = await _read_version(cluster)
    except ClusterError as error:
        await cluster.close()
        return ClusterSeen(trouble=Trouble(error.message, error.hint))
    observer = NvsentinelObserver(cluster, clock=SystemClock(), namespace=namespace)
    try:
        inst = await observer.installation()
        kinds = await observer.maintenance_kinds()
        uid, nodes, attempts, store = await asyncio.gather(
            _read_cluster_id(cluster),
            _survey_nodes(cluster),
            _try_rights(cluster, inst.namespace, kinds),
            _survey_store(cluster, inst, store_uri),
        )
    finally:
        await observer.close()
        await cluster.close()
    return ClusterSeen(
        version=version or "unknown",
        uid=uid,
        attempts=attempts,
        installation=inst,
        nodes=nodes,
        store=store,
    )


async def _read_version(cluster: Cluster) -> str:
    with suppress(Forbidden):
        return await cluster.version()
    return ""


async def _read_cluster_id(cluster: Cluster) -> str:
    try:
        return await cluster.cluster_id()
    except ClusterError:
        return ""  # the rights say so


# --- rights -------------------------------------------------------------------------------


async def _try_rights(
    cluster: Cluster, namespace: str, kinds: Sequence[ResourceSource]
) -> tuple[TriedRight, ...]:
    listed = {(r.group, r.resource) for r in rbac.RIGHTS}
    mapped = [
        rbac.Right(k.plural, k.group, k.version, ("get", "list", "watch"), "repair requests")
        for k in kinds
        if (k.group, k.plural) not in listed
    ]
    tried = (_try_right(cluster, right, namespace) for right in (*rbac.RIGHTS, *mapped))
    return tuple(await asyncio.gather(*tried))


async def _try_right(cluster: Cluster, right: rbac.Right, namespace: str) -> TriedRight:
    what = f"{right.resource}.{right.group}" if right.group else right.resource
    try:
        await _use_right(cluster, right, namespace)
    except (Forbidden, Unauthorized) as error:
        return TriedRight(what, right.why, allowed=False, detail=error.message)
    except NotFound:
        # Kubernetes decides about the right before it looks: this was allowed.
        return TriedRight(what, right.why, allowed=True, served=False)
    except ClusterError as error:
        return TriedRight(what, right.why, allowed=None, detail=error.message)
    return TriedRight(what, right.why, allowed=True)


async def _use_right(cluster: Cluster, right: rbac.Right, namespace: str) -> None:
    """Use a right once. Raises ClusterError."""
    if right.resource == "pods/log":
        return await _read_a_log(cluster, namespace)
    if right.resource == "namespaces":
        await cluster.read("/api/v1/namespaces/kube-system")
        return None
    inside = f"/namespaces/{namespace}" if right.inside else ""
    path = f"{right.root}{inside}/{right.resource}"
    listed = await cluster.read(path, {"limit": "1"})
    if "watch" in right.verbs:
        version = str(as_map(as_map(listed).get("metadata")).get("resourceVersion") or "")
        # From this version on nothing is sent; it ends after a second.
        asked = {"watch": "true", "timeoutSeconds": "1", "resourceVersion": version}
        await cluster.gateway.get(path, asked)
    return None


async def _read_a_log(cluster: Cluster, namespace: str) -> None:
    """The last line of some pod of NVSentinel's. Without a pod, a name that no pod has: the
    answer is 404 where reading is allowed."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    try:
        listed = as_map(await cluster.read(pods, {"limit": "1"}))
    except ClusterError:
        listed = {}
    found = [as_map(p) for p in listed.get("items") or ()]
    name, params = "nvsx-doctor-asks", {"tailLines": "1", "limitBytes": "1000"}
    if found:
        name = str(as_map(found[0].get("metadata")).get("name"))
        containers = as_map(found[0].get("spec")).get("containers") or ()
        if containers:
            params["container"] = str(as_map(containers[0]).get("name"))
    try:
        await cluster.gateway.get(f"{pods}/{name}/log", params)
    except NotFound:
        return
    except (Forbidden, Unauthorized):
        raise
    except ClusterError as error:
        # 400: the container has not started. It was allowed to ask.
        if " answered 400 " not in error.message:
            raise


# --- nodes --------------------------------------------------------------------------------


async def _survey_nodes(cluster: Cluster) -> Nodes:
    reflector = await cluster.nodes()
    try:
        await reflector.settled()
        if not reflector.synced and reflector.failure is not None:
            error = reflector.failure
            return Nodes(trouble=Trouble(error.message, error.hint))
        found = sorted(reflector.items(), key=lambda n: n.name)
        return Nodes(tuple(_survey_node(n) for n in found))
    finally:
        await cluster.release(reflector)


def _survey_node(node: Node) -> NodeSeen:
    return NodeSeen(
        name=node.name,
        gpu=node.labels.get(names.GPU_NODE_LABEL) == "true",
        opted_out=marks.opted_out(node),
        incident=_describe_incident(node),
    )


def _describe_incident(node: Node) -> str:
    found = new_faults.find_existing_fault(node)
    event = found.event if found else None
    if not marks.is_marked(node) and event is None:
        return ""
    state = marks.read(node).state or ("quarantined" if marks.is_marked(node) else "not handled")
    codes = f" {' '.join(event.error_codes)}" if event else ""
    fault = f", {event.check}{codes}" if event else ""
    return f"{state}{fault} ({alias_of(node.name)})"


# --- the datastore ------------------------------------------------------------------------


async def _survey_store(cluster: Cluster, inst: Installation, uri: str) -> StoreSeen:
    """What there is of NVSentinel's datastore, and whether its port answers."""
    provider = str(inst.provider.value or "").lower()
    labels, port = _STORE_LABELS.get(provider, ()), _PORTS.get(provider, 0)
    objects, services = [], []
    if labels:
        for item in await _list_labelled(cluster, "/apis/apps/v1", "statefulsets", inst, labels):
            ready = as_map(item.get("status")).get("readyReplicas") or 0
            wanted = as_map(item.get("spec")).get("replicas", 1)
            objects.append(f"StatefulSet {_name_of(item)} {ready} of {wanted} ready")
        found = await _list_labelled(cluster, "/api/v1", "services", inst, labels)
        services = [_name_of(s) for s in found if port in _ports_of(s)]
        objects += [f"Service {name}" for name in services[:1]]
    if uri not in ("auto", "none"):
        return await _try_connection(objects, *_of_uri(uri))
    if not services:
        return StoreSeen(tuple(objects), detail="not tried: it is not in this namespace")
    if not runs_in_pod(os.environ):
        return StoreSeen(tuple(objects), detail="not tried from outside the cluster")
    return await _try_connection(objects, f"{services[0]}.{inst.namespace}.svc", port)


async def _list_labelled(
    cluster: Cluster, root: str, plural: str, inst: Installation, labels: tuple[str, ...]
) -> list[dict[str, Any]]:
    selector = f"app.kubernetes.io/name in ({','.join(labels)})"
    path = f"{root}/namespaces/{inst.namespace}/{plural}"
    try:
        listed = as_map(await cluster.read(path, {"labelSelector": selector}))
    except ClusterError:
        return []
    return [dict(as_map(i)) for i in listed.get("items") or ()]


def _name_of(item: dict[str, Any]) -> str:
    return str(as_map(item.get("metadata")).get("name") or "")


def _ports_of(service: dict[str, Any]) -> set[int]:
    return {as_map(p).get("port", 0) for p in as_map(service.get("spec")).get("ports") or ()}


def _of_uri(uri: str) -> tuple[str, int]:
    """Host and port of a URI's first server, without user-info; port 0 for mongodb+srv."""
    parts = urlsplit(uri)
    first = parts.netloc.rpartition("@")[2].split(",")[0]
    host, _, port = (
        first.rpartition(":") if first[-1:].isdigit() and ":" in first else (first, "", "")
    )
    usual = {"mongodb": 27017, "postgres": 5432, "postgresql": 5432}.get(parts.scheme, 0)
    return host.strip("[]"), int(port or usual)


async def _try_connection(objects: list[str], host: str, port: int) -> StoreSeen:
    """Open a connection and close it: no byte is sent."""
    if not port:
        return StoreSeen(tuple(objects), host, detail="not tried: its servers are in DNS records")
    address = f"{host}:{port}"
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return StoreSeen(tuple(objects), address, False, f"no answer in {_CONNECT_SECONDS:g}s")
    except OSError as error:
        return StoreSeen(tuple(objects), address, False, error.strerror or str(error))
    writer.close()
    return StoreSeen(tuple(objects), address, True)
