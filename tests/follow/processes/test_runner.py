import asyncio
import base64
import os
import resource
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.patience import patience, until

from nvsx.core.ports import ProcessIdentity, Script, ScriptResult
from nvsx.follow.processes import process_groups, script_output
from nvsx.follow.processes.local_scripts import LocalScripts

PATH = "/usr/bin:/bin"
#: Seconds of grace that are over after the test's own limit: who waits for them has failed.
NEVER = 3600.0
Lines = list[tuple[str, str]]


class Bench:
    """Writes scripts into a project and runs them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: Lines = []
        self.identity: ProcessIdentity | None = None
        self.started = asyncio.Event()
        self.environ = {"PATH": PATH}
        self.grace = 0.5
        self.linger = 0.3

    def write(self, text: str, name: str = "hook.sh", mode: int = 0o755) -> Path:
        path = self.root / name
        path.write_text(text if text.startswith("#!") else f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(mode)
        return path

    def scripts(self) -> LocalScripts:
        return LocalScripts(self.root, self.environ, grace=self.grace, linger=self.linger)

    async def on_start(self, identity: ProcessIdentity) -> None:
        self.identity = identity
        self.started.set()

    async def run(self, script: Script) -> ScriptResult:
        return await self.scripts().run(
            script, lambda *line: self.lines.append(line), self.on_start
        )

    async def hook(self, text: str, timeout: float | None = 20) -> ScriptResult:
        path = self.write(text)
        return await self.run(Script(kind="hook", path=str(path), timeout=timeout))

    @property
    def out(self) -> list[str]:
        return [text for stream, text in self.lines if stream == "stdout"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench in an empty project."""
    return Bench(tmp_path)


def runs(pid: int) -> bool:
    """Whether a process is there and more than a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_working_folder_and_input(bench: Bench) -> None:
    """A script runs in the project folder, in a group of its own, and reads an empty input."""
    result = await bench.hook("pwd; cat; ps -o pgid= -p $$ | tr -d ' '; echo $$")
    assert result.ok
    assert bench.out[0] == str(bench.root)
    assert bench.out[1] == bench.out[2]


async def test_command_line(bench: Bench) -> None:
    """A prerequisite's command goes through a shell."""
    result = await bench.run(Script(kind="prerequisite", command="echo a | tr a b; exit 4"))
    assert (result.exit_code, bench.out) == (4, ["b"])


async def test_arguments_reach_the_script_as_they_are(bench: Bench) -> None:
    """Arguments are passed on without a shell looking at them."""
    path = bench.write('printf "%s\\n" "$@"')
    args = ("a b", "$HOME", "*", "")
    result = await bench.run(Script(kind="action", path=str(path), args=args))
    assert result.ok
    assert bench.out == list(args)


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("#!/usr/bin/env bash\n", 0o644, "not executable: chmod +x"),
        ("#!/no/such/shell\n", 0o755, "its interpreter /no/such/shell does not exist"),
        ("#!/bin/sh\n# nvsx:unreviewed\n", 0o755, "nvsx convert --accept RUNBOOK"),
        ("#!/bin/sh" + " " * 3000 + "\n\t#nvsx:unreviewed: x\n", 0o755, "not reviewed yet"),
        ("#!/bin/bash\r\necho a\r\n", 0o755, "Windows line endings"),
        ("#!", 0o755, "begin it with #!/usr/bin/env bash"),
    ],
)
async def test_what_cannot_be_started(bench: Bench, text: str, mode: int, reason: str) -> None:
    """A script that cannot be started says why, and what to do."""
    path = bench.write(text, mode=mode)
    if text == "#!":
        path.write_text("echo no interpreter named\n")
    result = await bench.run(Script(kind="hook", path=str(path)))
    assert result.exit_code is None
    assert reason in result.detail
    assert bench.identity is None


@pytest.mark.parametrize("name", ["missing.sh", "folder"])
async def test_missing_script(bench: Bench, name: str) -> None:
    """A missing script and a folder in its place are results, not exceptions."""
    (bench.root / "folder").mkdir()
    result = await bench.run(Script(kind="hook", path=str(bench.root / name)))
    assert result.exit_code is None
    assert name in result.detail


