from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.commands.conftest import Command

from nvsx.commands.app import build_application
from nvsx.commands.help_examples import marked


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield " ".join(path), command
    for name, sub in below.items():
        yield from _commands(sub, (*path, name))


COMMANDS = dict(_commands(build_application()))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_shows_an_example_that_can_be_copied(name: str) -> None:
    """`nvsx COMMAND --help` ends with examples, each a whole command on its own line."""
    command = COMMANDS[name]
    context = command.make_context(f"nvsx {name}", [], resilient_parsing=True)
    shown = command.get_help(context).partition("Options:")[0]
    examples = [line.strip() for line in shown.splitlines() if line.startswith("    ")]
    assert any(f"nvsx {name}" in line for line in examples), shown


@pytest.mark.parametrize("words", [[], ["run"], ["sandbox", "inject"]])
def test_help_is_a_command_too(words: list[str], nvsx: Command) -> None:
    """`nvsx help sandbox inject` is `nvsx sandbox inject --help`."""
    asked, said = nvsx("help", *words), nvsx(*words, "--help")
    assert said.code == 0
    assert asked == said


def test_an_example_keeps_its_lines() -> None:
    """Examples are set apart from the text, one a line, however they were written."""
    assert marked("Does it.\n\nExample: nvsx a") == "Does it.\n\n\b\nExample:\n  nvsx a"
    assert marked("Does it.\n\nExamples:\n  nvsx a\n  nvsx b").endswith("\n  nvsx a\n  nvsx b")
