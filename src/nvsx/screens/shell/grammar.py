"""What can be typed: commands with their options and arguments, as plain values.

The command line describes itself in these; the shell uses them to complete words, to find
the command that was meant, and to see whether a runbook was named. Pure: it parses words
and runs nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """`kind` says what its value names (`node`, `runbook`, `run`, …; "" for free text);
    `takes_value` is false for a switch."""

    names: tuple[str, ...]
    takes_value: bool = False
    kind: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Argument:
    kind: str = ""
    required: bool = True
    many: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    help: str = ""
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    commands: Mapping[str, Command] = field(default_factory=dict)

    def option(self, word: str) -> Option | None:
        name = word.partition("=")[0]
        return next((o for o in self.options if name in o.names), None)


def as_data(command: Command) -> dict[str, Any]:
    """A command as JSON-able data; `of_data` reads it back."""
    options = [[list(o.names), o.takes_value, o.kind, o.help] for o in command.options]
    arguments = [[a.kind, a.required, a.many] for a in command.arguments]
    below = [as_data(c) for c in command.commands.values()]
    return {
        "name": command.name,
        "help": command.help,
        "options": options,
        "arguments": arguments,
        "commands": below,
    }


def of_data(data: Mapping[str, Any]) -> Command:
    """What `as_data` made."""
    below = [of_data(c) for c in data["commands"]]
    return Command(
        data["name"],
        data["help"],
        tuple(Option(tuple(names), *more) for names, *more in data["options"]),
        tuple(Argument(*about) for about in data["arguments"]),
        {c.name: c for c in below},
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a command line one is: the command, how many arguments came before, the
    options given, and the option whose value comes next."""

    command: Command
    path: tuple[str, ...] = ()
    arguments: int = 0
    given: tuple[str, ...] = ()
    value_of: Option | None = None
    only_arguments: bool = False


def split(line: str) -> list[str]:
    """The words of a line, quoted as in a POSIX shell; `#` is an ordinary character.

    Raises ValueError for a quote that is not closed.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    return list(lexer)


def place(grammar: Command, words: Iterable[str]) -> Place:
    """Where one is after `words`. Unknown options are taken for switches."""
    command = grammar
    path: tuple[str, ...] = ()
    given: list[str] = []
    arguments = 0
    value_of: Option | None = None
    only = False
    for word in words:
        if value_of is not None:
            value_of = None
        elif only:
            arguments += 1
        elif word == "--":
            only = True
        elif word.startswith("-") and len(word) > 1:
            given.append(word.partition("=")[0])
            found = command.option(word) or grammar.option(word)
            if found is not None and found.takes_value and "=" not in word:
                value_of = found
        elif not arguments and word in command.commands:
            command, path = command.commands[word], (*path, word)
        else:
            arguments += 1
    return Place(command, tuple(path), arguments, tuple(given), value_of, only)


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that was probably meant; "" when none is near."""
    from difflib import get_close_matches

    swapped = [k for k in known if sorted(k) == sorted(word.lower())]
    near = swapped or get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    starts = [k for k in known if len(word) > 1 and k.startswith(word.lower())]
    return near[0] if near else starts[0] if starts else ""
