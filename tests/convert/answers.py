"""Answers a model might give, made from what the rules make of the same page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nvsx.convert import conversion, offline
from nvsx.convert.checking import ConversionDesk


def good(paths: list[Path], name: str, desk: ConversionDesk) -> dict[str, Any]:
    """An answer that accounts for everything."""
    source = conversion.read(paths)
    draft = offline.draft(name, source.pages, source.blocks, desk.words)
    return {
        "runbook": draft.files[draft.runbook_file],
        "hooks": [
            {"file": path.rsplit("/", 1)[-1], "script": text} for path, text in draft.hooks.items()
        ],
        "remarks": "",
    }


def edited(answer: dict[str, Any], file: str, change: Callable[[str], str]) -> dict[str, Any]:
    """The answer with one hook changed."""
    hooks = [
        {**h, "script": change(h["script"])} if h["file"] == file else h for h in answer["hooks"]
    ]
    assert hooks != answer["hooks"]
    return {**answer, "hooks": hooks}
