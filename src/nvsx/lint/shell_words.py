"""The commands of a shell script, as far as reading it can tell.

A tokeniser, not a shell: it finds simple commands with their words, also inside `$(…)`,
backticks and process substitutions, and knows comments, quotes, heredocs and redirections
well enough not to mistake text for commands. Lint uses it; nothing here runs anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_MAX_DEPTH = 20
_OPERATORS = ";&|\n"
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|\\?([^\s;&|<>()]+))")
_REDIRECT = re.compile(r"\d*(?:<<<|<>|<&|>&|>>|>\||<|>|&>>|&>)")
_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=\(")
_FUNCTION = re.compile(r"[ \t]*\([ \t]*\)")


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command: its words without quotes (expansions as written), where it begins
    (line from 1), and the function whose body it is in, "" outside."""

    words: tuple[str, ...]
    line: int
    function: str = ""


def commands(text: str, first_line: int = 1) -> list[Command]:
    """All simple commands of a script, in order; those of substitutions come first."""
    # A continued line becomes two blanks; `joints` keeps where a line break was lost.
    joints = [m.start() for m in re.finditer(r"\\\n", text)]
    scanner = _Scanner(text.replace("\\\n", "  "), first_line, 0, joints=joints)
    try:
        scanner.scan()
    except RecursionError:
        pass  # hundreds of open brackets are no script a person wrote; keep what was read
    return scanner.found


