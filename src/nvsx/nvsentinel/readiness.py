"""Declarative prerequisites: is a Deployment, DaemonSet or CRD there and ready.

The observer's `prerequisite` calls it. NVSentinel's DaemonSets come in variants
(gpu-health-monitor-dcgm-4.x), so a name also stands for those that begin with it, and for
what carries it as `app.kubernetes.io/name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvsx.cluster import discovery
from nvsx.cluster.door import Cluster
from nvsx.core.errors import NotFound
from nvsx.core.watches.snapshot import ResourceSource
from nvsx.nvsentinel.workloads import NAME_LABEL, as_map, count_pods

Answer = tuple[bool, str]


async def check_workload(cluster: Cluster, kind: str, name: str, namespace: str) -> Answer:
    """Whether all pods that `kind` (deployment or daemonset) `name` wants are ready.

    Raises ClusterError when that cannot be read.
    """
    plural = f"{kind}s"
    try:
        listed = await cluster.read(f"/apis/apps/v1/namespaces/{namespace}/{plural}")
    except NotFound:
        listed = {}
    items = [as_map(i) for i in as_map(listed).get("items") or ()]
    found = _find_named(items, name)
    if not found:
        step = f"see `kubectl -n {namespace} get {plural}`; is it enabled in the Helm values?"
        return False, f"{kind} {name} not found in namespace {namespace}: {step}"
    counts = [count_pods("Deployment" if kind == "deployment" else "DaemonSet", i) for i in found]
    desired, ready = sum(d for d, _ in counts), sum(r for _, r in counts)
    shown = ", ".join(_name_of(i) for i in found)
    text = f"{kind} {shown}: {ready} of {desired} ready"
    if desired == 0:
        why = "is scaled to 0" if kind == "deployment" else "has no node to run on"
        return False, f"{text}: it {why}"
    if ready < desired:
        return False, f"{text}: see `kubectl -n {namespace} describe {kind} {_name_of(found[0])}`"
    return True, text


async def check_crd(cluster: Cluster, name: str) -> Answer:
    """Whether a kind of resource is served; `name` is `plural.group`, or the plural alone.

    Raises ClusterError when that cannot be read.
    """
    plural, _, group = name.partition(".")
    try:
        served = await discovery.find_served(cluster.gateway, ResourceSource(plural, group))
    except NotFound as error:
        return False, f"{error.message}: {error.hint}"
    return True, f"{served.plural}.{served.group} {served.version} is served"


def _name_of(item: Mapping[str, Any]) -> str:
    return str(as_map(item.get("metadata")).get("name") or "")


def _find_named(items: list[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    exact = [i for i in items if _name_of(i) == name]
    if exact:
        return exact
    labelled = [
        i for i in items if as_map(as_map(i.get("metadata")).get("labels")).get(NAME_LABEL) == name
    ]
    return labelled or [i for i in items if _name_of(i).startswith(f"{name}-")]
