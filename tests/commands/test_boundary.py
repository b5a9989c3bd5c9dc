"""The error boundary: nobody sees a traceback, and readers may leave."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands.conftest import Command
from tests.patience import patience
from tests.screens import incidents

from nvsx.core.journal.run_rows import NewRun
from nvsx.store import open_store

SECRET = "s3cret-value-0123456789"


def test_internal_error_goes_to_the_crash_log(
    nvsx: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours: exit 1, one message that names the log; the traceback is in the log,
    which is private and without secrets."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", SECRET)

    def broken(*_: object) -> None:
        raise ZeroDivisionError(f"no way, {SECRET}")

    monkeypatch.setattr("nvsx.commands.list_command.summarise_runbooks", broken)
    said = nvsx("list")
    log = Path(os.environ["NVSX_STATE_DIR"]) / "crash.log"
    assert said.code == 1
    assert said.err.splitlines() == [
        "nvsx: internal error: ZeroDivisionError: no way, ***",
        f"  details are in {log}; please report it with them",
    ]
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "in broken" in text
    assert SECRET not in text
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_internal_error_without_a_state_folder(
    nvsx: Command, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nowhere to write the details, the message still comes, and nothing else breaks."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("NVSX_STATE_DIR", str(tmp_path / "file" / "state"))
    monkeypatch.setattr("nvsx.commands.list_command.summarise_runbooks", lambda *_: 1 / 0)
    said = nvsx("list")
    assert said.code == 1
    assert said.err == "nvsx: internal error: ZeroDivisionError: division by zero\n"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A state folder with one finished run, and the run's id."""
    state = tmp_path_factory.mktemp("state")
    return state, asyncio.run(store_repaired_run(state))


async def store_repaired_run(state: Path) -> str:
    """Keep a repaired incident's run in `state`; its id."""
    journal = open_store(state)
    lease = await journal.create(NewRun(runbook="gpu-off-bus", cluster="c", node=incidents.NODE))
    await journal.append(lease, [entry.body for entry in incidents.repaired().entries])
    journal.close()
    return lease.run_id


def run_without_reader(state: Path, *command: str) -> tuple[int, str]:
    """Run `nvsx COMMAND` with a standard output that nobody reads; exit code and error output."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "nvsx", *command],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=patience(240),
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "NVSX_STATE_DIR": str(state), "KUBECONFIG": os.devnull},
    )
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("--help",),
        ("--version",),
        ("list",),
        ("list", "-o", "json"),
        ("show", "gpu-off-bus"),
        ("lint", "-o", "json"),
        ("schema",),
        ("run", "gpu-off-bus", "--dry-run"),
        ("doctor",),
        ("history",),
        ("history", "-o", "json"),
        ("history", "-o", "csv"),
        ("report", "RUN"),
        ("report", "RUN", "-o", "json"),
        ("stats",),
        ("runs", "list", "--all"),
        ("runs", "show", "RUN"),
        ("runs", "show", "RUN", "-o", "jsonl"),
        ("runs", "follow", "RUN"),
        ("attach", "RUN"),
        ("explain",),
        ("explain", "-o", "json"),
        ("silence",),
        ("sandbox", "faults"),
    ],
    ids=" ".join,
)
def test_a_reader_that_left_ends_every_command_alike(
    command: tuple[str, ...], past: tuple[Path, str]
) -> None:
    """`nvsx … | true`: exit code 141, no message, no traceback, whatever was being printed."""
    state, run_id = past
    words = (run_id if word == "RUN" else word for word in command)
    assert run_without_reader(state, *words) == (141, "")


def test_a_run_does_not_need_its_reader(tmp_path: Path) -> None:
    """`nvsx run -o jsonl | true`: the run goes on to its end and has its own exit code."""
    code, told = run_without_reader(
        tmp_path, "run", "gpu-off-bus", "--sandbox", "-o", "jsonl", "--no-dwell"
    )
    assert code == 0
    assert "Traceback" not in told
    assert asyncio.run(statuses_of_runs(tmp_path)) == ["passed"]


async def statuses_of_runs(state: Path) -> list[str]:
    """How the runs in a state folder stand."""
    journal = open_store(state)
    try:
        return [row.status for row in await journal.runs(limit=10)]
    finally:
        journal.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
@pytest.mark.parametrize(
    "command", [("--version",), ("list",), ("schema",), ("history", "-o", "csv")], ids=" ".join
)
def test_output_that_cannot_be_written_is_told(
    command: tuple[str, ...], past: tuple[Path, str]
) -> None:
    """`nvsx … > /dev/full`: exit code 1 and one sentence, whatever was being printed."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nvsx", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=patience(240),
            check=False,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "NVSX_STATE_DIR": str(past[0])},
        )
    told = "nvsx: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_without_an_output_commands_work_all_the_same() -> None:
    """`nvsx … >&- 2>&-`: what was asked for is done, with its own exit code."""
    for command, code in (("list", 0), ("nosuch", 2), ("--version", 0)):
        done = subprocess.run(
            ["sh", "-c", f'"{sys.executable}" -m nvsx {command} >&- 2>&-'],
            timeout=patience(240),
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == code


def test_a_pipe_of_another_kind_is_a_fault_of_ours(
    nvsx: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken pipe while the reader is there is told, and never taken for a reader that left."""

    def broken(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("nvsx.commands.list_command.summarise_runbooks", broken)
    said = nvsx("list")
    assert said.code == 1
    assert said.err.startswith("nvsx: internal error: BrokenPipeError")
