"""The published schema of events: current, complete, and only ever growing."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from nvsx.core.journal import entries as j
from nvsx.screens import event_document

ROOT = Path(__file__).resolve().parents[2]


def test_committed_files_are_current() -> None:
    """docs/events.schema.json and docs/events.md say what the code writes."""
    assert event_document.main(["--check", str(ROOT / "docs")]) == 0


def test_every_field_of_a_line_is_in_the_schema() -> None:
    """A line of each event holds nothing the schema does not name, and all it requires."""
    defs = event_document.json_schema()["$defs"]
    least = {"stage": "s", "hook": "h", "attempt": 1, "exit_code": 0}
    for body in j.EVENTS:
        schema = defs[body.__name__]
        raw = {"event": str(body.__struct_config__.tag)} | _least(schema, defs) | least
        line = json.loads(j.to_line(j.Entry("r", 1, 0.5, j.decode_body(json.dumps(raw)))))
        assert line.keys() <= schema["properties"].keys()
        assert set(schema["required"]) <= line.keys()


def _least(schema: event_document.Json, defs: event_document.Json) -> event_document.Json:
    """The smallest object that has what `schema` requires."""
    blank = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "array": [], "object": {}}
    out: event_document.Json = {}
    for name in schema["required"]:
        field = schema["properties"][name]
        if "$ref" in field:
            inner = defs[field["$ref"].rpartition("/")[2]]
            out[name] = _least({"required": (), **inner}, defs)
        elif "enum" in field:
            out[name] = field["enum"][0]
        elif "anyOf" not in field and "const" not in field:
            out[name] = blank[field["type"]]
    return out


@pytest.mark.parametrize("drop", ["event", "field", "value"])
def test_nothing_published_is_ever_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], drop: str
) -> None:
    """A published event, field or value that the code has lost: neither check nor write pass."""
    published = copy.deepcopy(event_document.json_schema())
    defs = published["$defs"]
    if drop == "event":
        defs["Vanished"] = {"properties": {}}
    elif drop == "field":
        defs["Finish"]["properties"]["vanished"] = {"type": "string"}
    else:
        defs["StageEnd"]["properties"]["status"]["enum"].append("vanished")
    text = json.dumps(published)
    (tmp_path / event_document.SCHEMA).write_text(text)
    assert event_document.main(["--check", str(tmp_path)]) == 1
    assert event_document.main(["--write", str(tmp_path)]) == 1
    assert (tmp_path / event_document.SCHEMA).read_text() == text
    assert "anished" in capsys.readouterr().err


def test_a_class_of_another_name_writes_the_same_event(tmp_path: Path) -> None:
    """What was published is known by the event's tag; the name of its class may change."""
    published = event_document.json_schema()
    published["$defs"]["OldName"] = published["$defs"].pop("Finish")
    (tmp_path / event_document.SCHEMA).write_text(json.dumps(published))
    assert event_document.main(["--write", str(tmp_path)]) == 0
