import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.nvsentinel import fixtures as f

from nvsx.core.watches import filter_match
from nvsx.nvsentinel import decoding, names


def test_annotation_gives_the_event_with_its_database_id() -> None:
    """The annotation's numbers, omitted zero values and {seconds,nanos} become core's fields."""
    text = f.raw_node("quarantined")["metadata"]["annotations"][names.QUARANTINE_ANNOTATION]
    decoded = decoding.decode_annotation(text)
    assert decoded.oddities == ()
    (event,) = decoded.events
    assert (event.id, event.check, event.error_codes) == (f.KEY, "SysLogsXIDError", ("79",))
    assert (event.action, event.strategy) == ("RESTART_BM", "EXECUTE_REMEDIATION")
    assert event.fatal
    assert not event.healthy
    assert event.entities[0] == ("PCI", "0000:b3:00")
    assert event.generated_at == pytest.approx(f.GENERATED)
    assert event.node == f.NODE


def test_annotation_of_2025_is_one_object_without_id_and_strategy() -> None:
    """The old single object reads like an array of one; a missing strategy is executed."""
    old = {
        "checkName": "SysLogsXIDError",
        "nodeName": f.NODE,
        "errorCode": ["79"],
        "recommendedAction": 24,
        "isFatal": True,
        "generatedTimestamp": {"seconds": 1755706530},
    }
    (event,) = decoding.decode_annotation(json.dumps(old)).events
    assert (event.id, event.strategy) == ("", "EXECUTE_REMEDIATION")
    assert event.generated_at == 1755706530.0


@pytest.mark.parametrize("text", ["not json", "[1, null, {}]", '{"isFatal": true}', "7"])
def test_odd_annotations_give_reasons_and_no_events(text: str) -> None:
    """What is no health event is left out and named."""
    decoded = decoding.decode_annotation(text)
    assert decoded.events == ()
    assert decoded.oddities


def test_unknown_numbers_are_kept_and_named() -> None:
    """An action of a later NVSentinel keeps its number and is reported as unknown."""
    raw = {"checkName": "X", "nodeName": "n", "recommendedAction": 77, "generatedTimestamp": 1}
    decoded = decoding.decode_annotation(json.dumps([raw]))
    assert decoded.events[0].action == "77"
    assert decoded.oddities == ("recommended action 77 is not one this version of nvsx knows",)


def test_renamed_action_has_one_name() -> None:
    """Action 27 was called REMEDIATE before it became CUSTOM."""
    raw = {"checkName": "X", "nodeName": "n", "recommendedAction": "REMEDIATE"}
    assert decoding.decode_cloudevent({"healthEvent": raw}).events[0].action == "CUSTOM"


@pytest.mark.parametrize("case", f.load("documents"))
def test_stored_documents_decode_without_oddities(case: str) -> None:
    """Every stored layout, 2025's included, gives one event with id and both times."""
    raw = f.load("documents")[case]
    decoded = decoding.decode_document(raw)
    assert decoded.oddities == ()
    assert decoded.event is not None
    assert decoded.event.id == raw["_id"]["$oid"]
    assert decoded.event.created_at > 1.7e9
    assert decoded.event.generated_at > 1.7e9


@pytest.mark.parametrize(
    ("case", "check", "action", "fatal", "healthy", "strategy"),
    [
        ("inserted", "SysLogsXIDError", "RESTART_BM", True, False, "EXECUTE_REMEDIATION"),
        ("recovery", "SysLogsXIDError", "NONE", False, True, "EXECUTE_REMEDIATION"),
        (
            "joined",
            "GpuDcgmConnectivityFailure",
            "CONTACT_SUPPORT",
            True,
            False,
            "EXECUTE_REMEDIATION",
        ),
        ("nonfatal", "GpuThermalWatch", "NONE", False, False, "EXECUTE_REMEDIATION"),
        ("store_only", "GpuThermalMarginWatch", "CONTACT_SUPPORT", True, False, "STORE_ONLY"),
    ],
)
def test_stored_documents_keep_their_meaning(
    case: str, check: str, action: str, fatal: bool, healthy: bool, strategy: str
) -> None:
    """Check, action, flags and strategy are those of the document."""
    event = decoding.decode_document(f.load("documents")[case]).event
    assert event is not None
    found = (event.check, event.action, event.fatal, event.healthy, event.strategy)
    assert found == (check, action, fatal, healthy, strategy)


