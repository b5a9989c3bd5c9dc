"""A script's end is kept by what stands beside it, also when nvsx is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nvsx.core.ports import ProcessIdentity, Script, ScriptResult
from nvsx.follow.processes.local_scripts import LocalScripts

KEY = "r-1.detect.hook"
#: A process that runs one script as nvsx does, and can be killed.
NVSX = """
import asyncio, sys
from pathlib import Path
from nvsx.core.ports import Script
from nvsx.follow.processes.local_scripts import LocalScripts
folder = Path(sys.argv[1])
script = Script(kind="hook", path=str(folder / "h.sh"), end_file=str(folder / "ends" / "1"),
                facts={"NVSX_IDEMPOTENCY_KEY": sys.argv[2]})
async def started(identity):
    print(identity.pid, identity.started, flush=True)
scripts = LocalScripts(folder, {"PATH": "/usr/bin:/bin"})
asyncio.run(scripts.run(script, lambda _, line: print(line, flush=True), started))
"""


def write_hook(folder: Path, text: str) -> Script:
    """A hook whose end is kept."""
    path = folder / "h.sh"
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return Script(
        kind="hook",
        path=str(path),
        end_file=str(folder / "ends" / "1"),
        facts={"NVSX_IDEMPOTENCY_KEY": KEY},
    )


def scripts_in(folder: Path) -> LocalScripts:
    """As a process of nvsx has them."""
    return LocalScripts(folder, {"PATH": "/usr/bin:/bin"}, grace=1.0)


@pytest.fixture
def no_orphans() -> Iterator[None]:
    """Whatever a test leaves behind is ended by its key."""
    yield
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("NVSX_IDEMPOTENCY_KEY") == KEY:
            os.kill(process.pid, signal.SIGKILL)


async def kill_nvsx(folder: Path) -> ProcessIdentity:
    """Start the hook as nvsx does, and kill nvsx as soon as the hook runs."""
    nvsx = await asyncio.create_subprocess_exec(
        sys.executable, "-c", NVSX, str(folder), KEY, stdout=asyncio.subprocess.PIPE
    )
    assert nvsx.stdout is not None
    # The hook's first line and its identity come in either order.
    told = {await nvsx.stdout.readline(), await nvsx.stdout.readline()}
    told.remove(b"begun\n")
    pid, started = told.pop().split()
    nvsx.kill()
    await nvsx.stdout.read()
    await nvsx.wait()
    return ProcessIdentity(int(pid), float(started))


async def run_script(folder: Path, script: Script) -> tuple[ScriptResult, list[str]]:
    """Run it to its end; how that was, and what it printed."""
    lines: list[str] = []

    async def started(_: ProcessIdentity) -> None: ...

    result = await scripts_in(folder).run(script, lambda _, line: lines.append(line), started)
    return result, lines


@pytest.mark.parametrize(
    ("text", "code", "detail"),
    [
        ("exit 0", 0, ""),
        ("exit 3", 3, ""),
        ("kill -KILL $$", None, "killed by SIGKILL"),
        ("kill -TERM $$", None, "killed by SIGTERM"),
    ],
)
async def test_the_end_is_told_as_without_a_supervisor(
    tmp_path: Path, text: str, code: int | None, detail: str
) -> None:
    """Exit code, or the signal that killed the script; and nothing is added to its output."""
    result, lines = await run_script(tmp_path, write_hook(tmp_path, f"echo one\n{text}"))
    assert (result.exit_code, result.detail) == (code, detail)
    assert lines == ["one"]


@pytest.mark.parametrize("code", [0, 7])
@pytest.mark.usefixtures("no_orphans")
async def test_a_script_that_outlives_nvsx_is_waited_for(tmp_path: Path, code: int) -> None:
    """nvsx is killed while the hook runs: the next one gets the hook's exit code, when it ends."""
    text = f"echo begun\nwhile [ ! -e go ]; do sleep 0.02; done\nexit {code}"
    script = write_hook(tmp_path, text)
    identity = await kill_nvsx(tmp_path)
    finding = asyncio.create_task(scripts_in(tmp_path).find_end(script, identity, 30))
    done, _ = await asyncio.wait({finding}, timeout=0.2)
    assert not done
    (tmp_path / "go").touch()
    result = await finding
    assert result is not None
    assert result.exit_code == code


@pytest.mark.usefixtures("no_orphans")
async def test_the_end_of_a_script_over_its_time_is_not_known(tmp_path: Path) -> None:
    """It is not waited for longer than its limit, and then is an orphan to be stopped."""
    script = write_hook(tmp_path, "echo begun\nexec sleep 600")
    identity = await kill_nvsx(tmp_path)
    scripts = scripts_in(tmp_path)
    assert await scripts.find_end(script, identity, 0.0) is None
    assert await scripts.stop_orphan(identity, KEY)


@pytest.mark.usefixtures("no_orphans")
async def test_a_script_whose_reader_died_has_not_ended_by_itself(tmp_path: Path) -> None:
    """It wrote to nvsx after that was killed, which killed it too: it is to run again."""
    text = "echo begun\nwhile [ ! -e go ]; do sleep 0.02; done\necho x\necho y\nexit 0"
    script = write_hook(tmp_path, text)
    identity = await kill_nvsx(tmp_path)
    (tmp_path / "go").touch()
    assert await scripts_in(tmp_path).find_end(script, identity, 30) is None


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("echo no interpreter", "has no interpreter"),
        ("#!/no/such/interpreter\n", "does not exist"),
        ("#!/bin/bash\r\n", "Windows line endings"),
    ],
)
async def test_what_cannot_start_is_said_as_before(tmp_path: Path, head: str, why: str) -> None:
    """A shell would run or misname it; nvsx says what is wrong, and starts nothing."""
    script = write_hook(tmp_path, "")
    Path(script.path).write_bytes(head.encode())
    result, _ = await run_script(tmp_path, script)
    assert result.exit_code is None
    assert why in result.detail
