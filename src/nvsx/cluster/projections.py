"""Projections: API bytes to the small Structs of core.watches.snapshot.

Each decoder takes the raw JSON of one object and gives its key and its projection;
reflectors call them. They keep what watches, diagnoses and reports read and drop the rest
(last-applied configurations, images, volumes, and of managedFields all but who cordoned a
node: `cordons`). Every field may be absent or null: bookmark-like and half-written objects are
real. Strings that repeat over a cluster are shared, so that ten thousand nodes fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from nvsx.cluster.cordons import read_cordon
from nvsx.cluster.wire_values import share_map, share_text, unix_seconds
from nvsx.core.selectors import Operator, Requirement
from nvsx.core.watches.snapshot import (
    Condition,
    Event,
    Node,
    Pod,
    PodBudget,
    Resource,
    Taint,
    raw_mapping,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_GPU = ("nvidia.com/gpu", "nvidia.com/mig-")


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """Names as in the API; every field may be missing or null."""


class _Owner(_Wire):
    kind: str | None = None
    name: str | None = None
    controller: bool | None = None


class _Meta(_Wire):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    owner_references: list[_Owner] | None = None
    managed_fields: msgspec.Raw = msgspec.Raw()


class _Condition(_Wire):
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_heartbeat_time: str | None = None
    last_transition_time: str | None = None


class _Taint(_Wire):
    key: str | None = None
    value: str | None = None
    effect: str | None = None


class _NodeSpec(_Wire):
    unschedulable: bool | None = None
    taints: list[_Taint] | None = None
    provider_id: str | None = msgspec.field(default=None, name="providerID")


class _NodeInfo(_Wire):
    boot_id: str | None = msgspec.field(default=None, name="bootID")


class _Address(_Wire):
    address: str | None = None


class _NodeStatus(_Wire):
    conditions: list[_Condition] | None = None
    addresses: list[_Address] | None = None
    node_info: _NodeInfo | None = None


class _Node(_Wire):
    metadata: _Meta | None = None
    spec: _NodeSpec | None = None
    status: _NodeStatus | None = None


class _Requirements(_Wire):
    requests: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None


class _Container(_Wire):
    resources: _Requirements | None = None


class _PodSpec(_Wire):
    node_name: str | None = None
    containers: list[_Container] | None = None


class _PodStatus(_Wire):
    phase: str | None = None
    conditions: list[_Condition] | None = None


class _Pod(_Wire):
    metadata: _Meta | None = None
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


class _Reference(_Wire):
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None


class _Source(_Wire):
    component: str | None = None


class _Series(_Wire):
    count: int | None = None
    last_observed_time: str | None = None


class _Event(_Wire):
    metadata: _Meta | None = None
    involved_object: _Reference | None = None
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    source: _Source | None = None
    reporting_component: str | None = None
    count: int | None = None
    series: _Series | None = None
    event_time: str | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None


class _Expression(_Wire):
    key: str | None = None
    operator: str | None = None
    values: list[str] | None = None


class _Selector(_Wire):
    match_labels: dict[str, str | None] | None = None
    match_expressions: list[_Expression] | None = None


class _BudgetSpec(_Wire):
    selector: _Selector | None = None


class _BudgetStatus(_Wire):
    disruptions_allowed: int | None = None


class _Budget(_Wire):
    metadata: _Meta | None = None
    spec: _BudgetSpec | None = None
    status: _BudgetStatus | None = None


class _Resource(_Wire):
    """Of a custom resource only the metadata has a shape one can rely on."""

    kind: str | None = None
    metadata: _Meta | None = None
    spec: Any = None
    status: Any = None


_nodes = msgspec.json.Decoder(_Node)
_pods = msgspec.json.Decoder(_Pod)
_event_objects = msgspec.json.Decoder(_Event)
_OPERATORS: dict[str, Operator] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "absent",
}
_budgets = msgspec.json.Decoder(_Budget)
_resources = msgspec.json.Decoder(_Resource)


def decode_node(raw: msgspec.Raw | bytes) -> tuple[str, Node]:
    """Key: the node's name. Raises msgspec.DecodeError, ValueError without a name."""
    wire = _nodes.decode(raw)
    meta = _require_name(wire.metadata)
    spec = wire.spec or _NodeSpec()
    status = wire.status or _NodeStatus()
    name = meta.name or ""
    with_, at = read_cordon(meta.managed_fields) if spec.unschedulable else ("", 0.0)
    return name, Node(
        name=name,
        uid=meta.uid or "",
        created=unix_seconds(meta.creation_timestamp),
        labels=share_map(meta.labels),
        annotations=_keep_annotations(meta.annotations),
        unschedulable=bool(spec.unschedulable),
        taints=tuple(
            Taint(share_text(t.key), share_text(t.value), share_text(t.effect))
            for t in spec.taints or ()
        ),
        conditions=_decode_conditions(status.conditions),
        boot_id=(status.node_info.boot_id or "") if status.node_info else "",
        cordoned_with=with_,
        cordoned_at=at,
        addresses=tuple(a.address for a in status.addresses or () if a.address),
        provider_id=spec.provider_id or "",
    )


