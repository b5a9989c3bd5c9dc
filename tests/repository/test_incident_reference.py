"""The published schema of NVSX_INCIDENT_FILE: it only grows, and names what the file holds."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from docs.make import incident_reference as page
from tests.core.incident.timelines import repaired

from nvsx.core.incident.incident_document import NodeJob, document_of


def test_a_field_that_was_published_is_never_dropped(tmp_path: Path) -> None:
    """Where a field of the published schema is gone, nothing is made, and the field is named."""
    schema = page.incident_json_schema()
    schema["$defs"]["IncidentDocument"]["properties"]["weather"] = {"type": "string"}
    (tmp_path / page.FOLDER).mkdir()
    (tmp_path / page.FOLDER / page.INCIDENT_SCHEMA).write_text(json.dumps(schema), "utf-8")
    with pytest.raises(SystemExit, match="weather is gone"):
        page.make(tmp_path)


def test_every_field_of_a_file_is_in_the_schema() -> None:
    """The file of an incident with faults, a session, an attempt and jobs has nothing more than
    the schema names, at each of its levels."""
    incident = repaired().incident
    job = NodeJob(namespace="ml", name="train-4")
    document = json.loads(
        msgspec.json.encode(document_of("i-1", incident, jobs=(job,), daemons=(job,)))
    )
    definitions = page.incident_json_schema()["$defs"]
    assert document.keys() <= definitions["IncidentDocument"]["properties"].keys()
    for field, name in (
        ("faults", "DocumentFault"),
        ("sessions", "DocumentSession"),
        ("attempts", "DocumentAttempt"),
        ("jobs", "NodeJob"),
    ):
        assert document[field]
        assert document[field][0].keys() <= definitions[name]["properties"].keys()
