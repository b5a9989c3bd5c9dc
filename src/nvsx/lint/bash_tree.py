"""What a bash script does, as far as reading it can tell: its commands, word for word.

The tree is tree-sitter-bash's. That grammar forgives what bash refuses and now and then reads
what bash reads otherwise, so everything it leaves open is compared with the text again, and what
does not fit is listed as unread: whoever judges the script then knows that it was not all seen.
Nothing here runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Reach = Literal["always", "maybe", "never"]

#: Deeper brackets than this are no script that a person wrote, and would exhaust the stack.
_MOST_DEPTH = 80
#: Each costs another parse; a script with more of them stays unread in places, and says so.
_MOST_MENDS = 50
_RESERVED = frozenset(
    "if then elif else fi do done while until for in case esac { } ! ;; (".split()
)
_EXPANSIONS = frozenset(
    "simple_expansion expansion command_substitution process_substitution arithmetic_expansion".split()
)
_QUOTED = frozenset({"string", "raw_string", "ansi_c_string"})
_ASSIGNING = frozenset({"variable_assignment", "variable_assignments"})
_REDIRECTS = frozenset({"file_redirect", "herestring_redirect", "heredoc_redirect"})
_DECLARING = frozenset({"declaration_command", "unset_command"})
_ENDS = frozenset({"exit", "return", "exec"})
_TEST_TOKENS = frozenset("[ ] [[ ]] ! = == != =~ < > && || ( )".split())
_EXPANDED = re.compile(r"\$\{(#?)(!?)(\w+|[@*#?$!-])(.*)\}", re.DOTALL)
_NAME = re.compile(r"\$\{?([A-Za-z_]\w*|[0-9?#@*])", re.ASCII)
#: `3<>file`, `$((10#$x))` and `{ …; } <<<text`: what of them ends up as an error, by its place.
_UNKNOWN_TO_GRAMMAR = {
    "file_redirect": r">",
    "arithmetic_expansion": r"\d+#",
    "redirected_statement": r"<<",
}
_PLAIN_OPERAND = re.compile(r"\$\{\w+:?[-+](?:[^{}'\"`\\$]|\$\w)*\}", re.ASCII)
_HARMLESS_QUOTES = re.compile(
    r"""\$?'(?:[^'"`{}$\\]|\\[nrtf])*'|"[^'"`{}$\\]*"|"\$\w+\"""", re.ASCII
)
_HIDDEN = re.compile(r"`|\$[({]")
_GAP = re.compile(rb"(?:[ \t]|\\\n)*")
_GAP_OF_BLOCK = re.compile(rb"(?:[ \t\n]|\\\n)*")
_LINES = frozenset(
    "command declaration_command unset_command variable_assignments file_redirect".split()
)


@dataclass(frozen=True, slots=True)
class WordPart:
    """A piece of a word: literal text, a variable, or what a command prints.

    Of a variable, `text` is the name and `operand` what follows it in `${…}`, with the
    operator; of all others but text, `text` is how it is written. `bare` says that the shell
    would still split it or take it for a pattern.
    """

    kind: Literal["text", "variable", "output", "number"]
    text: str
    bare: bool = False
    operand: str = ""


@dataclass(frozen=True, slots=True)
class ShellWord:
    """One word as the shell would see it. `raw` is how it is written."""

    parts: tuple[WordPart, ...]
    raw: str
    line: int

    @property
    def literal(self) -> str | None:
        """Its text, None when something is expanded in it."""
        if all(part.kind == "text" for part in self.parts):
            return "".join(part.text for part in self.parts)
        return None

    @property
    def lead(self) -> str:
        """The text before the first expansion."""
        out = ""
        for part in self.parts:
            if part.kind != "text":
                break
            out += part.text
        return out

    @property
    def shown(self) -> str:
        """Its text without quotes; variables as written, `$()` for what a command prints."""
        out = ""
        for part in self.parts:
            variable = f"${{{part.text}{part.operand}}}" if part.operand else f"${part.text}"
            out += {"text": part.text, "variable": variable}.get(part.kind, "$()")
        return out

    @property
    def is_exact(self) -> bool:
        """Whether it stays one word with this text: nothing splits, matches or expands it."""
        return not any(
            part.bare and (part.kind not in ("text", "number") or set(part.text) & set("*?[]{}~"))
            for part in self.parts
        )

    @property
    def names(self) -> list[str]:
        """The variables in it, those in operands too."""
        found: list[str] = []
        for part in self.parts:
            if part.kind == "variable":
                found += [part.text, *_NAME.findall(part.operand)]
        return found


