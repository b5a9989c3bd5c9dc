"""What each odd value of an event becomes, on both sides of each rule."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nvsx.core.incident.session import HealthEvent
from nvsx.nvsentinel import decoding

PLAIN: dict[str, Any] = {"checkName": "X", "nodeName": "n", "generatedTimestamp": {"seconds": 5}}


def decode(**changes: Any) -> tuple[HealthEvent, tuple[str, ...]]:
    """A plain event with these fields, and what was odd about it."""
    decoded = decoding.decode_annotation(json.dumps([PLAIN | changes]))
    assert decoded.event is not None
    return decoded.event, decoded.oddities


def stored(status: dict[str, Any] | None = None, **event: Any) -> dict[str, Any]:
    """The layout of a stored document with this status."""
    found = decoding.decode_document(
        {"_id": "a", "createdAt": 5, "healthevent": PLAIN | event, "healtheventstatus": status}
    ).event
    assert found is not None
    layout: dict[str, Any] = dict(found.document)
    return layout


def test_a_plain_event_has_nothing_odd_and_the_usual_defaults() -> None:
    """Zero values are left out by protobuf: they are executed, harmless, and no recovery."""
    event, odd = decode()
    assert odd == ()
    assert (event.action, event.strategy) == ("NONE", "EXECUTE_REMEDIATION")
    assert (event.fatal, event.healthy, event.generated_at) == (False, False, 5.0)
    assert (event.error_codes, event.entities, dict(event.metadata)) == ((), (), {})


@pytest.mark.parametrize(
    ("field", "value", "odd"),
    [
        ("nodeName", "", "a X event has no node name"),
        ("generatedTimestamp", None, "a X event has no generatedTimestamp"),
        ("recommendedAction", 1, "recommended action 1 is not one this version of nvsx knows"),
        (
            "recommendedAction",
            "FLY",
            "recommended action FLY is not one this version of nvsx knows",
        ),
        ("processingStrategy", 9, "processing strategy 9 is not one this version of nvsx knows"),
    ],
)
def test_each_oddity_is_named_once(field: str, value: object, odd: str) -> None:
    """The rest of the event is still read."""
    event, oddities = decode(**{field: value})
    assert event.check == "X"
    assert oddities == (odd,)


@pytest.mark.parametrize(
    ("own", "carrier", "node", "odd"),
    [("n", "m", "n", 0), ("", "m", "m", 0), ("", "", "", 1)],
)
def test_the_node_that_carries_the_annotation_stands_in(
    own: str, carrier: str, node: str, odd: int
) -> None:
    """An event that names no node is of the node it is written on."""
    decoded = decoding.decode_annotation(json.dumps([PLAIN | {"nodeName": own}]), carrier)
    assert decoded.event is not None
    assert (decoded.event.node, len(decoded.oddities)) == (node, odd)


@pytest.mark.parametrize(
    ("value", "action"),
    [
        (24, "RESTART_BM"),
        (24.0, "RESTART_BM"),
        ("24", "RESTART_BM"),
        ({"$numberInt": "24"}, "RESTART_BM"),
        ("restart_bm", "RESTART_BM"),
        (" RESTART_BM ", "RESTART_BM"),
        (0, "NONE"),
        (None, "NONE"),
        ("", "NONE"),
        (True, "NONE"),
    ],
)
def test_an_action_by_number_or_by_name(value: object, action: str) -> None:
    """All the ways the sources write one."""
    event, odd = decode(recommendedAction=value)
    assert (event.action, odd) == (action, ())


@pytest.mark.parametrize(
    ("value", "strategy"),
    [
        (0, "EXECUTE_REMEDIATION"),
        (1, "EXECUTE_REMEDIATION"),
        (2, "STORE_ONLY"),
        (3, "STORE_AND_ANALYSE"),
    ],
)
def test_strategies(value: int, strategy: str) -> None:
    """Unspecified is executed, as NVSentinel does."""
    assert decode(processingStrategy=value)[0].strategy == strategy


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (True, True),
        ("true", True),
        ("TRUE", True),
        (False, False),
        ("false", False),
        (1, False),
        (None, False),
    ],
)
def test_flags(value: object, flag: bool) -> None:
    """True as itself or as its word; a number is no flag."""
    event, _ = decode(isFatal=value, isHealthy=value)
    assert (event.fatal, event.healthy) == (flag, flag)


@pytest.mark.parametrize(
    ("value", "codes"),
    [(["79", "48"], ("79", "48")), ("79", ("79",)), ([79, "", None], ("79",)), (None, ())],
)
def test_error_codes(value: object, codes: tuple[str, ...]) -> None:
    """One or a list; empty ones are none."""
    assert decode(errorCode=value)[0].error_codes == codes


@pytest.mark.parametrize(
    ("value", "entities"),
    [
        ([{"entityType": "GPU", "entityValue": "3"}], (("GPU", "3"),)),
        ([{"entityType": "GPU"}], (("GPU", ""),)),
        ([{"entityValue": "3"}], (("", "3"),)),
        ([{}], ()),
        (None, ()),
    ],
)
def test_entities(value: object, entities: tuple[tuple[str, str], ...]) -> None:
    """An entity with neither type nor value is none."""
    assert decode(entitiesImpacted=value)[0].entities == entities


@pytest.mark.parametrize(("value", "kept"), [({"a": 1}, {"a": "1"}), ([1], {}), (None, {})])
def test_metadata(value: object, kept: dict[str, str]) -> None:
    """A map as text; anything else is none."""
    assert dict(decode(metadata=value)[0].metadata) == kept


@pytest.mark.parametrize(
    ("text", "count", "odd"),
    [("", 0, 0), ("  ", 0, 0), ("[]", 0, 0), ("null", 0, 0), ("[null]", 0, 1), ("[", 0, 1)],
)
def test_an_annotation_without_events(text: str, count: int, odd: int) -> None:
    """Empty is not odd; what is no event is."""
    decoded = decoding.decode_annotation(text)
    assert (len(decoded.events), len(decoded.oddities)) == (count, odd)
    assert decoded.event is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (datetime(1970, 1, 1, 0, 0, 10), 10.0),  # noqa: DTZ001 - a naive one is UTC
        ({"$date": 10000}, 10.0),
        ({"$date": 10500.0}, 10.5),
        ({"$date": {"$numberLong": "10500"}}, 10.5),
        ({"$date": "1970-01-01T00:00:10"}, 10.0),
        ({"seconds": 10, "nanos": 1_000_000_000}, 11.0),
        ({"nanos": 500_000_000}, 0.5),
        (10, 10.0),
        (False, 0.0),
        ([], 0.0),
        ("1970-01-01T00:00:10", 10.0),
        ("1970-01-01T01:00:10+01:00", 10.0),
        (" 1970-01-01T00-00-10Z ", 10.0),
        ("1970-01-01", 0.0),
        ("1970-01-01T00-00", 0.0),
        ("1970-01-01T00:00:10-01:00", 3610.0),
    ],
)
def test_every_way_to_write_a_time(value: object, seconds: float) -> None:
    """A time without a zone is UTC; dashes in a clock are a label's colons."""
    assert decoding.read_instant(value) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("status", "path", "value"),
    [
        ({"faultremediated": True}, "faultremediated", {"value": True}),
        ({"faultremediated": {"value": False}}, "faultremediated", {"value": False}),
        ({"faultremediated": None}, "faultremediated", None),
        ({"drainfinishtimestamp": None}, "drainfinishtimestamp", None),
        (
            {"drainfinishtimestamp": {"seconds": 5, "nanos": 7}},
            "drainfinishtimestamp",
            {"seconds": 5, "nanos": 7},
        ),
        (
            {"drainfinishtimestamp": "1970-01-01T00:00:05.5Z"},
            "drainfinishtimestamp",
            {"seconds": 5, "nanos": 500_000_000},
        ),
        ({"drainfinishtimestamp": {"seconds": 0}}, "drainfinishtimestamp", None),
        ({"userpodsevictionstatus": None}, "userpodsevictionstatus", {"status": "", "message": ""}),
        (None, "nodequarantined", ""),
    ],
)
def test_one_layout_for_every_status(
    status: dict[str, Any] | None, path: str, value: object
) -> None:
    """Early booleans and Dates become what the current layout has; nanoseconds stay exact."""
    assert stored(status)["healtheventstatus"][path] == value


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"force": True}, {"force": True, "skip": False}),
        ({"skip": "true"}, {"force": False, "skip": True}),
        ({}, None),
        (None, None),
    ],
)
def test_overrides(given: object, kept: dict[str, bool] | None) -> None:
    """Both or none."""
    event = stored(drainOverrides=given, quarantineOverrides=given)["healthevent"]
    assert event["drainoverrides"] == event["quarantineoverrides"] == kept


