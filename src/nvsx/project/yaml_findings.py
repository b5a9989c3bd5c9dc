"""From pydantic's errors to findings a person can act on.

Each becomes one Problem at the line and column of the key or value it is about, with the
word that was probably meant. Used for runbooks and for nvsx.yaml alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nvsx.core.errors import Problem
from nvsx.core.notify.notify_settings import SETTINGS_OF_KIND
from nvsx.core.runbook.catalog import YamlPath
from nvsx.core.runbook.schema import API_VERSION, NAME_PATTERN, Stage
from nvsx.core.watches.kinds import KINDS
from nvsx.project.yaml_tree import Tree

#: Errors that follow from another one on the same place.
_ECHOES = {"default_factory_not_called", "stage_order"}

_FIRST_LINES = {"apiVersion": API_VERSION, "kind": "Runbook"}

_PLAIN = {
    "string_type": "text is expected",
    "int_type": "a whole number is expected",
    "int_parsing": "a whole number is expected",
    "bool_type": "true or false is expected",
    "bool_parsing": "true or false is expected",
    "tuple_type": "a list is expected",
    "list_type": "a list is expected",
    "dict_type": "a mapping of keys to values is expected",
    "model_type": "a mapping of keys to values is expected",
    "model_attributes_type": "a mapping of keys to values is expected",
}


class YamlFinding(NamedTuple):
    """One mistake in the data of a file; `at_key`: it is about the key, not its value."""

    path: YamlPath
    message: str
    hint: str
    at_key: bool


def locate_findings(model: type[BaseModel], data: Any, error: ValidationError) -> list[YamlFinding]:
    """pydantic's errors in words, each with the path of the data it is about."""
    found = []
    for detail in error.errors(include_url=False):
        where = _Where(model, data, detail["loc"])
        if detail["type"] not in _ECHOES and not _said_elsewhere(detail, where):
            message, hint, at_key = _explain_detail(detail, where)
            found.append(YamlFinding(where.path, message, hint, at_key))
    return found


def collect_problems(
    model: type[BaseModel], tree: Tree, error: ValidationError, file: str
) -> list[Problem]:
    """The problems of one file, in the order of the file."""
    places = tree.positions
    problems = [
        Problem(f.message, file, *(places.key if f.at_key else places.value)(f.path), f.hint)
        for f in locate_findings(model, tree.data, error)
    ]
    return sorted(problems, key=lambda p: (p.line, p.column, p.message))


def _said_elsewhere(detail: ErrorDetails, where: _Where) -> bool:
    """pydantic calls a list too short when it threw all items out for their own errors; and
    wrong stage ids are the loader's findings, together with their order."""
    if detail["type"] == "literal_error":
        return where.owner is Stage and where.key == "id"
    return detail["type"] == "too_short" and bool(where.value)


class _Where:
    """One error location: the path in the file, the value there, the model that owns it.

    pydantic's locations also name the branch of a union it took; those parts are no keys
    of the file and are left out of `path`. `owner` is the model the last key belongs to.
    """

    def __init__(self, model: type[BaseModel], data: Any, loc: Iterable[str | int]) -> None:
        self.path: YamlPath = ()
        self.value = data
        self.on_key = False
        self.owner: type[BaseModel] | None = None
        here: list[type[BaseModel]] = [model]
        named = False  # the next key is a name of the user's, as below serve.sources
        for part in loc:
            if part == "[key]":
                self.on_key = True
            elif isinstance(part, str) and len(here) > 1 and not named and _is_branch(part):
                here = _take_branch(here, part)
            elif isinstance(part, int) or isinstance(self.value, Mapping):
                if isinstance(part, str) and named:
                    self.owner, named = None, False
                elif isinstance(part, str):
                    self.owner = here[0] if len(here) == 1 else None
                    named = _takes_names(self.owner, part)
                    here = _field_models(here, part)
                if _contains_problem(self.value, part):
                    self.value = self.value[part]
                    self.path = (*self.path, part)

    @property
    def key(self) -> str:
        """The last key of the path; items of a list go by the list's name."""
        return next((p for p in reversed(self.path) if isinstance(p, str)), "")