@dataclass(slots=True)
class ShellCommand:
    """A simple command, or what redirects a whole block (without words then).

    `said` are its here-documents and here-strings, `function` the one whose body it is in, and
    `reach` says on which paths it runs: under `if false`, behind `exit` or in a function that
    nobody names it never does.
    """

    line: int
    reach: Reach = "always"
    function: str = ""
    words: list[ShellWord] = field(default_factory=list)
    assigned: list[tuple[str, ShellWord]] = field(default_factory=list)
    redirects: list[tuple[str, ShellWord]] = field(default_factory=list)
    said: list[ShellWord] = field(default_factory=list)

    @property
    def program(self) -> str:
        return self.words[0].raw if self.words else ""


@dataclass(slots=True)
class BashScript:
    """All commands of a script, those inside `$(…)` before the one that uses them.

    `computed` are the operands of arithmetic, `functions` the names of functions with the line
    and whether they are surely defined, `loops` the variables of `for` with what they run
    through, `arrays` each array as it is assigned, `words` every word, and `unread` what was not
    understood.
    """

    commands: list[ShellCommand] = field(default_factory=list)
    computed: list[ShellWord] = field(default_factory=list)
    functions: dict[str, tuple[int, Reach]] = field(default_factory=dict)
    loops: list[tuple[str, tuple[ShellWord, ...]]] = field(default_factory=list)
    arrays: list[tuple[str, tuple[ShellWord, ...]]] = field(default_factory=list)
    words: list[ShellWord] = field(default_factory=list)
    unread: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: BashScript) -> None:
        """Take in a script that this one runs, such as a trap's."""
        self.commands += other.commands
        self.computed += other.computed
        self.functions |= other.functions
        self.loops += other.loops
        self.arrays += other.arrays
        self.words += other.words
        self.unread += other.unread


def read_script(text: str, first_line: int = 1) -> BashScript:
    """A script as its commands. What cannot be read is left out and listed.

    `if x; then a; fi; exit; b` → x always, a maybe, exit always, b never.
    """
    source, root = _parse_mended(text.encode("utf-8", "replace"))
    reader = _TreeReader(source, first_line)
    if root.has_error:
        reader.list_errors(root)
    reader.visit(root, "always", "")
    script = reader.script
    named = {word.literal for c in script.commands for word in c.words}
    named |= {part for c in script.commands for w in c.words[1:] for part in w.shown.split()}
    for command in script.commands:
        if command.function and command.function not in named:
            command.reach = "never"
    return script


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def _parse_mended(source: bytes) -> tuple[bytes, Node]:
    """The tree, and the text it is of. Now and then the grammar takes `a= b=` and the line
    below for one command; a semicolon says what the line's end says to bash."""
    for _ in range(_MOST_MENDS):
        root = _parser().parse(source).root_node
        cut = next(_find_lost_ends(root, source), None)
        if cut is None:
            break
        source = source[:cut] + b";" + source[cut:]
    return source, root


def _find_lost_ends(root: Node, source: bytes) -> Iterator[int]:
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type == "command":
            for left, right in pairwise(node.children):
                gap = source[left.end_byte : right.start_byte].replace(b"\\\n", b"")
                if left.type == "variable_assignment" and b"\n" in gap:
                    yield left.end_byte
        stack += node.children


