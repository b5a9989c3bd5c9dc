"""Health events as NVSentinel stores them, made from the recorded documents."""

from __future__ import annotations

import copy
import time
from datetime import UTC, datetime
from typing import Any

from tests.nvsentinel.fixtures import load

NODE = "gpu-node-a1"
NOW = float(int(time.time()))
"""Unix seconds, whole: the databases stamp their changes with the real time."""
_ENTITY = {"entitytype": "entityType", "entityvalue": "entityValue"}
_CAMEL = {
    "componentclass": "componentClass",
    "checkname": "checkName",
    "isfatal": "isFatal",
    "ishealthy": "isHealthy",
    "recommendedaction": "recommendedAction",
    "errorcode": "errorCode",
    "entitiesimpacted": "entitiesImpacted",
    "generatedtimestamp": "generatedTimestamp",
    "nodename": "nodeName",
    "processingstrategy": "processingStrategy",
    "quarantineoverrides": "quarantineOverrides",
    "drainoverrides": "drainOverrides",
    "customrecommendedaction": "customRecommendedAction",
}


def document(
    case: str = "inserted", *, at: float, node: str = NODE, **event: Any
) -> dict[str, Any]:
    """A recorded document without its id, created at `at` and detected a second before;
    `event` changes fields of its health event. Times are as a driver has them."""
    stored: dict[str, Any] = copy.deepcopy(load("documents")[case])
    del stored["_id"]
    stored["createdAt"] = datetime.fromtimestamp(at, UTC)
    stored["healthevent"] |= {
        "nodename": node,
        "generatedtimestamp": {"seconds": int(at) - 1, "nanos": 0},
        **event,
    }
    return stored


def bson(value: Any) -> Any:
    """Extended JSON as the driver's types: Dates are datetimes, ObjectIds ObjectIds."""
    from bson import ObjectId

    if isinstance(value, dict):
        if "$date" in value:
            return datetime.fromisoformat(value["$date"])
        if "$oid" in value:
            return ObjectId(value["$oid"])
        return {k: bson(v) for k, v in value.items()}
    return [bson(v) for v in value] if isinstance(value, list) else value


def jsonb(stored: dict[str, Any]) -> dict[str, Any]:
    """The same event as the PostgreSQL provider writes it: camelCase, nothing that is zero."""
    event = {
        _CAMEL.get(k, k): [{_ENTITY[n]: t for n, t in e.items()} for e in v]
        if k == "entitiesimpacted" and v
        else v
        for k, v in stored["healthevent"].items()
        if v not in (None, "", 0, False, [])
    }
    return {
        "RawEvent": None,
        "createdAt": stored["createdAt"].isoformat(),
        "healthevent": event,
        "healtheventstatus": {"nodequarantined": None, "userpodsevictionstatus": {"status": ""}},
    }
