"""Keys come from the world, and the journal's lines only grow."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.core.incident.timelines import NOON, Timeline, alert, fault, quarantined, session

from nvsx.core.incident.incident_events import (
    AttemptBegan,
    FaultSeen,
    IncidentEntry,
    IncidentEvent,
    IncidentNoted,
    decode_incident_entry,
    encode_incident_entry,
)
from nvsx.core.incident.incident_keys import fault_name, key_of_event, key_of_fault
from nvsx.core.incident.incident_state import NodeStory, Stamp


def test_a_laptop_and_the_daemon_make_the_same_key() -> None:
    """One came before the condition, the other after the quarantine."""
    daemon = Timeline().at(0, faults=(fault(start=NOON),))
    daemon.at(1, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    laptop = Timeline(looking=False).at(
        60, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1")
    )
    assert daemon.incident.key == laptop.incident.key == key_of_event("cluster-1", "node-1", "e1")
    assert daemon.incident.opened.key in daemon.incident.aliases


def test_an_event_that_joined_is_a_name_for_the_incident_and_not_its_first() -> None:
    """Whoever comes after the first has recovered knows only the second."""
    line = quarantined(0, "e1").at(5, session=session("e1", "e2"))
    assert line.incident.key == key_of_event("cluster-1", "node-1", "e1")
    assert key_of_event("cluster-1", "node-1", "e2") in line.incident.aliases


@pytest.mark.parametrize("other", [{"cluster_uid": "cluster-2"}, {"node_uid": "node-2"}])
def test_another_cluster_or_machine_is_another_incident(other: dict[str, str]) -> None:
    """The same event id there is somebody else's."""
    given = {"cluster_uid": "cluster-1", "node_uid": "node-1"}
    assert key_of_event(**given, event_id="e") != key_of_event(**(given | other), event_id="e")


def test_without_an_id_the_key_is_check_codes_entity_and_start_in_whole_seconds() -> None:
    """A monitor writes nanoseconds, a condition has whole seconds."""
    base = ("c", "n", "SysLogsXIDError", ("79",), (("GPU", "0"),))
    assert key_of_fault(*base, 100.9) == key_of_fault(*base, 100.0)
    assert key_of_fault(*base, 101.0) != key_of_fault(*base, 100.0)


def test_a_key_is_the_same_in_every_version() -> None:
    """Pages and tickets carry it: `inc-` and twenty hex digits."""
    assert key_of_event("c", "n", "e") == "inc-2901f6cae4d3a96d8d56"


def test_two_starts_of_an_alert_are_two_incidents() -> None:
    """Key and start are one episode."""
    keys = {Timeline().at(9, alerts=(alert(started=s),)).incident.key for s in (0, 5)}
    assert len(keys) == 2


def test_a_fault_is_named_by_check_codes_and_entities_in_any_order() -> None:
    """Two reports about the same thing."""
    entities = (("PCI", "0000:b3:00"), ("GPU", "0"))
    one = fault_name("A", ("2", "1"), entities)
    assert one == fault_name("A", ("1", "2"), entities[::-1]) == "A 1,2 GPU:0 PCI:0000:b3:00"


def test_a_line_has_version_event_incident_and_number() -> None:
    """The envelope that every reader finds."""
    body = IncidentNoted(text="cable replaced", author="ada")
    line = encode_incident_entry(IncidentEntry("inc-1", 7, NOON, body))
    assert json.loads(line) == {
        "v": 1,
        "event": "noted",
        "incident": "inc-1",
        "seq": 7,
        "t": NOON,
        "body": {"text": "cable replaced", "code": "", "author": "ada"},
    }


def test_a_line_of_a_later_version_is_read_without_what_it_adds() -> None:
    """Unknown fields are passed over."""
    entry = IncidentEntry("inc-1", 7, NOON, IncidentNoted(text="x"))
    fields = json.loads(encode_incident_entry(entry))
    fields["body"]["colour"] = "red"
    assert decode_incident_entry(json.dumps(fields)) == entry


@pytest.mark.parametrize("kind", msgspec.inspect.type_info(IncidentEvent).types)  # type: ignore[attr-defined]
def test_every_event_can_be_stored(kind: msgspec.inspect.StructType) -> None:
    """Written and read again with its required fields alone."""
    samples = {"str": "x", "int": 1, "float": 1.0}
    given = {}
    for field in kind.fields:
        if not field.required:
            continue
        name = type(field.type).__name__.removesuffix("Type").lower()
        if name == "literal":
            given[field.encode_name] = field.type.values[0]  # type: ignore[attr-defined]
        elif name == "struct":
            given[field.encode_name] = {"kind": "fault"}
        else:
            given[field.encode_name] = samples[name]
    body: Any = msgspec.convert(given | {"event": kind.tag}, kind.cls)
    entry = IncidentEntry("inc-1", 1, NOON, body)
    assert decode_incident_entry(encode_incident_entry(entry)) == entry


def test_a_journal_that_was_cut_can_still_be_read() -> None:
    """Events of attempts, sessions and faults whose beginning is missing are passed over."""
    line = quarantined(0, "e1")
    kept = [e for e in line.entries if not isinstance(e.body, FaultSeen | AttemptBegan)]
    story = NodeStory("gpu-1").after_entries(kept[2:])
    assert story.open is None
    assert NodeStory("gpu-1").after_entries([kept[0], *kept[2:]]).open is not None


def test_how_long_ago_something_was_is_never_less_than_nothing() -> None:
    """After a restart the wall clock tells it, and that may have been set back."""
    line = Timeline().at(100)
    assert Stamp(NOON + 500).age(line.sight) == 0.0
    assert Stamp(NOON + 40).age(line.sight) == 60.0
    assert Stamp(NOON + 500, mono=90.0).age(line.sight) == 10.0
