"""Field types shared by the runbook and project schemas.

They turn what YAML gives into what the rest of nvsx uses: a scalar or a list into a
tuple, a number into text, a path into a checked path. They never guess: a YAML boolean
where text is meant is an error, since `value: True` and `value: "True"` differ.
"""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from nvsx.core import durations, patterns, selectors

#: What editors are told about a key that takes one value or a list.
LISTABLE = WithJsonSchema(
    {
        "anyOf": [
            {"type": ["string", "integer"]},
            {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
        ]
    }
)


class Model(BaseModel):
    """Base of everything read from a file: frozen, camelCase keys, no unknown key."""

    model_config = ConfigDict(
        defer_build=True,  # most are only ever part of another, whose build covers them
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


def _read_text(value: object) -> object:
    if isinstance(value, bool):
        shown = str(value).lower()
        raise ValueError(f'a YAML boolean is not text: put it in quotes, "{shown}"')
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise ValueError(f'a YAML number with a point is not text: put it in quotes, "{value}"')
    return value


def _read_texts(value: object) -> object:
    if value is None:
        raise ValueError("the value is empty: write one, or leave the key out")
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise ValueError("the list is empty: write at least one value")
    return tuple(_read_text(item) for item in items)


def _check_regex(text: str) -> str:
    try:
        patterns.compiled(text)
    except ValueError as exc:
        raise ValueError(f"the pattern does not compile: {exc}") from None
    return text


def _check_selector(text: str) -> str:
    selectors.parse(text)
    return text


def inside(path: str, base: str = "") -> str:
    """`path`, normalised relative to the project; `base` is the folder it starts from.

    Raises ValueError when it is absolute or leaves the project. Text only: links are
    followed, and judged, by whoever opens the file.
    """
    if not path.strip() or "\0" in path:
        raise ValueError("the path is empty")
    if "\\" in path:
        raise ValueError(f"'{path}' has a backslash: write paths with /")
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        raise ValueError(f"'{path}' is absolute: paths stay inside the project")
    normal = posixpath.normpath(posixpath.join(base, path))
    if normal == ".." or normal.startswith("../"):
        raise ValueError(f"'{path}' leaves the project")
    if normal in (".", base) or path.endswith("/"):
        raise ValueError(f"'{path}' is a folder: name a file")
    return normal


def _check_hook_path(path: str) -> str:
    inside(path, "runbooks")
    return path


def _check_script_path(path: str) -> str:
    inside(path)
    return path


Text = Annotated[
    str,
    BeforeValidator(_read_text),
    Field(min_length=1),
    WithJsonSchema({"type": ["string", "integer"]}),
]
Texts = Annotated[tuple[str, ...], BeforeValidator(_read_texts), LISTABLE]
Regex = Annotated[str, Field(min_length=1), AfterValidator(_check_regex)]
LabelSelector = Annotated[str, AfterValidator(_check_selector)]
HookPath = Annotated[
    str, AfterValidator(_check_hook_path), WithJsonSchema({"type": "string", "format": "path"})
]
ScriptPath = Annotated[
    str, AfterValidator(_check_script_path), WithJsonSchema({"type": "string", "format": "path"})
]


def _read_seconds(value: object, info: ValidationInfo) -> float:
    """Numbers are seconds to Python code, but in a file (`context["file"]`) they are
    ambiguous: somebody who writes `timeout: 30` may well mean minutes."""
    if isinstance(value, str):
        return durations.parse(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a duration is text such as 30s, 15m or 1h30m")
    if value and info.context and info.context.get("file"):
        raise ValueError(durations.explain_refusal(f"{value}"))
    if not 0 <= value <= durations.MAX_SECONDS:
        raise ValueError(f"a duration lies between 0 and {durations.format(durations.MAX_SECONDS)}")
    return float(value)


class _DurationSchema:
    """What editors see: text with a pattern, not the number it becomes."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": durations.PATTERN,
            "description": "A duration: s, m, h, d and sums such as 1h30m.",
            "examples": ["30s", "15m", "1h30m"],
        }


Duration = Annotated[float, BeforeValidator(_read_seconds), _DurationSchema]
