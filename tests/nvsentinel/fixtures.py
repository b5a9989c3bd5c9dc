"""The constructed samples, decoded as the cluster package decodes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from nvsx.cluster import projections
from nvsx.core.watches.snapshot import Event, Node, Resource
from nvsx.nvsentinel import names

FOLDER = Path(__file__).with_name("samples")
KEY = "68a5f2e71c9d4b0012ab34cd"
GENERATED = 1755706530.12
QUARANTINED = 1755706532.0
RECOVERED = 1755707372.0
NODE = "gpu-node-a1"


def load(name: str) -> dict[str, Any]:
    """One file of samples."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


_NODES = load("nodes")
_RESOURCES = load("resources")
_PLURALS = {k.kind: k.plural for k in names.MAINTENANCE_KINDS}


def raw_node(stage: str) -> dict[str, Any]:
    """The node at a stage, a fresh copy to change."""
    found: dict[str, Any] = json.loads(json.dumps(_NODES[stage]))
    return found


def node_of(raw: dict[str, Any]) -> Node:
    """A raw node, projected."""
    return projections.decode_node(msgspec.json.encode(raw))[1]


def node(stage: str) -> Node:
    """The node at a stage of the incident."""
    return node_of(raw_node(stage))


def resource(case: str, **changes: Any) -> Resource:
    """A maintenance resource in one of its states."""
    raw = _RESOURCES[case]
    group, version = raw["apiVersion"].split("/")
    decode = projections.make_resource_decoder(group, version, _PLURALS[raw["kind"]], raw["kind"])
    return msgspec.structs.replace(decode(msgspec.json.encode(raw))[1], **changes)


def event(reason: str, **changes: Any) -> Event:
    """A Kubernetes Event by its reason."""
    raw = load("events")[reason]
    return msgspec.structs.replace(projections.decode_event(msgspec.json.encode(raw))[1], **changes)
