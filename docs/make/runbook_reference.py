"""The reference of runbooks in runbooks/README.md, between its markers.

It is made from the schema that editors get, so it cannot differ from what is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nvsx.core import durations
from nvsx.core.runbook.narration import TOKENS
from nvsx.core.runbook.schema import (
    Action,
    Drill,
    Metadata,
    Prerequisite,
    Stage,
    Trigger,
)
from nvsx.core.runbook.stage_order import DEFAULT_BUDGETS, DEFAULT_TIMEOUTS, STAGE_ORDER
from nvsx.core.watches.kinds import KINDS
from nvsx.core.watches.watch_base import WatchBase
from nvsx.project.schema_document import Json, json_schema

BEGIN = "<!-- schema reference: generated, do not edit -->"
END = "<!-- end of the schema reference -->"
README = "runbooks/README.md"


def make(root: Path) -> dict[str, bytes]:
    """The README with its reference made current. Raises SystemExit without the markers."""
    try:
        return {README: replace_reference((root / README).read_text("utf-8")).encode()}
    except (OSError, ValueError) as error:
        raise SystemExit(f"{README}: {error}") from None


def markdown() -> str:
    """The reference: every key, its kind of value, default and meaning."""
    schema = json_schema()
    definitions: Mapping[str, Json] = schema["$defs"]
    parts = [
        "## The file",
        _key_table(schema),
        *_key_section("metadata", definitions[Metadata.__name__]),
        *_key_section("triggers", definitions[Trigger.__name__]),
        *_key_section("prerequisites", definitions[Prerequisite.__name__]),
        *_key_section("stages", definitions[Stage.__name__]),
        _stage_table(),
        *_key_section("stages: action", definitions[Action.__name__]),
        *_key_section("drill", definitions[Drill.__name__]),
        *_watch_sections(definitions),
        "### Narration tokens",
        " · ".join(f"`{{{{{token}}}}}`" for token in TOKENS) + ". Nothing else is templated.",
    ]
    return "\n\n".join(parts) + "\n"


def _key_section(name: str, definition: Json) -> Iterator[str]:
    yield f"### {name}"
    yield str(definition["description"]).replace("\n\n", " ").replace("\n", " ")
    yield _key_table(definition)


def _key_table(definition: Json, leave_out: frozenset[str] = frozenset()) -> str:
    required = set(definition.get("required", []))
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, value in definition["properties"].items():
        if key not in leave_out:
            default = "required" if key in required else _default_in_words(value)
            cells = (f"`{key}`", _value_in_words(value), default, value.get("description", ""))
            rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(rows)


def _default_in_words(value: Json) -> str:
    default = value.get("default")
    if default in (None, "", [], {}):
        return ""
    if value.get("pattern") == durations.PATTERN:
        return durations.format(float(default))
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return f"`[{', '.join(default)}]`"
    return f"`{default}`"


def _value_in_words(value: Json) -> str:
    """The kind of value in a word or two."""
    if "$ref" in value:
        return "mapping"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        words = [w for w in value["enum"] if isinstance(w, str) and w]
        booleans = [w for w in value["enum"] if isinstance(w, bool)]
        return "true or false" if booleans and "Unknown" not in words else _quote_words(words)
    if value.get("pattern") == durations.PATTERN:
        return "duration"
    if "anyOf" in value:
        return _choices_in_words(value["anyOf"])
    kind = value.get("type")
    if isinstance(kind, list):
        special = "mapping or text" if "object" in kind else "text"
        return "number or comparison" if "pattern" in value else special
    if value.get("format") == "path":
        return "path"
    names = {"boolean": "true or false", "integer": "number", "array": "list", "object": "mapping"}
    return names.get(str(kind), "text")


def _quote_words(words: list[str]) -> str:
    return " · ".join(f"`{w}`" for w in words)


def _choices_in_words(choices: list[Json]) -> str:
    if [c.get("type") for c in choices][1:] == ["array"]:
        return "text or list"
    return " or ".join(dict.fromkeys(_value_in_words(c) for c in choices))


def _stage_table() -> str:
    rows = ["| stage | hard limit (`timeout`) | soft limit (`budget`) |", "|---|---|---|"]
    for stage in STAGE_ORDER:
        hard, soft = DEFAULT_TIMEOUTS[stage], DEFAULT_BUDGETS.get(stage)
        shown = [durations.format(x) if x is not None else "none" for x in (hard, soft)]
        rows.append(f"| `{stage}` | {shown[0]} | {shown[1]} |")
    return "\n".join(rows)


def _watch_sections(definitions: Mapping[str, Json]) -> Iterator[str]:
    common = frozenset(f.alias or name for name, f in WatchBase.model_fields.items())
    yield "### stages: watch"
    yield (
        "Each entry has a `kind`, which decides what other keys it has; all entries must "
        "hold. `anyOf: [...]` makes a group that holds when one of its watches does. "
        "Every kind also has:"
    )
    base = definitions["TaintWatch"]
    yield _key_table({**base, "required": []}, frozenset(base["properties"]) - common)
    done: set[type[WatchBase]] = set()
    for kind, model in KINDS.items():
        if model in done:
            continue
        done.add(model)
        others = model.names()[1:]
        alias = f" (old name: `{others[0]}`)" if others else ""
        definition = definitions[model.__name__]
        family = "It counts what happened in this incident." if model.happening else ""
        yield f"#### `{kind}`{alias}"
        yield (
            f"{definition['description']} {family}".replace("\n\n", " ").replace("\n", " ").strip()
        )
        yield _key_table(definition, common | {"kind"})


def replace_reference(text: str) -> str:
    """The README with its reference made current. Raises ValueError without the markers."""
    before, found, rest = text.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"
