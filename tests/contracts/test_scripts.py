"""What every Scripts does, on the fake and with real processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from tests.fakes.fake_scripts import Behaviour, FakeScripts
from tests.fakes.virtual_clock import VirtualClock
from tests.patience import patience

from nvsx.core.journal.entries import ScriptKind
from nvsx.core.ports import ProcessIdentity, Script, ScriptResult, Scripts
from nvsx.follow.processes.local_scripts import LocalScripts

Line = tuple[Literal["stdout", "stderr"], str]


class Stage:
    """A Scripts and a way to write scripts for it. `behaviour.seconds` is at most 0.1."""

    def __init__(self, scripts: Scripts, write: Callable[[str, Behaviour], None]) -> None:
        self.scripts = scripts
        self.write = write
        self.lines: list[Line] = []
        self.started: list[ProcessIdentity] = []
        self.running = asyncio.Event()
        self.folder = Path("/")

    async def run(
        self,
        name: str,
        *,
        timeout: float | None = None,
        kind: ScriptKind = "hook",
        key: str = "k",
        args: tuple[str, ...] = (),
    ) -> ScriptResult:
        async def on_start(identity: ProcessIdentity) -> None:
            self.started.append(identity)
            self.running.set()

        script = Script(
            kind=kind,
            path=str(self.folder / name),
            args=args,
            timeout=timeout,
            facts={"NVSX_IDEMPOTENCY_KEY": key},
        )
        return await self.scripts.run(script, lambda *line: self.lines.append(line), on_start)


def as_bash(behaviour: Behaviour) -> str:
    """The behaviour as a program."""
    text = "#!/usr/bin/env bash\n"
    for line in behaviour.lines:
        stream, words = ("stdout", line) if isinstance(line, str) else line
        text += f"echo '{words}'{' >&2' if stream == 'stderr' else ''}\n"
    pause = "3600" if behaviour.hang else str(behaviour.seconds)
    return text + f"sleep {pause}\nexit {behaviour.exit_code}\n"


@pytest.fixture(params=["fake", "local"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    """A stage on the fake or with real processes."""
    if request.param == "fake":
        fake = FakeScripts(VirtualClock())
        return Stage(fake, fake.on)

    def write(name: str, behaviour: Behaviour) -> None:
        if not behaviour.missing:
            (tmp_path / name).write_text(as_bash(behaviour))
            (tmp_path / name).chmod(0o755)

    local = LocalScripts(tmp_path, {"PATH": "/usr/bin:/bin"}, grace=1.0)
    found = Stage(local, write)
    found.folder = tmp_path
    return found


async def test_exit_code_and_lines(stage: Stage) -> None:
    """A script's exit code and the lines of each of its streams come back, in order."""
    stage.write("a.sh", Behaviour(exit_code=3, lines=("one", ("stderr", "bad"), "two")))
    result = await stage.run("a.sh")
    assert (result.exit_code, result.ok, result.timed_out) == (3, False, False)
    assert [text for stream, text in stage.lines if stream == "stdout"] == ["one", "two"]
    assert [text for stream, text in stage.lines if stream == "stderr"] == ["bad"]


async def test_success(stage: Stage) -> None:
    """Exit 0 is ok; the identity is told once; the duration is what it took."""
    stage.write("a.sh", Behaviour(seconds=0.1))
    result = await stage.run("a.sh")
    assert result.ok
    assert len(stage.started) == 1
    assert 0.099 < result.duration < 10


async def test_cannot_start(stage: Stage) -> None:
    """A script that cannot be started is a result with a reason, and never began."""
    stage.write("gone.sh", Behaviour(missing="gone.sh does not exist"))
    result = await stage.run("gone.sh")
    assert result.exit_code is None
    assert "gone.sh does not exist" in result.detail
    assert stage.started == []


async def test_timeout(stage: Stage) -> None:
    """A script over its limit is stopped, and says after how long."""
    stage.write("slow.sh", Behaviour(hang=True, lines=("begun",)))
    result = await stage.run("slow.sh", timeout=1)
    assert (result.exit_code, result.timed_out) == (None, True)
    assert result.detail == "timed out after 1s"
    assert stage.lines == [("stdout", "begun")]


async def test_cancel(stage: Stage) -> None:
    """Cancelling a call ends it, and leaves nothing that could be stopped as an orphan."""
    stage.write("slow.sh", Behaviour(hang=True))
    running = asyncio.create_task(stage.run("slow.sh", key="cancelled"))
    await asyncio.wait_for(stage.running.wait(), patience(5))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await stage.scripts.stop_orphan(stage.started[0], "cancelled")


async def test_no_orphan(stage: Stage) -> None:
    """There is nothing to stop for a key and a process that nobody has."""
    assert not await stage.scripts.stop_orphan(ProcessIdentity(2**22 - 3, 1.0), "never-used")
    assert not await stage.scripts.stop_orphan(None, "")


async def test_arguments_that_name_an_unset_variable_start_nothing(stage: Stage) -> None:
    """A script is not started with an argument left empty by mistake; the result says which."""
    stage.write("a.sh", Behaviour())
    wrong = await stage.run("a.sh", kind="action", args=("--to=$NVSX_TYPO", "${NVSX_SANDBOX}"))
    right = await stage.run("a.sh", kind="action", args=("$NVSX_IDEMPOTENCY_KEY", "$NVSX_DRILL"))
    assert wrong.exit_code is None
    assert "$NVSX_TYPO, which is not set" in wrong.detail
    assert right.ok
    assert len(stage.started) == 1
