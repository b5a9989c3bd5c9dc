"""Health events as NVSentinel writes them, in every layout it ever used, made one shape.

Sources: the node annotation `quarantineHealthEvent` (protobuf JSON), MongoDB documents
(lower-case keys), PostgreSQL rows (a mix of both), and the data of CloudEvents (names in
place of numbers). Stores, triggers and session tracking call this. It never raises for
odd data: it returns what is right, and says in `oddities` what was not.
Sources of fact: data-models/protobufs/health_event.proto,
data-models/pkg/model/health_event_extentions.go, store-client/pkg/datastore/types_codec.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.nvsentinel import names

#: Enum names of earlier versions: action 27 changed its name in 2026.
_RENAMED = {"REMEDIATE": "CUSTOM"}


class Decoded(msgspec.Struct, frozen=True):
    """The events that could be read, and what was odd about the rest, in words."""

    events: tuple[HealthEvent, ...] = ()
    oddities: tuple[str, ...] = ()

    @property
    def event(self) -> HealthEvent | None:
        """The one event, where one was expected."""
        return self.events[0] if self.events else None


def decode_annotation(text: str, node: str = "") -> Decoded:
    """The events of a `quarantineHealthEvent` annotation: an array, or early on one object.

    `node` is the node that carries it, for events that name none.
    """
    try:
        value = json.loads(text) if text.strip() else []
    except ValueError as exc:
        return Decoded((), (f"the annotation is not JSON: {exc}",))
    # Go writes an empty list as `null` as well as `[]`.
    items = value if isinstance(value, list) else [] if value is None else [value]
    odd: list[str] = []
    events = (_decode_event(item, odd, node=node) for item in items)
    return Decoded(tuple(e for e in events if e is not None), tuple(odd))


def decode_document(stored: object) -> Decoded:
    """A stored document, in the layout of MongoDB or of PostgreSQL's JSONB, any version.

    The event's `decode_document` is the current MongoDB layout, whatever came in, so that one
    filter means the same on every store; times in it are datetimes where MongoDB has Dates.
    """
    odd: list[str] = []
    folded = _fold_keys(stored)
    created = read_instant(folded.get("createdat"))
    inner = _fold_keys(folded.get("healthevent"))
    if not inner:
        return Decoded((), ("the document has no healthevent",))
    id_ = _as_text(folded.get("id")) or _as_text(inner.get("id"))
    found = _decode_event(inner, odd, id_=id_, created=created)
    if found is None:
        return Decoded((), tuple(odd))
    layout = _mongo_layout(found, inner, _fold_keys(folded.get("healtheventstatus")))
    return Decoded((msgspec.structs.replace(found, document=layout),), tuple(odd))


def decode_row(columns: Mapping[str, Any]) -> Decoded:
    """A row of PostgreSQL's `health_events`.

    Status comes from the JSONB; columns lag behind it and fill only what it lacks
    (store-client/pkg/datastore/providers/postgresql/database_client.go).
    """
    folded = _fold_keys(columns)
    stored = folded.get("document")
    if isinstance(stored, str | bytes):
        try:
            stored = json.loads(stored)
        except ValueError as exc:
            return Decoded((), (f"the row's document is not JSON: {exc}",))
    doc = _fold_keys(stored)
    status = _fold_keys(doc.get("healtheventstatus"))
    for key, column in (
        ("nodequarantined", "nodequarantined"),
        ("faultremediated", "faultremediated"),
        ("lastremediationtimestamp", "lastremediationtimestamp"),
    ):
        if status.get(key) in (None, ""):
            status[key] = folded.get(column)
    inner = _fold_keys(doc.get("healthevent"))
    inner.setdefault("nodename", folded.get("nodename"))
    inner.setdefault("checkname", folded.get("eventtype"))
    return decode_document(
        {
            "id": folded.get("id"),
            "createdAt": folded.get("createdat") or doc.get("createdat"),
            "healthevent": inner,
            "healtheventstatus": status,
        }
    )


def decode_cloudevent(data: object) -> Decoded:
    """The event in a CloudEvent's `data`, or in a whole structured CloudEvent.

    The exporter sends enum names, RFC 3339 times with nanoseconds, and no database id
    (event-exporter/pkg/transformer/cloudevents.go).
    """
    odd: list[str] = []
    body = _fold_keys(data)
    inner = _fold_keys(body.get("data")) if "data" in body else body
    inner = _fold_keys(inner.get("healthevent")) if "healthevent" in inner else inner
    found = _decode_event(inner, odd)
    return Decoded((found,) if found else (), tuple(odd))


# --- values -----------------------------------------------------------------------------


def read_instant(value: object) -> float:
    """Unix seconds of any time NVSentinel writes; 0.0 for none or for what is no time.

    Accepts {seconds, nanos}, RFC 3339 text with any number of decimals, datetimes, extended
    JSON ({"$date": …}), plain numbers, and the label form 2025-08-20T16-15-32Z.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool):
        return 0.0
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return _instant_of_text(value.strip())
    if isinstance(value, Mapping):
        if "$date" in value:
            date = value["$date"]
            if isinstance(date, Mapping):
                return _as_number(date) / 1000
            return date / 1000 if isinstance(date, int | float) else read_instant(date)
        return _as_number(value.get("seconds")) + _as_number(value.get("nanos")) / 1e9
    return 0.0


