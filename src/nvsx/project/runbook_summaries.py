"""What a list of runbooks says of each file, kept by content for the next list.

Reading a runbook takes the models and a YAML parser, which is most of the time that `nvsx
list` would take. A valid file with the same text, checked by the same code, is valid again;
but for one thing that is not in the text: where links lead. A file that cannot be used is
read anew each time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from nvsx.core.errors import UsageError
from nvsx.project import locate

FILE = "runbook-summaries.json"
CODE = Path(__file__).resolve().parents[1]
"""The package, whose `core` and `project` decide what is valid."""


class RunbookSummary(NamedTuple):
    """One file of `runbooks/`. With `problems` it cannot be used, and the rest is empty."""

    name: str
    file: str
    nickname: str = ""
    title: str = ""
    summary: str = ""
    tags: tuple[str, ...] = ()
    estimated_duration: float | None = None
    stages: tuple[str, ...] = ()
    named_files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def summarise_runbooks(root: Path, env: Mapping[str, str]) -> list[RunbookSummary]:
    """Every runbook of a project, by name. Raises UsageError when the folder cannot be read."""
    kept_before = _read_kept(env)
    code, real_root = _fingerprint_of_code(), root.resolve()
    kept: dict[str, RunbookSummary] = {}
    found = []
    for path in locate.runbook_files(root):
        key = _key_of(path, code)
        summary = kept_before.get(key)
        if summary is None or any(
            locate.leads_out(root / f, real_root) for f in summary.named_files
        ):
            summary = _summarise_file(path, root)
        if key and not summary.problems:
            kept[key] = summary
        found.append(summary)
    if kept != kept_before:
        _write_kept(env, kept)
    return found


def _summarise_file(path: Path, root: Path) -> RunbookSummary:
    from nvsx.core.runbook.catalog import BrokenRunbook
    from nvsx.project import loader

    entry = loader.load_entry(path, root.absolute())
    if isinstance(entry, BrokenRunbook):
        return RunbookSummary(entry.name, str(path), problems=tuple(map(str, entry.problems)))
    runbook, meta = entry.runbook, entry.runbook.metadata
    scripts = [stage.action.script for stage in runbook.stages if stage.action]
    return RunbookSummary(
        meta.name,
        str(entry.path),
        meta.nickname,
        meta.title,
        meta.summary,
        meta.tags,
        meta.estimated_duration,
        tuple(stage.id for stage in runbook.stages),
        (*(hook.project_path for hook in runbook.hooks()), *filter(None, scripts)),
    )


def _key_of(path: Path, code: str) -> str:
    """What a summary is kept by; "" for a file that cannot be read."""
    try:
        text = path.read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(b"\0".join((code.encode(), os.fsencode(path), text))).hexdigest()


def _fingerprint_of_code() -> str:
    """Another one after each upgrade of nvsx, and in a checkout after each change."""
    files = [p for part in ("core", "project") for p in (CODE / part).rglob("*.py")]
    return f"{len(files)}-{max(p.stat().st_mtime_ns for p in files)}"


def _read_kept(env: Mapping[str, str]) -> dict[str, RunbookSummary]:
    with suppress(OSError, ValueError, TypeError, AttributeError, UsageError):
        stored = json.loads((locate.state_path(env).expanduser() / FILE).read_bytes())
        return {key: _from_json(values) for key, values in stored.items()}
    return {}


def _from_json(values: list[Any]) -> RunbookSummary:
    fields: list[Any] = [tuple(v) if isinstance(v, list) else v for v in values]
    return RunbookSummary(*fields)


def _write_kept(env: Mapping[str, str], kept: Mapping[str, RunbookSummary]) -> None:
    """Keep them when there is a place; a list is no reason to complain."""
    with suppress(OSError, UsageError):
        path = locate.state_dir(env) / FILE
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(kept), "utf-8")
        draft.replace(path)
