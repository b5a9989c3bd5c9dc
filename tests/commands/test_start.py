"""What a quick command must not import, and the help that is printed without importing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands.conftest import Command
from tests.patience import patience

from nvsx.commands.app import COMMANDS, CommandsOnDemand, build_application

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "aiohttp anthropic markdown_it prometheus_client prompt_toolkit psutil psycopg pymongo rich "
)
HEAVY += "sqlalchemy textual"

PROGRAM = """
import sys
from nvsx.commands.main import main
code = main({args!r})
sys.stdout.flush()
print("\\n".join(sorted(n for n in sys.modules if "." not in n)), file=sys.stderr)
sys.exit(code)
"""


def _imported(*args: str, code: int | None = 0) -> set[str]:
    """The top-level modules a fresh process has after `nvsx ARGS`, which ends with `code`, None
    for any."""
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(args=list(args))],
        capture_output=True,
        text=True,
        timeout=patience(30),
        check=False,
        env=env,
        cwd=ROOT,
    )
    assert done.stdout
    assert code in (None, done.returncode)
    return set(done.stderr.split())


@pytest.mark.parametrize("args", [("list",), ("show", "gpu-off-bus"), ("--context", "c", "list")])
def test_list_imports_no_heavy_library(args: tuple[str, ...]) -> None:
    """`nvsx list` and `show` load no HTTP, database, terminal or AI library, and nothing that
    only other commands need."""
    assert sorted(_imported(*args) & {*HEAVY.split(), "asyncio", "ssl"}) == []


@pytest.mark.parametrize(
    "args",
    [
        ("list",),
        ("list", "-o", "json"),
        ("show", "gpu-off-bus"),
        ("history", "--node", "n1", "-o", "json"),
        ("incidents", "list", "-o", "json"),
    ],
)
def test_values_that_need_no_converting_need_no_pydantic(args: tuple[str, ...]) -> None:
    """Options that were not given, texts and flags are taken without loading pydantic."""
    _imported(*args)  # the first list reads the runbooks with it, and keeps what it read
    assert "pydantic" not in _imported(*args)


@pytest.mark.parametrize("args", [("runs", "list"), ("incidents", "list"), ("status",)])
def test_what_only_reads_the_store_loads_no_database_library(args: tuple[str, ...]) -> None:
    """Runs, incidents and status are read with SQLite's own driver, once there is a database."""
    _imported("runs", "list")
    assert sorted(_imported(*args, code=None) & {"sqlalchemy", "psycopg"}) == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("history", "--limit", "x"), "Invalid value for '--limit'"),
        (("runs", "list", "--limit", "0"), "Invalid value for '--limit'"),
        (("show",), "Missing argument 'runbook'"),
    ],
)
def test_values_that_need_converting_are_checked(
    nvsx: Command, args: tuple[str, ...], told: str
) -> None:
    """A number that is none, one beyond its limits and a missing argument are refused."""
    said = nvsx(*args)
    assert said.code == 2
    assert told in said.err


def test_each_command_is_found_where_it_lives() -> None:
    """Every command of the table is made by the module that it names."""
    for name in COMMANDS:
        assert CommandsOnDemand()[name].name == name


def test_an_unknown_command_is_told_among_all(nvsx: Command) -> None:
    """A word that is no command is refused, with the nearest one."""
    said = nvsx("lst")
    assert said.code == 2
    assert "list" in said.err


@pytest.mark.parametrize("args", [("--help",), ("--version",)])
def test_help_imports_nothing(args: tuple[str, ...]) -> None:
    """--help and --version load neither Typer nor pydantic."""
    assert sorted(_imported(*args) & {*HEAVY.split(), "typer", "pydantic", "yaml"}) == []


def test_help_is_what_the_application_says(
    nvsx: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`nvsx --help`, read from a file, is what the application itself would print."""
    monkeypatch.setenv("COLUMNS", "80")
    build_application()(args=["--help"], prog_name="nvsx", standalone_mode=False)
    made = capsys.readouterr().out
    monkeypatch.delenv("COLUMNS")
    assert nvsx("--help").out == nvsx("-h").out == made


def test_narrow_terminal_gets_its_own_help(nvsx: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets COLUMNS gets help of that width."""
    monkeypatch.setenv("COLUMNS", "50")
    said = nvsx("--help")
    assert max(map(len, said.out.splitlines())) <= 50
    assert os.environ["COLUMNS"] == "50"