async def test_null_byte(bench: Bench) -> None:
    """An argument the system cannot pass on is a result too."""
    path = bench.write("true")
    result = await bench.run(Script(kind="action", path=str(path), args=("a\0b",)))
    assert "null byte" in result.detail


async def test_project_gone(bench: Bench) -> None:
    """A project folder that was removed is named."""
    path = bench.write("true")
    bench.root = bench.root / "removed"
    result = await bench.run(Script(kind="hook", path=str(path)))
    assert "removed is gone" in result.detail


async def test_death_by_signal(bench: Bench) -> None:
    """A script killed by a signal has no exit code; the signal is named."""
    result = await bench.hook("kill -KILL $$")
    assert (result.exit_code, result.detail) == (None, "killed by SIGKILL")


async def test_timeout_while_it_prints(bench: Bench) -> None:
    """The limit holds for a script that never stops printing, and memory stays bounded."""
    result = await bench.hook("yes 'still at it'", timeout=1)
    assert result.timed_out
    assert len(bench.lines) <= script_output.MAX_LINES + script_output.TAIL_LINES + 1


async def test_deaf_script_and_its_children_are_killed(bench: Bench) -> None:
    """A script that ignores TERM is killed with its children after the grace time."""
    result = await bench.hook(
        "trap '' TERM\n(trap '' TERM; while :; do sleep 0.1; done) &\necho $!\nwait", timeout=0.5
    )
    assert result.timed_out
    child = int(bench.out[0])
    await until(lambda: not runs(child))
    assert bench.identity is not None
    assert not runs(bench.identity.pid)


async def test_term_lets_it_clean_up(bench: Bench) -> None:
    """A script that handles TERM gets the time to, its last words are heard, and what is left
    of the grace time is not waited for."""
    bench.grace = NEVER
    result = await bench.hook("trap 'echo cleaned; exit 0' TERM\nsleep 3600 & wait", timeout=0.5)
    assert result.timed_out
    assert bench.out == ["cleaned"]


async def test_cancel_kills_the_group(bench: Bench) -> None:
    """When a cancelled call returns, the script is gone, and its children are or are dying."""
    path = bench.write("trap '' TERM; sleep 3600 & echo $!; wait; sleep 3600")
    task = asyncio.create_task(bench.run(Script(kind="action", path=str(path))))
    await until(lambda: bool(bench.out))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.identity is not None
    assert not runs(bench.identity.pid)
    await until(lambda: not runs(int(bench.out[0])))


async def test_second_cancel_does_not_wait(bench: Bench) -> None:
    """A second cancel skips the grace time."""
    bench.grace = NEVER
    path = bench.write("trap '' TERM; echo deaf; while :; do sleep 0.1; done")
    task = asyncio.create_task(bench.run(Script(kind="hook", path=str(path))))
    await until(lambda: bool(bench.out))
    task.cancel()
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.identity is not None
    assert not runs(bench.identity.pid)


async def test_cancel_at_once_leaves_nothing(bench: Bench) -> None:
    """A call cancelled while the script is being started leaves no process behind."""
    key = f"early-{os.getpid()}"
    path = bench.write("sleep 3600")
    for turns in range(6):
        script = Script(kind="hook", path=str(path), facts={"NVSX_IDEMPOTENCY_KEY": key})
        task = asyncio.create_task(bench.run(script))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert process_groups.find_orphans(None, key) == set()


async def test_failing_on_start_stops_the_script(bench: Bench) -> None:
    """When the identity cannot be written down the script does not go on, and the error is told."""
    path = bench.write("sleep 3600")
    seen: list[int] = []

    async def refuse(identity: ProcessIdentity) -> None:
        seen.append(identity.pid)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        await bench.scripts().run(Script(kind="hook", path=str(path)), lambda *_: None, refuse)
    assert not runs(seen[0])


async def test_background_child_of_a_hook(bench: Bench) -> None:
    """A hook's child that keeps its output open is stopped after a while; its result holds."""
    result = await bench.hook("sleep 3600 & echo $!", timeout=20)
    assert result.exit_code == 0
    assert "held its output open" in result.detail
    assert result.duration < 5
    await until(lambda: not runs(int(bench.out[0])))


