from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.patience import patience

from nvsx.core.errors import UsageError
from nvsx.project.home import Home
from nvsx.screens.shell.completable_names import KnownNames
from nvsx.screens.shell.grammar import Argument, Command, Option
from nvsx.screens.shell.operator_shell import Shell, read_lines
from nvsx.screens.shell.shell_prompt import history_in

GRAMMAR = Command(
    "",
    commands={
        "list": Command("list", "Table of runbooks."),
        "show": Command("show", "One runbook.", arguments=(Argument("runbook"),)),
        "lint": Command("lint", "Check.", arguments=(Argument("runbook", False, True),)),
        "run": Command(
            "run",
            "Run it.",
            options=(Option(("--target-node",), True, "node"), Option(("--sandbox",))),
            arguments=(Argument("runbook"),),
        ),
    },
)


class Calls:
    """A dispatch that notes what it is asked and answers with `code`."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.made: list[list[str]] = []

    def __call__(self, words: list[str]) -> int:
        self.made.append(words)
        return self.code


@pytest.fixture
def calls() -> Calls:
    """The boundary, faked."""
    return Calls()


@pytest.fixture
def shell(calls: Calls) -> Shell:
    """A shell on a small grammar."""
    return Shell(Home(), GRAMMAR, calls)


def test_a_command_goes_through_the_boundary_as_typed(shell: Shell, calls: Calls) -> None:
    """Words are split as a shell splits them and dispatched without the word nvsx."""
    shell.execute("nvsx run 'gpu-off-bus' --target-node n1")
    assert calls.made == [["run", "gpu-off-bus", "--target-node", "n1"]]


def test_its_exit_code_is_the_lines(shell: Shell, calls: Calls) -> None:
    """What the command ends with is what the line ends with."""
    calls.code = 3
    assert shell.execute("list") == 3


def test_the_runbook_in_use_fills_in_for_a_missing_name(shell: Shell, calls: Calls) -> None:
    """With a runbook in use `run` and `show` need no name, and the prompt says which."""
    assert shell.execute("use #rogue-moose") == 0
    assert shell.prompt == "nvsx (gpu-off-bus)> "
    for line in ("run --sandbox", "run --target-node n1", "show"):
        shell.execute(line)
    assert calls.made == [
        ["run", "gpu-off-bus", "--sandbox"],
        ["run", "gpu-off-bus", "--target-node", "n1"],
        ["show", "gpu-off-bus"],
    ]


def test_a_name_that_was_given_stands(shell: Shell, calls: Calls) -> None:
    """A runbook named on the line goes before the one in use."""
    shell.execute("use gpu-off-bus")
    shell.execute("show nvlink-fault")
    assert calls.made == [["show", "nvlink-fault"]]


def test_an_optional_runbook_is_not_filled_in(shell: Shell, calls: Calls) -> None:
    """`lint` without a name checks all of them, in use or not."""
    shell.execute("use gpu-off-bus")
    shell.execute("lint")
    assert calls.made == [["lint"]]


def test_use_alone_leaves_the_runbook(shell: Shell) -> None:
    """`use` without a name puts the plain prompt back."""
    shell.execute("use gpu-off-bus")
    shell.execute("use")
    assert shell.prompt == "nvsx> "


def test_an_unknown_runbook_is_told_and_changes_nothing(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """`use` of a name that is none says so with the near one, exit code 2."""
    shell.execute("use gpu-off-bus")
    assert shell.execute("use gpu-of-bus") == 2
    assert shell.runbook == "gpu-off-bus"
    assert "did you mean gpu-off-bus?" in capsys.readouterr().err


def test_an_unknown_word_gets_the_nearest(
    shell: Shell, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt command is not run; the message names the one that was meant."""
    assert shell.execute("shwo") == 2
    assert "did you mean `show`?" in capsys.readouterr().err
    assert calls.made == []


