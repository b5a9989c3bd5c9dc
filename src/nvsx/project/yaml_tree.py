"""YAML 1.2 with the line and column of every key and value.

The loaders of runbooks and settings use it. libyaml splits the text into events; what a
plain word means is decided here, by the core schema of YAML 1.2 (so `yes` and `12:30` are
text). It refuses what makes a file mean something else than it seems to (duplicate keys,
several documents, merge keys, custom tags), and what can exhaust the reader (huge files,
aliases that multiply, endless nesting).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from yaml import events
from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from nvsx.core.errors import InvalidRunbook, Problem
from nvsx.core.runbook.catalog import Positions, SourceMark, YamlPath

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 40

_TAG = "tag:yaml.org,2002:"
_PLAIN = {  # https://yaml.org/spec/1.2.2/#103-core-schema
    "null": re.compile(r"|~|null|Null|NULL"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}
_MAYBE_MORE = frozenset("~nNtTfF+-.0123456789")
"""How plain words begin that are something else than text; the empty one is null."""
_TOP = SourceMark(1, 1)


@dataclass(frozen=True, slots=True)
class Tree:
    """Plain Python data, and where each part of it stands in the file."""

    data: Any
    positions: Positions


def load(raw: bytes, file: str, *, allow_empty: bool = False) -> Tree:
    """The one document in `raw`; an empty mapping for an empty file where that is allowed.

    Raises InvalidRunbook with every problem found.
    """
    if len(raw) > MAX_BYTES:
        size = f"{len(raw) // 1024} KB"
        raise _refuse_file(file, f"the file has {size}; the limit is {MAX_BYTES // 1024} KB")
    text = _decode_text(raw, file)
    node = _compose_node(text, file)
    if node is None:
        if allow_empty:
            return Tree({}, Positions())
        raise _refuse_file(file, "the file is empty")
    reader = _Reader(file)
    data = reader.read(node, ())
    if reader.problems:
        raise InvalidRunbook(file, reader.problems)
    return Tree(data, Positions(reader.keys, reader.values))


def _refuse_file(
    file: str, message: str, mark: SourceMark = _TOP, hint: str = ""
) -> InvalidRunbook:
    return InvalidRunbook(file, [Problem(message, file, mark.line, mark.column, hint)])


def _decode_text(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = raw[: exc.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        raise _refuse_file(
            file,
            f"byte 0x{raw[exc.start]:02x} is not UTF-8",
            SourceMark(line, column),
            "save as UTF-8",
        ) from None


def _compose_node(text: str, file: str) -> Node | None:
    try:
        return _Composer(_make_parser(text), file).document()
    except MarkedYAMLError as exc:
        raise _explain_syntax(exc, text, file) from None
    except ReaderError as exc:
        before = text.encode()[: exc.position].decode(errors="ignore")
        mark = SourceMark(before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
        code = exc.character if isinstance(exc.character, int) else ord(exc.character[0])
        raise _refuse_file(file, f"character U+{code:04X} is not allowed in YAML", mark) from None
    except YAMLError as exc:
        raise _refuse_file(file, f"not valid YAML: {exc}") from None


def _make_parser(text: str) -> Any:
    """libyaml's parser; PyYAML's own where it was built without (70 times slower)."""
    try:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]
    except ImportError:
        from yaml import SafeLoader

        return SafeLoader(text)
    return CParser(text)


def _explain_syntax(exc: MarkedYAMLError, text: str, file: str) -> InvalidRunbook:
    where = exc.problem_mark or exc.context_mark
    mark = SourceMark(where.line + 1, where.column + 1) if where else _TOP
    problem = str(exc.problem or exc.context or "not valid YAML")
    line = [*text.splitlines(), *[""] * mark.line][mark.line - 1]
    hint = ""
    if line[mark.column - 1 : mark.column] == "\t":
        hint = "indent with spaces, not tabs"
    elif "mapping values are not allowed" in problem:
        hint = "put text with a colon in quotes, or check the indentation"
    elif "could not find expected ':'" in problem:
        hint = "a key needs a colon and a space after it"
    return _refuse_file(file, f"not valid YAML: {problem}", mark, hint)


@dataclass(slots=True)
class _Composer:
    """Builds nodes from events. PyYAML's own composer recurses without limit in C: a file of
    brackets would end the process, not the reading."""

    parser: Any
    file: str
    anchors: dict[str, Node] = field(default_factory=dict)

    def document(self) -> Node | None:
        self.parser.get_event()  # the stream's start
        if self.parser.check_event(events.StreamEndEvent):
            return None
        self.parser.get_event()  # the document's start
        node = self._read_node(0)
        self.parser.get_event()  # the document's end
        if not self.parser.check_event(events.StreamEndEvent):
            mark = _mark_of(self.parser.peek_event())
            hint = "one document in one file"
            raise _refuse_file(self.file, "a second YAML document begins", mark, hint)
        return node

    def _read_node(self, depth: int) -> Node:
        event = self.parser.get_event()
        if depth > MAX_DEPTH:
            raise _refuse_file(self.file, f"nested deeper than {MAX_DEPTH} levels", _mark_of(event))
        if isinstance(event, events.AliasEvent):
            if event.anchor not in self.anchors:
                hint = "put text that begins with * in quotes"
                raise _refuse_file(
                    self.file, f"nothing is called &{event.anchor}", _mark_of(event), hint
                )
            return self.anchors[event.anchor]
        node = self._begin_node(event)
        if event.anchor:
            self.anchors[event.anchor] = node
        if isinstance(node, SequenceNode):
            while not self.parser.check_event(events.SequenceEndEvent):
                node.value.append(self._read_node(depth + 1))
            self.parser.get_event()
        elif isinstance(node, MappingNode):
            while not self.parser.check_event(events.MappingEndEvent):
                node.value.append((self._read_node(depth + 1), self._read_node(depth + 1)))
            self.parser.get_event()
        return node

    def _begin_node(self, event: Any) -> Node:
        tag = event.tag if event.tag not in (None, "!") else ""
        marks = (event.start_mark, event.end_mark)
        if isinstance(event, events.ScalarEvent):
            plain = not event.style and not tag and event.tag is None
            tag = tag or _TAG + (_tag_of_plain(event.value) if plain else "str")
            return ScalarNode(tag, event.value, *marks, event.style)
        if isinstance(event, events.SequenceStartEvent):
            return SequenceNode(tag or f"{_TAG}seq", [], *marks)
        return MappingNode(tag or f"{_TAG}map", [], *marks)


def _tag_of_plain(text: str) -> str:
    """What a plain word is in YAML 1.2."""
    if text and text[0] not in _MAYBE_MORE:
        return "str"
    return next((kind for kind, form in _PLAIN.items() if form.fullmatch(text)), "str")


@dataclass(slots=True)
class _Reader:
    """Turns composed nodes into data. Aliases share nodes, so every visit is counted: a
    small file of aliases to aliases would otherwise become gigabytes."""

    file: str
    keys: dict[YamlPath, SourceMark] = field(default_factory=dict)
    values: dict[YamlPath, SourceMark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    visits: int = 0

    def read(self, node: Node, path: YamlPath) -> Any:
        self.visits += 1
        mark = _mark_of(node)
        if self.visits > MAX_NODES:
            raise _refuse_file(
                self.file, f"aliases expand to more than {MAX_NODES} values", mark, "write it out"
            )
        if len(path) > MAX_DEPTH:
            raise _refuse_file(self.file, f"nested deeper than {MAX_DEPTH} levels", mark)
        self.values[path] = mark
        if isinstance(node, MappingNode):
            self._no_custom_tag(node, "map")
            return self._read_mapping(node, path)
        if isinstance(node, SequenceNode):
            self._no_custom_tag(node, "seq")
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._read_scalar(node)

    def _read_mapping(self, node: MappingNode, path: YamlPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = _mark_of(key_node)
            if not isinstance(key_node, ScalarNode):
                self._add_problem("a key is not plain text", mark)
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key == "<<" and not key_node.style:
                self._add_problem("merge keys (<<) are not part of YAML 1.2", mark, "write it out")
            elif key in data:
                first = self.keys[here].line
                self._add_problem(f"key '{key}' is there twice", mark, f"first on line {first}")
            else:
                self.keys[here] = mark
                data[key] = self.read(value_node, here)
                if data[key] is None:  # an empty value has no place of its own
                    self.values[here] = mark
        return data

    def _read_scalar(self, node: Node) -> object:
        text = str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        form = _PLAIN.get(kind)
        if kind == "str":
            return text
        if form is None:
            self._add_problem(
                f"tag {node.tag} is not supported", _mark_of(node), "write plain text"
            )
            return text
        if form.fullmatch(text) is None:
            self._add_problem(f"'{text[:40]}' is not a {kind}", _mark_of(node))
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        return self._read_number(node, text.lower(), kind)

    def _read_number(self, node: Node, text: str, kind: str) -> object:
        if kind == "float":
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        try:
            return int(text, 0 if text.startswith(("0o", "0x")) else 10)
        except ValueError:  # Python refuses to read thousands of digits
            self._add_problem(f"'{text[:40]}…' is too long a number", _mark_of(node))
            return text

    def _no_custom_tag(self, node: Node, kind: str) -> None:
        if str(node.tag) != _TAG + kind:
            self._add_problem(f"tag {node.tag} is not supported", _mark_of(node), "leave it out")

    def _add_problem(self, message: str, mark: SourceMark, hint: str = "") -> None:
        self.problems.append(Problem(message, self.file, mark.line, mark.column, hint))


def _mark_of(node: Any) -> SourceMark:
    """Where a node or an event begins."""
    return SourceMark(node.start_mark.line + 1, node.start_mark.column + 1)