def test_the_layout_has_numbers_where_mongodb_has() -> None:
    """Known names become their numbers, unknown ones stay; absent lists are null."""
    event = stored(recommendedAction=24, processingStrategy=2, version="3")["healthevent"]
    assert (event["recommendedaction"], event["processingstrategy"], event["version"]) == (24, 2, 3)
    assert (event["errorcode"], event["entitiesimpacted"]) == (None, None)
    assert stored(recommendedAction=77)["healthevent"]["recommendedaction"] == "77"
    full = stored(errorCode=["1"], entitiesImpacted=[{"entityType": "GPU", "entityValue": "3"}])
    assert full["healthevent"]["errorcode"] == ["1"]
    assert full["healthevent"]["entitiesimpacted"] == [{"entitytype": "GPU", "entityvalue": "3"}]
    assert full["createdAt"] == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("document", "odd"),
    [
        ({}, "the document has no healthevent"),
        ({"healthevent": {"nodeName": "n"}}, "a health event has no check name"),
        (7, "the document has no healthevent"),
    ],
)
def test_a_document_without_an_event(document: object, odd: str) -> None:
    """What is no health event says so."""
    decoded = decoding.decode_document(document)
    assert (decoded.events, decoded.oddities) == ((), (odd,))


@pytest.mark.parametrize(
    ("outer", "inner", "found"),
    [("a", "b", "a"), ("", "b", "b"), ({"$oid": "c"}, "b", "c"), (None, "", "")],
)
def test_the_documents_id_comes_before_the_events(outer: object, inner: str, found: str) -> None:
    """The event's own id is empty in a stored document; in an annotation it is all there is."""
    event = decoding.decode_document({"_id": outer, "healthevent": PLAIN | {"id": inner}}).event
    assert event is not None
    assert event.id == found


