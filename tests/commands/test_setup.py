"""The wizard: what each answer leads to on clusters of every kind, and that a no is a no."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.commands.kinds import on_postgresql, without_nvsentinel, without_permission
from tests.patience import patience

from nvsentinel_sandbox.host import Sandbox
from nvsx.cluster.gateway import DirectGateway
from nvsx.commands import main
from nvsx.commands.setup.setup_command import Stopped, Wizard
from nvsx.core.errors import ClusterError, Conflict, UsageError
from nvsx.lint import linter
from nvsx.nvsentinel.names import VOCABULARY
from nvsx.project import cel, loader, settings
from nvsx.project.home import Home

# Makes the pseudo-terminal the controlling one, so that Ctrl-C is a signal.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
ALL = (
    "any-fault csp-maintenance driver-hang ecc-double-bit gpu-off-bus gsp-hang inforom-corrupt "
    "network-link-down node-not-ready nvlink-fault nvswitch-fault preflight-failed "
    "row-remap-failure thermal-throttle"
).split()
#: The sandbox runs no preflight tests.
FITTING = [name for name in ALL if name != "preflight-failed"]


class Answers:
    """Gives the answers in turn, Enter when they run out, and keeps the questions."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []

    def __call__(self, question: str, default: str) -> str:
        self.questions.append(question)
        return (self.answers.pop(0) if self.answers else "") or default


def digest(folder: Path) -> str:
    """A hash of every name, mode and byte under a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        total.update(f"{path.relative_to(folder)} {path.lstat().st_mode}\n".encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


@pytest.fixture
async def sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sandbox]:
    """A cluster of the variant the test is parametrised with."""
    made = Sandbox(
        state_dir=tmp_path_factory.mktemp("sandbox"), variant=getattr(request, "param", "")
    )
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def walk(sandbox: Sandbox, answers: Answers, **options: bool) -> dict[str, Any]:
    """One walk through the wizard, in a thread since it runs loops of its own."""
    gateway = DirectGateway(sandbox.url, sandbox.read_only_token, name="lab")
    wizard = Wizard(Home(), answers, gateway=gateway)
    return await asyncio.to_thread(wizard.run, **options)


async def test_a_full_walk_makes_a_project_that_works(sandbox: Sandbox, here: Path) -> None:
    """After yes to everything: every fitting runbook valid, executable hooks, valid settings."""
    told = await walk(sandbox, Answers("y", "", "", "y"))
    assert told["written"]
    assert told["runbooks"] == FITTING
    catalog = loader.discover(here)
    assert [e.name for e in catalog] == FITTING
    assert linter.lint(catalog, VOCABULARY, (), cel.evaluate, shellcheck=False) == []
    found = settings.load(here, {})
    assert found.nvsentinel.namespace == "nvsentinel"
    assert found.serve.modes == ("watch", "webhook")
    assert "v1.19.0" in (here / "nvsx.yaml").read_text()
    for script in (here / "runbooks" / "hooks").glob("[!l]*/*.sh"):
        assert os.access(script, os.X_OK)
    assert {p.name for p in here.iterdir()} == {
        ".gitignore", "README.md", "nvsx.yaml", "runbooks", "scripts"
    }  # fmt: skip


@pytest.mark.parametrize(
    "answers",
    [("n",), ("y", "n"), ("y", "", "n"), ("y", "", "", "n"), ("y", "", "", ""), ("y", "1", "sub")],
    ids=["context", "runbooks", "folder", "write", "enter at write", "enter in a new folder"],
)
async def test_a_no_anywhere_changes_nothing(
    sandbox: Sandbox, here: Path, answers: Sequence[str]
) -> None:
    """A no at any question, and Enter at the last, leave every byte and name as they were."""
    (here / "mine.txt").write_text("mine")
    before = digest(here)
    with pytest.raises(Stopped):
        await walk(sandbox, Answers(*answers))
    assert digest(here) == before


async def test_dry_run_shows_every_file_and_writes_none(
    sandbox: Sandbox, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run prints the content of all files, and leaves the folder empty."""
    told = await walk(sandbox, Answers("y", "gpu-off-bus"), write=False)
    shown = capsys.readouterr().err
    assert list(here.iterdir()) == []
    assert not told["written"]
    for file in told["files"]:
        assert f"=== {file['path']} (new" in shown
    assert "nvsx notify post --title 'XID 79: GPU fell off the bus'" in shown


