"""Discovery: which groups, versions and kinds the server has, in both forms clients ask for.

Answers /version, /api, /apis and the group documents, from the registry alone, so that a
CustomResourceDefinition shows at once. Aggregated discovery is apidiscovery.k8s.io/v2;
the older lists stay, since `kubectl drain` looks up pods/eviction there.
"""

from __future__ import annotations

import platform
from typing import Any

from nvsentinel_sandbox.kube.resources import Registry, Resource

SANDBOX_MARK = "+nvsx-sandbox"
"""How the `gitVersion` in /version ends. It is compiled in: nobody can write it to a real
cluster, as a label could be written. Clients tell by it that nothing here is real."""
SPEED_FIELD = "nvsxSandboxSpeed"
"""Where it says beside its version how much faster than life it runs."""
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SUBRESOURCE_VERBS = {"eviction": ["create"], "log": ["get"], "status": ["get", "patch", "update"]}
Document = dict[str, Any]


def version(speed: float = 1.0) -> Document:
    """What `kubectl version` shows, and the mark of a sandbox."""
    return {
        "major": "1",
        "minor": "32",
        "gitVersion": f"v1.32.4{SANDBOX_MARK}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": f"{platform.system().lower()}/{platform.machine()}",
        SPEED_FIELD: speed,
    }


def wants_aggregated(accept: str) -> bool:
    """Whether the client prefers one document for everything."""
    return "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" in accept.replace(" ", "")


def document(registry: Registry, path: str, *, aggregated: bool) -> Document | None:
    """The discovery document at `path`, or None when that is no discovery path."""
    parts = path.strip("/").split("/")
    if parts == ["api"]:
        return _aggregated_document(registry, core=True) if aggregated else _core_versions()
    if parts == ["apis"]:
        return (
            _aggregated_document(registry, core=False) if aggregated else _group_document(registry)
        )
    if parts == ["api", "v1"]:
        return _resource_document(registry, "", "v1")
    if parts[0] == "apis" and len(parts) == 2:
        return next((g for g in _group_list(registry) if g["name"] == parts[1]), None)
    if parts[0] == "apis" and len(parts) == 3:
        return _resource_document(registry, parts[1], parts[2])
    return None


def _core_versions() -> Document:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _group_document(registry: Registry) -> Document:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": _group_list(registry)}


def _group_list(registry: Registry) -> list[Document]:
    versions: dict[str, list[Document]] = {}
    for group, number in registry.group_versions():
        if group:
            entry = {"groupVersion": f"{group}/{number}", "version": number}
            versions.setdefault(group, []).append(entry)
    return [
        {
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": group,
            "versions": found,
            "preferredVersion": found[0],
        }
        for group, found in versions.items()
    ]


def _resource_document(registry: Registry, group: str, number: str) -> Document | None:
    found = registry.in_group(group, number)
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{number}" if group else number,
        "resources": [entry for r in found for entry in _legacy_entries(r)],
    }


def _legacy_entries(resource: Resource) -> list[Document]:
    own: Document = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        own["shortNames"] = list(resource.short_names)
    if resource.categories:
        own["categories"] = list(resource.categories)
    found = [own]
    for name in resource.subresources:
        entry: Document = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _SUBRESOURCE_VERBS[name],
        }
        if name == "eviction":
            entry |= {"group": "policy", "version": "v1", "kind": "Eviction"}
        found.append(entry)
    return found


def _aggregated_document(registry: Registry, *, core: bool) -> Document:
    groups: dict[str, list[Document]] = {}
    for group, number in registry.group_versions():
        if bool(group) is core:
            continue
        entry = {
            "version": number,
            "resources": [_aggregated_entry(r) for r in registry.in_group(group, number)],
            "freshness": "Current",
        }
        groups.setdefault(group, []).append(entry)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {"metadata": {"name": group, "creationTimestamp": None}, "versions": versions}
            for group, versions in groups.items()
        ],
    }


def _aggregated_entry(resource: Resource) -> Document:
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Document = {
        "resource": resource.plural,
        "responseKind": gvk,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
    }
    eviction = {"group": "policy", "version": "v1", "kind": "Eviction"}
    entry["subresources"] = [
        {
            "subresource": name,
            "responseKind": eviction if name == "eviction" else gvk,
            "verbs": _SUBRESOURCE_VERBS[name],
        }
        for name in resource.subresources
    ]
    return {key: value for key, value in entry.items() if value not in ([], "")}
