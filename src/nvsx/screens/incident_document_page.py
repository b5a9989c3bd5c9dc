"""The published schema of NVSX_INCIDENT_FILE: what a hook may read of its incident.

Made from `core.incident.incident_document`, so that it cannot differ from what is written. Hooks of
teams read the file, so it only ever grows. `python -m nvsx.screens.incident_document_page
[--check|--write [FOLDER]]` keeps `incident.schema.json` current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from nvsx.core.incident.incident_document import IncidentDocument
from nvsx.screens.event_document import FOLDER, Json, describe_schema, removed

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
        "$defs": {name: describe_schema(schema) for name, schema in components.items()},
    }


def main(arguments: list[str]) -> int:
    """`--check` fails when the file is stale; `--write`, the default, renews it."""
    mode = arguments[0] if arguments else "--write"
    if mode not in ("--check", "--write"):
        sys.stderr.write(
            "usage: python -m nvsx.screens.incident_document_page [--check|--write [FOLDER]]\n"
        )
        return 2
    path = (Path(arguments[1]) if len(arguments) > 1 else FOLDER) / INCIDENT_SCHEMA
    wanted = json.dumps(incident_json_schema(), indent=1) + "\n"
    before = path.read_text("utf-8") if path.is_file() else ""
    if before == wanted:
        return 0
    if before and (lost := list(removed(json.loads(before), incident_json_schema()))):
        sys.stderr.write(f"the published format only grows, but: {'; '.join(lost)}\n")
        return 1
    if mode == "--check":
        sys.stderr.write(f"stale: {path}: run python -m nvsx.screens.incident_document_page\n")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
