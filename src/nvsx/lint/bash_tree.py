"""Reads bash with tree-sitter's grammar, and says what of a script it could not read.

The grammar forgives what bash refuses and now and then reads what bash reads otherwise. So what
it leaves open is compared with the text again, and what does not fit is listed as unread: whoever
judges the script then knows that it was not all seen. Nothing here runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from nvsx.lint.bash_words import WORDS, WordReader
from nvsx.lint.shell_script import BashScript, Reach, ShellCommand, ShellWord, WordPart

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

#: Deeper brackets than this are no script that a person wrote, and would exhaust the stack.
_MOST_DEPTH = 80
#: Each costs another parse; a script with more of them stays unread in places, and says so.
_MOST_MENDS = 50
_RESERVED = frozenset(
    "if then elif else fi do done while until for in case esac { } ! ;; (".split()
)
_DECLARING = frozenset({"declaration_command", "unset_command"})
_COMMANDS = _DECLARING | {"command", "test_command", "variable_assignment", "variable_assignments"}
_REDIRECTS = frozenset({"file_redirect", "herestring_redirect", "heredoc_redirect"})
_OTHERWISE = frozenset({"||", "else_clause", "elif_clause"})
_TEST_TOKENS = frozenset("[ ] [[ ]] ! = == != =~ < > && || ( )".split())
#: `3<>file`, `$((10#$x))` and `{ …; } <<<text`: what of them ends up as an error, by its place.
_UNKNOWN_TO_GRAMMAR = {
    "file_redirect": r">",
    "arithmetic_expansion": r"\d+#",
    "redirected_statement": r"<<",
}
_PLAIN_OPERAND = re.compile(r"\$\{\w+:?[-+](?:[^{}'\"`\\$]|\$\w)*\}", re.ASCII)


def read_script(text: str, first_line: int = 1) -> BashScript:
    """A script as its commands. What cannot be read is left out and listed.

    `if x; then a; fi; exit; b` → x always, a maybe, exit always, b never.
    """
    source, root = _parse_mended(text.encode("utf-8", "replace"))
    reader = _TreeReader(source, first_line)
    if root.has_error:
        reader.list_errors(root)
    reader.visit(root)
    script = reader.script
    named = {part for c in script.commands for w in c.words for part in w.shown.split()}
    for command in script.commands:
        if command.function and command.function not in named:
            command.reach = "never"
    return script


@cache
def _make_parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def _parse_mended(source: bytes) -> tuple[bytes, Node]:
    """The tree, and the text it is of. Now and then the grammar takes `a= b=` and the line
    below for one command; a semicolon says what the line's end says to bash."""
    for _ in range(_MOST_MENDS):
        root = _make_parser().parse(source).root_node
        cut = next(_find_lost_ends(root, source), None)
        if cut is None:
            break
        source = source[:cut] + b";" + source[cut:]
    return source, root


def _find_lost_ends(root: Node, source: bytes) -> Iterator[int]:
    for node in _walk_tree(root):
        for left, right in pairwise(node.children if node.type == "command" else ()):
            gap = source[left.end_byte : right.start_byte].replace(b"\\\n", b"")
            if left.type == "variable_assignment" and b"\n" in gap:
                yield left.end_byte


