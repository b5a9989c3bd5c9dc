"""The words of a bash script, from tree-sitter's nodes: quotes taken off, expansions kept apart.

What the grammar may have read otherwise than bash does is listed as unread (see `bash_tree`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from nvsx.lint.shell_script import BashScript, Reach, ShellWord, WordPart

if TYPE_CHECKING:
    from tree_sitter import Node

SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution"})
_EXPANSIONS = SUBSTITUTIONS | {"simple_expansion", "expansion", "arithmetic_expansion"}
_QUOTED = frozenset({"string", "raw_string", "ansi_c_string"})
WORDS = _EXPANSIONS | _QUOTED | frozenset(
    "word concatenation number array extglob_pattern brace_expression regex".split()
)  # fmt: skip
_EXPANDED = re.compile(r"\$\{(#?)(!?)(\w+|[@*#?$!-])(.*)\}", re.DOTALL)
_HARMLESS_QUOTES = re.compile(
    r"""\$?'(?:[^'"`{}$\\]|\\[nrtf])*'|"[^'"`{}$\\]*"|"\$\w+\"""", re.ASCII
)
_HIDDEN = re.compile(r"`|\$[({]")
_ANSI = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "\\": "\\", "'": "'"}
_ONE_LINE = frozenset(
    "command declaration_command unset_command variable_assignments file_redirect".split()
)


