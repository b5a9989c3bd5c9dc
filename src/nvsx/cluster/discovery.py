"""Discovery: at which path a kind of resource is served, and in which version.

The door asks when a runbook names a plural without its version or group. Nothing is
remembered: a CRD can be installed, upgraded or removed while nvsx runs.
Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from nvsx.cluster.gateway import Gateway
from nvsx.core.errors import NotFound, Unreachable
from nvsx.core.watches.snapshot import ResourceSource

_T = TypeVar("_T")


class Served(msgspec.Struct, frozen=True):
    """A kind of resource as one API server serves it; `group` is "" for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    def path(self, namespace: str = "") -> str:
        """The collection, in all namespaces or in one (ignored for cluster-scoped kinds)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{inside}/{self.plural}"


class _Version(msgspec.Struct):
    version: str = ""


class _Group(msgspec.Struct):
    name: str = ""
    versions: list[_Version] | None = None
    preferredVersion: _Version | None = None  # noqa: N815 - the API's own spelling

    def in_order(self) -> list[str]:
        """The preferred version first, then the others as the server orders them."""
        preferred = self.preferredVersion.version if self.preferredVersion else ""
        names = [preferred, *(v.version for v in self.versions or ())]
        return [v for v in dict.fromkeys(names) if v]


class _Groups(msgspec.Struct):
    groups: list[_Group] | None = None


class _Kind(msgspec.Struct):
    name: str = ""
    kind: str = ""
    namespaced: bool = False


class _Kinds(msgspec.Struct):
    resources: list[_Kind] | None = None


async def find_served(gateway: Gateway, source: ResourceSource) -> Served:
    """Where `source` is served. Raises NotFound when it is not, else ClusterError."""
    for group, versions in await _list_candidates(gateway, source):
        for version in versions:
            root = f"/apis/{group}/{version}" if group else f"/api/{version}"
            try:
                kinds = _decode_answer(await gateway.get(root), _Kinds, root)
            except NotFound:
                continue
            for kind in kinds.resources or ():
                if kind.name == source.plural:
                    return Served(group, version, kind.name, kind.kind, kind.namespaced)
    wanted = ".".join(p for p in (source.plural, source.version, source.group) if p)
    raise NotFound(
        f"{gateway.name} serves no {wanted}",
        f"is the CRD installed? see `kubectl api-resources | grep {source.plural}`",
    )


async def _list_candidates(gateway: Gateway, source: ResourceSource) -> list[tuple[str, list[str]]]:
    if source.group and source.version:
        return [(source.group, [source.version])]
    if source.group:
        path = f"/apis/{source.group}"
        try:
            return [
                (source.group, _decode_answer(await gateway.get(path), _Group, path).in_order())
            ]
        except NotFound:
            return []
    listed = _decode_answer(await gateway.get("/apis"), _Groups, "/apis").groups or []
    found = [("", ["v1"]), *((g.name, g.in_order()) for g in listed)]
    if not source.version:
        return found
    return [(g, [source.version]) for g, versions in found if source.version in versions]


def _decode_answer(body: bytes, type_: type[_T], path: str) -> _T:
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as error:
        raise Unreachable(f"{path}: the answer is not API discovery ({error})") from error