def _walk_tree(root: Node) -> Iterator[Node]:
    """All nodes in order, without recursion: broken text nests without end."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += reversed(node.children)


class _TreeReader(WordReader):
    """Walks a tree, statement by statement."""

    def list_errors(self, root: Node) -> None:
        """Where the grammar gave up, or put in what is not there; a few things it does not
        know are read here nevertheless."""
        for node in _walk_tree(root):
            place = node.parent.type if node.parent else ""
            known = re.fullmatch(_UNKNOWN_TO_GRAMMAR.get(place, r"(?!)"), self.text_of(node))
            if node.parent and place == "expansion":
                known = _PLAIN_OPERAND.fullmatch(self.text_of(node.parent).lstrip())
            if node.is_missing or (node.is_error and not known):
                self.leave_unread(node, "cannot be read here")

    # --- statements -------------------------------------------------------------------

    def visit(self, node: Node, reach: Reach | None = None) -> None:
        """One statement, or a row of them, on paths that are taken as `reach` says."""
        if self.depth > _MOST_DEPTH:
            self.leave_unread(node, "nests too deep")
            return
        before, self.reach = self.reach, reach or self.reach
        self.depth += 1
        if node.type == "comment":
            self.check_comment(node)
        elif node.type in _COMMANDS:
            self._take_command(node, [])
        elif node.type == "redirected_statement":
            self._take_redirected(node)
        elif node.type == "function_definition":
            self._take_function(node)
        elif node.type in WORDS:
            self.make_word(node)
        elif node.is_named and node.type != "variable_name":
            self._visit_block(node)
        self.depth -= 1
        self.reach = before

    def _visit_block(self, node: Node) -> None:
        """The statements of a block, each on the paths that lead to it."""
        self.check_gaps(node)
        first = node.children[0].type if node.children else ""
        if first == "((" or node.type == "c_style_for_statement":
            self.take_arithmetic(node, node.children)
            for child in node.children_by_field_name("body"):
                self.visit(child, _weaken_reach(self.reach))
            return
        if node.type == "for_statement":
            self._take_loop(node)
        inside: Reach = _weaken_reach(self.reach) if node.type == "elif_clause" else self.reach
        here, truth, judged = inside, None, False
        for index, child in enumerate(node.children):
            if child.type in ("then", "do_group", "&&", *_OTHERWISE):
                wanted = child.type not in _OTHERWISE and first != "until"
                here = _reach_after(inside, truth, wanted=wanted)
                judged = judged or child.type == "then"
            elif child.type == "case_item":
                here = _weaken_reach(inside)
            loop_word = node.type == "for_statement" and child.type != "do_group"
            if child.is_named and not loop_word and node.field_name_for_child(index) != "name":
                self.visit(child, here)
                if child.type == "elif_clause":
                    truth = truth or None  # whether `else` runs is the elif's to say now
                elif child.type != "comment" and not judged:
                    truth = _constant_truth(child)
                here = "never" if self._ends_script(child) else here

    def _ends_script(self, node: Node) -> bool:
        name = node.child_by_field_name("name") if node.type == "command" else None
        return name is not None and self.text_of(name) in ("exit", "return", "exec")

    def _take_function(self, node: Node) -> None:
        name = node.child_by_field_name("name")
        outside, self.function = self.function, self.text_of(name) if name else ""
        self.script.functions[self.function] = (self.line_of(node), self.reach)
        self.take_redirects(node)
        for child in node.children_by_field_name("body"):
            self.visit(child, "maybe")
        self.function = outside

    def _take_loop(self, node: Node) -> None:
        values = [self.make_word(n) for n in node.children_by_field_name("value")]
        for variable in node.children_by_field_name("variable"):
            self.script.loops.append((self.text_of(variable), tuple(values)))

    # --- commands ---------------------------------------------------------------------

    def _take_redirected(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        if body and body.type in _COMMANDS:
            self._take_command(body, [c for c in node.children if c.type in _REDIRECTS])
            return
        self.take_redirects(node)
        if body:
            self.visit(body)

    def take_redirects(self, node: Node) -> None:
        """The redirections of a block, as a command without words."""
        command = ShellCommand(self.line_of(node), self.reach, self.function)
        for redirect in (c for c in node.children if c.type in _REDIRECTS):
            self._take_redirect(redirect, command)
        if command.redirects or command.said or command.words:
            self.script.commands.append(command)

    def _take_command(self, node: Node, redirects: Iterable[Node]) -> None:
        command = ShellCommand(self.line_of(node), self.reach, self.function)
        if node.type == "test_command":
            command.words = list(self._read_test(node, single=not self._is_double(node)))
        else:
            self.check_gaps(node)
            for child in [node] if node.type == "variable_assignment" else node.children:
                self._take_piece(child, command, declares=node.type in _DECLARING)
        for redirect in redirects:
            self._take_redirect(redirect, command)
        if command.words and command.words[0].literal in _RESERVED:
            self.leave_unread(node, f"has a {command.words[0].raw} where no command can begin")
        self.script.commands.append(command)

    def _take_piece(self, child: Node, command: ShellCommand, *, declares: bool) -> None:
        """An assignment, a redirection or a word of a command."""
        if child.type in _REDIRECTS:
            self._take_redirect(child, command)
        elif child.type == "variable_assignment":
            name = self._take_assignment(child, command)
            if declares:
                parts = (WordPart("text", f"{name}="), *command.assigned[-1][1].parts)
                command.words.append(ShellWord(parts, self.text_of(child), self.line_of(child)))
        elif child.type not in ("ERROR", ";", "&"):
            word = self.make_word(child.children[0] if child.type == "command_name" else child)
            before = child.prev_sibling
            if before and before.end_byte == child.start_byte:
                self._lengthen_value(before, word, command)
            else:
                command.words.append(word)

    def _lengthen_value(self, before: Node, more: ShellWord, command: ShellCommand) -> None:
        """Of `x=$a'b'` and `local x=$a/$b` the grammar takes the end for a word of its own."""
        value = before.child_by_field_name("value")
        if before.type != "variable_assignment" or value is None or value.type == "array":
            self.leave_unread(before, "has words without a blank between them")
            command.words.append(more)
            return
        name, word = command.assigned.pop()
        whole = ShellWord((*word.parts, *more.parts), word.raw + more.raw, word.line)
        command.assigned.append((name, whole))

    def _is_double(self, node: Node) -> bool:
        return self.text_of(node).startswith("[[")

    def _read_test(self, node: Node, *, single: bool) -> Iterator[ShellWord]:
        """The words of `[ … ]` or `[[ … ]]`, in order. In `[`, brackets and the like would end
        the command for bash, whatever the grammar says."""
        self.check_gaps(node)
        for child in node.children:
            text = self.text_of(child)
            if child.type in ("test_operator", *_TEST_TOKENS):
                if single and text in ("&&", "||", "<", ">", "(", ")"):
                    self.leave_unread(child, f"has {text} inside [ ]")
                yield ShellWord((WordPart("text", text),), text, self.line_of(child))
            elif child.type in WORDS or child.type == "variable_name":
                yield self.make_word(child)
            elif child.is_named and child.type not in ("ERROR", "comment"):
                yield from self._read_test(child, single=single)
            else:
                self.leave_unread(child, f"has {text} inside a test")

    def _take_assignment(self, node: Node, command: ShellCommand) -> str:
        self.check_gaps(node)
        target, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if target and target.type == "subscript":
            self.take_subscript(target)
            target = target.child_by_field_name("name")
        name = self.text_of(target) if target else ""
        word = self.make_word(value) if value else ShellWord((), "", self.line_of(node))
        if value and value.type == "array":
            self.script.arrays.append((name, self.items))
        command.assigned.append((name, word))
        return name

    def _take_redirect(self, node: Node, command: ShellCommand) -> None:
        if node.type == "heredoc_redirect":
            self._take_heredoc(node, command)
            return
        self.check_gaps(node)
        before = node.prev_sibling
        said = node.type == "herestring_redirect" or (before is not None and before.is_error)
        operator = next((self.text_of(c) for c in node.children if not c.is_named), "")
        operator = "<>" if any(c.is_error for c in node.children) else operator
        for child in node.children:
            if child.is_named and child.type != "file_descriptor" and not child.is_error:
                word = self.make_word(child)
                if said:
                    command.said.append(word)
                else:
                    command.redirects.append((operator, word))

    def _take_heredoc(self, node: Node, command: ShellCommand) -> None:
        """A here-document; the grammar hangs what follows on its line below it."""
        parts = {child.type: child for child in node.children}
        for index, child in enumerate(node.children):
            if node.field_name_for_child(index) == "argument":
                command.words.append(self.make_word(child))
            elif child.type in _REDIRECTS:
                self._take_redirect(child, command)
            elif child.is_named and not child.type.startswith(("heredoc", "file_desc")):
                self.visit(child, _weaken_reach(self.reach))
        start, end, body = (parts.get(f"heredoc_{x}") for x in ("start", "end", "body"))
        if start is None or end is None:
            self.leave_unread(node, "has a here-document that nothing ends")
            return
        delimiter = self.text_of(start)
        plain = delimiter.strip("'\"")
        if not re.fullmatch(r"(['\"]?)\w+\1", delimiter, re.ASCII):
            self.leave_unread(node, "has a here-document that is not written <<WORD or <<'WORD'")
        first = (body or end).start_point[0]
        lines = self.source.decode("utf-8", "replace").split("\n")[first : end.start_point[0] + 1]
        lines = [line.lstrip("\t") for line in lines] if "<<-" in parts else lines
        if plain not in lines or lines.index(plain) != len(lines) - 1:
            self.leave_unread(node, f"has a here-document that ends elsewhere than {plain}")
        if body is None:
            return
        if plain == delimiter and "\\\n" in self.text_of(body):
            self.leave_unread(node, "has a \\ at the end of a here-document's line")
        quoted = [WordPart("text", self.text_of(body))]
        said = self.fill_quoted(body, 0) if plain == delimiter else quoted
        command.said.append(self.add_word(body, said))


def _constant_truth(node: Node) -> bool | None:
    """What a condition always says: `true` and `:` yes, `false` no, None for all else."""
    if node.type == "negated_command":
        inner = _constant_truth(node.children[-1])
        return None if inner is None else not inner
    return {b"true": True, b":": True, b"false": False}.get(node.text or b"")


def _weaken_reach(reach: Reach) -> Reach:
    return "never" if reach == "never" else "maybe"


def _reach_after(reach: Reach, truth: bool | None, *, wanted: bool) -> Reach:
    """Whether what hangs on a condition runs, when it runs if the condition is `wanted`."""
    if truth is None:
        return _weaken_reach(reach)
    return reach if truth == wanted else "never"
