"""A shell script as whoever judges it sees it: commands, their words, and what was not read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Literal

Reach = Literal["always", "maybe", "never"]

_NAME = re.compile(r"\$\{?([A-Za-z_]\w*|[0-9?#@*])", re.ASCII)


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
        self.functions |= other.functions
        for part in fields(self):
            if part.name != "functions":
                getattr(self, part.name).extend(getattr(other, part.name))