@pytest.mark.parametrize(
    ("status", "column", "kept"),
    [
        ("Quarantined", "Cancelled", "Quarantined"),
        ("", "Cancelled", "Cancelled"),
        (None, "Cancelled", "Cancelled"),
    ],
)
def test_columns_fill_what_the_document_lacks(status: object, column: str, kept: str) -> None:
    """The columns of a PostgreSQL row lag behind its document."""
    row: dict[str, Any] = {
        "id": "a",
        "node_name": "from-column",
        "event_type": "FromColumn",
        "created_at": "1970-01-01T00:00:07Z",
        "node_quarantined": column,
        "document": {
            "createdAt": "1970-01-01T00:00:05Z",
            "healthevent": {"generatedTimestamp": {"seconds": 5}},
            "healtheventstatus": {"nodequarantined": status},
        },
    }
    event = decoding.decode_row(row).event
    assert event is not None
    assert event.document["healtheventstatus"]["nodequarantined"] == kept
    assert (event.node, event.check, event.created_at) == ("from-column", "FromColumn", 7.0)
    row["created_at"] = None
    again = decoding.decode_row(row).event
    assert again is not None
    assert again.created_at == 5.0


def test_a_rows_document_that_is_no_json() -> None:
    """Says so, and gives no event."""
    decoded = decoding.decode_row({"document": "{"})
    assert decoded.events == ()
    assert decoded.oddities[0].startswith("the row's document is not JSON")


@pytest.mark.parametrize(
    "body",
    [PLAIN, {"healthEvent": PLAIN}, {"data": {"healthEvent": PLAIN}}, {"data": PLAIN}],
)
def test_a_cloudevent_with_or_without_its_envelope(body: object) -> None:
    """Whole, its data, or the event alone."""
    event = decoding.decode_cloudevent(body).event
    assert event is not None
    assert event.check == "X"
    assert decoding.decode_cloudevent({"data": {}}).events == ()
