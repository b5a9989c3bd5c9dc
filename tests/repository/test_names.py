"""The check of names can fail: each rule refuses a name it was written against."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]


def found(root: Path, **files: str) -> list[str]:
    """What the check says of a tree of these modules."""
    for name, text in files.items():
        path = root / "src" / "nvsx" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ended = subprocess.run(
        [sys.executable, REPO / ".ci" / "check-names", root],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ended.stdout.splitlines()
    assert ended.returncode == (1 if lines else 0), ended.stderr
    return lines


def test_a_class_that_exists_twice_is_named_with_both_places(tmp_path: Path) -> None:
    """Public ones only: `_Child` may stand in two modules."""
    text = "class Report: ...\nclass _Child: ...\n"
    assert found(tmp_path, core__one=text, serve__two=text) == [
        "src/nvsx/core/one.py:1: class Report exists again: src/nvsx/serve/two.py:1"
    ]


def test_a_module_that_exists_twice_is_named(tmp_path: Path) -> None:
    """Whatever package it is in."""
    assert found(tmp_path, core__one="", serve__one="") == [
        "src/nvsx/core/one.py: module one.py exists again: src/nvsx/serve/one.py"
    ]


def test_a_private_function_of_one_word_is_named(tmp_path: Path) -> None:
    """Methods too; two words, public ones and those of the language are left alone."""
    text = "def _look(): ...\nclass One:\n  def _told(self): ...\n  def __init__(self): ...\n"
    fine = "def look(): ...\ndef _look_at_node(): ...\n"
    assert found(tmp_path, core__one=text, core__two=fine) == [
        "src/nvsx/core/one.py:1: _look is one word: say what it does",
        "src/nvsx/core/one.py:3: _told is one word: say what it does",
    ]


def test_this_tree_is_clean() -> None:
    """The project's own names pass."""
    assert found(REPO) == []
