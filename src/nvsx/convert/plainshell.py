"""A small part of bash, read exactly; everything else is refused.

Shell that a model wrote is judged by what it does, so it must be read the way bash reads it.
No reader does that for all of bash: each construct it half understands is a way past the
judge. So this one knows simple commands, quotes, plain expansions, `$(…)`, pipes, `if`, `for`,
`while`, `[[ … ]]` and here-documents, and raises `Strange` for anything else.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from typing import Literal

RESERVED = frozenset("if then elif else fi do done while until ! { }".split())

_BLANK = " \t"
_REDIRECT = re.compile(r"([012]?)(<<<|<<-|<<|<>|<&|>&|>>|>\||&>>|&>|<|>)")
_DELIMITER = re.compile(r"[ \t]*(?:'(\w+)'|\"(\w+)\"|(\w+))(?=[ \t\n;|&)]|\Z)", re.ASCII)
_BRACED = re.compile(
    r"\$\{(#?)(\w+)(?:(:?[-+]|%%?|##?)((?:[^{}'\"\\`$\n]|\$[A-Za-z_]\w*)*))?\}", re.ASCII
)
#: Only variables that always hold a number: bash evaluates what an expression's names hold.
_ARITHMETIC = re.compile(
    r"\$\(\((?:[\s\d+*/%-]|\bNVSX_(?:(?:ELAPSED|INCIDENT|MTTR)_MS|ATTEMPT|STORM_SIZE)\b)*\)\)",
    re.ASCII,
)
_OPERATOR = re.compile(r"&&|\|\||[()<>]")
_NAME = re.compile(r"\$([A-Za-z_]\w*|[0-9?#@*])", re.ASCII)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=", re.ASCII)
_OWN_PATH = "${BASH_SOURCE[0]}"
_MAX_DEPTH = 10


class Strange(Exception):
    """Something that this does not read. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a word: literal text, a variable, or what a command prints.

    Of a variable, `text` is the name and `operand` what follows it in `${…}`, with the
    operator. `bare` says that the shell would still split it or take it for a pattern.
    """

    kind: Literal["text", "variable", "output"]
    text: str
    bare: bool = False
    operand: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """One word as the shell would see it. `raw` is how it is written."""

    parts: tuple[Part, ...]
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
    def is_exact(self) -> bool:
        """Whether it stays one word with this text: nothing splits, matches or expands it."""
        return not any(
            part.bare and (part.kind != "text" or set(part.text) & set("*?[]{}~"))
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
class Simple:
    """A simple command, reserved words before it left out. `kept` are reserved words."""

    line: int
    words: list[Word] = field(default_factory=list)
    assigned: list[tuple[str, Word]] = field(default_factory=list)
    redirects: list[tuple[str, Word]] = field(default_factory=list)
    said: list[Word] = field(default_factory=list)  # here-documents and here-strings


def read(script: str) -> list[Simple]:
    """The simple commands of a script, those inside `$(…)` too. Raises Strange."""
    reader = _Reader(script, 1, 0)
    reader.script("")
    return reader.found


class _Reader:
    def __init__(self, text: str, first: int, depth: int) -> None:
        self.text, self.first, self.depth = text, first, depth
        self.pos = 0
        self.breaks = [i for i, char in enumerate(text) if char == "\n"]
        self.found: list[Simple] = []
        self.now = Simple(first)
        self.waiting: list[tuple[str, bool, Simple]] = []  # here-documents still to come

    def line(self) -> int:
        return self.first + bisect.bisect_left(self.breaks, self.pos)

    def strange(self, what: str) -> Strange:
        return Strange(self.line(), what)

    # --- commands ---------------------------------------------------------------------

    def script(self, closing: str) -> None:
        """Commands up to the end, or to the bracket that closes a substitution."""
        while self.pos < len(self.text):
            char = self.text[self.pos]
            if closing and char == closing:
                self._flush()
                self.pos += 1
                return
            self._step(char)
        if closing:
            raise self.strange("has a $( that nothing closes")
        self._flush()
        if self.waiting:
            raise self.strange("has a here-document that nothing ends")

    def _step(self, char: str) -> None:
        two = self.text[self.pos : self.pos + 2]
        if char in _BLANK:
            self.pos += 1
        elif two == "\\\n":
            self.pos += 2
        elif char == "#":
            if self.depth:
                raise self.strange("has a comment inside $(…)")
            end = self.text.find("\n", self.pos)
            self.pos = len(self.text) if end < 0 else end
        elif char == "\n":
            self._flush()
            self.pos += 1
            self._documents()
        elif two in ("&&", "||"):
            self._flush()
            self.pos += 2
        elif two in (";;", "|&") or (char == "&" and two != "&>"):
            raise self.strange(f"uses `{two if two in (';;', '|&') else '&'}`")
        elif char in ";|":
            self._flush()
            self.pos += 1
        elif match := _REDIRECT.match(self.text, self.pos):
            self._redirect(match)
        elif char in "()":
            raise self.strange(
                "has a bracket outside of quotes: a subshell, function, case or array"
            )
        else:
            self._add(self._word())

    def _add(self, word: Word) -> None:
        if not self.now.words and not self.now.assigned and not self.now.redirects:
            self.now.line = word.line
        if not self.now.words and (name := _ASSIGNMENT.match(word.raw)):
            size = name.end()
            head = word.parts[0].text[size:]
            rest = (Part("text", head, word.parts[0].bare),) if head else ()
            value = Word((*rest, *word.parts[1:]), word.raw[size:], word.line)
            self.now.assigned.append((name[1], value))
            return
        if not self.now.words and not self.now.assigned and word.raw in RESERVED:
            return
        self.now.words.append(word)
        if word.raw == "[[" and len(self.now.words) == 1:
            self._condition()

    def _condition(self) -> None:
        """The words of `[[ … ]]`, where operators are words."""
        while True:
            while self.text[self.pos : self.pos + 1] in (" ", "\t", "\n"):
                self.pos += 1
            if self.pos >= len(self.text):
                raise self.strange("has a [[ that nothing closes")
            if match := _OPERATOR.match(self.text, self.pos):
                self.pos = match.end()
                continue
            if self.text[self.pos] in ";|&#":
                raise self.strange(f"has {self.text[self.pos]} inside [[ ]]")
            word = self._word()
            self.now.words.append(word)
            if word.raw == "]]":
                return

    def _flush(self) -> None:
        now = self.now
        if now.words or now.assigned or now.redirects or now.said:
            self.found.append(now)
        self.now = Simple(self.line())

    def _redirect(self, match: re.Match[str]) -> None:
        operator = match[2]
        self.pos = match.end()
        if operator in ("<<", "<<-"):
            named = _DELIMITER.match(self.text, self.pos)
            if operator == "<<-" or not named or self.depth:
                raise self.strange("has a here-document inside $(…), or not written <<'WORD'")
            self.pos = named.end()
            word = next(group for group in named.groups() if group)
            self.waiting.append((word, named[3] is None, self.now))
            return
        if self.text[self.pos : self.pos + 1] == "(":
            raise self.strange("has a process substitution")
        while self.text[self.pos : self.pos + 1] in (" ", "\t"):
            self.pos += 1
        word = self._word()
        if operator == "<<<":
            self.now.said.append(word)
        else:
            self.now.redirects.append((operator, word))

    def _documents(self) -> None:
        """The here-documents that begin here."""
        for word, quoted, command in self.waiting:
            begin, line = self.pos, self.line()
            while True:
                end = self.text.find("\n", self.pos)
                end = len(self.text) if end < 0 else end
                said = self.text[self.pos : end]
                if said == word:
                    break
                if end == len(self.text) or (not quoted and said.endswith("\\")):
                    raise self.strange("has a here-document that nothing ends, or a \\ at its end")
                self.pos = end + 1
            body = self.text[begin : self.pos]
            self.pos = min(end + 1, len(self.text))
            parts: tuple[Part, ...] = (Part("text", body),)
            if not quoted:
                inner = _Reader(body, line, self.depth + 1)
                parts = tuple(inner.quoted(""))
                self.found += inner.found
            command.said.append(Word(parts, body, line))
        self.waiting.clear()

    # --- words ------------------------------------------------------------------------

    def _word(self) -> Word:
        begin, line = self.pos, self.line()
        parts: list[Part] = []
        while self.pos < len(self.text) and self.text[self.pos] not in " \t\n;&|<>()":
            char = self.text[self.pos]
            if char == "'":
                end = self.text.find("'", self.pos + 1)
                if end < 0:
                    raise self.strange("has a ' that nothing closes")
                parts.append(Part("text", self.text[self.pos + 1 : end]))
                self.pos = end + 1
            elif char == '"':
                self.pos += 1
                parts += self.quoted('"')
                self.pos += 1
            elif char == "\\":
                if self.text[self.pos + 1 : self.pos + 2] != "\n":
                    parts.append(Part("text", self.text[self.pos + 1 : self.pos + 2]))
                self.pos += 2
            elif char == "$":
                parts.append(self._expansion(bare=True))
            elif char == "`" or not " " < char < "\x7f":
                what = "a backtick" if char == "`" else "a character that needs quotes"
                raise self.strange(f"has {what}")
            else:
                parts.append(Part("text", char, bare=True))
                self.pos += 1
        if self.pos == begin:
            raise self.strange("ends where a word belongs")
        return Word(_joined(parts), self.text[begin : self.pos], line)

    def quoted(self, closing: str) -> list[Part]:
        """The inside of double quotes, or of a here-document, up to `closing`."""
        parts: list[Part] = []
        while True:
            char = self.text[self.pos : self.pos + 1]
            if char == closing:
                return parts
            if not char:
                raise self.strange('has a " that nothing closes')
            if char == "`":
                raise self.strange("has a backtick")
            if char == "\\" and self.text[self.pos + 1 : self.pos + 2] in (
                '"',
                "\\",
                "$",
                "`",
                "\n",
            ):
                escaped = self.text[self.pos + 1]
                kept = "\\" if escaped == '"' and not closing else ""
                parts.append(Part("text", "" if escaped == "\n" else kept + escaped))
                self.pos += 2
            elif char == "$":
                parts.append(self._expansion(bare=False))
            else:
                parts.append(Part("text", char))
                self.pos += 1

    def _expansion(self, *, bare: bool) -> Part:
        """What begins with `$`."""
        text, pos = self.text, self.pos
        if match := _ARITHMETIC.match(text, pos):
            self.pos = match.end()
            return Part("text", "0")
        if text.startswith("$((", pos):
            raise self.strange("computes with more than numbers and NVSX_ variables")
        if text.startswith("$(", pos):
            return self._substitution(bare=bare)
        if text.startswith(_OWN_PATH, pos):
            self.pos += len(_OWN_PATH)
            return Part("variable", "BASH_SOURCE", bare)
        if match := _BRACED.match(text, pos):
            self.pos = match.end()
            if match[1]:
                return Part("text", "0")
            return Part("variable", match[2], bare, (match[3] or "") + (match[4] or ""))
        if match := _NAME.match(text, pos):
            self.pos = match.end()
            return Part("variable", match[1], bare)
        after = text[pos + 1 : pos + 2]
        if after in ("{", "[", "!", "$", "-", "_") or (bare and after in ("'", '"')):
            raise self.strange(f"has an expansion that cannot be read off the script: ${after}")
        self.pos += 1
        return Part("text", "$", bare)

    def _substitution(self, *, bare: bool) -> Part:
        if self.depth >= _MAX_DEPTH:
            raise self.strange("nests too deep")
        inner = _Reader(self.text, self.first, self.depth + 1)
        inner.pos = self.pos + 2
        inner.script(")")
        self.found += inner.found
        self.pos = inner.pos
        return Part("output", "", bare)


def _joined(parts: list[Part]) -> tuple[Part, ...]:
    """Neighbouring text as one part where it is of one kind."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if last and last.kind == part.kind == "text" and last.bare == part.bare:
            out[-1] = Part("text", last.text + part.text, part.bare)
        else:
            out.append(part)
    return tuple(out)
