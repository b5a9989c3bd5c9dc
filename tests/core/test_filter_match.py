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
    ],
)
def test_filter(query: dict[str, Any], *, expected: bool) -> None:
    """A filter matches as MongoDB would on the same document."""
    assert matches(DOCUMENT, query) == expected