def decode_pod(raw: msgspec.Raw | bytes) -> tuple[str, Pod]:
    """Key: `namespace/name`. Raises msgspec.DecodeError, ValueError without a name."""
    wire = _pods.decode(raw)
    meta = _require_name(wire.metadata)
    spec = wire.spec or _PodSpec()
    status = wire.status or _PodStatus()
    owners = meta.owner_references or ()
    owner = next((o for o in owners if o.controller), None)
    found = Pod(
        namespace=share_text(meta.namespace),
        name=meta.name or "",
        uid=meta.uid or "",
        node=share_text(spec.node_name),
        labels=share_map(meta.labels),
        phase=share_text(status.phase),
        ready=any(c.type == "Ready" and c.status == "True" for c in status.conditions or ()),
        owner=share_text(f"{owner.kind or ''}/{owner.name or ''}") if owner else "",
        gpus=sum(_count_gpus(c.resources) for c in spec.containers or ()),
        created=unix_seconds(meta.creation_timestamp),
        deleting=unix_seconds(meta.deletion_timestamp),
    )
    return f"{found.namespace}/{found.name}", found


def decode_event(raw: msgspec.Raw | bytes) -> tuple[str, Event]:
    """Key: `namespace/name`. Old (count) and new (series, eventTime) events read alike."""
    wire = _event_objects.decode(raw)
    meta = _require_name(wire.metadata)
    about = wire.involved_object or _Reference()
    series = wire.series or _Series()
    source = (wire.source.component if wire.source else None) or wire.reporting_component
    first = wire.first_timestamp or wire.event_time or meta.creation_timestamp
    found = Event(
        namespace=share_text(meta.namespace),
        name=meta.name or "",
        kind=share_text(about.kind),
        object_name=share_text(about.name),
        object_namespace=share_text(about.namespace),
        type=share_text(wire.type),
        reason=share_text(wire.reason),
        message=wire.message or "",
        source=share_text(source),
        count=wire.count or series.count or 1,
        first=unix_seconds(first),
        last=unix_seconds(
            wire.last_timestamp or series.last_observed_time or wire.event_time or first
        ),
    )
    return f"{found.namespace}/{found.name}", found


def decode_budget(raw: msgspec.Raw | bytes) -> tuple[str, PodBudget]:
    """Key: `namespace/name`. Raises msgspec.DecodeError, ValueError without a name."""
    wire = _budgets.decode(raw)
    meta = _require_name(wire.metadata)
    status = wire.status or _BudgetStatus()
    found = PodBudget(
        namespace=share_text(meta.namespace),
        name=meta.name or "",
        allowed=status.disruptions_allowed or 0,
        selector=_decode_selector(wire.spec.selector if wire.spec else None),
    )
    return f"{found.namespace}/{found.name}", found


