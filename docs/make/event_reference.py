"""The published schema of a run's events: what a line of JSONL may hold.

Made from `core.journal`, so that it cannot differ from what is written. Programs read
these lines, so the format only ever grows: an event, a field or a value that was published is
never dropped.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from nvsx.core.journal import entries

FOLDER = "docs"
SCHEMA = "events.schema.json"
PAGE = "events.md"

Json = dict[str, Any]

_ENVELOPE: Json = {
    "v": {"const": entries.VERSION, "description": "Version of the format."},
    "run_id": {"type": "string"},
    "seq": {"type": "integer", "minimum": 1, "description": "Its place, from 1, without gaps."},
    "t": {"type": "number", "description": "When it was written, in Unix seconds."},
    "replayed": {"const": True, "description": "Only where a resumed run repeats its journal."},
}
_ALWAYS = ["v", "event", "run_id", "seq", "t"]
_HEAD = f"""\
# Events of a run

`nvsx run … -o jsonl` and `nvsx runs follow … -o jsonl` write one JSON object a line. It is the
run's journal, as it is stored. [{SCHEMA}]({SCHEMA}) is the JSON Schema of a line. The format only
ever grows: pass over events and fields you do not know.

Every line has `v` ({entries.VERSION}), `event`, `run_id`, `seq` (from 1, no gaps) and `t` (Unix
seconds). A resumed run first repeats its journal, with `replayed: true`.

This page is generated from `src/nvsx/core/journal/entries.py`.
"""


def json_schema() -> Json:
    """JSON Schema (2020-12) of one line."""
    refs, components = msgspec.json.schema_components(entries.EVENTS, ref_template="#/$defs/{name}")
    definitions = {name: with_clean_description(schema) for name, schema in components.items()}
    for body in entries.EVENTS:
        schema = definitions[body.__name__]
        schema["properties"] = {**_ENVELOPE, **schema["properties"]}
        schema["required"] = list(dict.fromkeys([*_ALWAYS, *schema["required"]]))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "one line of nvsx JSONL",
        "oneOf": list(refs),
        "$defs": definitions,
    }


def with_clean_description(schema: Json) -> Json:
    text = schema.get("description")
    return {**schema, "description": inspect.cleandoc(text)} if text else dict(schema)


def find_removed(old: Json, new: Json) -> Iterator[str]:
    """What `old` promises and `new` does not: events, fields, and values of enumerations."""
    found_now = _by_public_name(new)
    for name, schema in _by_public_name(old).items():
        now = found_now.get(name)
        if now is None:
            yield f"{name} is gone"
            continue
        for field, was in schema.get("properties", {}).items():
            found = now.get("properties", {}).get(field)
            if found is None:
                yield f"{name}.{field} is gone"
                continue
            for value in was.get("enum", ()):
                if value not in found.get("enum", (value,)):
                    yield f"{name}.{field} is never {value!r} any more"


def _by_public_name(document: Json) -> Json:
    """The definitions by the name in a line: an event's tag, not the name of its class."""
    found = {}
    for name, schema in document.get("$defs", {}).items():
        tags = schema.get("properties", {}).get("event", {}).get("enum", [])
        found[tags[0] if tags else name] = schema
    return found


def markdown() -> str:
    """The events as a page for people."""
    schema = json_schema()
    parts = [_HEAD]
    events = [ref["$ref"].rpartition("/")[2] for ref in schema["oneOf"]]
    others = [name for name in schema["$defs"] if name not in events]
    for name in (*events, *others):
        definition = schema["$defs"][name]
        event = definition["properties"].get("event", {}).get("enum", [""])[0]
        parts.append(f"## `{event}`" if event else f"## {name}")
        if "description" in definition:
            parts.append(" ".join(definition["description"].split()))
        parts.append("\n".join(_field_rows(definition)))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _field_rows(definition: Json) -> Iterator[str]:
    fields = {k: v for k, v in definition["properties"].items() if k not in (*_ENVELOPE, "event")}
    yield "| field | type |\n|---|---|"
    for name, schema in fields.items():
        yield f"| `{name}` | {_type_in_words(schema)} |"


def _type_in_words(schema: Json) -> str:
    """A type in words, as it can stand in a table."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type_in_words(s) for s in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(v)}`" for v in schema["enum"])
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_type_in_words(schema['items'])}"
    return str(schema.get("type", "any value"))


def make(root: Path) -> dict[str, bytes]:
    """Schema and page. Raises SystemExit when something that was published is lost."""
    schema, published = json_schema(), root / FOLDER / SCHEMA
    if published.is_file():
        lost = list(find_removed(json.loads(published.read_bytes()), schema))
        if lost:
            raise SystemExit(f"the published format only grows, but: {'; '.join(lost)}")
    text = json.dumps(schema, indent=1) + "\n"
    return {f"{FOLDER}/{SCHEMA}": text.encode(), f"{FOLDER}/{PAGE}": markdown().encode()}
