"""A document of the ledger in the layouts NVSentinel stores and sends it in. Pure functions.

MongoDB: lower-cased keys, nothing left out; `layout_2025` for what NVSentinel wrote in
autumn 2025. PostgreSQL: camelCase without zero values, beside lower-case status.
CloudEvents: as the event exporter transforms an insert.
Sources: data-models/pkg/model/health_event_extentions.go, store-client/pkg/datastore/types.go,
event-exporter/pkg/transformer/cloudevents.go.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from nvsentinel_sandbox.world.health import ACTIONS, STRATEGIES, Document, HealthEvent

_NANO = 1_000_000_000
_CLOUD_TYPE = "com.nvidia.nvsentinel.health.v1"
_ENDED = ("Succeeded", "Failed", "AlreadyDrained", "Cancelled")

Stored = dict[str, Any]


def bson_document(document: Document, *, layout_2025: bool = False) -> Stored:
    """The document as inserted, without `_id`. Times are datetimes, integers plain."""
    event = document.event
    seconds, nanos = divmod(event.generated, _NANO)
    fields: Stored = {
        "version": event.version,
        "agent": event.agent,
        "componentclass": event.component,
        "checkname": event.check,
        "isfatal": event.fatal,
        "ishealthy": event.healthy,
        "message": event.message,
        "recommendedaction": ACTIONS[event.action],
        "errorcode": list(event.codes) or None,
        "entitiesimpacted": [{"entitytype": k, "entityvalue": v} for k, v in event.entities]
        or None,
        "metadata": event.metadata,
        "generatedtimestamp": {"seconds": seconds, "nanos": nanos},
        "nodename": event.node,
        "quarantineoverrides": _override_fields(event.quarantine),
        "drainoverrides": _override_fields(event.drain),
        "processingstrategy": STRATEGIES[event.strategy],
        "id": "",
        "customrecommendedaction": event.custom,
    }
    status: Stored = {
        "nodequarantined": "",
        "quarantinefinishtimestamp": None,
        "userpodsevictionstatus": {"status": "", "message": ""},
        "drainfinishtimestamp": None,
        "faultremediated": None,
        "lastremediationtimestamp": None,
        "spanids": {"platform-connector": ""},
    }
    if layout_2025:
        for key in ("processingstrategy", "id", "customrecommendedaction"):
            del fields[key]
        status = {
            "nodequarantined": None,
            "userpodsevictionstatus": {"status": ""},
            "faultremediated": None,
        }
    return {
        "createdAt": moment(document.created),
        "healthevent": fields,
        "healtheventstatus": status,
    }


def bson_update(
    document: Document, changed: frozenset[str], *, layout_2025: bool = False
) -> Stored:
    """The dotted paths that the module which changed these fields sets."""
    paths: Stored = {}
    if "quarantined" in changed:
        paths["nodequarantined"] = document.quarantined
        paths["spanids.fault-quarantine"] = ""
    if "quarantine_finished" in changed:
        paths["quarantinefinishtimestamp"] = _protobuf_timestamp(document.quarantine_finished)
    if "eviction" in changed:
        if document.eviction in _ENDED:
            whole = {"status": document.eviction, "message": document.eviction_message}
            paths["userpodsevictionstatus"] = whole
            paths["spanids.node-drainer"] = ""
        else:
            paths["userpodsevictionstatus.status"] = document.eviction
    if "drain_finished" in changed:
        paths["drainfinishtimestamp"] = _protobuf_timestamp(document.drain_finished)
    if "remediated" in changed:
        paths["faultremediated"] = {"value": document.remediated}
        paths["spanids.fault-remediation"] = ""
    if "remediation_at" in changed:
        paths["lastremediationtimestamp"] = _protobuf_timestamp(document.remediation_at)
    if layout_2025:
        paths = _of_2025(document, paths)
    return {f"healtheventstatus.{path}": value for path, value in paths.items()}


def _of_2025(document: Document, paths: Stored) -> Stored:
    """Plain booleans and Dates, no finish times, no spans."""
    kept = {k: v for k, v in paths.items() if "spanids" not in k and "finish" not in k}
    if "userpodsevictionstatus" in kept:
        kept["userpodsevictionstatus"] = {"status": document.eviction}
    if "faultremediated" in kept:
        kept["faultremediated"] = document.remediated
    if "lastremediationtimestamp" in kept and document.remediation_at is not None:
        kept["lastremediationtimestamp"] = moment(document.remediation_at)
    return kept


def jsonb_document(document: Document) -> Stored:
    """The `document` column as it is now."""
    return {
        "RawEvent": None,
        "createdAt": _rfc3339(document.created),
        "healthevent": _jsonb_event(document.event),
        "healtheventstatus": jsonb_status(document),
    }


def jsonb_status(document: Document) -> Stored:
    """`healtheventstatus` of the column, with what has been set so far."""
    eviction: Stored = {"status": document.eviction}
    if document.eviction in _ENDED:
        eviction["message"] = document.eviction_message
    status: Stored = {
        "nodequarantined": document.quarantined or None,
        "userpodsevictionstatus": eviction,
        "faultremediated": None,
        "spanids": {"platform-connector": ""},
    }
    if document.remediated is not None:
        status["faultremediated"] = {"value": document.remediated}
    for key, at in (
        ("quarantinefinishtimestamp", document.quarantine_finished),
        ("drainfinishtimestamp", document.drain_finished),
        ("lastremediationtimestamp", document.remediation_at),
    ):
        if at is not None:
            status[key] = _protobuf_timestamp(at)
    return status


def _jsonb_event(event: HealthEvent) -> Stored:
    fields = event.annotation("")
    return {**fields, "isHealthy": True} if event.healthy else fields


def cloud_event(event: HealthEvent, cluster: str) -> Stored:
    """The event in structured mode, with an id of its own: a new one each time."""
    at = _rfc3339_nanos(event.generated)
    return {
        "specversion": "1.0",
        "type": _CLOUD_TYPE,
        "source": f"nvsentinel://{cluster}/healthevents",
        "id": str(uuid.uuid4()),
        "time": at,
        "data": {
            "metadata": {"cluster": cluster},
            "healthEvent": {
                "version": event.version,
                "agent": event.agent,
                "componentClass": event.component,
                "checkName": event.check,
                "isFatal": event.fatal,
                "isHealthy": event.healthy,
                "message": event.message,
                "recommendedAction": event.action,
                "errorCode": list(event.codes),
                "entitiesImpacted": [
                    {"entityType": k, "entityValue": v} for k, v in event.entities
                ],
                "generatedTimestamp": at,
                "nodeName": event.node,
                "processingStrategy": event.strategy,
                "metadata": event.metadata,
                **({"customRecommendedAction": event.custom} if event.custom else {}),
                **event.overrides(),
            },
        },
    }


def _override_fields(asked: str) -> dict[str, bool] | None:
    return {"force": asked == "force", "skip": asked == "skip"} if asked else None


def moment(at: float) -> datetime:
    """Unix seconds as a driver takes a Date: milliseconds, UTC."""
    return datetime.fromtimestamp(int(at * 1000) / 1000, UTC)


def _protobuf_timestamp(at: float | None) -> dict[str, int] | None:
    if at is None:
        return None
    return {"seconds": int(at), "nanos": int(at % 1 * 1_000_000) * 1000}


def _rfc3339(at: float) -> str:
    return _rfc3339_nanos(int(at * 1_000_000) * 1000)


def _rfc3339_nanos(nanoseconds: int) -> str:
    """As Go writes RFC3339Nano: no trailing zeros."""
    seconds, nanos = divmod(nanoseconds, _NANO)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{whole}{fraction}Z"
