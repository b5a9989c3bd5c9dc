"""What could come next in a line: pure, from the grammar and from names found elsewhere.

`complete` is asked on every Tab, in a thread; names that take long to find (nodes) are simply
missing until they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nvsx.screens.shell.grammar import Argument, Command, Option, place, split

Names = Callable[[str], Sequence[tuple[str, str]]]
"""All names of a kind (`runbook`, `node`, …), each with a few words about it."""

OWN = {
    "use": "Work with one runbook: `run`, `show` and the like then need no name.",
    "help": "This list; `help COMMAND` for one of them.",
    "quit": "Leave; so do `exit` and Ctrl-D.",
}
"""The shell's own words, beside the commands of nvsx."""
USE = Command("use", OWN["use"], arguments=(Argument("runbook"),))
HELP = Command("help", OWN["help"], arguments=(Argument("command"),))
QUIT = Command("quit", OWN["quit"])


class Candidate(NamedTuple):
    """A word that fits; it replaces the last `replaces` characters of the line."""

    text: str
    about: str
    replaces: int


def complete(line: str, grammar: Command, names: Names) -> list[Candidate]:
    """The words that can stand where `line` ends in the shell, best first."""
    if line.lstrip().startswith("!"):
        return []
    words, last = _split_line(line)
    if words is None:
        return []
    if words[:1] == ["nvsx"]:
        words = words[1:]
    found = following(words, last, _with_own(grammar), names)
    return [Candidate(_quote_name(c.text), c.about, c.replaces) for c in found]


def following(words: Sequence[str], last: str, grammar: Command, names: Names) -> list[Candidate]:
    """What the word that begins with `last` can become after the finished `words`."""
    at = place(grammar, words)
    if at.value_of is not None:
        found = names(at.value_of.kind)
    elif last.startswith("-") and not at.only_arguments:
        name, equals, last_value = last.partition("=")
        option = at.command.option(name) or grammar.option(name)
        if equals:
            found, last = names(option.kind) if option else (), last_value
        else:
            found = list(_fitting_options(at.command, at.given))
    elif at.command.commands and not at.arguments:
        found = [(c.name, c.help) for c in at.command.commands.values()]
    else:
        found = _fitting_arguments(grammar, at.command, at.arguments, names)
    mark = "#" if last.startswith("#") else ""  # a nickname, written as people write it
    fitting = [(mark + n, about) for n, about in found if (mark + n).startswith(last)]
    return [Candidate(n, about, len(last)) for n, about in fitting]


def _with_own(grammar: Command) -> Command:
    own = {c.name: c for c in (USE, HELP, QUIT)}
    return Command(grammar.name, options=grammar.options, commands={**grammar.commands, **own})


def _split_line(line: str) -> tuple[list[str] | None, str]:
    """The finished words of `line`, and the one being typed ("" after a space)."""
    try:
        words = split(line)
    except ValueError:
        return None, ""
    if not words or line[-1:].isspace():
        return words, ""
    return words[:-1], words[-1]


def _fitting_options(command: Command, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for option in command.options:
        if not set(option.names) & set(given):
            yield _longest_name(option), option.help


def _longest_name(option: Option) -> str:
    return max(option.names, key=len)


def _fitting_arguments(
    root: Command, command: Command, before: int, names: Names
) -> Sequence[tuple[str, str]]:
    wanted = command.arguments
    if not wanted or (before >= len(wanted) and not wanted[-1].many):
        return ()
    kind = wanted[min(before, len(wanted) - 1)].kind
    if kind == "command":
        return [(c.name, c.help) for c in root.commands.values()]
    return names(kind)


def _quote_name(name: str) -> str:
    return name if not any(c.isspace() for c in name) else f'"{name}"'
