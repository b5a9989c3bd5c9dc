"""`nvsx run` as a command: what it does with troubles of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.commands.conftest import Command

from nvsx.screens.jsonl import JsonlView

BOOK = """
apiVersion: nvsx/v1
kind: Runbook
metadata: {name: t}
stages: [{id: preflight, watch: [{kind: node, field: exists}]}]
drill: {fault: xid-79}
"""


def test_broken_view_neither_stops_the_run_nor_prints_a_traceback(
    nvsx: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that fails: the run passes, the traceback is in a log, and the person is told."""
    (project / "runbooks" / "t.yaml").write_text(BOOK)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(JsonlView, "show", broken)
    said = nvsx("run", "t", "--sandbox", "-o", "jsonl")
    log = Path(os.environ["NVSX_STATE_DIR"]) / "nvsx.log"
    assert said.code == 0
    assert f"in {log}" in said.err
    assert "ZeroDivisionError: a defect" in log.read_text()


def test_error_message_moves_no_cursor(nvsx: Command, project: Path) -> None:
    """What a message quotes is text: control characters in it are not obeyed."""
    said = nvsx("run", "no\x1b[2Jsuch")
    assert said.code == 2
    assert "\x1b" not in said.err
