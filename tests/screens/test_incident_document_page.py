"""The published schema of NVSX_INCIDENT_FILE: current, and what the file holds is in it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from tests.core.incident.timelines import repaired

from nvsx.core.incident.incident_document import Job, document_of
from nvsx.screens import incident_document_page as page

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_schema_is_current() -> None:
    """docs/incident.schema.json says what the code writes."""
    assert page.main(["--check", str(ROOT / "docs")]) == 0


def test_a_field_that_was_published_is_never_dropped(tmp_path: Path) -> None:
    """Writing refuses where a field of the published schema is gone, and names it."""
    schema = page.incident_json_schema()
    schema["$defs"]["IncidentDocument"]["properties"]["weather"] = {"type": "string"}
    (tmp_path / page.INCIDENT_SCHEMA).write_text(json.dumps(schema), "utf-8")
    assert page.main(["--write", str(tmp_path)]) == 1


def test_every_field_of_a_file_is_in_the_schema() -> None:
    """The file of an incident with faults, a session, an attempt and jobs has nothing more than
    the schema names, at each of its levels."""
    incident = repaired().incident
    job = Job(namespace="ml", name="train-4")
    document = json.loads(
        msgspec.json.encode(document_of("i-1", incident, jobs=(job,), daemons=(job,)))
    )
    definitions = page.incident_json_schema()["$defs"]
    assert document.keys() <= definitions["IncidentDocument"]["properties"].keys()
    for field, name in (
        ("faults", "DocumentFault"),
        ("sessions", "DocumentSession"),
        ("attempts", "DocumentAttempt"),
        ("jobs", "Job"),
    ):
        assert document[field]
        assert document[field][0].keys() <= definitions[name]["properties"].keys()