class _TreeReader:
    def __init__(self, source: bytes, first_line: int) -> None:
        self.source, self.first_line = source, first_line
        self.script = BashScript()
        self.depth = 0

    def list_errors(self, root: Node) -> None:
        """Where the grammar gave up, or put in what is not there; a few things it does not
        know are read here nevertheless."""
        stack = [root]
        while stack:
            node = stack.pop()
            place = node.parent.type if node.parent else ""
            known = re.fullmatch(_UNKNOWN_TO_GRAMMAR.get(place, r"(?!)"), self._text(node))
            if node.parent is not None and place == "expansion":
                known = _PLAIN_OPERAND.fullmatch(self._text(node.parent).lstrip())
            if node.is_missing or (node.is_error and not known):
                self._leave_unread(node, "cannot be read here")
            stack += reversed(node.children)

    def visit(self, node: Node, reach: Reach, function: str) -> None:
        """One statement, or a row of them."""
        if self.depth > _MOST_DEPTH:
            self._leave_unread(node, "nests too deep")
            return
        self.depth += 1
        kind = node.type
        if kind == "comment":
            self._check_comment(node)
        elif kind in ("command", "test_command") or kind in _DECLARING | _ASSIGNING:
            self._take_command(node, [], reach, function)
        elif kind == "redirected_statement":
            self._take_redirected(node, reach, function)
        elif kind == "function_definition":
            self._take_function(node, reach)
        elif kind in _EXPANSIONS:
            self._make_part(node, reach, function, bare=False)
        elif node.is_named:
            self._visit_block(node, reach, function)
        self.depth -= 1

    def _leave_unread(self, node: Node, what: str) -> None:
        self.script.unread.append((self._line(node), what))

    def _line(self, node: Node) -> int:
        return self.first_line + node.start_point[0]

    def _text(self, node: Node) -> str:
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    # --- statements -------------------------------------------------------------------

    def _visit_block(self, node: Node, reach: Reach, function: str) -> None:
        """The statements of a block, each on the paths that lead to it."""
        kind, here = node.type, reach
        truth: bool | None = None
        self._check_gaps(node)
        if kind == "for_statement":
            self._take_loop(node, reach, function)
        if kind == "c_style_for_statement" or _begins_with(node, "(("):
            self._take_arithmetic(node, reach, function)
        if kind == "elif_clause":
            here = _weaken(reach)
        for child in node.children:
            token = child.type
            if token in ("then", "do_group", "&&", "||", "else_clause", "elif_clause"):
                wanted = not (
                    token in ("||", "else_clause", "elif_clause") or _begins_with(node, "until")
                )
                here = _reach_after(reach if kind != "elif_clause" else here, truth, wanted=wanted)
            if token == "case_item" or kind == "for_statement":
                here = _weaken(reach)
            if child.is_named and node.field_name_for_child(node.children.index(child)) != "name":
                self._visit_part(child, node, here, function)
                if token != "comment":
                    truth = _constant_truth(child)
                if self._ends_script(child):
                    here = "never"

    def _visit_part(self, child: Node, node: Node, reach: Reach, function: str) -> None:
        """A part of a block: a statement, or a word such as a loop's or a case's."""
        inside_numbers = node.type in ("c_style_for_statement", "binary_expression")
        if node.type in ("case_statement", "case_item") and _is_word(child):
            self._make_word(child, reach, function)
        elif not (_is_word(child) or child.type == "variable_name") and not inside_numbers:
            self.visit(child, reach, function)
        elif inside_numbers and child.type == "do_group":
            self.visit(child, _weaken(reach), function)

    def _ends_script(self, node: Node) -> bool:
        name = node.child_by_field_name("name")
        return node.type == "command" and name is not None and self._text(name) in _ENDS

    def _take_function(self, node: Node, reach: Reach) -> None:
        name = node.child_by_field_name("name")
        body = node.child_by_field_name("body")
        if name is None or body is None:
            self._leave_unread(node, "has a function without a name")
            return
        self.script.functions[self._text(name)] = (self._line(node), reach)
        for child in node.children:
            if child.type in _REDIRECTS:
                self._take_redirected(node, "maybe", self._text(name), only=child)
        self.visit(body, "maybe", self._text(name))

    def _take_loop(self, node: Node, reach: Reach, function: str) -> None:
        variable = node.child_by_field_name("variable")
        values = [self._make_word(n, reach, function) for n in node.children_by_field_name("value")]
        if variable is not None:
            self.script.loops.append((self._text(variable), tuple(values)))

    def _take_arithmetic(self, node: Node, reach: Reach, function: str) -> None:
        """All operands, as one word: bash evaluates what each of them holds."""
        parts: list[WordPart] = []
        named = node.type in ("expansion", "subscript")
        skipped = 1 + _begins_with(node, "${") if named else 0
        stack = [c for c in node.children[skipped:] if c.type != "do_group"]
        while stack:
            inner = stack.pop()
            if inner.type in ("command_substitution", "process_substitution"):
                parts.append(self._make_part(inner, reach, function, bare=False))
            elif inner.type in ("variable_name", "word", "special_variable_name"):
                parts.append(WordPart("variable", self._text(inner)))
            elif inner.type in ("raw_string", "ansi_c_string", "string_content"):
                parts.append(WordPart("output", self._text(inner)))
            stack += inner.children if inner.type != "command_substitution" else []
        self.script.computed.append(ShellWord(tuple(parts), self._text(node), self._line(node)))

    def _take_redirected(
        self, node: Node, reach: Reach, function: str, only: Node | None = None
    ) -> None:
        body = None if only else node.child_by_field_name("body")
        redirects = [only] if only else [c for c in node.children if c.type in _REDIRECTS]
        if body is not None and (
            body.type in ("command", "test_command") or body.type in _DECLARING
        ):
            self._take_command(body, redirects, reach, function)
            return
        command = ShellCommand(self._line(node), reach, function)
        for redirect in redirects:
            self._take_redirect(redirect, command)
        self.script.commands.append(command)
        if body is not None:
            self.visit(body, reach, function)

    def _take_command(
        self, node: Node, redirects: Sequence[Node], reach: Reach, function: str
    ) -> None:
        command = ShellCommand(self._line(node), reach, function)
        if node.type in _ASSIGNING:
            self._take_assignments([node], command)
        elif node.type == "test_command":
            command.words = list(self._read_test(node, command))
        else:
            self._check_gaps(node)
            for child in node.children:
                if child.type in _REDIRECTS:
                    self._take_redirect(child, command)
                elif child.type == "variable_assignment":
                    self._take_assignments([child], command)
                    if node.type in _DECLARING:
                        raw = self._text(child)
                        parts = (WordPart("text", raw.split("=")[0].split("[")[0] + "="),)
                        parts += command.assigned[-1][1].parts
                        command.words.append(ShellWord(parts, raw, self._line(child)))
                elif child.type == "ERROR":
                    self.visit(child, reach, function)
                elif child.type not in (";", "&"):
                    word = child.children[0] if child.type == "command_name" else child
                    command.words.append(self._make_word(word, reach, function))
        for redirect in redirects:
            self._take_redirect(redirect, command)
        if command.words and command.words[0].literal in _RESERVED:
            self._leave_unread(node, f"has a {command.words[0].raw} where no command can begin")
        self.script.commands.append(command)

    def _read_test(self, node: Node, command: ShellCommand) -> Iterator[ShellWord]:
        """The words of `[ … ]` or `[[ … ]]`, in order. In `[`, brackets and the like would end
        the command for bash, whatever the grammar says."""
        self._check_gaps(node)
        for child in node.children:
            text = self._text(child)
            if child.type in ("test_operator", *_TEST_TOKENS) and not child.children:
                shell_token = text in ("&&", "||", "<", ">", "(", ")")
                if node.type == "test_command" and shell_token and self._in_single(node):
                    self._leave_unread(child, f"has {text} inside [ ]")
                part = WordPart("text", text)
                yield ShellWord((part,), text, self._line(child))
            elif _is_word(child) or child.type in ("regex", "extglob_pattern", "variable_name"):
                yield self._make_word(child, command.reach, command.function)
            elif child.is_named and child.type != "ERROR" and child.type != "comment":
                yield from self._read_test(child, command)
            else:
                self._leave_unread(child, f"has {text} inside a test")

    def _in_single(self, node: Node) -> bool:
        return not self._text(node).startswith("[[")

    def _take_assignments(self, nodes: Iterable[Node], command: ShellCommand) -> None:
        for node in nodes:
            self._check_gaps(node)
            if node.type == "variable_assignments":
                self._take_assignments(node.children, command)
                continue
            name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
            if name is None:
                self._leave_unread(node, "cannot be read here")
                continue
            if name.type == "subscript":
                self._take_subscript(name, command.reach, command.function)
                name = name.child_by_field_name("name") or name
            word = ShellWord((), "", self._line(node))
            if value is not None:
                word = self._make_word(value, command.reach, command.function)
            if value is not None and value.type == "array":
                seen = len(self.script.commands)
                items = [
                    self._make_word(c, command.reach, command.function)
                    for c in value.children
                    if _is_word(c)
                ]
                del self.script.commands[seen:]  # the commands in them were taken above
                self.script.arrays.append((self._text(name), tuple(items)))
            command.assigned.append((self._text(name), word))

    def _take_subscript(self, node: Node, reach: Reach, function: str) -> None:
        index = node.child_by_field_name("index")
        if index is not None and not re.fullmatch(r"\d+|[@*]", self._text(index)):
            self._take_arithmetic(node, reach, function)

    # --- redirections -----------------------------------------------------------------

    def _take_redirect(self, node: Node, command: ShellCommand) -> None:
        if node.type == "heredoc_redirect":
            self._take_heredoc(node, command)
            return
        self._check_gaps(node)
        before = node.prev_sibling
        after_error = before is not None and before.is_error
        operator = next((self._text(c) for c in node.children if not c.is_named), "")
        if any(c.type == "ERROR" for c in node.children):
            operator = "<>"  # which the grammar does not know
        for child in node.children:
            if child.is_named and child.type not in ("file_descriptor", "ERROR"):
                word = self._make_word(child, command.reach, command.function)
                if node.type == "herestring_redirect" or after_error:
                    command.said.append(word)
                else:
                    command.redirects.append((operator, word))

    def _take_heredoc(self, node: Node, command: ShellCommand) -> None:
        """A here-document; the grammar hangs what follows on its line below it."""
        start = next((c for c in node.children if c.type == "heredoc_start"), None)
        end = next((c for c in node.children if c.type == "heredoc_end"), None)
        body = next((c for c in node.children if c.type == "heredoc_body"), None)
        for index, child in enumerate(node.children):
            named = node.field_name_for_child(index)
            if named == "argument":
                command.words.append(self._make_word(child, command.reach, command.function))
            elif child.type in _REDIRECTS:
                self._take_redirect(child, command)
            elif child.is_named and not child.type.startswith(("heredoc", "file_desc")):
                self.visit(child, _weaken(command.reach), command.function)
        if start is None or end is None:
            self._leave_unread(node, "has a here-document that nothing ends")
            return
        delimiter = self._text(start)
        plain = re.sub(r"['\"\\]", "", delimiter)
        if not re.fullmatch(r"(['\"]?)\w+\1", delimiter, re.ASCII):
            self._leave_unread(node, "has a here-document that is not written <<WORD or <<'WORD'")
        first = body.start_point[0] if body is not None else end.start_point[0]
        lines = self.source.decode("utf-8", "replace").split("\n")[first : end.start_point[0] + 1]
        if any(child.type == "<<-" for child in node.children):
            lines = [line.lstrip("\t") for line in lines]
        if plain not in lines or lines.index(plain) != len(lines) - 1:
            self._leave_unread(node, f"has a here-document that ends elsewhere than {plain}")
        if body is None:
            return
        if body.start_point[1] and not (body.children and body.start_point[1]):
            self._leave_unread(node, "has a here-document that begins within a line")
        if plain == delimiter:
            parts = self._fill_quoted(body, "heredoc", command.reach, command.function)
            if re.search(r"\\\n", self._text(body)):
                self._leave_unread(node, "has a \\ at the end of a here-document's line")
        else:
            parts = [WordPart("text", self._text(body))]
        word = ShellWord(tuple(_join_text(parts)), self._text(body), self._line(body))
        self.script.words.append(word)
        command.said.append(word)

    # --- words ------------------------------------------------------------------------

    def _make_word(self, node: Node, reach: Reach, function: str) -> ShellWord:
        parts = tuple(_join_text(self._read_parts(node, reach, function)))
        word = ShellWord(parts, self._text(node), self._line(node))
        self.script.words.append(word)
        return word

    def _read_parts(self, node: Node, reach: Reach, function: str) -> list[WordPart]:
        kind, text = node.type, self._text(node)
        if kind in _EXPANSIONS:
            return [self._make_part(node, reach, function, bare=True)]
        if kind == "raw_string":
            return [WordPart("text", text[1:-1])]
        if kind == "string":
            if self.source[node.start_byte - 1 : node.start_byte] == b"$":
                self._leave_unread(node, 'has a $"…"')
            return self._fill_quoted(node, "string", reach, function)
        if kind == "ansi_c_string":
            decoded = _decode_ansi(text[2:-1])
            if decoded is None:
                self._leave_unread(node, "has a $'…' with unusual escapes")
            return [WordPart("text", decoded or text)]
        if kind in ("concatenation", "array", "command_name", "brace_expression"):
            self._check_gaps(node, spaces=kind == "array")
            parts: list[WordPart] = []
            for child in node.children:
                if parts and kind == "array" and child.is_named and child.type != "comment":
                    parts.append(WordPart("text", " "))
                if kind != "array" or child.is_named:
                    parts += self._read_parts(child, reach, function)
            return parts
        if node.children and kind not in ("number", "extglob_pattern", "regex", "word"):
            return [p for c in node.children for p in self._read_parts(c, reach, function)]
        for child in node.children:
            self.visit(child, reach, function)
        return list(self._split_bare(node, text))

    def _split_bare(self, node: Node, text: str) -> Iterator[WordPart]:
        """Unquoted text, escaped characters as parts of their own: those match nothing."""
        loose = re.sub(r"\\.", "", text, flags=re.DOTALL)
        hidden = node.type == "word" and (_HIDDEN.search(loose) or set("'\"") & set(loose))
        if text.startswith("#") or hidden:
            self._leave_unread(node, f"has {text[:20]} outside of quotes")
        if any(char.isspace() or char < " " for char in text.replace("\\\n", "")):
            if node.type not in ("regex", "extglob_pattern"):
                self._leave_unread(node, "has a character that needs quotes")
        at = 0
        for match in re.finditer(r"\\(.|\n)", text):
            yield WordPart("text", text[at : match.start()], bare=True)
            yield WordPart("text", match[1].replace("\n", ""))
            at = match.end()
        yield WordPart("text", text[at:], bare=True)

    def _fill_quoted(self, node: Node, kind: str, reach: Reach, function: str) -> list[WordPart]:
        """The inside of double quotes or of a here-document. The grammar leaves blanks between
        expansions out, so all text is taken from the source."""
        quote = int(kind == "string")
        at, parts = node.start_byte + quote, list[WordPart]()
        end = node.end_byte - quote
        inner = [c for c in node.children if c.type in _EXPANSIONS]
        for child in inner:  # some begin with the blank before them
            text = self._text(child)
            begin = child.start_byte + len(text) - len(text.lstrip())
            parts.append(WordPart("text", self._unescape(node, at, begin, kind)))
            parts.append(self._make_part(child, reach, function, bare=False))
            at = child.end_byte
        parts.append(WordPart("text", self._unescape(node, at, end, kind)))
        return parts

    def _unescape(self, node: Node, begin: int, end: int, kind: str) -> str:
        text = self.source[begin:end].decode("utf-8", "replace")
        escaped = r"\\([\"\\$`\n])" if kind == "string" else r"\\([\\$`\n])"
        left = re.sub(escaped, "", text)
        if _HIDDEN.search(left) or re.search(r"\$\w", left) or (kind == "string" and '"' in left):
            self._leave_unread(node, "has an expansion that cannot be read off the script")
        return re.sub(escaped, lambda m: m[1].replace("\n", ""), text)

    def _make_part(self, node: Node, reach: Reach, function: str, *, bare: bool) -> WordPart:
        """An expansion. The commands in it are found, too."""
        kind, text = node.type, self._text(node).lstrip()
        if kind in ("command_substitution", "process_substitution"):
            self._check_gaps(node)
            if text.startswith("`") and "\\" in text:
                self._leave_unread(node, "has a \\ between backticks")
            for child in node.children:
                if child.type == "comment":
                    self._leave_unread(child, "has a comment inside $(…)")
                elif child.type in _REDIRECTS:
                    self._take_redirected(node, reach, function, only=child)
                elif child.is_named:
                    self.visit(child, reach, function)
            return WordPart("output", text, bare and kind != "process_substitution")
        if kind == "arithmetic_expansion":
            self._take_arithmetic(node, reach, function)
            return WordPart("number", text, bare)
        if kind == "simple_expansion":
            return WordPart("variable", text[1:], bare)
        match = _EXPANDED.fullmatch(text)
        if match is None:
            self._leave_unread(node, "has an expansion that cannot be read off the script")
            return WordPart("output", text, bare)
        self._walk_operand(node, reach, function)
        if match[4].startswith(":") and match[4][1:2] not in ("-", "=", "+", "?"):
            self._take_arithmetic(node, reach, function)  # an offset is computed
        if match[1] and not match[4]:
            return WordPart("number", text, bare)
        return WordPart("variable", match[3], bare, match[2] + match[4])

    def _walk_operand(self, node: Node, reach: Reach, function: str) -> None:
        """What stands in `${…}` behind the name: the expansions in it run, too. Quotes are good
        in there as long as nothing in them could end the expansion."""
        text, at = "", node.start_byte + 2
        quoted = node.parent is not None and node.parent.type in ("string", "heredoc_body")
        whole = _EXPANSIONS if quoted else _EXPANSIONS | _QUOTED
        stack = list(reversed(node.children))
        while stack:
            child = stack.pop()
            if child.type == "subscript":
                self._take_subscript(child, reach, function)
            elif child.type in whole:
                text += self.source[at : child.start_byte].decode("utf-8", "replace")
                self._read_parts(child, reach, function)
                at = child.end_byte
            else:
                stack += reversed(child.children)
        text += self.source[at : node.end_byte].decode("utf-8", "replace")
        text = _HARMLESS_QUOTES.sub("", text)
        if _HIDDEN.search(text) or re.search(r"['\"\\]", text):
            self._leave_unread(node, "has quotes or a hidden command inside ${…}")

    # --- does the tree fit the text? --------------------------------------------------

    def _check_gaps(self, node: Node, *, spaces: bool = True) -> None:
        """Between the parts of a node stands nothing but white space."""
        for left, right in pairwise(node.children):
            gap = self.source[left.end_byte : right.start_byte]
            good = (_GAP if node.type in _LINES else _GAP_OF_BLOCK).fullmatch(gap)
            if not good or (gap.strip(b"\\\n") and not spaces):
                self._leave_unread(right, "cannot be read here")

    def _check_comment(self, node: Node) -> None:
        before = self.source[max(node.start_byte - 1, 0) : node.start_byte]
        if before not in (b"", b"#") and before not in b" \t\n;&|()":
            self._leave_unread(node, "has a # that begins no comment")


