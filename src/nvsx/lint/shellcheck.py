"""What shellcheck says of scripts, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nvsx.core.errors import Problem
from nvsx.lint.findings import Finding, Severity, warning
from nvsx.lint.script_file import ScriptFile, read_content
from nvsx.project.kept_answers import KeptAnswers, digest_of

_SHELLCHECK_SECONDS = 60
_KEPT_SECONDS = 86_400


def find_shellcheck() -> str | None:
    """The shellcheck program: on PATH, or beside this Python; None when there is none."""
    beside = Path(sys.executable).parent / "shellcheck"
    return shutil.which("shellcheck") or (str(beside) if os.access(beside, os.X_OK) else None)


def run_shellcheck(scripts: Sequence[ScriptFile], answers: KeptAnswers) -> Iterator[Finding]:
    """What shellcheck says. Reading a library anew for each hook that sources it is nearly all
    of its time, so hooks are read alone first, and with what they source only where that may
    explain what was found."""
    program = find_shellcheck()
    if not program or not scripts:
        return
    by_path = {str(s.path): s for s in scripts}
    try:
        found = _read_findings(program, by_path, answers)
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as exc:
        first = scripts[0]
        message = f"shellcheck could not be used: {type(exc).__name__}"
        yield warning("shellcheck", first.book, message, hint=f"try {program} {first.file}")
        return
    for comment in found:
        script = by_path.get(comment["file"])
        if script is None:
            continue
        severity: Severity = "error" if comment["level"] == "error" else "warning"
        problem = Problem(
            f"SC{comment['code']}: {comment['message']}",
            script.file,
            comment["line"],
            comment["column"],
        )
        yield Finding(severity, "shellcheck", problem, script.book.name)


def _read_findings(
    program: str, by_path: Mapping[str, ScriptFile], answers: KeptAnswers
) -> list[Any]:
    """The comments on all scripts; those that are kept, when nothing has changed that it reads.

    It reads the scripts, what they source, directives that name other files, and .shellcheckrc.
    So the key has every file of the folders the scripts are in, and the day: what lies elsewhere
    is seen tomorrow at the latest.
    """
    key = digest_of(*_list_inputs(program, by_path))
    kept = answers.get(key)
    if kept is None:
        kept = _ask_anew(program, by_path)
        answers.keep(key, kept)
    return list(kept)


def _list_inputs(program: str, by_path: Mapping[str, ScriptFile]) -> Iterator[str | bytes]:
    status = Path(program).stat()
    yield f"{program} {status.st_mtime_ns} {status.st_size} {time.time() // _KEPT_SECONDS:.0f}"
    roots = {s.book.root for s in by_path.values()}
    folders = {s.path.parent for s in by_path.values()}
    files = {file for folder in folders for file in folder.iterdir()}
    files |= {file for root in roots for file in (root / "runbooks").rglob("*")}
    files |= {
        parent / ".shellcheckrc" for folder in folders for parent in (folder, *folder.parents)
    }
    for file in sorted(files | {Path(path) for path in by_path}):
        if (content := read_content(file)) is not None:
            yield from (str(file), content)


def _ask_anew(program: str, by_path: Mapping[str, ScriptFile]) -> list[Any]:
    libraries = [path for path, script in by_path.items() if script.kind == "library"]
    hooks = [path for path in by_path if path not in libraries]
    unclear = {c["file"] for c in _read_comments(program, hooks)}
    found = _read_comments(program, [p for p in hooks if p in unclear], follow=True)
    return found + _read_comments(program, libraries, follow=True)


def _read_comments(program: str, paths: Sequence[str], *, follow: bool = False) -> list[Any]:
    """What one process of shellcheck says of these files; `follow` reads what they source."""
    if not paths:
        return []
    command = [program, "--format=json1", "--severity=warning"]
    command += ["--external-sources", "--source-path=SCRIPTDIR"] if follow else ["-e", "SC1091"]
    done = subprocess.run(
        [*command, "--", *paths],
        capture_output=True,
        timeout=_SHELLCHECK_SECONDS,
        check=False,
    )
    return list(json.loads(done.stdout)["comments"])