async def test_background_child_of_an_action(bench: Bench) -> None:
    """An action's child that keeps its output open goes on, and the action has ended."""
    path = bench.write("sleep 3600 & echo $!")
    result = await bench.run(Script(kind="action", path=str(path), timeout=20))
    child = int(bench.out[0])
    try:
        assert result.exit_code == 0
        assert "go on unread" in result.detail
        assert runs(child)
    finally:
        os.kill(child, signal.SIGKILL)


async def test_identity(bench: Bench) -> None:
    """The identity is the leader's pid and the start time the system tells."""
    path = bench.write("echo up; sleep 3600")
    task = asyncio.create_task(bench.run(Script(kind="hook", path=str(path))))
    await until(lambda: bool(bench.out))
    assert bench.identity is not None
    process = psutil.Process(bench.identity.pid)
    assert process.create_time() == pytest.approx(bench.identity.started, abs=0.1)
    assert os.getpgid(process.pid) == process.pid
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_shortage_of_file_descriptors_passes(bench: Bench) -> None:
    """Scripts that cannot be started for want of file descriptors start when some are free."""
    path = bench.write("sleep 0.2")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 24, hard))
    try:
        script = Script(kind="hook", path=str(path))
        results = await asyncio.gather(*(bench.run(script) for _ in range(12)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [result.detail for result in results if not result.ok] == []


# --- output -------------------------------------------------------------------------------


async def test_control_sequences_and_bad_utf8(bench: Bench) -> None:
    """Colours, titles, cursor movements and bad bytes end as plain text."""
    await bench.hook(
        r"""printf '\033[1;31mred\033[0m \033]0;title\007text\b\033]8;;http://x\033\\link\n'
printf 'a\377b\n'; printf '10%%\r50%%\r100%%\r\n'; printf '[bold]not markup[/bold]\tTab\n'
printf '\033P1$r\033\\dcs\033(B\302\2331m end'"""
    )
    assert bench.out == [
        "red textlink",
        "a�b",
        "100%",
        "[bold]not markup[/bold]\tTab",
        "dcs end",
    ]
    assert not any(ord(c) < 32 and c != "\t" for line in bench.out for c in line)
    assert not any(0x7F <= ord(c) < 0xA0 for line in bench.out for c in line)


async def test_megabyte_without_newline(bench: Bench) -> None:
    """A megabyte in one line arrives as one cut line that tells its size."""
    result = await bench.hook("head -c 1000000 /dev/zero | tr '\\0' x")
    assert result.ok
    assert len(bench.out) == 1
    assert bench.out[0].startswith("x" * script_output.MAX_LINE + " … line cut (1000000 bytes)")


async def test_flood_is_cut_and_the_end_is_kept(bench: Bench) -> None:
    """Of endless output the beginning and the last lines arrive, with a note between."""
    result = await bench.hook("seq 1 200000; echo 'the error'; exit 1")
    assert result.exit_code == 1
    assert bench.out[0] == "1"
    assert bench.out[-1] == "the error"
    assert bench.out[-2] == "200000"
    cuts = [line for line in bench.out if line.startswith("… output cut")]
    assert len(cuts) == 1
    assert len(bench.out) == script_output.MAX_LINES + 1 + script_output.TAIL_LINES
    lost = sum(len(str(n)) + 1 for n in range(script_output.MAX_LINES + 1, 200001 - 49))
    assert f" {lost} bytes" in cuts[0]


@pytest.mark.parametrize("flood", ["yes", "tr '\\0' '\\n' < /dev/zero"])
async def test_flood_does_not_starve_the_loop(bench: Bench, flood: str) -> None:
    """While a script floods its output without end, other work in the loop gets its turns."""
    task = asyncio.create_task(bench.hook(flood, timeout=None))
    await until(lambda: any(line.startswith("y") or not line for line in bench.out))
    for _ in range(200):
        await asyncio.sleep(0.001)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_secrets_are_masked(bench: Bench) -> None:
    """Secrets of the environment do not come through, plain, encoded or across a cut."""
    token = "s3cr3t-t0ken-value"
    bench.environ |= {"SLACK_TOKEN": token}
    await bench.hook(
        'echo "t=$SLACK_TOKEN"; echo "curl https://me:pw@host/x" >&2\n'
        'printf "u:$SLACK_TOKEN" | base64\n'
        f'printf "%{script_output.MAX_LINE - 5}s%s" "" "$SLACK_TOKEN"'
    )
    text = "\n".join(line for _, line in bench.lines)
    assert "t=***" in text
    assert "https://***@host/x" in text
    assert token not in text
    assert token[:5] not in text
    assert base64.b64encode(f"u:{token}".encode()).decode()[4:20] not in text


# --- orphans ------------------------------------------------------------------------------


def orphan(bench: Bench, text: str, key: str) -> subprocess.Popen[bytes]:
    """A script whose owner knows nothing of it any more."""
    path = bench.write(text, "orphan.sh")
    return subprocess.Popen(
        [str(path)],
        env={"PATH": PATH, "NVSX_IDEMPOTENCY_KEY": key},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )


async def test_orphan_by_identity(bench: Bench) -> None:
    """An orphan is found by pid and start time and stopped with its group."""
    with orphan(bench, "exec sleep 3600", "") as process:
        identity = process_groups.identify(process.pid, 0)
        assert await bench.scripts().stop_orphan(identity, "")
        assert process.wait(patience(5)) == -signal.SIGTERM


async def test_reused_pid_is_spared(bench: Bench) -> None:
    """A process that has the pid but not the start time is somebody else's."""
    with orphan(bench, "exec sleep 3600", "") as process:
        identity = process_groups.identify(process.pid, 0)
        older = ProcessIdentity(identity.pid, identity.started - 60)
        assert not await bench.scripts().stop_orphan(older, "another-key")
        assert process.poll() is None
        process.kill()


async def test_orphan_by_key(bench: Bench) -> None:
    """Without an identity an orphan is found by its key, as is a child that outlived it."""
    key = f"run-1/detect/hook {os.getpid()}"
    with orphan(bench, "trap '' TERM\nsleep 3600 & \nexit 0", key) as process:
        process.wait(patience(5))
        assert process_groups.find_orphans(None, key) == {process.pid}
        assert process_groups.find_orphans(None, key + "0") == set()
        assert await bench.scripts().stop_orphan(None, key)
        # Killed is not gone yet: the kernel may take a moment on a busy machine.
        await until(lambda: process_groups.find_orphans(None, key) == set())


async def test_arguments_are_what_the_environment_says(tmp_path: Path) -> None:
    """Arguments get what the operator exported and the run's facts, those of senders made
    plain; nothing passes through a shell."""
    bench = Bench(tmp_path)
    bench.environ["NVSX_CHANNEL"] = "#gpu ops"
    path = bench.write('printf "%s\\n" "$@"')
    args = (
        "$NVSX_CHANNEL",
        "${NVSX_TRIGGER}",
        "$NVSX_PLAYGROUND/x",
        "$(id)",
        "$HOME",
        "$NVSX_DRILL",
    )
    facts = {"NVSX_TRIGGER": "a;rm -rf"}
    await bench.run(Script(kind="action", path=str(path), args=args, facts=facts))
    assert bench.out == ["#gpu ops", "a-rm--rf", f"{tmp_path}/x", "$(id)", "$HOME", ""]


async def test_secrets_in_the_report_file_go_and_no_line_is_lost(bench: Bench) -> None:
    """A script's report file loses its secrets when the script ends, in place: what another
    script is still adding through a handle it holds stays whole."""
    bench.environ["A_TOKEN"] = "planted-\xe9-one"
    report = bench.root / "report.txt"
    path = bench.write(f'echo "a $A_TOKEN b" >>{report}; printf "half $A_TOKEN" >>{report}')
    with report.open("ab", buffering=0) as other:
        other.write(b"\xff first\n")
        facts = {"NVSX_REPORT_FILE": str(report)}
        result = await bench.run(Script(kind="hook", path=str(path), facts=facts, timeout=20))
        other.write(b" of it\nlast\n")
    assert result.report == ("\ufffd first", "a *** b", "half ***")
    words = [line.split() for line in report.read_bytes().split(b"\n")]
    assert words == [
        [b"\xff", b"first"],
        [b"a", b"***", b"b"],
        [b"half", b"***", b"of", b"it"],
        [b"last"],
        [],
    ]