def _instant_of_text(text: str) -> float:
    date, mark, clock = text.partition("T")
    if mark and clock.count("-") >= 2 and ":" not in clock:
        text = f"{date}T{clock.replace('-', ':')}"
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _as_number(value: object) -> float:
    """A number, also as text or as extended JSON ({"$numberLong": "…"})."""
    if isinstance(value, Mapping):
        value = next((v for k, v in value.items() if str(k).startswith("$number")), 0)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0


def _fold_keys(value: object) -> dict[str, Any]:
    """A mapping with keys lower-cased and bare: checkName, check_name and checkname are one."""
    if not isinstance(value, Mapping):
        return {}
    return {str(k).replace("_", "").lower(): v for k, v in value.items()}


def _as_text(value: object) -> str:
    """Text of a scalar or of an ObjectId, whose text is its hex; "" for anything else."""
    if isinstance(value, Mapping):
        return _as_text(value.get("$oid"))
    if value is None or isinstance(value, bool | list | tuple):
        return ""
    return str(value)


def _as_flag(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _as_list(value: object) -> Iterable[object]:
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _enum_name(
    value: object, table: Mapping[int, str], unset: str, what: str, odd: list[str]
) -> str:
    """The enum's name, from its number or its name; `unset` for an absent one."""
    if isinstance(value, Mapping):
        value = _as_number(value)
    text = _as_text(value).strip()
    if not text:
        return unset
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        name = _RENAMED.get(text.upper(), text.upper())
        if name not in table.values():
            odd.append(f"{what} {text} is not one this version of nvsx knows")
        return name
    if number not in table:
        odd.append(f"{what} {number} is not one this version of nvsx knows")
        return f"{number}"
    return table[number]


def _decode_entities(value: object) -> tuple[tuple[str, str], ...]:
    folded = (_fold_keys(item) for item in _as_list(value))
    pairs = ((_as_text(e.get("entitytype")), _as_text(e.get("entityvalue"))) for e in folded)
    return tuple((kind, name) for kind, name in pairs if kind or name)


def _decode_event(
    raw: object, odd: list[str], *, node: str = "", id_: str = "", created: float = 0.0
) -> HealthEvent | None:
    fields = _fold_keys(raw)
    check = _as_text(fields.get("checkname"))
    if not check:
        odd.append("a health event has no check name")
        return None
    where = _as_text(fields.get("nodename")) or node
    if not where:
        odd.append(f"a {check} event has no node name")
    generated = read_instant(fields.get("generatedtimestamp"))
    if not generated:
        odd.append(f"a {check} event has no generatedTimestamp")
    strategy = _enum_name(
        fields.get("processingstrategy"),
        names.STRATEGIES,
        names.EXECUTE_REMEDIATION,
        "processing strategy",
        odd,
    )
    metadata = fields.get("metadata")
    return HealthEvent(
        check=check,
        node=where,
        id=id_ or _as_text(fields.get("id")),
        agent=_as_text(fields.get("agent")),
        component_class=_as_text(fields.get("componentclass")),
        error_codes=tuple(c for c in map(_as_text, _as_list(fields.get("errorcode"))) if c),
        action=_enum_name(
            fields.get("recommendedaction"), names.ACTIONS, "NONE", "recommended action", odd
        ),
        strategy=names.EXECUTE_REMEDIATION if strategy == "UNSPECIFIED" else strategy,
        fatal=_as_flag(fields.get("isfatal")),
        healthy=_as_flag(fields.get("ishealthy")),
        message=_as_text(fields.get("message")),
        entities=_decode_entities(fields.get("entitiesimpacted")),
        generated_at=generated,
        created_at=created,
        metadata={str(k): _as_text(v) for k, v in metadata.items()}
        if isinstance(metadata, Mapping)
        else {},
    )


# --- the stored layout ------------------------------------------------------------------


def _as_date(value: object) -> datetime | None:
    at = read_instant(value)
    return datetime.fromtimestamp(at, UTC) if at else None


def _as_timestamp(value: object) -> dict[str, int] | None:
    """A protobuf timestamp, also from the Date of early versions; nanoseconds stay exact."""
    at = read_instant(value)
    if at and isinstance(value, Mapping) and "seconds" in value:
        return {
            "seconds": int(_as_number(value["seconds"])),
            "nanos": int(_as_number(value.get("nanos"))),
        }
    if not at:
        return None
    seconds = int(at)
    return {"seconds": seconds, "nanos": round((at - seconds) * 1e9)}


def _mongo_layout(
    event: HealthEvent, raw: Mapping[str, Any], status: Mapping[str, Any]
) -> dict[str, Any]:
    """The document as the current MongoDB provider stores it."""
    drain = _fold_keys(status.get("userpodsevictionstatus"))
    remediated = status.get("faultremediated")
    if isinstance(remediated, bool):
        remediated = {"value": remediated}
    actions = {name: number for number, name in names.ACTIONS.items()}
    strategies = {name: number for number, name in names.STRATEGIES.items()}
    return {
        "_id": event.id,
        "createdAt": _as_date(event.created_at),
        "healthevent": {
            "version": int(_as_number(raw.get("version"))),
            "agent": event.agent,
            "componentclass": event.component_class,
            "checkname": event.check,
            "isfatal": event.fatal,
            "ishealthy": event.healthy,
            "message": event.message,
            "recommendedaction": actions.get(event.action, event.action),
            "errorcode": list(event.error_codes) or None,
            "entitiesimpacted": [
                {"entitytype": kind, "entityvalue": value} for kind, value in event.entities
            ]
            or None,
            "metadata": dict(event.metadata),
            "generatedtimestamp": _as_timestamp(raw.get("generatedtimestamp")),
            "nodename": event.node,
            "quarantineoverrides": _decode_overrides(raw.get("quarantineoverrides")),
            "drainoverrides": _decode_overrides(raw.get("drainoverrides")),
            "processingstrategy": strategies.get(event.strategy, event.strategy),
            "id": _as_text(raw.get("id")),
            "customrecommendedaction": _as_text(raw.get("customrecommendedaction")),
        },
        "healtheventstatus": {
            "nodequarantined": _as_text(status.get("nodequarantined")),
            "quarantinefinishtimestamp": _as_timestamp(status.get("quarantinefinishtimestamp")),
            "userpodsevictionstatus": {
                "status": _as_text(drain.get("status")),
                "message": _as_text(drain.get("message")),
            },
            "drainfinishtimestamp": _as_timestamp(status.get("drainfinishtimestamp")),
            "faultremediated": remediated,
            "lastremediationtimestamp": _as_timestamp(status.get("lastremediationtimestamp")),
        },
    }


def _decode_overrides(value: object) -> dict[str, bool] | None:
    folded = _fold_keys(value)
    if not folded:
        return None
    return {"force": _as_flag(folded.get("force")), "skip": _as_flag(folded.get("skip"))}
