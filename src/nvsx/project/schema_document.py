"""The runbook schema for editors: JSON Schema made from the models in `core`."""

from __future__ import annotations

from typing import Any

from nvsx.core.runbook.schema import Runbook

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
