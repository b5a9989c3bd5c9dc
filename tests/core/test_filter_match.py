"""MongoDB filters on health-event documents, evaluated the same on every store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nvsx.core.watches.filter_match import matches

DOCUMENT = {
    "createdAt": datetime(2026, 1, 1, tzinfo=UTC),
    "healthevent": {
        "checkname": "SysLogsXIDError",
        "isfatal": True,
        "recommendedaction": 24,
        "errorcode": ["79", "43"],
        "entitiesimpacted": [
            {"entitytype": "PCI", "entityvalue": "0000:b3:00"},
            {"entitytype": "GPU_UUID", "entityvalue": "GPU-1"},
        ],
        "quarantineoverrides": None,
    },
}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, True),
        ({"healthevent.checkname": "SysLogsXIDError"}, True),
        ({"healthevent.checkname": "syslogsxiderror"}, False),
        ({"healthevent.isfatal": True}, True),
        ({"healthevent.isfatal": 1}, False),
        ({"healthevent.errorcode": "79"}, True),
        ({"healthevent.errorcode": ["79", "43"]}, True),
        ({"healthevent.errorcode": ["79"]}, False),
        ({"healthevent.errorcode.1": "43"}, True),
        ({"healthevent.entitiesimpacted.entityvalue": "GPU-1"}, True),
        ({"healthevent.nothing": None}, True),
        ({"healthevent.quarantineoverrides": None}, True),
        ({"healthevent.nothing": {"$exists": False}}, True),
        ({"healthevent.quarantineoverrides": {"$exists": True}}, True),
        ({"healthevent.recommendedaction": {"$gte": 15, "$lt": 25}}, True),
        ({"healthevent.recommendedaction": {"$gt": 24}}, False),
        ({"healthevent.recommendedaction": {"$gt": "1"}}, False),
        ({"healthevent.checkname": {"$ne": "X"}}, True),
        ({"healthevent.errorcode": {"$ne": "79"}}, False),
        ({"healthevent.errorcode": {"$in": ["1", "43"]}}, True),
        ({"healthevent.errorcode": {"$nin": ["1", "2"]}}, True),
        ({"healthevent.checkname": {"$regex": "^SysLogs"}}, True),
        ({"healthevent.checkname": {"$regex": "xid", "$options": "i"}}, True),
        ({"healthevent.checkname": {"$regex": "xid"}}, False),
        ({"healthevent.checkname": {"$not": {"$regex": "^Gpu"}}}, True),
        ({"$and": [{"healthevent.isfatal": True}, {"healthevent.errorcode": "79"}]}, True),
        ({"$or": [{"healthevent.isfatal": False}, {"healthevent.errorcode": "79"}]}, True),
        ({"$or": [{"healthevent.isfatal": False}, {"healthevent.errorcode": "1"}]}, False),
        ({"createdAt": {"$gt": "2025-12-31T00:00:00+00:00"}}, True),
        ({"createdAt": {"$gt": "not a date"}}, False),
        ({"createdAt": {"$gt": "2026-01-01T00:00:00+00:00"}}, False),
        ({"createdAt": {"$gt": datetime(2025, 12, 31, tzinfo=UTC)}}, True),
        ({"createdAt": {"$gt": datetime(2025, 12, 31)}}, False),  # noqa: DTZ001 - as YAML may give
        ({"healthevent.checkname": {"$gt": "A"}}, True),
        ({"healthevent.checkname": {"$gt": "Z"}}, False),
        ({"healthevent.recommendedaction": {"$gte": 24}}, True),
        ({"healthevent.recommendedaction": {"$lte": 24}}, True),
        ({"healthevent.recommendedaction": {"$lt": 24}}, False),
        ({"healthevent.recommendedaction": {"$lte": 23.5}}, False),
        ({"healthevent.recommendedaction": {"$gte": 15, "$lt": 20}}, False),
        ({"healthevent.recommendedaction": {"$gt": False}}, False),
        ({"healthevent.recommendedaction": {"$not": {"$gt": 10, "$lt": 20}}}, True),
        ({"healthevent.recommendedaction": {"$not": {"$gt": 10, "$lt": 30}}}, False),
        ({"healthevent.isfatal": {"$lt": 5}}, False),
        ({"healthevent.quarantineoverrides": {"$gte": None}}, False),
        ({"healthevent.nothing": {"$gt": 0}}, False),
        ({"healthevent.errorcode": {"$gt": "50"}}, True),
        ({"healthevent.errorcode": {"$gt": "80"}}, False),
        ({"healthevent.errorcode": {"$nin": ["79", "2"]}}, False),
        ({"healthevent.errorcode": {"$regex": "^7"}}, True),
        ({"healthevent.errorcode": {"$regex": "^8"}}, False),
        ({"healthevent.errorcode.2": {"$exists": True}}, False),
        ({"healthevent.errorcode.0": "79"}, True),
        ({"healthevent.entitiesimpacted.0": {}}, False),
        ({"healthevent.entitiesimpacted.other": {"$exists": True}}, False),
        ({"$and": [{"healthevent.isfatal": True}, {"healthevent.errorcode": "1"}]}, False),
    ],
)
def test_filter(query: dict[str, Any], *, expected: bool) -> None:
    """A filter matches as MongoDB would on the same document."""
    assert matches(DOCUMENT, query) == expected
