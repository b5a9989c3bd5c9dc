"""`nvsx` on the PATH of scripts: the light call for messages, this very nvsx for all else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.patience import patience

import nvsx
from nvsx.core.notify.spool_format import SpooledCall
from nvsx.core.ports import ProcessIdentity, Script
from nvsx.follow.processes.local_scripts import LocalScripts
from nvsx.follow.processes.nvsx_on_path import find_whole_nvsx, install_nvsx

pytestmark = pytest.mark.processes


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A run's spool folder, as its owner prepares it."""
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    return folder


def nvsx_of_hook(
    tmp_path: Path, spool: Path | None, *words: str, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """What a hook's `nvsx …` does."""
    environ = {"PATH": f"{install_nvsx(tmp_path / 'guard')}:/usr/bin:/bin", "NVSX_STAGE": "drain"}
    if spool is not None:
        environ |= {"NVSX_NOTIFY_DIR": str(spool), "NVSX_IDEMPOTENCY_KEY": "r-1.drain.hook"}
    return subprocess.run(
        ["nvsx", *words],
        check=False,
        capture_output=True,
        text=True,
        env=environ,
        input=given,
        timeout=patience(30),
        cwd=tmp_path,
    )


def read_only_call(spool: Path) -> SpooledCall:
    """The one call that lies there, for its owner's eyes only."""
    (path,) = spool.glob("*-*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return msgspec.json.decode(path.read_bytes(), type=SpooledCall)


def test_a_hooks_call_lies_in_the_spool(tmp_path: Path, spool: Path) -> None:
    """All that was given is there, also what came through standard input."""
    words = ("ticket", "--title", "XID 79", "--text", "-", "--field", "component=gpu", "--to=jira")
    done = nvsx_of_hook(tmp_path, spool, "notify", *words, given="from a pipe\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    call = read_only_call(spool)
    assert (call.kind, call.title, call.text, call.to) == (
        *("ticket", "XID 79", "from a pipe\n", "jira"),
    )
    assert (call.fields, call.stage) == ({"component": "gpu"}, "drain")
    assert call.call == "r-1.drain.hook/ticket@jira/1"


def test_bytes_that_are_no_text_still_make_a_message(tmp_path: Path, spool: Path) -> None:
    """A log line with half a character does not lose the page."""
    text = os.fsdecode(b"temp \xe2\x82 \xc3\xa9")
    assert nvsx_of_hook(tmp_path, spool, "notify", "page", "--title", text).returncode == 0
    assert read_only_call(spool).title == "temp � é"


def test_an_empty_title_is_no_reason_to_tell_nobody(tmp_path: Path, spool: Path) -> None:
    """A variable was empty: runbook and stage stand for it."""
    assert nvsx_of_hook(tmp_path, spool, "notify", "page", "--title", "").returncode == 0
    assert read_only_call(spool).title == "nvsx: drain"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pge", "--title", "x"], "notify takes page, post, ticket or resolve, not pge"),
        (["page"], "notify page needs --title"),
        (["page", "--title"], "notify page: --title needs a value"),
        (["page", "--title", "x", "--sev", "error"], "notify page has no option --sev"),
        (["page", "--title", "x", "--severity", "bad"], "--severity is warning, error or critical"),
        (["post", "--title", "x", "--severity", "error"], "notify post has no option --severity"),
        (["page", "--title", "two", "words"], "'words' belongs to no option: quote"),
        (["ticket", "--title", "x", "--field", "y"], "--field is NAME=VALUE, not 'y'"),
        (["post", "--title", "x", "--wait=soon"], "--wait is a number of seconds"),
        (["post", "--title", "x", "--key", " "], "--key is empty"),
    ],
)
def test_a_wrong_call_is_one_clear_line(
    tmp_path: Path, spool: Path, words: list[str], said: str
) -> None:
    """Exit code 2, one line that says what, and nothing is stored."""
    from nvsx.follow.processes import notify_call

    done = subprocess.run(
        [sys.executable, "-I", "-S", notify_call.__file__, "notify", *words],
        check=False,
        capture_output=True,
        text=True,
        env={"NVSX_NOTIFY_DIR": str(spool)},
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(spool.iterdir())


def test_a_call_after_the_runs_end_does_not_return_zero(tmp_path: Path, spool: Path) -> None:
    """Its spool is gone: nobody would be told, and it says so."""
    spool.rmdir()
    done = nvsx_of_hook(tmp_path, spool, "notify", "post", "--title", "x")
    assert done.returncode == 1
    assert "nobody is told" in done.stderr


def test_all_else_is_the_whole_nvsx(tmp_path: Path) -> None:
    """The same version, on the same interpreter; a folder nvsx of the project is not it."""
    (tmp_path / "nvsx").mkdir()
    done = nvsx_of_hook(tmp_path, None, "--version")
    assert (done.returncode, done.stdout) == (0, f"nvsx {nvsx.__version__}\n")


def test_an_archive_starts_itself_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nvsx in one file is found by hooks as that file."""
    archive = tmp_path / "nvsx.pyz"
    archive.write_bytes(b"PK")
    monkeypatch.setattr(nvsx, "__file__", str(archive / "nvsx" / "__init__.py"))
    assert find_whole_nvsx() == [sys.executable, str(archive)]


async def test_every_script_of_a_run_finds_it(tmp_path: Path, spool: Path) -> None:
    """Hooks and actions, in a rehearsal too; what nvsx outside of the run left behind is not
    theirs."""
    script = tmp_path / "x.sh"
    script.write_text('#!/usr/bin/env bash\nnvsx notify post --title "$0"\n')
    script.chmod(0o755)
    scripts = LocalScripts(
        tmp_path,
        {"PATH": "/usr/bin:/bin", "NVSX_NOTIFY_DIR": "/outer"},
        nvsx_dir=install_nvsx(tmp_path / "guard"),
        sandboxed=True,
    )

    async def started(_: ProcessIdentity) -> None:
        return None

    for kind in ("hook", "action"):
        facts = {"NVSX_NOTIFY_DIR": str(spool), "NVSX_IDEMPOTENCY_KEY": f"r-1.{kind}"}
        asked = Script(kind=kind, path=str(script), facts=facts)
        result = await scripts.run(asked, lambda *_: None, started)
        assert result.exit_code == 0
    calls = [json.loads(p.read_bytes())["call"] for p in sorted(spool.glob("*-*.json"))]
    assert calls == ["r-1.hook/post/1", "r-1.action/post/1"]
