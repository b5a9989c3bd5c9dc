"""The launcher, with stand-ins for uv, Python and pip on a PATH that holds nothing else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import patience, wait_until

REPO = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "mkdir", "mv", "rm", "ln", "awk", "readlink", "sleep", "env")
LOCKS = ("base", "build", "convert", "dev")
DEADLINE = patience(20.0)

# What a stand-in installs as .venv/bin/nvsx.
NVSX = r"""#!/usr/bin/env bash
printf '%s\n' "pid=$$" "cwd=$PWD" "${@/#/arg=}"
exit "${FAKE_EXIT:-0}"
"""

# `hold` makes the installation wait until the file is gone; `fail-*` makes it fail.
INSTALL = r"""
install_into() {
  echo "half" >"$1/half-written"
  : >"$FAKE/installing"
  while [[ -e $FAKE/hold ]]; do sleep 0.02; done
  rm "$1/half-written"
  cat "$FAKE/nvsx-script" >"$1/bin/nvsx"
  "$FAKE/chmod" +x "$1/bin/nvsx"
  echo "noise on stdout"
}
make_venv() {
  mkdir -p "$1/bin"
  echo "version = 3.12.1" >"$1/pyvenv.cfg"
  ln -sf "$FAKE/python" "$1/bin/python"
}
"""

UV = f"""#!/usr/bin/env bash
{INSTALL}
echo "uv $*" >>"$FAKE/log"
[[ ! -e $FAKE/fail-uv ]] || {{ echo "no route to index" >&2; exit 2; }}
if [[ $1 == venv ]]; then make_venv "${{@: -1}}"; exit; fi
for ((i = 1; i <= $#; i++)); do
  if [[ ${{!i}} == --python ]]; then j=$((i + 1)); python=${{!j}}; fi
done
install_into "${{python%/bin/python}}"
"""

# Stands in for both a system interpreter and .venv/bin/python.
PYTHON = f"""#!/usr/bin/env bash
{INSTALL}
case "$1 $2" in
  "-I -c") [[ ! -e $FAKE/old ]] || {{ echo "$4 is Python 3.9.2" >&2; exit 1; }}
           [[ ! -e $FAKE/bare || $* != *ensurepip* ]] ||
             {{ echo "$4 lacks the module ensurepip" >&2; exit 1; }}
           echo "$FAKE/python" ;;
  "-m venv") echo "venv" >>"$FAKE/log"; make_venv "${{@: -1}}" ;;
  "-m pip") [[ $3 != --version ]] || exit 0
            [[ ! -e $FAKE/fail-pip ]] || {{ echo "no route to index" >&2; exit 1; }}
            echo "pip ${{*:3}}" >>"$FAKE/log"; install_into "${{0%/bin/python}}" ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