def test_an_open_quote_is_told(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    """A quote that is not closed is a usage error, never a traceback."""
    assert shell.execute("show 'x") == 2
    assert "a quote is not closed" in capsys.readouterr().err


def test_the_rest_after_an_exclamation_mark_goes_to_the_system(
    shell: Shell, calls: Calls, capfd: pytest.CaptureFixture[str]
) -> None:
    """`!` runs the line in the system's shell, pipes and all, and keeps its exit code."""
    assert shell.execute("! echo one two | tr a-z A-Z; exit 7") == 7
    assert capfd.readouterr().out == "ONE TWO\n"
    assert calls.made == []


def test_a_pipe_is_read_line_by_line_to_its_end(shell: Shell, calls: Calls) -> None:
    """Each line is done even after one failed; the last one's exit code is the result."""
    calls.code = 1
    assert read_lines(shell, io.StringIO("list\n\nshow x\nhelp\n")) == 0
    assert calls.made == [["list"], ["show", "x"]]
    assert read_lines(shell, io.StringIO("help\nlist\n")) == 1


def test_quit_ends_a_pipe_early(shell: Shell, calls: Calls) -> None:
    """Nothing after `quit` is done."""
    assert read_lines(shell, io.StringIO("quit\nlist\n")) == 0
    assert calls.made == []


def test_ctrl_c_ends_a_pipe(shell: Shell, calls: Calls) -> None:
    """A command that ended with 130 ends the whole script, as in other shells."""
    calls.code = 130
    assert read_lines(shell, io.StringIO("list\nlist\n")) == 130
    assert len(calls.made) == 1


def test_help_lists_every_command(
    shell: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`help` has one line for each command and for the shell's own words, none too long."""
    monkeypatch.setenv("COLUMNS", "70")
    shell.execute("help")
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 70
    assert all(f"  {word} " in told for word in (*GRAMMAR.commands, "use", "quit", "!"))


def test_help_of_one_command_is_its_help(shell: Shell, calls: Calls) -> None:
    """`help run` is `run --help`."""
    shell.execute("help run")
    assert calls.made == [["run", "--help"]]


def test_the_shell_does_not_nest(shell: Shell, calls: Calls) -> None:
    """`shell` inside the shell says where one is."""
    assert shell.execute("shell") == 2
    assert calls.made == []


def test_history_is_private_and_leaves_out_what_was_typed_after_a_blank(tmp_path: Path) -> None:
    """The file has mode 0600, and no line that begins with a space, nor one twice in a row."""
    history = history_in(tmp_path)
    for line in ("list", "list", " !export KEY=value", "show x"):
        history.append_string(line)
    kept = tmp_path / "shell-history"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [line for line in kept.read_text().splitlines() if line.startswith("+")] == [
        "+list",
        "+show x",
    ]


def test_history_without_a_folder_is_kept_in_memory(tmp_path: Path) -> None:
    """A folder that cannot be written costs the history, not the shell."""
    history = history_in(tmp_path / "missing")
    history.append_string("list")
    assert history.get_strings() == ["list"]
    assert list(tmp_path.iterdir()) == []


def test_runbooks_are_offered_by_name_and_nickname() -> None:
    """Both ways to name a runbook complete, each with what it is."""
    found = dict(KnownNames(Home())("runbook"))
    assert found["gpu-off-bus"] == "GPU fell off the bus"
    assert found["rogue-moose"] == "gpu-off-bus"


async def _no_names(_home: Home) -> Sequence[str]:
    raise UsageError("there is no cluster")


def test_nodes_that_cannot_be_had_are_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a cluster nothing is offered, nothing is printed, and nobody waits."""
    monkeypatch.setattr("nvsx.follow.situation.node_names", _no_names)
    names = KnownNames(Home())
    assert names("node") == []
    names.close()
    assert capsys.readouterr() == ("", "")


def test_the_first_tab_has_nodes_with_their_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks first waits for the cluster's answer, and has it at once from then on."""
    asked: list[Home] = []

    async def found(home: Home) -> Sequence[str]:
        asked.append(home)
        await asyncio.sleep(0.05)
        return ["gpu-node-a1"]

    monkeypatch.setattr("nvsx.follow.situation.node_names", found)
    monkeypatch.setattr("nvsx.screens.shell.completable_names.FIRST_WAIT", 60.0)
    names = KnownNames(Home())
    both = [("gpu-node-a1", "cheerful-cobra"), ("cheerful-cobra", "gpu-node-a1")]
    assert names("node") == both
    assert names("node") == both
    names.close(timeout=patience(10))
    assert len(asked) == 1


def test_a_cluster_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Tab waits for so long and no longer, and leaving ends the fetch."""
    began = threading.Event()

    async def never(_home: Home) -> Sequence[str]:
        began.set()
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr("nvsx.follow.situation.node_names", never)
    monkeypatch.setattr("nvsx.screens.shell.completable_names.FIRST_WAIT", 0.01)
    names = KnownNames(Home())
    assert names("node") == []
    assert began.wait(60)
    names.close(timeout=patience(60))
    assert not [t for t in threading.enumerate() if t.name == "nvsx-nodes"]
