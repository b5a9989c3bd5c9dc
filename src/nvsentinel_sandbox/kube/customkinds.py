"""Custom kinds: from a CustomResourceDefinition to a served resource and back; NVSentinel's own.

Names, scopes, fields and columns of NVSentinel's kinds follow its CRDs (NVSentinel
charts/janitor/crds, charts/lifecycle-manager/crds, janitor/api/v1alpha1/*_types.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nvsentinel_sandbox.kube import shapes
from nvsentinel_sandbox.kube.resources import BUILT_IN, Column, Resource
from nvsentinel_sandbox.kube.statuses import Fault, invalid, required, unfit

Schema = dict[str, Any]
_DEFINITION, _GROUP = "CustomResourceDefinition", "apiextensions.k8s.io"
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _object_schema(*needed: str, **properties: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": properties}
    return {**found, "required": list(needed)} if needed else found


_CONDITION = _object_schema(
    "type",
    "status",
    type=_TEXT,
    status={"type": "string", "enum": ["True", "False", "Unknown"]},
    reason=_TEXT,
    message=_TEXT,
    lastTransitionTime=_TIME,
    observedGeneration={"type": "integer", "format": "int64"},
)
_CONDITIONS: Schema = {
    "type": "array",
    "items": _CONDITION,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}


def _phase_schema(*known: str) -> Schema:
    return {"type": "string", "enum": list(known)}


_PROGRESS: dict[str, Schema] = {
    "startTime": _TIME,
    "completionTime": _TIME,
    "conditions": _CONDITIONS,
}


def _define_kind(
    group: str,
    version: str,
    plural: str,
    kind: str,
    *columns: Column,
    short: tuple[str, ...] = (),
    spec: Schema,
    status: Schema,
) -> Resource:
    # What else a controller reports in its status stays.
    status = {**status, "x-kubernetes-preserve-unknown-fields": True}
    schema = _object_schema(*(["spec"] if "required" in spec else []), spec=spec, status=status)
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=False,
        singular=kind.lower(),
        short_names=short,
        subresources=("status",),
        columns=columns,
        generation=True,
        custom=True,
        custom_shape=shapes.custom(schema),
    )


_JANITOR = "janitor.dgxc.nvidia.com"
_NODE = Column("Node", ".spec.nodeName")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_NODE_SPEC = _object_schema("nodeName", nodeName=_TEXT, force=_FLAG)
_NODE_STATUS = _object_schema(**_PROGRESS)

NVSENTINEL: tuple[Resource, ...] = (
    _define_kind(
        _JANITOR,
        "v1alpha1",
        "rebootnodes",
        "RebootNode",
        _NODE,
        Column("Force", ".spec.force", "boolean"),
        Column("NodeReady", ".status.conditions[?(@.type=='NodeReady')].status"),
        _AGE,
        spec=_NODE_SPEC,
        status=_NODE_STATUS,
    ),
    _define_kind(
        _JANITOR,
        "v1alpha1",
        "terminatenodes",
        "TerminateNode",
        _NODE,
        Column("Force", ".spec.force", "boolean"),
        Column("NodeTerminated", ".status.conditions[?(@.type=='NodeTerminated')].status"),
        _AGE,
        spec=_NODE_SPEC,
        status=_NODE_STATUS,
    ),
    _define_kind(
        _JANITOR,
        "v1alpha1",
        "gpuresets",
        "GPUReset",
        _NODE,
        _AGE,
        spec=_object_schema(
            "nodeName", nodeName=_TEXT, selector=_object_schema(uuids=_TEXTS, pciBusIDs=_TEXTS)
        ),
        status=_object_schema(
            phase=_phase_schema(
                "Pending", "InProgress", "Terminating", "Succeeded", "Failed", "Unknown"
            ),
            **_PROGRESS,
        ),
    ),
    _define_kind(
        "nvsentinel.dgxc.nvidia.com",
        "v1",
        "externalremediationrequests",
        "ExternalRemediationRequest",
        short=("extrr",),
        spec=_object_schema("healthEvent", healthEvent=_OPEN),
        status=_object_schema(**_PROGRESS),
    ),
    _define_kind(
        "nvsentinel.nvidia.com",
        "v1alpha1",
        "validationrequests",
        "ValidationRequest",
        Column("Phase", ".status.phase"),
        _AGE,
        spec=_object_schema(
            nodes={"type": "array", "items": _object_schema("name", name=_TEXT)},
            tests={"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": True}},
        ),
        status=_object_schema(
            phase=_phase_schema("Pending", "Running", "Succeeded", "Failed"), **_PROGRESS
        ),
    ),
)

RESOURCES: tuple[Resource, ...] = BUILT_IN + NVSENTINEL


def definition_of(resource: Resource) -> dict[str, Any]:
    """The CustomResourceDefinition that declares `resource`."""
    names: dict[str, Any] = {
        "plural": resource.plural,
        "singular": resource.singular,
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
    }
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": dict(resource.shape.schema)},
        "subresources": {"status": {}} if "status" in resource.subresources else {},
        "additionalPrinterColumns": [
            {"name": c.name, "type": c.type, "jsonPath": c.path} for c in resource.columns
        ],
    }
    return {
        "metadata": {"name": resource.name},
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def established_status(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The status of a CustomResourceDefinition whose kind is served."""
    spec = definition.get("spec") or {}
    return {
        "acceptedNames": spec.get("names") or {},
        "conditions": [
            {
                "type": "NamesAccepted",
                "status": "True",
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                "status": "True",
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
        "storedVersions": [v.get("name", "") for v in spec.get("versions") or ()],
    }


def resource_from(definition: Mapping[str, Any]) -> Resource:
    """The kind that a CustomResourceDefinition declares, in its first served version.

    Invalid, with the fields at fault, when it cannot be served.
    """
    name = definition["metadata"]["name"]
    faults = list(_find_faults(definition))
    if faults:
        raise invalid(_DEFINITION, _GROUP, name, faults)
    spec = definition["spec"]
    names = spec["names"]
    version = next(v for v in spec["versions"] if v.get("served", True))
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(),
        short_names=tuple(names.get("shortNames") or ()),
        subresources=("status",) if "status" in (version.get("subresources") or {}) else (),
        columns=tuple(
            Column(c["name"], c["jsonPath"], c.get("type", "string"), c.get("priority", 0))
            for c in version.get("additionalPrinterColumns") or ()
        ),
        categories=tuple(names.get("categories") or ()),
        generation=True,
        custom=True,
        custom_shape=shapes.custom(version["schema"]["openAPIV3Schema"]),
    )


def _find_faults(definition: Mapping[str, Any]) -> Iterator[Fault]:
    spec = definition.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or ()
    for path, found in (
        ("spec.group", spec.get("group")),
        ("spec.names.plural", names.get("plural")),
        ("spec.names.kind", names.get("kind")),
        ("spec.versions", any(v.get("served", True) for v in versions)),
    ):
        if not found:
            yield required(path)
    name = definition["metadata"]["name"]
    if names.get("plural") and name != f"{names['plural']}.{spec.get('group')}":
        yield unfit("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            yield required(path, "schemas are required")
