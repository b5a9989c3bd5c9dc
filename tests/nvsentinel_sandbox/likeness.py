"""Compares what the sandbox shows with recorded objects, in every field.

Two incidents differ in times, ids and names of machines. `plain` puts one word in the place
of each of those, on both sides alike; what is left must be equal, to the last key.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.nvsentinel.fixtures import load
from tests.nvsentinel_sandbox.simulation import Object, Simulation

from nvsentinel_sandbox.chain import stored
from nvsentinel_sandbox.world.health import Document

LIFECYCLE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "samples" / "lifecycle.json").read_text()
)
_WORDS = (
    (r"GPU-[0-9a-f]{8}-[0-9a-f-]{27}", "GPU-UUID"),
    (r"gce://\S+/(gpu-node-\w+)", r"PROVIDER/\1"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\b[0-9a-f]{24}\b", "ID"),
    (r"\d{4}-\d\d-\d\dT\d\d[:-]\d\d[:-]\d\d(\.\d+)?Z", "TIME"),
    (r"gpu-node-[a-z]+\d+", "NODE"),
    (r"0000:[0-9a-f]{2}:00", "PCI"),
    (r"pid=\d+", "pid=N"),
    (r"req-\d+", "req-N"),
    (r"train-\d+", "train-N"),
    (r'"nanos":\s*\d+,\s*"seconds":\s*\d+', '"seconds":N'),
    (r'"seconds":\s*\d+(,\s*"nanos":\s*\d+)?', '"seconds":N'),
    (r"\bNODE(\.[0-9a-f]{14,16}|-[a-z0-9]{5})(?=\")", "NODE.EVENT"),
)


def plain(found: Any) -> Any:
    """The value without what differs between two incidents."""
    text = found if isinstance(found, str) else json.dumps(found, separators=(",", ":"))
    escaped = text.replace('\\"', '"') if isinstance(found, str) else text
    for pattern, word in _WORDS:
        escaped = re.sub(pattern, word, escaped)
    if isinstance(found, str):
        return escaped
    return json.loads(escaped.replace('"seconds":N', '"seconds":0'))


# --- nodes ------------------------------------------------------------------------------

_OWN = ("nvidia.com", "kubernetes.io/hostname")
_OTHERS = ("nvidia.com/gpu.count", "nvidia.com/gpu.product", "nvidia.com/gpu")
_NOT_READY = "node.kubernetes.io/not-ready"  # Kubernetes' own, beside NVSentinel


def recorded_node(stage: str) -> Object:
    """The recorded node at a stage, as `node_facts`."""
    return node_facts(load("nodes")[stage])


def node_facts(node: Object) -> Object:
    """All that NVSentinel writes on a node, and what Kubernetes derives from it."""
    meta, spec = node["metadata"], node["spec"]
    labels = {k: v for k, v in meta["labels"].items() if k.endswith(_OWN) or "nvidia.com/" in k}
    types = ("Ready", "SysLogsXIDError", "GpuPcieWatch")
    conditions = {c["type"]: dict(c) for c in node["status"]["conditions"] if c["type"] in types}
    for key in ("message", "lastHeartbeatTime", "lastTransitionTime"):
        conditions["Ready"].pop(key, None)  # the kubelet's
    return {
        "labels": plain({k: v for k, v in labels.items() if k not in _OTHERS}),
        # the text as it is, with the order of its keys
        "annotations": {k: plain(v) for k, v in meta["annotations"].items()},
        "unschedulable": spec.get("unschedulable"),
        "taints": [plain(t) for t in spec.get("taints", ()) if t["key"] != _NOT_READY],
        "conditions": plain(conditions),
    }


def last(simulation: Simulation, holds: Callable[[Object], bool]) -> Object:
    """The node as it was last, before that ended for the first time."""
    seen = simulation.nodes_seen()
    first = next(i for i, node in enumerate(seen) if holds(node))
    kept = seen[first]
    for node in seen[first:]:
        if not holds(node):
            break
        kept = node
    return kept


# --- custom resources -------------------------------------------------------------------


def resource_facts(obj: Object) -> Object:
    """A maintenance object without what an API server adds to any; conditions by type."""
    found = plain(copy.deepcopy(obj))
    meta = found["metadata"]
    for key in ("uid", "resourceVersion", "generation", "creationTimestamp"):
        meta.pop(key, None)
    for owner in meta.get("ownerReferences", ()):
        owner["uid"] = "UUID"
    status = found.setdefault("status", {})
    status["conditions"] = {c.pop("type"): c for c in status.get("conditions", ())}
    return dict(found)


# --- documents --------------------------------------------------------------------------


class Stored:
    """What MongoDB and PostgreSQL have after each write, oldest first, by document id."""

    def __init__(self, simulation: Simulation, *, layout_2025: bool = False) -> None:
        self._layout_2025 = layout_2025
        self.written: dict[str, list[Object]] = {}
        self.columns: dict[str, list[Object]] = {}
        simulation.simulator.ledger.subscribe(self._told)

    def _told(self, document: Document, changed: frozenset[str]) -> None:
        history = self.written.setdefault(document.id, [])
        new = (
            copy.deepcopy(history[-1])
            if history
            else stored.bson_document(document, layout_2025=self._layout_2025)
        )
        for path, value in stored.bson_update(
            document, changed, layout_2025=self._layout_2025
        ).items():
            _set(new, path, value)
        history.append(new)
        rows = self.columns.setdefault(document.id, [])
        rows.append(copy.deepcopy(stored.jsonb_document(document)))

    def of(self, **fields: Any) -> list[Object]:
        """The writes of the one document whose event has these fields."""
        (found,) = [h for h in self.written.values() if fields.items() <= _event(h).items()]
        return found

    def statuses(self, **fields: Any) -> list[Object]:
        """The statuses it went through, without times."""
        return [plain(doc["healtheventstatus"]) for doc in self.of(**fields)]


def _event(history: list[Object]) -> Object:
    event: Object = history[0]["healthevent"]
    return {**event, "errorcode": tuple(event["errorcode"] or ())}


def _set(document: Object, path: str, value: Any) -> None:
    *parents, key = path.split(".")
    for parent in parents:
        document = document[parent]
    document[key] = value