async def test_a_second_time_there_is_nothing_to_write(
    sandbox: Sandbox, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Setup again says that all is there, asks for no yes, and changes nothing."""
    await walk(sandbox, Answers("y", "", "", "y"))
    before = digest(here)
    capsys.readouterr()
    answers = Answers("y")
    told = await walk(sandbox, answers)
    assert {f["state"] for f in told["files"]} == {"there"}
    assert "Everything is there already" in capsys.readouterr().err
    assert not any("Write" in q for q in answers.questions)
    assert digest(here) == before


async def test_what_the_user_changed_stays(sandbox: Sandbox, here: Path) -> None:
    """In a project, adding a starter keeps the user's files and adds only what is missing."""
    await walk(sandbox, Answers("y", "gpu-off-bus", "", "y"))
    hook = here / "runbooks" / "hooks" / "gpu-off-bus" / "on-detect.sh"
    hook.write_text("#!/bin/sh\necho ours\n")
    (hook.parent / "on-drain.sh").unlink()
    told = await walk(sandbox, Answers("y", "gpu-off-bus thermal-throttle", "", "y"))
    states = {f["path"]: f["state"] for f in told["files"]}
    assert states["runbooks/hooks/gpu-off-bus/on-detect.sh"] == "kept"
    assert states["runbooks/thermal-throttle.yaml"] == "new"
    assert hook.read_text() == "#!/bin/sh\necho ours\n"
    assert not (hook.parent / "on-drain.sh").exists()
    assert (here / "runbooks" / "thermal-throttle.yaml").exists()


async def test_files_in_the_way_are_listed(sandbox: Sandbox, here: Path) -> None:
    """Elsewhere, a file of the same name refuses everything; README.md alone does not."""
    (here / ".git").mkdir()
    (here / "scripts").mkdir()
    (here / "scripts" / "collect-metrics.sh").write_text("other")
    (here / "README.md").write_text("our repository")
    before = digest(here)
    with pytest.raises(Conflict, match=r"other files called scripts/collect-metrics\.sh"):
        await walk(sandbox, Answers("y", "", "", "y"))
    assert digest(here) == before
    (here / "scripts" / "collect-metrics.sh").unlink()
    told = await walk(sandbox, Answers("y", "", "", "y"))
    assert told["written"]
    assert (here / "README.md").read_text() == "our repository"


async def test_an_ignored_runbook_is_told(
    sandbox: Sandbox, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A .gitignore of the user's that swallows hooks is named before writing."""
    await asyncio.to_thread(subprocess.run, ["git", "init", "-q", str(here)], check=True)
    (here / ".gitignore").write_text("*.sh\n")
    await walk(sandbox, Answers("y", "gpu-off-bus"), write=False)
    assert "such as runbooks/hooks/gpu-off-bus/on-attempt.sh" in capsys.readouterr().err


@pytest.mark.parametrize("sandbox", ["monitor-only"], indirect=True)
async def test_monitor_only_is_said_and_works(
    sandbox: Sandbox, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a monitor-only installation setup says so, also in nvsx.yaml, and goes on."""
    told = await walk(sandbox, Answers("y", "", "", "y"))
    assert told["written"]
    assert "This NVSentinel only monitors" in " ".join(capsys.readouterr().err.split())
    assert "only monitors" in (here / "nvsx.yaml").read_text()


async def test_only_what_can_fire_is_recommended(sandbox: Sandbox, here: Path) -> None:
    """Without the GPU monitor, runbooks that only it can fire are not marked; the catch-all is."""
    for name in ("gpu-health-monitor-dcgm-3.x", "gpu-health-monitor-dcgm-4.x"):
        sandbox.store.delete("daemonsets", name, namespace="nvsentinel")
    told = await walk(sandbox, Answers("y"), write=False)
    alone = {"driver-hang", "inforom-corrupt", "row-remap-failure", "thermal-throttle"}
    assert told["runbooks"] == [name for name in FITTING if name not in alone]


async def test_numbers_names_and_all(sandbox: Sandbox, here: Path) -> None:
    """Starters can be chosen by number and by name; an unknown one writes nothing."""
    told = await walk(sandbox, Answers("y", "5, thermal-throttle"), write=False)
    assert told["runbooks"] == ["gpu-off-bus", "thermal-throttle"]
    assert (await walk(sandbox, Answers("y", "all"), write=False))["runbooks"] == ALL
    with pytest.raises(UsageError, match="no starter runbook is called gpu"):
        await walk(sandbox, Answers("y", "gpu"))
    assert list(here.iterdir()) == []


async def test_setup_reads_only(sandbox: Sandbox, here: Path) -> None:
    """A whole walk sends nothing but GETs."""
    await walk(sandbox, Answers("y", "", "", "y"))
    assert sandbox.server.requests.methods() == {"GET"}


@pytest.mark.parametrize(("answers", "written"), [(("y", "y", "", "", "y"), True), (("y",), False)])
def test_without_a_cluster(here: Path, answers: Sequence[str], written: bool) -> None:
    """Unreachable: setup asks whether to go on; yes makes a project, Enter stops."""
    wizard = Wizard(Home(), Answers(*answers), gateway=DirectGateway("http://127.0.0.1:9", "x"))
    if written:
        assert wizard.run()["written"]
        assert "NVSentinel was not seen" in (here / "nvsx.yaml").read_text()
    else:
        with pytest.raises(Stopped):
            wizard.run()
        assert list(here.iterdir()) == []


# --- the command --------------------------------------------------------------------------


def test_yes_without_a_cluster_is_3(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is there to be asked, so `--yes` on an unreachable cluster exits 3."""
    assert main.main(["setup", "--yes"]) == ClusterError.exit_code
    assert "nothing was written" in capsys.readouterr().err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("args", [["setup"], ["setup", "-o", "json"], ["setup", "-o", "xml"]])
def test_questions_need_a_terminal(
    here: Path, args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal and without --yes or --dry-run setup exits 2."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main.main(args) == UsageError.exit_code
    assert list(here.iterdir()) == []


@pytest.mark.kubectl
async def test_json_of_a_scripted_setup(sandbox: Sandbox, here: Path) -> None:
    """`--yes -o json` writes, and stdout is one JSON document."""
    done = await asyncio.to_thread(nvsx, sandbox, here, "setup", "--yes", "-o", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["written"], told["context"]) == (0, True, "nvsx-sandbox")
    assert {c["check"] for c in told["checks"]} >= {"modules", "breaker", "gpu-nodes"}
    assert all((here / f["path"]).exists() for f in told["files"])
    again = await asyncio.to_thread(nvsx, sandbox, here, "setup", "--yes", "-o", "json")
    assert json.loads(again.stdout)["written"] is False


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("sandbox", "change", "words"),
    [
        ("", None, "quarantine, drain and remediation are installed"),
        ("monitor-only", None, "This NVSentinel only monitors"),
        ("breaker-tripped", None, "the circuit breaker is tripped"),
        ("dry-run", None, "NVSentinel runs dry"),
        ("", on_postgresql, "postgresql (ConfigMap nvsentinel-datastore-config)"),
        ("", without_nvsentinel, "NVSentinel was not seen, so all are marked."),
        ("", without_permission, "reads allowed; refused: nodes, pods"),
    ],
    indirect=["sandbox"],
    ids=["full", "monitor-only", "breaker", "dry run", "PostgreSQL", "none", "no permission"],
)
async def test_each_kind_of_cluster_is_shown_and_can_be_set_up(
    sandbox: Sandbox, here: Path, change: Callable[[Sandbox], None] | None, words: str
) -> None:
    """Whatever setup finds, it says so; with --yes it writes a project and exits 0."""
    if change is not None:
        change(sandbox)
    done = await asyncio.to_thread(nvsx, sandbox, here, "setup", "--yes")
    assert done.returncode == 0, done.stderr
    assert words in " ".join(done.stderr.split())
    assert list((here / "runbooks").glob("*.yaml"))


def nvsx(sandbox: Sandbox, cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The real program on the sandbox."""
    return subprocess.run(
        [sys.executable, "-m", "nvsx", *args],
        cwd=cwd,
        env={**os.environ, "KUBECONFIG": str(sandbox.kubeconfig)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("typed", "code", "written"),
    [
        ([(b"Look at it?", b"y\n"), (b"Which?", b"5\n"), (b"folder?", b"\n"), (b"Write", b"y\n")],
         0, True),
        ([(b"Look at it?", b"y\n"), (b"Which?", b"5\n"), (b"folder?", b"\n"), (b"Write", b"n\n")],
         1, False),
        ([(b"Look at it?", b"\x03")], 1, False),
        ([(b"Look at it?", b"\x04")], 1, False),
    ],
    ids=["yes", "no", "Ctrl-C", "Ctrl-D"],
)  # fmt: skip
async def test_on_a_terminal(
    sandbox: Sandbox, here: Path, typed: list[tuple[bytes, bytes]], code: int, written: bool
) -> None:
    """Typed on a real terminal: yes writes; no, Ctrl-C and Ctrl-D write nothing and exit 1."""
    said, ended = await asyncio.to_thread(type_at, sandbox, here, typed)
    assert ended == code, said.decode(errors="replace")
    assert (here / "runbooks" / "gpu-off-bus.yaml").exists() is written
    assert written or list(here.iterdir()) == []
    assert b"Traceback" not in said


def type_at(sandbox: Sandbox, cwd: Path, typed: list[tuple[bytes, bytes]]) -> tuple[bytes, int]:
    """Run setup on a pseudo-terminal and answer each prompt as it appears."""
    master, slave = pty.openpty()
    env = {**os.environ, "KUBECONFIG": str(sandbox.kubeconfig), "PAGER": "cat", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, sys.executable, "-m", "nvsx", "setup"],
        cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(slave)
        said, at, deadline = b"", 0, time.monotonic() + patience(40)
        while time.monotonic() < deadline:
            try:
                said += os.read(master, 65536)
            except OSError:  # the program has gone
                break
            while typed and typed[0][0] in said[at:]:
                at = said.index(typed[0][0], at) + len(typed[0][0])
                os.write(master, typed.pop(0)[1])
        os.close(master)
        return said, process.wait(timeout=patience(10))