@pytest.mark.parametrize(
    ("document", "query"),
    [
        ("cr_created", {"healtheventstatus.faultremediated.value": True}),
        ("layout_2025", {"healtheventstatus.faultremediated.value": True}),
        ("layout_2025", {"healthevent.processingstrategy": 1}),
        ("recovery", {"healtheventstatus.nodequarantined": "UnQuarantined"}),
        ("inserted", {"healthevent.errorcode": "79", "healthevent.isfatal": True}),
        ("inserted", {"createdAt": {"$gte": "2025-08-20T16:15:00Z"}}),
    ],
)
def test_one_filter_fits_every_version(document: str, query: dict[str, Any]) -> None:
    """A filter written for the current MongoDB layout also fits what 2025 stored."""
    event = decoding.decode_document(f.load("documents")[document]).event
    assert event is not None
    assert filter_match.matches(event.document, query)


def test_postgres_rows_give_the_same_document() -> None:
    """A PostgreSQL row is the same event and the same layout as MongoDB's document."""
    mongo = decoding.decode_document(f.load("documents")["cr_created"]).event
    postgres = decoding.decode_row(f.load("rows")["cr_created"]).event
    assert mongo is not None
    assert postgres is not None
    assert postgres.id == "3f0c9a52-6d4e-4a57-9b44-1de2a7c0f9b1"
    for path in ("checkname", "errorcode", "generatedtimestamp", "recommendedaction", "isfatal"):
        assert postgres.document["healthevent"][path] == mongo.document["healthevent"][path]
    status = postgres.document["healtheventstatus"]
    assert status["nodequarantined"] == "Quarantined"
    assert status["faultremediated"] == {"value": True}
    assert status["drainfinishtimestamp"] == {"seconds": 1755706625, "nanos": 0}


def test_postgres_document_may_come_as_text() -> None:
    """A driver that gives JSONB as text changes nothing."""
    raw = f.load("rows")["quarantined"]
    text = dict(raw, document=json.dumps(raw["document"]))
    assert decoding.decode_row(text) == decoding.decode_row(raw)


def test_cloudevents_have_names_and_rfc3339() -> None:
    """The exporter's names and times read as the numbers of the other sources do."""
    event = decoding.decode_cloudevent(f.load("cloudevents")["fault"]).event
    assert event is not None
    assert (event.action, event.id) == ("RESTART_BM", "")
    assert event.generated_at == pytest.approx(f.GENERATED)
    inner = decoding.decode_cloudevent(f.load("cloudevents")["fault"]["data"]).event
    assert inner == event


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ({"seconds": 10, "nanos": 500_000_000}, 10.5),
        ({"seconds": "10"}, 10.0),
        ({"seconds": {"$numberLong": "10"}, "nanos": {"$numberInt": "0"}}, 10.0),
        ({"$date": "1970-01-01T00:00:10Z"}, 10.0),
        ({"$date": {"$numberLong": "10000"}}, 10.0),
        ("1970-01-01T00:00:10.123456789Z", 10.123456),
        ("1970-01-01T00-00-10Z", 10.0),
        (datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC), 10.0),
        (None, 0.0),
        ("soon", 0.0),
        (True, 0.0),
    ],
)
def test_times_of_every_kind(value: object, seconds: float) -> None:
    """All the ways NVSentinel writes a time give Unix seconds; no time gives 0."""
    assert decoding.read_instant(value) == pytest.approx(seconds, abs=1e-6)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "checkName nodeName healthevent healtheventstatus errorCode metadata id "
                "generatedTimestamp entitiesImpacted recommendedAction processingStrategy "
                "createdAt faultremediated userpodsevictionstatus $date seconds".split()
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(_json)
def test_nothing_odd_ever_raises(value: object) -> None:
    """Whatever JSON a store or an annotation holds, decoding answers."""
    decoding.decode_document(value)
    decoding.decode_cloudevent(value)
    decoding.decode_annotation(json.dumps(value))
    decoding.decode_row({"id": value, "document": value, "created_at": value})


def test_an_endless_number_is_no_enum() -> None:
    """Infinity where an enum's number belongs is odd, and nothing breaks."""
    found = decoding.decode_annotation('{"checkName": "X", "recommendedAction": "1e999"}', "n")
    assert found.oddities