def _is_word(node: Node) -> bool:
    return node.type in _EXPANSIONS or node.type in (
        "word string raw_string ansi_c_string concatenation number array extglob_pattern "
        "translated_string brace_expression regex".split()
    )


def _begins_with(node: Node, token: str) -> bool:
    return bool(node.children) and node.children[0].type == token


def _constant_truth(node: Node) -> bool | None:
    """What a condition always says: `true` and `:` yes, `false` no, None for all else."""
    text = (node.text or b"").decode("utf-8", "replace")
    if node.type == "negated_command":
        inner = _constant_truth(node.children[-1])
        return None if inner is None else not inner
    return {"true": True, ":": True, "false": False}.get(text)


def _weaken(reach: Reach) -> Reach:
    return "never" if reach == "never" else "maybe"


def _reach_after(reach: Reach, truth: bool | None, *, wanted: bool) -> Reach:
    """Whether what hangs on a condition runs, when it runs if the condition is `wanted`."""
    if truth is None:
        return _weaken(reach)
    return reach if truth == wanted else "never"


def _join_text(parts: Iterable[WordPart]) -> Iterator[WordPart]:
    """Neighbouring text as one part where it is of one kind."""
    held: WordPart | None = None
    for part in parts:
        if held and held.kind == part.kind == "text" and held.bare == part.bare:
            held = replace(held, text=held.text + part.text)
            continue
        if held:
            yield held
        held = part if part.text or part.kind != "text" else None
    if held:
        yield held


def _decode_ansi(text: str) -> str | None:
    r"""The text of `$'…'`; None for escapes beyond \n \t \\ \' \" and \xHH."""
    simple = {"n": "\n", "t": "\t", "f": "\f", "\\": "\\", "'": "'", '"': '"', "r": "\r"}
    if re.search(r"\\(?!x[0-9A-Fa-f]{2}|[ntrf\\'\"])", re.sub(r"\\\\", "", text)):
        return None
    return re.sub(
        r"\\(?:x([0-9A-Fa-f]{2})|(.))",
        lambda m: chr(int(m[1], 16)) if m[1] else simple[m[2]],
        text,
        flags=re.DOTALL,
    )
