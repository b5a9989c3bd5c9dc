"""Server-side tables: the columns people know from `kubectl get`.

The kinds that people look at in an incident have the columns that `kubectl get` and `-o wide`
show; custom kinds bring their printer columns; all others show name and age. Used by formats
alone. Cells are text, numbers or true and false, never objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nvsentinel_sandbox.kube import podcells
from nvsentinel_sandbox.kube.ages import age, parse_time
from nvsentinel_sandbox.kube.resources import Resource

Object = Mapping[str, Any]
Cell = Callable[[Any, float], Any]
_NONE = "<none>"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column. `priority` above 0 shows with -o wide only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> dict[str, Any]:
        """The meta/v1 TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": "",
            "priority": self.priority,
        }


def partial(obj: Object) -> dict[str, Any]:
    """The object's metadata, as meta/v1 PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def columns(resource: Resource) -> list[TableColumn]:
    """The columns of a kind; name and age for kinds without their own."""
    if resource.custom:
        return [_NAME, *_printer_columns(resource)]
    return _COLUMNS.get(resource.name, [_NAME, _AGE])


def json_path(obj: Any, path: str) -> Any:
    """The first value at a JSONPath of the kind printer columns use, or None.

    Fields, escaped dots, indices, `[*]` and equality filters are understood.
    """
    found = [obj]
    for field, inside in _STEP.findall(path):
        if field:
            name = field.replace("\\.", ".")
            found = [v[name] for v in found if isinstance(v, Mapping) and name in v]
            continue
        items = [item for v in found if isinstance(v, list) for item in v]
        if wanted := _FILTER.fullmatch(inside):
            found = [
                i for i in items if isinstance(i, Mapping) and str(i.get(wanted[1])) == wanted[2]
            ]
        elif inside == "*":
            found = items
        else:
            found = items[int(inside) : int(inside) + 1] if inside.isdigit() else []
    return found[0] if found else None


_STEP = re.compile(r"\.((?:[^.\[\\]|\\.)+)|\[([^\]]*)\]")
_FILTER = re.compile(r"\?\(\s*@\.(\w+)\s*==\s*['\"](.*?)['\"]\s*\)")


def _printer_columns(resource: Resource) -> list[TableColumn]:
    found = [
        TableColumn(c.name, _path_cell(c.path, c.type), c.type, "", c.priority)
        for c in resource.columns
    ]
    return found or [_AGE]


def _path_cell(path: str, kind: str) -> Cell:
    def cell(obj: Any, now: float) -> Any:
        value = json_path(obj, path)
        if kind == "date":
            return age(value, now)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        return str(value)

    return cell


def _cell_at(path: str, default: Any = None) -> Cell:
    parts = path.split(".")

    def cell(obj: Any, _now: float) -> Any:
        for part in parts:
            obj = obj.get(part) if isinstance(obj, Mapping) else None
        return default if obj is None else obj

    return cell


def _count_cell(path: str) -> Cell:
    inner = _cell_at(path, ())
    return lambda obj, now: len(inner(obj, now))


def _ratio_cell(part: str, whole: str, default: int = 0) -> Cell:
    top, bottom = _cell_at(part, 0), _cell_at(whole, default)
    return lambda obj, now: f"{top(obj, now)}/{bottom(obj, now)}"


def _pairs_cell(path: str) -> Cell:
    inner = _cell_at(path, {})

    def cell(obj: Any, now: float) -> str:
        return ",".join(f"{k}={v}" for k, v in sorted(inner(obj, now).items())) or _NONE

    return cell


def _node_status(obj: Any, _now: float) -> str:
    conditions = obj.get("status", {}).get("conditions") or ()
    ready = next((c for c in conditions if c.get("type") == "Ready"), None)
    told = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{told},SchedulingDisabled" if obj.get("spec", {}).get("unschedulable") else told


def _node_roles(obj: Any, _now: float) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    roles = [k.removeprefix(prefix) for k in sorted(labels) if k.startswith(prefix)]
    return ",".join(filter(None, roles)) or _NONE


def _node_address(kind: str) -> Cell:
    def cell(obj: Any, _now: float) -> str:
        found = obj.get("status", {}).get("addresses") or ()
        return next((a["address"] for a in found if a.get("type") == kind), _NONE)

    return cell


def _event_object(obj: Any, _now: float) -> str:
    involved = obj.get("involvedObject") or {}
    return f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"


def _event_seen(obj: Any, now: float) -> str:
    seen = obj.get("lastTimestamp") or obj.get("eventTime") or obj.get("firstTimestamp")
    return age(seen, now)


def _containers_cell(field: str) -> Cell:
    inner = _cell_at("spec.template.spec.containers", ())
    return lambda obj, now: ",".join(str(c.get(field, "")) for c in inner(obj, now))


def _job_status(obj: Any, _now: float) -> str:
    held = {
        c["type"] for c in obj.get("status", {}).get("conditions") or () if c["status"] == "True"
    }
    return next((told for told in ("Complete", "Failed", "Suspended") if told in held), "Running")


def _job_duration(obj: Any, now: float) -> str:
    status = obj.get("status", {})
    if not status.get("startTime"):
        return ""
    ended = status.get("completionTime")
    return age(status["startTime"], parse_time(ended) if ended else now)


def _integer_column(name: str, path: str, default: Any = 0) -> TableColumn:
    return TableColumn(name, _cell_at(path, default), "integer")


def _wide_column(name: str, cell: Cell) -> TableColumn:
    return TableColumn(name, cell, priority=1)


_NAME = TableColumn("Name", _cell_at("metadata.name"), format="name")
_AGE = TableColumn("Age", lambda obj, now: age(obj["metadata"].get("creationTimestamp"), now))
_WORKLOAD = [
    _wide_column("Containers", _containers_cell("name")),
    _wide_column("Images", _containers_cell("image")),
    _wide_column("Selector", _pairs_cell("spec.selector.matchLabels")),
]
_INFO = "status.nodeInfo."
_COLUMNS: dict[str, list[TableColumn]] = {
    "nodes": [
        _NAME,
        TableColumn("Status", _node_status),
        TableColumn("Roles", _node_roles),
        _AGE,
        TableColumn("Version", _cell_at(_INFO + "kubeletVersion", "")),
        _wide_column("Internal-IP", _node_address("InternalIP")),
        _wide_column("External-IP", _node_address("ExternalIP")),
        _wide_column("OS-Image", _cell_at(_INFO + "osImage", "<unknown>")),
        _wide_column("Kernel-Version", _cell_at(_INFO + "kernelVersion", "<unknown>")),
        _wide_column("Container-Runtime", _cell_at(_INFO + "containerRuntimeVersion", "<unknown>")),
    ],
    "pods": [
        _NAME,
        TableColumn("Ready", podcells.ready),
        TableColumn("Status", podcells.status),
        TableColumn("Restarts", podcells.restarts),
        _AGE,
        _wide_column("IP", _cell_at("status.podIP", _NONE)),
        _wide_column("Node", _cell_at("spec.nodeName", _NONE)),
        _wide_column("Nominated Node", _cell_at("status.nominatedNodeName", _NONE)),
        _wide_column("Readiness Gates", lambda _obj, _now: _NONE),
    ],
    "events": [
        TableColumn("Last Seen", _event_seen),
        TableColumn("Type", _cell_at("type", "")),
        TableColumn("Reason", _cell_at("reason", "")),
        TableColumn("Object", _event_object),
        _wide_column("Subobject", _cell_at("involvedObject.fieldPath", "")),
        _wide_column("Source", _cell_at("source.component", "")),
        TableColumn("Message", lambda obj, _now: str(obj.get("message", "")).strip()),
        _wide_column("First Seen", lambda obj, now: age(obj.get("firstTimestamp"), now)),
        _wide_column("Count", _cell_at("count", 1)),
        TableColumn("Name", _cell_at("metadata.name"), format="name", priority=1),
    ],
    "namespaces": [_NAME, TableColumn("Status", _cell_at("status.phase", "")), _AGE],
    "configmaps": [_NAME, TableColumn("Data", _count_cell("data"), "integer"), _AGE],
    "deployments.apps": [
        _NAME,
        TableColumn("Ready", _ratio_cell("status.readyReplicas", "spec.replicas", 1)),
        _integer_column("Up-to-date", "status.updatedReplicas"),
        _integer_column("Available", "status.availableReplicas"),
        _AGE,
        *_WORKLOAD,
    ],
    "daemonsets.apps": [
        _NAME,
        _integer_column("Desired", "status.desiredNumberScheduled"),
        _integer_column("Current", "status.currentNumberScheduled"),
        _integer_column("Ready", "status.numberReady"),
        _integer_column("Up-to-date", "status.updatedNumberScheduled"),
        _integer_column("Available", "status.numberAvailable"),
        TableColumn("Node Selector", _pairs_cell("spec.template.spec.nodeSelector")),
        _AGE,
        *_WORKLOAD,
    ],
    "jobs.batch": [
        _NAME,
        TableColumn("Status", _job_status),
        TableColumn("Completions", _ratio_cell("status.succeeded", "spec.completions", 1)),
        TableColumn("Duration", _job_duration),
        _AGE,
        *_WORKLOAD,
    ],
}
