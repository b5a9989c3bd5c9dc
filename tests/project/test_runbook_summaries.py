"""What is kept of runbooks for the next list, and when it is not used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nvsx.project import loader
from nvsx.project.runbook_summaries import FILE, RunbookSummary, summarise_runbooks

TEXT = """apiVersion: nvsx/v1
kind: Runbook
metadata: {name: t, title: A fault, tags: [infra], estimatedDuration: 30m}
stages:
  - id: detect
    hook: hooks/t/on-detect.sh
"""


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    """A project with one runbook."""
    hook = tmp_path / "p/runbooks/hooks/t/on-detect.sh"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\n")
    (tmp_path / "p/runbooks/t.yaml").write_text(TEXT)
    return tmp_path / "p"


@pytest.fixture(name="read")
def _read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read in full, as they are read."""
    names: list[str] = []
    load_entry = loader.load_entry

    def record(path: Path, root: Path) -> loader.Entry:
        names.append(path.name)
        return load_entry(path, root)

    monkeypatch.setattr(loader, "load_entry", record)
    return names


@pytest.fixture(name="summarise")
def _summarise(root: Path, tmp_path: Path) -> Callable[[], list[RunbookSummary]]:
    return lambda: summarise_runbooks(root, {"NVSX_STATE_DIR": str(tmp_path / "state")})


def test_the_second_list_reads_nothing_and_says_the_same(
    summarise: Callable[[], list[RunbookSummary]], read: list[str]
) -> None:
    """A file that has not changed is not read in full again."""
    first = summarise()
    assert (first[0].title, first[0].tags, first[0].stages) == ("A fault", ("infra",), ("detect",))
    assert summarise() == first
    assert read == ["t.yaml"]


def test_a_changed_file_is_read_again(
    root: Path, summarise: Callable[[], list[RunbookSummary]], read: list[str]
) -> None:
    """The new text counts at once."""
    summarise()
    (root / "runbooks/t.yaml").write_text(TEXT.replace("A fault", "Another fault"))
    assert summarise()[0].title == "Another fault"
    assert read == ["t.yaml", "t.yaml"]


def test_a_broken_file_is_read_each_time(
    root: Path, summarise: Callable[[], list[RunbookSummary]], read: list[str]
) -> None:
    """What is wrong with a file is found anew, and never kept."""
    (root / "runbooks/t.yaml").write_text(TEXT.replace("detect", "detekt"))
    assert summarise() == summarise()
    assert "detekt" in summarise()[0].problems[0]
    assert read == ["t.yaml"] * 3


def test_a_hook_that_became_a_link_out_of_the_project_is_found(
    root: Path, tmp_path: Path, summarise: Callable[[], list[RunbookSummary]]
) -> None:
    """Where links lead is looked at each time: the text of the runbook does not tell."""
    assert summarise()[0].problems == ()
    hook = root / "runbooks/hooks/t/on-detect.sh"
    hook.unlink()
    hook.symlink_to(tmp_path / "elsewhere.sh")
    assert "leads out of the project" in summarise()[0].problems[0]


def test_what_another_nvsx_kept_is_not_used(
    summarise: Callable[[], list[RunbookSummary]],
    read: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an upgrade files are checked by the new code."""
    summarise()
    monkeypatch.setattr("nvsx.project.runbook_summaries.fingerprint_of_code", lambda *_: "newer")
    summarise()
    assert read == ["t.yaml", "t.yaml"]


def _kept_lists(state: Path) -> list[list[object]]:
    stored = json.loads((state / FILE).read_text())
    return [answer for answer in stored.values() if isinstance(answer, list) and len(answer) > 3]


@pytest.mark.parametrize("kept", ["", "[]", '{"x": 1}', '{"x": [1, 2]}', "\x00"])
def test_a_damaged_file_is_as_none(
    kept: str, tmp_path: Path, summarise: Callable[[], list[RunbookSummary]]
) -> None:
    """Whatever the file holds, the list is right and the file is good again."""
    state = tmp_path / "state"
    state.mkdir()
    (state / FILE).write_text(kept)
    assert summarise()[0].title == "A fault"
    assert "A fault" in [title for _, _, _, title, *_ in _kept_lists(state)]


def test_a_list_needs_no_place_to_keep_anything(root: Path) -> None:
    """Without a state folder that can be made the list is the same."""
    assert summarise_runbooks(root, {"NVSX_STATE_DIR": "/proc/nowhere"})[0].title == "A fault"
