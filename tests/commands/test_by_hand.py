"""Runs by hand: what is refused, and which signals end them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.patience import patience

from nvsentinel_sandbox.host import Sandbox
from nvsx.commands.author import who
from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.commands.runs.runs_desk import open_desk
from nvsx.core.errors import StoreBusy, UsageError
from nvsx.core.journal import entries as j
from nvsx.project.home import Home
from nvsx.store.sqlite_journal import SqliteJournal

BOOK = """
apiVersion: nvsx/v1
kind: Runbook
metadata: {name: t}
stages: [{id: preflight, hook: hooks/t/h.sh}]
drill: {fault: xid-79}
"""


def _project(root: Path, hook: str = "true") -> Home:
    folder = root / "runbooks" / "hooks" / "t"
    folder.mkdir(parents=True)
    (root / "nvsx.yaml").write_text("apiVersion: nvsx/v1\nkind: Project\n")
    (root / "runbooks" / "t.yaml").write_text(BOOK)
    (folder / "h.sh").write_text(f"#!/bin/sh\n{hook}\n")
    (folder / "h.sh").chmod(0o755)
    return Home(str(root))


class OnHook:
    """A view that sends a signal to this process when the hook prints."""

    def __init__(self, signum: signal.Signals) -> None:
        self._signum = signum
        self.run_id = ""

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        self.run_id = entry.run_id
        if isinstance(entry.body, j.Output) and entry.body.line == "begin":
            os.kill(os.getpid(), self._signum)

    async def close(self) -> None:
        return None


class Begun:
    """A view that tells the run's id once its hook prints, and what people noted."""

    def __init__(self) -> None:
        self.run_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.notes: list[j.NoteMade] = []
        self.noted = asyncio.Event()

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        body = entry.body
        if isinstance(body, j.Output) and body.line == "begin" and not self.run_id.done():
            self.run_id.set_result(entry.run_id)
        if isinstance(body, j.NoteMade) and body.author:
            self.notes.append(body)
            self.noted.set()

    async def close(self) -> None:
        return None


@pytest.fixture
def nohup() -> Iterator[None]:
    """SIGHUP is ignored, as nohup leaves it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("nohup")
async def test_run_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    """Started with SIGHUP ignored, a run goes on when the terminal closes."""
    home = _project(tmp_path, "echo begin; sleep 0.3; echo end")
    view = OnHook(signal.SIGHUP)
    finish = await run_by_hand(home, RunOptions("t", sandbox=True), [view])
    assert (finish.status, finish.exit_code) == ("passed", 0)


async def test_terminal_that_closes_ends_the_run(tmp_path: Path) -> None:
    """Without nohup, SIGHUP cancels the run as Ctrl-C does."""
    home = _project(tmp_path, "echo begin; sleep 20")
    view = OnHook(signal.SIGHUP)
    finish = await run_by_hand(home, RunOptions("t", sandbox=True), [view])
    assert (finish.status, finish.exit_code) == ("cancelled", 129)


async def test_another_terminal_notes_and_cancels(tmp_path: Path) -> None:
    """What `nvsx runs note` and `cancel` ask of a run by hand from elsewhere is done."""
    home = _project(tmp_path, "echo begin; sleep 60")
    view = Begun()
    async with asyncio.timeout(patience(30)):
        running = asyncio.create_task(run_by_hand(home, RunOptions("t", sandbox=True), [view]))
        run_id = await view.run_id
        async with open_desk(home) as desk:
            assert await desk.note(run_id, "vendor called") == f"noted on run {run_id}"
            await view.noted.wait()
            await desk.cancel(run_id, "wrong node")
            finish = await running
            assert list(await desk.inbox.asks()) == []
    assert [(n.author, n.text) for n in view.notes] == [(who(), "vendor called")]
    assert (finish.status, finish.reason, finish.exit_code) == ("cancelled", "wrong node", 1)


async def test_a_run_on_the_sandbox_cannot_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--sandbox --resume is refused before a sandbox is started for it."""
    home = _project(tmp_path / "project")
    monkeypatch.setattr("nvsentinel_sandbox.host.Sandbox", None)
    with pytest.raises(UsageError, match="cannot be resumed"):
        await run_by_hand(home, RunOptions("t", sandbox=True, resume="r-1"), [])


class DiskFull:
    """A view that has every further append fail, as on a full disk, once the hook prints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.run_id = ""

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        self.run_id = entry.run_id
        if isinstance(entry.body, j.Output) and entry.body.line == "begin":
            self._patch.setattr(SqliteJournal, "append", self._fails)

    async def close(self) -> None:
        return None

    @staticmethod
    async def _fails(*_: object, **__: object) -> None:
        raise StoreBusy("the disk is full", "free some space")


@contextmanager
def _cluster(folder: Path) -> Iterator[Sandbox]:
    """A sandbox in a thread of its own: some kubectls ask the server even for its context,
    while this loop waits for them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sandbox = Sandbox(state_dir=folder, seed=1)
    try:
        asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(30)
        yield sandbox
        asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.kubectl
async def test_a_run_that_a_full_disk_stopped_says_how_to_go_on_and_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the command with the run's id, and with room that command ends the run."""
    home = _project(tmp_path, "echo begin")
    with _cluster(tmp_path / "sandbox") as sandbox:
        monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig))
        with monkeypatch.context() as full:
            view = DiskFull(full)
            options = RunOptions("t", target_node=sandbox.default_node)
            with pytest.raises(StoreBusy) as stopped:
                await run_by_hand(home, options, [view])
        assert view.run_id
        again = f"nvsx run t --resume {view.run_id}"
        assert stopped.value.hint == f"free some space; then `{again}` goes on"
        finish = await run_by_hand(home, RunOptions("t", resume=view.run_id), [])
        assert finish.status == "passed"