class Clone:
    """A clone of nothing but the launcher, pyproject.toml and a lock, with stand-ins beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "a clone"
        self.fake = folder / "fake"
        self.bin = folder / "bin"
        for path in (self.root, self.fake, self.bin):
            path.mkdir(parents=True)
        shutil.copy(REPO / "nvsx", self.root)
        shutil.copy(REPO / "pyproject.toml", self.root)
        (self.root / "requirements").mkdir()
        for name in LOCKS:
            self.lock(name).write_text(f"{name}-package==1.0 --hash=sha256:0\n")
        for tool in TOOLS:
            self.provide(tool)
        (self.fake / "chmod").symlink_to(str(shutil.which("chmod")))
        (self.fake / "nvsx-script").write_text(NVSX)
        self.script(self.fake / "python", PYTHON)
        self.running: list[subprocess.Popen[str]] = []

    @staticmethod
    def script(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def provide(self, tool: str) -> None:
        (self.bin / tool).symlink_to(str(shutil.which(tool)))

    def with_uv(self) -> None:
        self.script(self.bin / "uv", UV)

    def with_python(self) -> None:
        (self.bin / "python3").symlink_to(self.fake / "python")

    def lock(self, name: str) -> Path:
        return self.root / "requirements" / f"{name}.txt"

    def mark(self, name: str) -> None:
        (self.fake / name).touch()

    def unmark(self, name: str) -> None:
        (self.fake / name).unlink()

    @property
    def log(self) -> list[str]:
        path = self.fake / "log"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def installs(self) -> list[str]:
        """The installations of what is locked; one of nvsx itself follows each."""
        return [line for line in self.log if "--require-hashes" in line]

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def start(
        self, *args: str, launcher: Path | str = "", cwd: Path | None = None, **env: str
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(launcher or self.root / "nvsx"), *args],
            cwd=cwd or self.folder,
            env={"PATH": str(self.bin), "FAKE": str(self.fake), "HOME": str(self.folder), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def run(
        self, *args: str, launcher: Path | str = "", cwd: Path | None = None, **env: str
    ) -> tuple[int, str, str]:
        process = self.start(*args, launcher=launcher, cwd=cwd, **env)
        out, err = process.communicate(timeout=DEADLINE)
        return process.returncode, out, err

    def wait_for(self, path: Path) -> None:
        wait_until(path.exists, f"{path} appears")

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=DEADLINE)


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    """A clone on a machine with flock, and neither uv nor Python yet."""
    made = Clone(tmp_path)
    made.provide("flock")
    yield made
    made.close()


@pytest.fixture
def uv_clone(clone: Clone) -> Clone:
    """A clone on a machine that has uv and a Python."""
    clone.with_uv()
    clone.with_python()
    return clone


def test_first_use_builds_with_uv_and_keeps_stdout_for_nvsx(uv_clone: Clone) -> None:
    """The first start builds, talks on stderr only and then runs nvsx with its arguments."""
    code, out, err = uv_clone.run("run", "a b", "")
    assert code == 0
    assert out.splitlines()[1:] == [f"cwd={uv_clone.folder}", "arg=run", "arg=a b", "arg="]
    assert "preparing" in err
    assert "noise on stdout" in err
    assert [line.split()[1] for line in uv_clone.log] == ["venv", "pip", "pip"]


def test_second_start_builds_nothing_and_says_nothing(uv_clone: Clone) -> None:
    """A finished environment is used at once, in silence."""
    uv_clone.run()
    before = uv_clone.log
    _, _, err = uv_clone.run()
    assert (err, uv_clone.log) == ("", before)


def test_ready_start_needs_no_program_but_bash(uv_clone: Clone) -> None:
    """Once built, starting runs no Python, awk or other helper to check that."""
    uv_clone.run()
    for tool in uv_clone.bin.iterdir():
        if tool.name not in {"bash", "env"}:
            tool.unlink()
    assert uv_clone.run()[0] == 0


def test_without_uv_it_builds_with_venv_and_pip(clone: Clone) -> None:
    """Where uv is missing the environment comes from venv and pip."""
    clone.with_python()
    assert clone.run()[0] == 0
    assert clone.log[0] == "venv"
    assert clone.log[1].startswith("pip install")


def test_pip_takes_over_when_uv_fails(uv_clone: Clone) -> None:
    """A package index only pip is configured for still works on a machine that has uv."""
    uv_clone.mark("fail-uv")
    assert uv_clone.run()[0] == 0
    assert uv_clone.log[-1].startswith("pip install")


def test_changed_dependencies_are_installed(uv_clone: Clone) -> None:
    """A new dependency in pyproject.toml leads to one more installation."""
    uv_clone.run()
    project = uv_clone.root / "pyproject.toml"
    project.write_text(project.read_text().replace("dependencies = [", 'dependencies = [\n"x",', 1))
    uv_clone.run()
    uv_clone.run()
    assert len(uv_clone.installs) == 2


def test_settings_of_tools_are_not_dependencies(uv_clone: Clone) -> None:
    """A change to a linter's settings installs nothing."""
    uv_clone.run()
    project = uv_clone.root / "pyproject.toml"
    project.write_text(project.read_text() + "\n[tool.another]\nline-length = 80\n")
    uv_clone.run()
    assert len(uv_clone.installs) == 1


def test_extras_stay_installed(uv_clone: Clone) -> None:
    """Extras asked for once are part of every later build, and of no more builds than needed."""
    uv_clone.run(NVSX_EXTRAS="dev")
    uv_clone.run()
    uv_clone.run(NVSX_EXTRAS="convert,dev")
    assert [locks_in(line) for line in uv_clone.installs] == [
        ["base", "build", "dev"],
        ["base", "build", "dev", "convert"],
    ]


def locks_in(line: str) -> list[str]:
    """The lock files that an installation was given."""
    return re.findall(r"-r \S*a clone/requirements/(\w+)\.txt", line)


@pytest.mark.parametrize("extra", ["base", "mongodb", "dev,nothing"])
def test_an_unknown_extra_is_refused(uv_clone: Clone, extra: str) -> None:
    """A misspelt extra is an error that names it, and nothing is installed."""
    code, out, err = uv_clone.run(NVSX_EXTRAS=extra)
    assert (code, out, uv_clone.installs) == (1, "", [])
    assert f"names {extra.rpartition(',')[2]}, which is no extra" in err
    assert "convert, mongo, notify, postgres and dev" in err


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_only_what_is_locked_is_installed(clone: Clone, tool: str) -> None:
    """With uv and with pip: locked packages with their hashes, then nvsx with nothing besides."""
    clone.with_python()
    if tool == "uv":
        clone.with_uv()
    clone.run()
    _, packages, itself = clone.log
    assert locks_in(packages) == ["base", "build"]
    assert itself.endswith(f"--no-deps --no-build-isolation --editable {clone.root}")