@dataclass(slots=True)
class _Scanner:
    text: str
    first_line: int
    depth: int
    pos: int = 0
    found: list[Command] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    start: int = 0
    heredocs: list[tuple[str, bool]] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    pending_function: str = ""
    joints: list[int] = field(default_factory=list)

    def scan(self) -> None:
        while self.pos < len(self.text):
            self._step()
        self._end()

    def _step(self) -> None:
        char = self.text[self.pos]
        if char in " \t\r":
            self.pos += 1
        elif char == "#":
            end = self.text.find("\n", self.pos)
            self.pos = len(self.text) if end < 0 else end
        elif heredoc := _HEREDOC.match(self.text, self.pos):
            if self.text.startswith("<<<", self.pos):
                self._redirect()
            else:
                name = next((g for g in heredoc.groups()[1:] if g is not None), "")
                self.heredocs.append((name, bool(heredoc[1])))
                self.pos = heredoc.end()
        elif self.text.startswith(("<(", ">("), self.pos):
            self.pos += 1
            self._word()
        elif _REDIRECT.match(self.text, self.pos):
            self._redirect()
        elif char in _OPERATORS or char in "()":
            self._operator(char)
        else:
            self._word()

    def _redirect(self) -> None:
        match = _REDIRECT.match(self.text, self.pos)
        self.pos = match.end() if match else self.pos + 1
        while self.pos < len(self.text) and self.text[self.pos] in " \t":
            self.pos += 1
        if self.pos < len(self.text) and self.text[self.pos] not in _OPERATORS + "()<>":
            self._read_word()

    def _operator(self, char: str) -> None:
        if char == "(" and len(self.words) == 1:
            empty = _FUNCTION.match(self.text, self.pos)
            if empty:
                self.pending_function = self.words.pop()
                self.pos = empty.end()
                return
        self._end()
        self.pos += 1
        if char == "\n":
            self._skip_heredocs()

    def _skip_heredocs(self) -> None:
        for name, dashed in self.heredocs:
            while self.pos < len(self.text):
                end = self.text.find("\n", self.pos)
                end = len(self.text) if end < 0 else end
                line = self.text[self.pos : end]
                self.pos = end + 1
                if (line.lstrip("\t") if dashed else line).rstrip("\r") == name:
                    break
        self.heredocs.clear()

    def _word(self) -> None:
        begin = self.pos
        array = _ARRAY.match(self.text, self.pos) if not self.words else None
        word = self._read_array(array) if array else self._read_word()
        if not self.words:
            self.start = begin
            if word == "{":
                self.blocks.append(self.pending_function)
                self.pending_function = ""
                return
            if word == "}":
                if self.blocks:
                    self.blocks.pop()
                return
        if self.pos == begin:  # nothing a word can begin with: step over it
            self.pos += 1
            return
        self.words.append(word)
        if len(self.words) == 2 and self.words[0] == "function":
            self.pending_function, self.words = word, []

    def _read_array(self, match: re.Match[str]) -> str:
        self.pos = match.end()
        items = []
        while self.pos < len(self.text) and self.text[self.pos] != ")":
            if self.text[self.pos].isspace():
                self.pos += 1
                continue
            before = self.pos
            items.append(self._read_word())
            self.pos += self.pos == before
        self.pos += 1
        return match[0][:-1] + " ".join(items)

    def _read_word(self) -> str:
        out: list[str] = []
        while self.pos < len(self.text):
            char = self.text[self.pos]
            if char.isspace() or char in ";&|<>)":
                break
            if char == "(" and out and out[-1] not in ("$", "<", ">"):
                break
            out.append(self._piece(char))
        return "".join(out)

    def _piece(self, char: str) -> str:
        """The next part of a word, without its quotes."""
        if char == "'":
            return self._until("'")
        if char == '"':
            self.pos += 1
            return self._double_quoted()
        if char == "\\":
            self.pos += 2
            return self.text[self.pos - 1 : self.pos]
        if char == "`":
            inner_start = self.pos + 1
            inner = self._until("`")
            self._inside(inner, inner_start)
            return "$()"
        if char in "$(":
            return self._dollar(char)
        self.pos += 1
        return char

    def _until(self, quote: str) -> str:
        end = self.text.find(quote, self.pos + 1)
        end = len(self.text) if end < 0 else end
        inner = self.text[self.pos + 1 : end]
        self.pos = end + 1
        return inner

    def _double_quoted(self) -> str:
        out: list[str] = []
        while self.pos < len(self.text) and self.text[self.pos] != '"':
            char = self.text[self.pos]
            if char in "\\`$":
                out.append(self._piece(char))
            else:
                out.append(char)
                self.pos += 1
        self.pos += 1
        return "".join(out)

    def _dollar(self, char: str) -> str:
        """An expansion: commands inside are scanned, variables stay as written."""
        begin = self.pos
        if char == "$":
            self.pos += 1
            if self.text.startswith("'", self.pos):
                return self._until("'")
        if self.text.startswith("{", self.pos):
            self._balanced("{", "}")
            return self.text[begin : self.pos]
        if self.text.startswith("(", self.pos):
            inner_start = self.pos + 1
            self._balanced("(", ")")
            inner = self.text[inner_start : self.pos - 1]
            if not inner.startswith("("):  # $(( … )) is arithmetic
                self._inside(inner, inner_start)
            return "$()"
        return char if char == "$" else ""

    def _balanced(self, opening: str, closing: str) -> None:
        """Step over a bracketed part, minding quotes in it."""
        level = 0
        while self.pos < len(self.text):
            char = self.text[self.pos]
            if char == "\\":
                self.pos += 1
            elif char in "'\"" and not (char == "'" and opening == "{"):
                self._quoted(char)
                continue
            elif char == opening:
                level += 1
            elif char == closing:
                level -= 1
                if level == 0:
                    self.pos += 1
                    return
            self.pos += 1

    def _quoted(self, quote: str) -> None:
        self.pos += 1
        while self.pos < len(self.text) and self.text[self.pos] != quote:
            if quote == '"' and self.text[self.pos] == "\\":
                self.pos += 1
            elif quote == '"' and self.text.startswith("$(", self.pos):
                self.pos += 1
                self._balanced("(", ")")
                continue
            self.pos += 1
        self.pos += 1

    def _inside(self, inner: str, at: int) -> None:
        if self.depth < _MAX_DEPTH:
            scanner = _Scanner(inner, self._line(at), self.depth + 1)
            scanner.scan()
            function = self.blocks[-1] if self.blocks else ""
            self.found += [Command(c.words, c.line, c.function or function) for c in scanner.found]

    def _line(self, pos: int) -> int:
        joined = sum(1 for joint in self.joints if joint < pos)
        return self.first_line + self.text.count("\n", 0, pos) + joined

    def _end(self) -> None:
        if self.words:
            function = self.blocks[-1] if self.blocks else ""
            self.found.append(Command(tuple(self.words), self._line(self.start), function))
            self.words = []
