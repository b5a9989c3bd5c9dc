"""An order as Jira wants it: documents of Cloud, texts of Server, and values of fields. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nvsx.core.notify.order import Order
from nvsx.notify.targets.wording import body_lines, fit_key, identify, shorten, title_of

LONGEST = 32_767
"""Characters of a description or comment. Of a document Jira counts more than its words, so the
whole JSON stays within them."""
SUMMARY = 250
LABEL = 255
#: What takes `{name: …}`, and `{value: …}`, by the type in a field's schema.
_NAMED = frozenset({"component", "version", "priority", "issuetype", "resolution", "group"})
_CHOSEN = frozenset({"option"})
_WIKI = re.compile(r"([{\[|!])")


def label_of(order: Order) -> str:
    """The label that finds the incident's ticket; labels have no spaces."""
    return re.sub(r"\s+", "-", fit_key(order.key, LABEL))


def footer_of(order: Order) -> str:
    """A comment's last line: by it a comment is found again."""
    return f"message {identify(order)}"


def summary_of(order: Order) -> str:
    return shorten(title_of(order), SUMMARY)


def description_lines(order: Order) -> list[str]:
    return body_lines(order) or [title_of(order)]


def comment_lines(order: Order) -> list[str]:
    return [title_of(order), *body_lines(order), footer_of(order)]


def write_body(lines: Sequence[str], *, cloud: bool, keep_last: bool = False) -> Any:
    """The lines as a document (v3) or wiki text (v2), shortened until Jira takes it.

    `keep_last`: the last line is a mark, and stays whole.
    """
    last = [lines[-1]] if keep_last else []
    text = "\n".join(lines[: len(lines) - len(last)])
    most = LONGEST
    while True:
        shown = [*shorten(text, most).splitlines(), *last]
        if cloud:
            body: Any = _make_document(shown)
            size = len(json.dumps(body, ensure_ascii=False))
        else:
            body = "\n".join(_WIKI.sub(r"\\\1", line) for line in shown)
            size = len(body)
        if size <= LONGEST:
            return body
        most = min(most, len(text)) * 9 // 10


def _make_document(lines: Sequence[str]) -> dict[str, Any]:
    """One paragraph for each block of lines, so that facts stand together."""
    paragraphs: list[list[dict[str, Any]]] = [[]]
    for line in lines:
        if not line.strip():
            paragraphs.append([])
            continue
        if paragraphs[-1]:
            paragraphs[-1].append({"type": "hardBreak"})
        paragraphs[-1].append({"type": "text", "text": line})
    content = [{"type": "paragraph", "content": nodes} for nodes in paragraphs if nodes]
    return {"type": "doc", "version": 1, "content": content or [{"type": "paragraph"}]}


def read_words(body: Any) -> str:
    """The words of a comment, document or text."""
    if isinstance(body, str):
        return body
    if isinstance(body, dict):
        if body.get("type") == "hardBreak":
            return "\n"
        return str(body.get("text", "")) + "".join(read_words(c) for c in body.get("content", ()))
    return ""


def fill_fields(
    wanted: Mapping[str, str | Sequence[str]], known: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The fields of nvsx.yaml and of the order under Jira's ids, in the form of their types.

    A name is an id or what people see, in any case; `component` and `components` are the same.
    For example {component: gpu, Rack: r07} → {components: [{name: gpu}], customfield_10010: r07}.
    Beside them the names that Jira does not have: a ticket is worth more than one of its fields,
    and a create that is refused for one burns an issue number.
    """
    by_name: dict[str, Mapping[str, Any]] = {}
    for field in known:
        by_name.setdefault(str(field.get("name", "")).lower(), field)
    by_name |= {str(field["id"]).lower(): field for field in known}
    filled: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in wanted.items():
        found = by_name.get(name.lower()) or by_name.get(f"{name.lower()}s")
        if found is None:
            unknown.append(name)
            continue
        filled[str(found["id"])] = _write_value(value, found.get("schema") or {})
    return filled, unknown


def _write_value(value: str | Sequence[str], schema: Mapping[str, Any]) -> Any:
    if schema.get("type") == "array":
        values = [value] if isinstance(value, str) else list(value)
        return [_write_single(one, str(schema.get("items", ""))) for one in values]
    single = value if isinstance(value, str) else ", ".join(value)
    return _write_single(single, str(schema.get("type", "")))


def _write_single(value: str, kind: str) -> Any:
    if kind in _NAMED:
        return {"name": value}
    if kind in _CHOSEN:
        return {"value": value}
    if kind == "user":
        # Cloud knows people by an id, Server by a name.
        return {"id": value} if ":" in value or len(value) >= 24 else {"name": value}
    if kind == "number":
        try:
            return float(value)
        except ValueError:
            return value  # Jira says what is wrong with it, in its own words
    return value
