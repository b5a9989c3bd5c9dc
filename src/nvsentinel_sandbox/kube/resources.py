"""The resource kinds the sandbox serves: names, verbs, selectable fields, printer columns.

The object store, discovery, tables and OpenAPI all read this one registry. Built-in kinds
are fixed; custom kinds come and go with their CustomResourceDefinition objects, as on a
real cluster: see customkinds.py. No objects live here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nvsentinel_sandbox.kube import shapes
from nvsentinel_sandbox.kube.shapes import Shape

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of a custom resource; `path` is a JSONPath as CRDs write it."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind, as `kubectl api-resources` would list it.

    `fields` are the field selectors it supports beside metadata.name and
    metadata.namespace. `generation` says whether a change outside metadata and status counts
    generations. `custom_shape` is what a custom kind's schema says of its fields.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    fields: tuple[str, ...] = ()
    generation: bool = False
    custom: bool = False
    custom_shape: Shape = field(default=shapes.OPEN, compare=False, repr=False)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """`pods`, `rebootnodes.janitor.dgxc.nvidia.com`: what Status errors and CRDs say."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def shape(self) -> Shape:
        """Its fields and their types."""
        if self.custom:
            return self.custom_shape
        return shapes.built_in(self.api_version, self.kind) or shapes.OPEN

    @property
    def stored(self) -> bool:
        """Whether objects of it exist; reviews are only answered."""
        return self.verbs is not CREATE_ONLY


_POD_FIELDS = ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase")
_EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "reason",
    "reportingComponent",
    "source",
    "type",
)


def _core_kind(
    plural: str,
    kind: str,
    *short: str,
    namespaced: bool = True,
    sub: tuple[str, ...] = (),
    fields: tuple[str, ...] = (),
) -> Resource:
    return Resource(
        group="",
        version="v1",
        plural=plural,
        kind=kind,
        namespaced=namespaced,
        singular=kind.lower(),
        short_names=short,
        subresources=sub,
        categories=("all",) if plural in ("pods", "services") else (),
        fields=fields,
    )


def _grouped_kind(
    group: str,
    plural: str,
    kind: str,
    *short: str,
    namespaced: bool = True,
    status: bool = True,
    verbs: tuple[str, ...] = ALL_VERBS,
) -> Resource:
    return Resource(
        group=group,
        version="v1",
        plural=plural,
        kind=kind,
        namespaced=namespaced,
        singular=kind.lower(),
        short_names=short,
        subresources=("status",) if status else (),
        categories=("all",) if group in ("apps", "batch") else (),
        verbs=verbs,
        fields=("status.successful",) if plural == "jobs" else (),
        generation=group in ("apps", "batch", "policy", "apiextensions.k8s.io"),
    )


_RBAC = "rbac.authorization.k8s.io"
BUILT_IN: tuple[Resource, ...] = (
    _core_kind(
        "nodes", "Node", "no", namespaced=False, sub=("status",), fields=("spec.unschedulable",)
    ),
    _core_kind("pods", "Pod", "po", sub=("eviction", "log", "status"), fields=_POD_FIELDS),
    _core_kind("events", "Event", "ev", fields=_EVENT_FIELDS),
    _core_kind(
        "namespaces", "Namespace", "ns", namespaced=False, sub=("status",), fields=("status.phase",)
    ),
    _core_kind("configmaps", "ConfigMap", "cm"),
    _core_kind("secrets", "Secret", fields=("type",)),
    _core_kind("services", "Service", "svc", sub=("status",)),
    _core_kind("endpoints", "Endpoints", "ep"),
    _core_kind("serviceaccounts", "ServiceAccount", "sa"),
    _grouped_kind("apps", "deployments", "Deployment", "deploy"),
    _grouped_kind("apps", "daemonsets", "DaemonSet", "ds"),
    _grouped_kind("apps", "replicasets", "ReplicaSet", "rs"),
    _grouped_kind("apps", "statefulsets", "StatefulSet", "sts"),
    _grouped_kind("batch", "jobs", "Job"),
    _grouped_kind("coordination.k8s.io", "leases", "Lease", status=False),
    _grouped_kind("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb"),
    _grouped_kind(_RBAC, "clusterroles", "ClusterRole", namespaced=False, status=False),
    _grouped_kind(
        _RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False, status=False
    ),
    _grouped_kind(_RBAC, "roles", "Role", status=False),
    _grouped_kind(_RBAC, "rolebindings", "RoleBinding", status=False),
    _grouped_kind(
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
        status=False,
        verbs=CREATE_ONLY,
    ),
    _grouped_kind(
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        namespaced=False,
        status=False,
        verbs=CREATE_ONLY,
    ),
    _grouped_kind(
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
        namespaced=False,
        status=False,
        verbs=CREATE_ONLY,
    ),
    _grouped_kind(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        "crd",
        "crds",
        namespaced=False,
    ),
)


class Registry:
    """The kinds one server serves now."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_name = {r.name: r for r in resources}

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_name.values())

    def add(self, resource: Resource) -> None:
        self._by_name[resource.name] = resource

    def remove(self, name: str) -> None:
        self._by_name.pop(name, None)

    def find(self, plural: str) -> Resource | None:
        """By `plural` or `plural.group`; without a group the first kind of that name wins."""
        if found := self._by_name.get(plural):
            return found
        return next((r for r in self if r.plural == plural), None)

    def find_served(self, group: str, version: str, plural: str) -> Resource | None:
        """What a request path names, or None: 404."""
        found = self._by_name.get(f"{plural}.{group}" if group else plural)
        return found if found is not None and found.version == version else None

    def in_group(self, group: str, version: str) -> list[Resource]:
        return [r for r in self if r.group == group and r.version == version]

    def group_versions(self) -> list[tuple[str, str]]:
        """Group and version pairs in the order they were added, the core group as ''."""
        return list(dict.fromkeys((r.group, r.version) for r in self))