@pytest.mark.parametrize(
    ("name", "installs"), [("base", 2), ("build", 2), ("dev", 2), ("convert", 1)]
)
def test_a_changed_lock_is_installed(uv_clone: Clone, name: str, installs: int) -> None:
    """Other versions in a lock that is in use are installed, once; in any other they are not."""
    uv_clone.run(NVSX_EXTRAS="dev")
    was = uv_clone.lock(name).stat()
    uv_clone.lock(name).write_text(uv_clone.lock(name).read_text().replace("1.0", "1.1"))
    os.utime(uv_clone.lock(name), ns=(was.st_atime_ns, was.st_mtime_ns))
    uv_clone.run()
    uv_clone.run()
    assert len(uv_clone.installs) == installs


def test_an_extra_that_is_no_more_is_left_out(uv_clone: Clone) -> None:
    """An extra asked for once, which a later version does not have, stops nothing."""
    uv_clone.run(NVSX_EXTRAS="convert")
    uv_clone.lock("convert").unlink()
    assert uv_clone.run()[0] == 0
    assert locks_in(uv_clone.installs[-1]) == ["base", "build"]


def test_build_only_does_not_start_nvsx(uv_clone: Clone) -> None:
    """NVSX_BUILD_ONLY builds and ends with nothing on stdout."""
    code, out, _ = uv_clone.run(NVSX_BUILD_ONLY="1")
    assert (code, out, len(uv_clone.installs)) == (0, "", 1)


@pytest.mark.parametrize("relative", [False, True])
def test_it_is_found_through_links(uv_clone: Clone, relative: bool) -> None:
    """A chain of symlinks from another folder leads to the clone; the folder stays the caller's."""
    elsewhere = uv_clone.folder / "else where"
    elsewhere.mkdir()
    target = Path("../a clone/nvsx") if relative else uv_clone.root / "nvsx"
    (elsewhere / "first").symlink_to(target)
    (elsewhere / "second").symlink_to("first")
    code, out, _ = uv_clone.run(launcher=elsewhere / "second", cwd=elsewhere)
    assert (code, out.splitlines()[1]) == (0, f"cwd={elsewhere}")
    assert uv_clone.venv.is_dir()


def test_two_paths_to_one_clone_share_the_environment(uv_clone: Clone) -> None:
    """Reaching the clone through a linked folder is not a moved clone."""
    uv_clone.run()
    (uv_clone.folder / "alias").symlink_to(uv_clone.root)
    uv_clone.run(launcher=uv_clone.folder / "alias" / "nvsx")
    assert len(uv_clone.installs) == 1


@pytest.mark.parametrize("tool", ["flock", "perl", "python3"])
def test_starts_at_once_build_once(tmp_path: Path, tool: str) -> None:
    """Of several first starts at once one builds; the others wait for it and then run."""
    if not shutil.which(tool):
        pytest.skip(f"needs {tool}, not installed here")
    clone = Clone(tmp_path)
    clone.with_uv()
    if tool == "python3":
        (clone.bin / tool).symlink_to(os.path.realpath(sys.executable))
    else:
        clone.provide(tool)
    clone.mark("hold")
    try:
        first = clone.start()
        clone.wait_for(clone.fake / "installing")
        others = [clone.start() for _ in range(3)]
        for process in others:
            assert process.stderr
            assert "waiting" in process.stderr.readline()
        clone.unmark("hold")
        ended = [(p.wait(DEADLINE), p.stdout.read() if p.stdout else "") for p in (first, *others)]
    finally:
        clone.close()
    assert [code for code, _ in ended] == [0] * 4
    assert all("cwd=" in out for _, out in ended)
    assert len(clone.installs) == 1


def test_killed_build_is_not_taken_for_a_finished_one(uv_clone: Clone) -> None:
    """After a kill in the middle the next start begins with an empty environment."""
    uv_clone.mark("hold")
    process = uv_clone.start()
    uv_clone.wait_for(uv_clone.fake / "installing")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE)
    assert (uv_clone.venv / "half-written").exists()
    (uv_clone.venv / "left-over").touch()
    uv_clone.unmark("hold")
    code, _, _ = uv_clone.run()
    assert code == 0
    assert not (uv_clone.venv / "left-over").exists()
    assert len(uv_clone.installs) == 2


