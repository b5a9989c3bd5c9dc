from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.commands.conftest import Command

from nvsx.commands import cli_reference
from nvsx.commands.app import application
from nvsx.commands.help_examples import marked


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield " ".join(path), command
    for name, sub in below.items():
        yield from _commands(sub, (*path, name))


COMMANDS = dict(_commands(typer.main.get_command(application())))


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


def test_the_reference_is_what_the_commands_say() -> None:
    """docs/cli.md is current: each command with its usage, examples and options."""
    assert cli_reference.main(["--check", "docs/cli.md"]) == 0


def test_a_stale_reference_is_told_and_renewed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check fails on an old page and names the remedy; --write makes it current."""
    page = tmp_path / "docs" / "cli.md"
    assert cli_reference.main(["--check", str(page)]) == 1
    assert "run python -m nvsx.commands.cli_reference" in capsys.readouterr().err
    assert cli_reference.main(["--write", str(page)]) == 0
    assert cli_reference.main(["--check", str(page)]) == 0
    page.write_text(page.read_text() + "more\n")
    assert cli_reference.main(["--check", str(page)]) == 1


def test_the_reference_has_every_command_but_hidden_ones() -> None:
    """Each command has its section; `status`, which belongs to the shell, has none."""
    page = cli_reference.markdown()
    shown = {name for name, command in COMMANDS.items() if not command.hidden}
    assert all(f"\n## nvsx {name}\n" in page for name in shown)
    assert "## nvsx status" not in page
