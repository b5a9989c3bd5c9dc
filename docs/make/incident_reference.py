"""The published schema of NVSX_INCIDENT_FILE: what a hook may read of its incident.

Made from `core.incident.incident_document`, so that it cannot differ from what is written. Hooks of
teams read the file, so it only ever grows.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from docs.make.event_reference import FOLDER as FOLDER  # noqa: PLC0414
from docs.make.event_reference import Json, find_removed, with_clean_description

from nvsx.core.incident.incident_document import IncidentDocument

INCIDENT_SCHEMA = "incident.schema.json"


def incident_json_schema() -> Json:
    """JSON Schema (2020-12) of the file."""
    (ref,), components = msgspec.json.schema_components(
        [IncidentDocument], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "NVSX_INCIDENT_FILE: one incident as it is now",
        **ref,
        "$defs": {name: with_clean_description(schema) for name, schema in components.items()},
    }


def make(root: Path) -> dict[str, bytes]:
    """The schema. Raises SystemExit when something that was published is lost."""
    schema, published = incident_json_schema(), root / FOLDER / INCIDENT_SCHEMA
    if published.is_file():
        lost = list(find_removed(json.loads(published.read_bytes()), schema))
        if lost:
            raise SystemExit(f"the published format only grows, but: {'; '.join(lost)}")
    text = json.dumps(schema, indent=1) + "\n"
    return {f"{FOLDER}/{INCIDENT_SCHEMA}": text.encode()}
