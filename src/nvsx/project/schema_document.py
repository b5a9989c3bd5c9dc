"""The runbook schema for editors, and as the reference in runbooks/README.md.

Both come from the models in `core`, so they cannot differ from what the loader accepts.
`python -m nvsx.project.schema_document [--check|--write [README]]` keeps the reference current; the
checks of the repository fail when it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nvsx.core import durations
from nvsx.core.runbook.narration import TOKENS
from nvsx.core.runbook.schema import (
    DEFAULT_BUDGETS,
    DEFAULT_TIMEOUTS,
    STAGE_ORDER,
    Action,
    Drill,
    Metadata,
    Prerequisite,
    Runbook,
    Stage,
    Trigger,
)
from nvsx.core.watches.kinds import KINDS
from nvsx.core.watches.watch_base import WatchBase

BEGIN = "<!-- schema reference: generated, do not edit -->"
END = "<!-- end of the schema reference -->"
README = Path("runbooks/README.md")

Json = dict[str, Any]


def json_schema() -> Json:
    """JSON Schema (2020-12) of a runbook file, for editors and other tools."""
    schema = _for_editors(Runbook.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nvsx runbook",
        **schema,
    }


def _for_editors(node: Any, named: bool = False) -> Any:
    """Without what only machines put there: titles made from names, nulls that a file never
    needs, and OpenAPI's discriminator. `named`: the keys of `node` are names, not keywords."""
    if isinstance(node, list):
        return [_for_editors(item) for item in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {key: _for_editors(value) for key, value in node.items()}
    out: Json = {}
    for key, value in node.items():
        if key in ("title", "discriminator") or (key == "default" and value is None):
            continue
        out[key] = _for_editors(value, key in ("properties", "$defs"))
    choices = [c for c in out.get("anyOf", []) if c != {"type": "null"}]
    if "anyOf" in out:
        out["anyOf"] = choices
    if len(choices) == 1:
        del out["anyOf"]
        out = {**choices[0], **out}
    return out


def markdown() -> str:
    """The reference: every key, its kind of value, default and meaning."""
    schema = json_schema()
    definitions: Mapping[str, Json] = schema["$defs"]
    parts = [
        "## The file",
        _format_table(schema),
        *_format_section("metadata", definitions[Metadata.__name__]),
        *_format_section("triggers", definitions[Trigger.__name__]),
        *_format_section("prerequisites", definitions[Prerequisite.__name__]),
        *_format_section("stages", definitions[Stage.__name__]),
        _format_stage_table(),
        *_format_section("stages: action", definitions[Action.__name__]),
        *_format_section("drill", definitions[Drill.__name__]),
        *_format_watches(definitions),
        "### Narration tokens",
        " · ".join(f"`{{{{{token}}}}}`" for token in TOKENS) + ". Nothing else is templated.",
    ]
    return "\n\n".join(parts) + "\n"


def _format_section(name: str, definition: Json) -> Iterator[str]:
    yield f"### {name}"
    yield str(definition["description"]).replace("\n\n", " ").replace("\n", " ")
    yield _format_table(definition)


def _format_table(definition: Json, leave_out: frozenset[str] = frozenset()) -> str:
    required = set(definition.get("required", []))
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, value in definition["properties"].items():
        if key not in leave_out:
            default = "required" if key in required else _format_default(value)
            cells = (f"`{key}`", _format_value(value), default, value.get("description", ""))
            rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(rows)


def _format_default(value: Json) -> str:
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


def _format_value(value: Json) -> str:
    """The kind of value in a word or two."""
    if "$ref" in value:
        return "mapping"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        words = [w for w in value["enum"] if isinstance(w, str) and w]
        booleans = [w for w in value["enum"] if isinstance(w, bool)]
        return "true or false" if booleans and "Unknown" not in words else _format_words(words)
    if value.get("pattern") == durations.PATTERN:
        return "duration"
    if "anyOf" in value:
        return _format_choices(value["anyOf"])
    kind = value.get("type")
    if isinstance(kind, list):
        special = "mapping or text" if "object" in kind else "text"
        return "number or comparison" if "pattern" in value else special
    if value.get("format") == "path":
        return "path"
    names = {"boolean": "true or false", "integer": "number", "array": "list", "object": "mapping"}
    return names.get(str(kind), "text")


def _format_words(words: list[str]) -> str:
    return " · ".join(f"`{w}`" for w in words)


def _format_choices(choices: list[Json]) -> str:
    if [c.get("type") for c in choices][1:] == ["array"]:
        return "text or list"
    return " or ".join(dict.fromkeys(_format_value(c) for c in choices))


def _format_stage_table() -> str:
    rows = ["| stage | hard limit (`timeout`) | soft limit (`budget`) |", "|---|---|---|"]
    for stage in STAGE_ORDER:
        hard, soft = DEFAULT_TIMEOUTS[stage], DEFAULT_BUDGETS.get(stage)
        shown = [durations.format(x) if x is not None else "none" for x in (hard, soft)]
        rows.append(f"| `{stage}` | {shown[0]} | {shown[1]} |")
    return "\n".join(rows)


def _format_watches(definitions: Mapping[str, Json]) -> Iterator[str]:
    common = frozenset(f.alias or name for name, f in WatchBase.model_fields.items())
    yield "### stages: watch"
    yield (
        "Each entry has a `kind`, which decides what other keys it has; all entries must "
        "hold. `anyOf: [...]` makes a group that holds when one of its watches does. "
        "Every kind also has:"
    )
    base = definitions["TaintWatch"]
    yield _format_table({**base, "required": []}, frozenset(base["properties"]) - common)
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
        yield _format_table(definition, common | {"kind"})


def update_document(text: str) -> str:
    """The README with its reference made current. Raises ValueError without the markers."""
    before, found, rest = text.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """`--check` fails when the reference is stale; `--write`, the default, renews it."""
    mode = arguments[0] if arguments else "--write"
    path = Path(arguments[1]) if len(arguments) > 1 else README
    if mode not in ("--check", "--write"):
        sys.stderr.write(
            "usage: python -m nvsx.project.schema_document [--check|--write [README]]\n"
        )
        return 2
    try:
        text = path.read_text("utf-8")
        current = update_document(text)
    except (OSError, ValueError) as exc:
        sys.stderr.write(f"{path}: {exc}\n")
        return 1
    if text == current:
        return 0
    if mode == "--check":
        sys.stderr.write(f"{path} is stale: run python -m nvsx.project.schema_document\n")
        return 1
    path.write_text(current, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
