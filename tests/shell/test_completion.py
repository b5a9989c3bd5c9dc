from __future__ import annotations

from collections.abc import Sequence

import pytest

from nvsx.commands.command_words import read_grammar
from nvsx.screens.shell.completion import Candidate, complete
from nvsx.screens.shell.grammar import Command, nearest, place, split

NAMES = {
    "runbook": [("gpu-off-bus", "GPU fell off the bus"), ("rogue-moose", "gpu-off-bus")],
    "node": [("gpu-node-a1", "cheerful-cobra"), ("cheerful-cobra", "gpu-node-a1")],
    "run": [("r-20261122-1431-7k3f", "gpu-off-bus on gpu-node-a1, passed")],
}


def _names(kind: str) -> Sequence[tuple[str, str]]:
    return NAMES.get(kind, ())


@pytest.fixture(scope="module")
def commands() -> Command:
    """What can be typed in the shell."""
    return read_grammar(inside_shell=True)


def _texts(line: str, commands: Command) -> list[str]:
    return [c.text for c in complete(line, commands, _names)]


def test_commands_complete_from_their_first_letters(commands: Command) -> None:
    """The first word completes to commands of nvsx and to the shell's own."""
    assert _texts("sche", commands) == ["schema"]
    assert _texts("us", commands) == ["use"]
    assert {"list", "show", "run", "status", "use", "help", "quit"} <= set(_texts("", commands))


def test_the_shell_is_not_offered_inside_itself(commands: Command) -> None:
    """`shell` is no word of the shell."""
    assert "shell" not in _texts("", commands)


def test_a_candidate_says_how_much_it_replaces(commands: Command) -> None:
    """The part of the word that was typed is replaced, the rest of the line stays."""
    assert complete("run gpu-o", commands, _names) == [
        Candidate("gpu-off-bus", "GPU fell off the bus", len("gpu-o"))
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("use ", ["gpu-off-bus", "rogue-moose"]),
        ("use #ro", ["#rogue-moose"]),
        ("show rogue", ["rogue-moose"]),
        ("run gpu-off-bus --target-node ", ["gpu-node-a1", "cheerful-cobra"]),
        ("run --target-node cheer", ["cheerful-cobra"]),
        ("run --target-node=gpu", ["gpu-node-a1"]),
        ("run --resume r-", ["r-20261122-1431-7k3f"]),
        ("run gpu-off-bus --sand", ["--sandbox"]),
        ("run --sandbox --sand", []),
        ("nvsx run gpu", ["gpu-off-bus"]),
        ("run gpu-off-bus ", []),
        ("sandbox in", ["inject"]),
        ("sandbox inject --no", ["--node"]),
        ("help sho", ["show"]),
        ("!kub", []),
        ('use "gpu', []),
    ],
)
def test_what_can_come_next(line: str, expected: list[str], commands: Command) -> None:
    """Options, their values and arguments complete by what they name."""
    assert _texts(line, commands) == expected


def test_every_option_of_the_command_line_is_offered(commands: Command) -> None:
    """`run --` lists the options of `nvsx run`, values and switches alike."""
    assert {"--target-node", "--dry-run", "--sandbox", "--resume", "--help"} <= set(
        _texts("run --", commands)
    )


def test_words_keep_a_leading_number_sign_and_quotes() -> None:
    """A nickname needs no quoting in the shell, a name with a blank does."""
    assert split("use #rogue-moose") == ["use", "#rogue-moose"]
    assert split("show 'two words' three") == ["show", "two words", "three"]


def test_an_open_quote_is_refused() -> None:
    """A quote that is not closed is an error, not a guess."""
    with pytest.raises(ValueError, match="quot"):
        split("show 'two")


def test_the_value_of_an_option_is_no_argument(commands: Command) -> None:
    """`--target-node N` does not count as the runbook."""
    assert place(commands, ["run", "--target-node", "n1"]).arguments == 0
    assert place(commands, ["run", "--target-node=n1", "gpu-off-bus"]).arguments == 1
    assert place(commands, ["run", "--", "--odd"]).arguments == 1


@pytest.mark.parametrize(
    ("word", "meant"),
    [("shwo", "show"), ("lst", "list"), ("hel", "help"), ("stauts", "status"), ("xyzzy", "")],
)
def test_the_nearest_word(word: str, meant: str) -> None:
    """A misspelt word finds the one that was meant, and nonsense finds none."""
    assert nearest(word, ["help", "list", "show", "stats", "status", "use"]) == meant