class WordReader:
    """Makes words of nodes. `reach` and `function` say where it is, for the commands that
    whoever derives from it finds in them."""

    def __init__(self, source: bytes, first_line: int) -> None:
        self.source, self.first_line = source, first_line
        self.script = BashScript()
        self.items: tuple[ShellWord, ...] = ()  # of the array that was read last
        self.depth = 0
        self.reach: Reach = "always"
        self.function = ""

    def visit(self, node: Node, reach: Reach | None = None) -> None:
        """Take in a statement."""
        raise NotImplementedError

    def take_redirects(self, node: Node) -> None:
        """Take in the redirections of a block."""
        raise NotImplementedError

    def leave_unread(self, node: Node, what: str) -> None:
        self.script.unread.append((self.line_of(node), what))

    def line_of(self, node: Node) -> int:
        return self.first_line + node.start_point[0]

    def text_of(self, node: Node) -> str:
        return self.text_between(node.start_byte, node.end_byte)

    def text_between(self, begin: int, end: int) -> str:
        return self.source[begin:end].decode("utf-8", "replace")

    def make_word(self, node: Node) -> ShellWord:
        return self.add_word(node, self._read_parts(node))

    def add_word(self, node: Node, parts: Iterable[WordPart]) -> ShellWord:
        word = ShellWord(tuple(_join_text(parts)), self.text_of(node), self.line_of(node))
        self.script.words.append(word)
        return word

    def _read_parts(self, node: Node) -> list[WordPart]:
        kind, text = node.type, self.text_of(node)
        if kind in _EXPANSIONS:
            return [self.make_part(node, bare=True)]
        if kind == "raw_string":
            return [WordPart("text", text[1:-1])]
        if kind == "string":
            if self.text_between(node.start_byte - 1, node.start_byte) == "$":
                self.leave_unread(node, 'has a $"…"')
            return self.fill_quoted(node, 1)
        if kind == "ansi_c_string":
            if re.search(r"\\(?![ntrf\\'])", text.replace(r"\\", "")):
                self.leave_unread(node, "has a $'…' with unusual escapes")
            return [WordPart("text", re.sub(r"\\(.)", lambda m: _ANSI.get(m[1], ""), text[2:-1]))]
        if kind == "array":
            self.check_gaps(node)
            items = [self.make_word(child) for child in node.children if child.type in WORDS]
            self.items = tuple(items)
            blank = WordPart("text", " ")
            return [part for item in items for part in (*item.parts, blank)][:-1]
        if node.children and kind not in ("number", "extglob_pattern", "regex", "word"):
            if any(a.end_byte != b.start_byte for a, b in pairwise(node.children)):
                self.leave_unread(node, "cannot be read here")
            return [part for child in node.children for part in self._read_parts(child)]
        for child in node.children:
            self.visit(child)
        return list(self._split_bare(node, text))

    def _split_bare(self, node: Node, text: str) -> Iterator[WordPart]:
        """Unquoted text, escaped characters as parts of their own: those match nothing."""
        loose = re.sub(r"\\(?:.|\n)", "", text)
        hidden = node.type == "word" and (_HIDDEN.search(loose) or set("'\"") & set(loose))
        odd = node.type not in ("regex", "extglob_pattern") and re.search(r"\s|[\0-\x1f]", loose)
        if text.startswith("#") or hidden or odd:
            self.leave_unread(node, f"has {text[:20]!r} outside of quotes")
        for plain, escaped in re.findall(r"([^\\]+)|\\(.|\n|$)", text):
            yield WordPart("text", plain or escaped.replace("\n", ""), bare=bool(plain))

    def fill_quoted(self, node: Node, quote: int) -> list[WordPart]:
        """The inside of double quotes (`quote` is their width) or of a here-document. The grammar
        leaves blanks between expansions out, so all text is taken from the source."""
        at, parts = node.start_byte + quote, list[WordPart]()
        for child in (c for c in node.children if c.type in _EXPANSIONS):
            text = self.text_of(child)  # some begin with the blank before them
            begin = child.start_byte + len(text) - len(text.lstrip())
            parts += [self._unescape_text(node, at, begin, quote), self.make_part(child)]
            at = child.end_byte
        return [*parts, self._unescape_text(node, at, node.end_byte - quote, quote)]

    def _unescape_text(self, node: Node, begin: int, end: int, quote: int) -> WordPart:
        text = self.text_between(begin, end)
        escaped = r"\\([\"\\$`\n])" if quote else r"\\([\\$`\n])"
        left = re.sub(escaped, "", text)
        if _HIDDEN.search(left) or re.search(r"\$\w", left) or (quote and '"' in left):
            self.leave_unread(node, "has an expansion that cannot be read off the script")
        return WordPart("text", re.sub(escaped, lambda m: m[1].replace("\n", ""), text))

    def make_part(self, node: Node, *, bare: bool = False) -> WordPart:
        """An expansion. The commands in it are found, too."""
        kind, text = node.type, self.text_of(node).lstrip()
        if kind in SUBSTITUTIONS:
            self.check_gaps(node)
            if text.startswith("`") and "\\" in text:
                self.leave_unread(node, "has a \\ between backticks")
            self.take_redirects(node)
            for child in node.children:
                if child.type == "comment":
                    self.leave_unread(child, "has a comment inside $(…)")
                elif not child.type.endswith("_redirect"):
                    self.visit(child)
            return WordPart("output", text, bare and kind != "process_substitution")
        if kind == "arithmetic_expansion":
            self.take_arithmetic(node, node.children)
            return WordPart("number", text, bare)
        if kind == "simple_expansion":
            return WordPart("variable", text[1:], bare)
        match = _EXPANDED.fullmatch(text)
        if match is None:
            self.leave_unread(node, "has an expansion that cannot be read off the script")
            return WordPart("output", text, bare)
        self._walk_operand(node)
        if re.match(r":[^-=+?]", match[4]):
            self.take_arithmetic(node, node.children[2:])  # an offset is computed
        if match[1] and not match[4]:
            return WordPart("number", text, bare)
        return WordPart("variable", match[3], bare, match[2] + match[4])

    def _walk_operand(self, node: Node) -> None:
        """What stands in `${…}` behind the name: the expansions in it run, too. Quotes are good
        in there as long as nothing in them could end the expansion."""
        text, at = "", node.start_byte + 2
        quoted = node.parent is not None and node.parent.type in ("string", "heredoc_body")
        stack = list(reversed(node.children))
        while stack:
            child = stack.pop()
            if child.type == "subscript":
                self.take_subscript(child)
            elif child.type in (_EXPANSIONS if quoted else _EXPANSIONS | _QUOTED):
                text += self.text_between(at, child.start_byte)
                self._read_parts(child)
                at = child.end_byte
            else:
                stack += reversed(child.children)
        text = _HARMLESS_QUOTES.sub("", text + self.text_between(at, node.end_byte))
        if _HIDDEN.search(text) or re.search(r"['\"\\]", text):
            self.leave_unread(node, "has quotes or a hidden command inside ${…}")

    # --- does the tree fit the text? --------------------------------------------------

    def check_gaps(self, node: Node) -> None:
        """Between the parts of a node stands nothing but white space."""
        blank = r"(?:[ \t]|\\\n)*" if node.type in _ONE_LINE else r"(?:[ \t\n]|\\\n)*"
        for left, right in pairwise(node.children):
            if not re.fullmatch(blank, self.text_between(left.end_byte, right.start_byte)):
                self.leave_unread(right, "cannot be read here")

    def check_comment(self, node: Node) -> None:
        before = self.text_between(max(node.start_byte - 1, 0), node.start_byte)
        if before.strip(" \t\n;&|()"):
            self.leave_unread(node, "has a # that begins no comment")

    def take_arithmetic(self, node: Node, operands: Iterable[Node]) -> None:
        """All operands, as one word: bash evaluates what each of them holds."""
        parts: list[WordPart] = []
        stack = [c for c in operands if c.type != "do_group"]
        while stack:
            inner = stack.pop()
            if inner.type in SUBSTITUTIONS:
                parts.append(self.make_part(inner))
                continue
            if inner.type in ("variable_name", "word", "special_variable_name"):
                parts.append(WordPart("variable", self.text_of(inner)))
            elif inner.type in ("raw_string", "ansi_c_string", "string_content"):
                parts.append(WordPart("output", self.text_of(inner)))
            stack += inner.children
        self.script.computed.append(ShellWord(tuple(parts), self.text_of(node), self.line_of(node)))

    def take_subscript(self, node: Node) -> None:
        index = node.child_by_field_name("index")
        if index and not re.fullmatch(r"\d+|[@*]", self.text_of(index)):
            self.take_arithmetic(node, [index])


def _join_text(parts: Iterable[WordPart]) -> Iterator[WordPart]:
    """Neighbouring text as one part where it is of one kind."""
    held = WordPart("text", "")
    for part in parts:
        if held.kind == part.kind == "text" and held.bare == part.bare:
            held = replace(held, text=held.text + part.text)
        else:
            yield from [held] if held != WordPart("text", "", held.bare) else []
            held = part
    yield from [held] if held != WordPart("text", "", held.bare) else []