def _contains_problem(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and 0 <= part < len(value)
    return isinstance(value, Mapping) and part in value


def _is_branch(part: str) -> bool:
    return part in KINDS or part in SETTINGS_OF_KIND or part.startswith("(")


def _take_branch(candidates: list[type[BaseModel]], part: str) -> list[type[BaseModel]]:
    if part in KINDS:
        return [KINDS[part]]
    if part in SETTINGS_OF_KIND:
        return [SETTINGS_OF_KIND[part]]
    kinds = set(KINDS.values())
    return [m for m in candidates if (m in kinds) == (part == "(watch)")]


def _takes_names(owner: type[BaseModel] | None, key: str) -> bool:
    fields = owner.model_fields.items() if owner else ()
    return any(
        key in (info.alias, name) and get_origin(info.annotation) is dict for name, info in fields
    )


def _field_models(owners: list[type[BaseModel]], key: str) -> list[type[BaseModel]]:
    for owner in owners:
        for name, info in owner.model_fields.items():
            if key in (info.alias, name):
                return list(dict.fromkeys(_models_in(info.annotation)))
    return []


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _explain_detail(detail: ErrorDetails, where: _Where) -> tuple[str, str, bool]:
    """(message, hint, whether it is about the key rather than the value)."""
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return *_unknown_key(where), True
    if kind == "missing":
        return *_missing_key(str(detail["loc"][-1]), where), False
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return *_wrong_kind(where), False
    if kind == "literal_error":
        return *_wrong_word(where, str(context["expected"])), where.on_key
    if kind == "value_error":
        message, _, hint = str(context["error"]).partition("; ")
        return message, hint, where.on_key
    if kind == "string_pattern_mismatch":
        return *_wrong_form(where, str(context["pattern"])), where.on_key
    if kind in ("too_short", "string_too_short"):
        return f"{where.key} is empty", "write at least one", False
    if kind in _PLAIN:
        return f"{where.key or 'the file'}: {_PLAIN[kind]}", "", False
    text = detail["msg"].replace("Input should", "the value should")
    return f"{where.key}: {text}", "", where.on_key


def find_nearest(word: object, words: Iterable[str]) -> str:
    """The word probably meant, as a question; "" when nothing is near."""
    known = {w.lower(): w for w in words}
    near = get_close_matches(str(word).lower(), known, n=1, cutoff=0.6)
    return f"did you mean {known[near[0]]}?" if near else ""


def _list_keys(model: type[BaseModel] | None) -> list[str]:
    return [f.alias or name for name, f in model.model_fields.items()] if model else []


def _watch_kind(model: type[BaseModel] | None) -> str:
    return next((kind for kind, cls in KINDS.items() if cls is model), "")


def _unknown_key(where: _Where) -> tuple[str, str]:
    known = _list_keys(where.owner)
    hint = find_nearest(where.key, known)
    kind = _watch_kind(where.owner)
    if not kind:
        return f"unknown key '{where.key}'", hint or f"known here: {', '.join(known)}"
    own = ", ".join(k for k in known if k != "kind")
    return f"key '{where.key}' has no meaning for a {kind} watch", hint or f"it takes {own}"


def _missing_key(key: str, where: _Where) -> tuple[str, str]:
    kind = _watch_kind(where.owner)
    if kind:
        return f"a {kind} watch needs '{key}'", ""
    hint = f"write {key}: {_FIRST_LINES[key]}" if key in _FIRST_LINES else ""
    return f"'{key}' is missing", hint


def _wrong_kind(where: _Where) -> tuple[str, str]:
    known: Iterable[str] = KINDS
    what = "watch"
    if where.path[:1] == ("notify",):
        known, what = SETTINGS_OF_KIND, "target"
    kinds = ", ".join(known)
    if not isinstance(where.value, Mapping):
        return f"a {what} is a mapping with a kind", f"kinds: {kinds}"
    if "kind" not in where.value:
        return f"a {what} needs 'kind'", f"kinds: {kinds}"
    where.path = (*where.path, "kind")
    kind = where.value["kind"]
    near = find_nearest(kind, known)
    return f"unknown {what} kind '{kind}'", f"{near} kinds: {kinds}".strip()


def _wrong_word(where: _Where, expected: str) -> tuple[str, str]:
    words = re.findall(r"'([^']*)'", expected)
    found = where.key if where.on_key else where.value
    if where.key == "apiVersion":
        return f"apiVersion '{found}' is not supported", f"this nvsx reads {API_VERSION}"
    label = "unknown stage" if where.on_key else f"{where.key}: unknown value"
    return f"{label} '{found}'", find_nearest(found, words) or f"use {', '.join(words)}"


def _wrong_form(where: _Where, pattern: str) -> tuple[str, str]:
    if pattern == NAME_PATTERN:
        return (
            f"'{where.value}' is not a {where.key}",
            "lower-case letters, digits, dots and dashes, at most 63",
        )
    if where.key == "expect":
        return f"'{where.value}' is not a pod phase", "write expect: phase=Running"
    if where.key == "uri":  # it may hold a password
        return "uri is of no known kind", "auto, none, mongodb://… or postgresql://…"
    return f"{where.key}: '{where.value}' does not look as it should", f"it matches {pattern}"