def test_interrupted_build_says_so(uv_clone: Clone) -> None:
    """Ctrl-C while building ends with 130 and a sentence, and the next start builds."""
    uv_clone.mark("hold")
    process = uv_clone.start()
    uv_clone.wait_for(uv_clone.fake / "installing")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    uv_clone.unmark("hold")
    assert (process.returncode, "interrupted" in err) == (130, True)
    assert uv_clone.run()[0] == 0


def test_failed_installation_is_reported_and_tried_again(uv_clone: Clone) -> None:
    """No network: exit 1 with the next step; with the network back the same command works."""
    uv_clone.mark("fail-uv")
    uv_clone.mark("fail-pip")
    code, out, err = uv_clone.run()
    assert (code, out) == (1, "")
    assert "no route to index" in err
    assert "run this again" in err
    uv_clone.unmark("fail-uv")
    assert uv_clone.run()[0] == 0


def test_environment_made_by_hand_is_repaired_in_place(uv_clone: Clone) -> None:
    """A .venv without a stamp keeps what it holds and gets what it lacks."""
    (uv_clone.venv / "bin").mkdir(parents=True)
    (uv_clone.venv / "pyvenv.cfg").write_text("version = 3.13.0\n")
    (uv_clone.venv / "bin" / "python").symlink_to(uv_clone.fake / "python")
    (uv_clone.venv / "mine").touch()
    assert uv_clone.run()[0] == 0
    assert (uv_clone.venv / "mine").exists()
    assert [line.split()[1] for line in uv_clone.log] == ["pip", "pip"]


def test_vanished_interpreter_leads_to_a_new_environment(uv_clone: Clone) -> None:
    """When the Python behind .venv was removed, .venv is made anew."""
    uv_clone.run()
    python = uv_clone.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.12")
    (uv_clone.venv / "left-over").touch()
    assert uv_clone.run()[0] == 0
    assert not (uv_clone.venv / "left-over").exists()


def test_changed_interpreter_leads_to_a_new_environment(uv_clone: Clone) -> None:
    """When .venv was switched to another Python, its packages are not trusted."""
    uv_clone.run()
    (uv_clone.venv / "pyvenv.cfg").write_text("version = 3.13.0\n")
    (uv_clone.venv / "left-over").touch()
    assert uv_clone.run()[0] == 0
    assert not (uv_clone.venv / "left-over").exists()


def test_moved_clone_gets_a_new_environment(uv_clone: Clone) -> None:
    """A clone that was moved does not run scripts that point to its old place."""
    uv_clone.run()
    uv_clone.root = uv_clone.root.rename(uv_clone.folder / "moved")
    assert uv_clone.run()[0] == 0
    assert str(uv_clone.root) in uv_clone.installs[-1]


def test_old_python_is_refused_with_what_was_found(clone: Clone) -> None:
    """Without Python 3.11 the message says what is needed, what there is and what to do."""
    clone.with_python()
    clone.mark("old")
    code, out, err = clone.run()
    assert (code, out) == (1, "")
    assert "needs Python 3.11 or newer" in err
    assert "python3 is Python 3.9.2" in err
    assert "apt install" in err


def test_python_without_pip_names_the_missing_module(clone: Clone) -> None:
    """Debian's python3 without python3-venv is told apart from an old one."""
    clone.with_python()
    clone.mark("bare")
    code, _, err = clone.run()
    assert (code, "lacks the module ensurepip" in err) == (1, True)


def test_wrong_nvsx_python_is_named(clone: Clone) -> None:
    """An NVSX_PYTHON that does not exist is an error, not a reason to take another."""
    clone.with_python()
    code, _, err = clone.run(NVSX_PYTHON="/opt/nowhere/python3")
    assert (code, "/opt/nowhere/python3" in err) == (1, True)


def test_copied_launcher_says_to_link_it(uv_clone: Clone) -> None:
    """The launcher alone, without its clone, explains itself."""
    alone = uv_clone.folder / "alone"
    alone.mkdir()
    shutil.copy(uv_clone.root / "nvsx", alone)
    code, _, err = uv_clone.run(launcher=alone / "nvsx")
    assert (code, "link to it" in err) == (1, True)


def test_nvsx_replaces_the_launcher(uv_clone: Clone) -> None:
    """nvsx takes the launcher's process id, so signals reach it, and its exit code goes out."""
    uv_clone.run()
    process = uv_clone.start(FAKE_EXIT="3")
    out, _ = process.communicate(timeout=DEADLINE)
    assert out.splitlines()[0] == f"pid={process.pid}"
    assert process.returncode == 3