def _decode_selector(wire: _Selector | None) -> tuple[Requirement, ...] | None:
    if wire is None:
        return None
    equal = [
        Requirement(k, "in", frozenset({v or ""})) for k, v in (wire.match_labels or {}).items()
    ]
    listed = [
        Requirement(e.key or "", _OPERATORS.get(e.operator or "", "in"), frozenset(e.values or ()))
        for e in wire.match_expressions or ()
    ]
    return (*equal, *listed)


def make_resource_decoder(
    group: str, version: str, plural: str, kind: str = ""
) -> Callable[[msgspec.Raw | bytes], tuple[str, Resource]]:
    """A decoder for one kind of custom resource. Key: `namespace/name`, or the bare name."""

    def decode(raw: msgspec.Raw | bytes) -> tuple[str, Resource]:
        wire = _resources.decode(raw)
        meta = _require_name(wire.metadata)
        status = raw_mapping(wire.status)
        name = meta.name or ""
        about = nodes_of(wire.spec)
        found = Resource(
            group=group,
            version=version,
            plural=plural,
            kind=share_text(wire.kind) or kind,
            name=name,
            node=about[0] if about else "",
            namespace=share_text(meta.namespace),
            uid=meta.uid or "",
            created=unix_seconds(meta.creation_timestamp),
            started=unix_seconds(_text_or_empty(status.get("startTime"))),
            completed=unix_seconds(_text_or_empty(status.get("completionTime"))),
            phase=share_text(_text_or_empty(status.get("phase"))),
            conditions=_decode_loose_conditions(status.get("conditions")),
            labels=share_map(meta.labels),
        )
        return (f"{found.namespace}/{name}" if found.namespace else name), found

    return decode


def nodes_of(spec: object) -> tuple[str, ...]:
    """The nodes a custom resource is about, in the three places where kinds put them.

    `spec.nodeName` (janitor/api/v1alpha1), `spec.healthEvent.nodeName`
    (ExternalRemediationRequest) and `spec.nodes[].name`.
    """
    top = raw_mapping(spec)
    for holder in (top, raw_mapping(top.get("healthEvent"))):
        name = _text_or_empty(holder.get("nodeName"))
        if name:
            return (share_text(name),)
    listed = top.get("nodes")
    if not isinstance(listed, list):
        return ()
    names = (
        n if isinstance(n, str) else _text_or_empty(raw_mapping(n).get("name")) for n in listed
    )
    return tuple(share_text(n) for n in names if n)


def _require_name(meta: _Meta | None) -> _Meta:
    if meta is None or not meta.name:
        raise ValueError("an object without a name")
    return meta


def _keep_annotations(given: dict[str, str | None] | None) -> dict[str, str]:
    if given:
        given.pop(LAST_APPLIED, None)
    return share_map(given)


def _decode_conditions(conditions: list[_Condition] | None) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=share_text(c.type),
            status=share_text(c.status),
            reason=share_text(c.reason),
            message=share_text(c.message),
            heartbeat=unix_seconds(c.last_heartbeat_time),
            transition=unix_seconds(c.last_transition_time),
        )
        for c in conditions or ()
    )


def _decode_loose_conditions(found: object) -> tuple[Condition, ...]:
    if not isinstance(found, list):
        return ()
    maps = [raw_mapping(c) for c in found]
    return tuple(
        Condition(
            type=share_text(_text_or_empty(c.get("type"))),
            status=share_text(_text_or_empty(c.get("status"))),
            reason=share_text(_text_or_empty(c.get("reason"))),
            message=_text_or_empty(c.get("message")),
            transition=unix_seconds(_text_or_empty(c.get("lastTransitionTime"))),
        )
        for c in maps
        if c
    )


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count_gpus(resources: _Requirements | None) -> int:
    if resources is None:
        return 0
    # A limit without a request is also the request, for extended resources.
    wanted = {**(resources.limits or {}), **(resources.requests or {})}
    return sum(_whole_number(v) for k, v in wanted.items() if k.startswith(_GPU))


def _whole_number(value: object) -> int:
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else 0
