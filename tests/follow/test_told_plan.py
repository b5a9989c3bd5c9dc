"""What `nvsx show` keeps is what reading again would give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nvsx.core.errors import InvalidRunbook
from nvsx.follow import told_plan

TEXT = """apiVersion: nvsx/v1
kind: Runbook
metadata: {name: t, title: A fault, nickname: rogue-moose}
stages: [{id: detect, hook: hooks/a.sh}]
"""
HOOK = "  hook    hooks/a.sh"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of one runbook with one hook."""
    folder = tmp_path / "p"
    (folder / "runbooks/hooks").mkdir(parents=True)
    (folder / "runbooks/t.yaml").write_text(TEXT)
    (folder / "runbooks/hooks/a.sh").write_text("#!/bin/sh\n")
    (folder / "runbooks/hooks/a.sh").chmod(0o755)
    return folder


@pytest.fixture
def told(root: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """The lines about a runbook; all calls share a state folder."""
    env = {"NVSX_STATE_DIR": str(tmp_path / "state")}
    return lambda wanted: told_plan.tell_plan(root, wanted, env).lines


def test_a_second_look_reads_nothing(
    told: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files are told in the same words, by name and by nickname, without the models."""
    first = told("t")
    monkeypatch.setattr(told_plan, "_tell_anew", lambda *_: pytest.fail("it was read again"))
    assert told("t") == told("#rogue-moose") == first


def test_a_changed_text_is_read_again(told: Callable[[str], list[str]], root: Path) -> None:
    """What was edited is told."""
    told("t")
    (root / "runbooks/t.yaml").write_text(TEXT.replace("A fault", "Another"))
    assert told("t")[0] == "t (#rogue-moose): Another"


def test_a_file_that_cannot_run_any_more_is_told(
    told: Callable[[str], list[str]], root: Path
) -> None:
    """A hook that lost its mode, or is gone, is told though the runbook is the same."""
    hook = root / "runbooks/hooks/a.sh"
    assert HOOK in told("t")
    hook.chmod(0o644)
    assert f"{HOOK} (not executable)" in told("t")
    hook.unlink()
    assert f"{HOOK} (missing)" in told("t")


def test_a_runbook_that_broke_is_refused(told: Callable[[str], list[str]], root: Path) -> None:
    """Its last sound plan is not told."""
    told("t")
    (root / "runbooks/t.yaml").write_text(TEXT.replace("detect", "detekt"))
    with pytest.raises(InvalidRunbook):
        told("t")
