"""Lint rules about the files a runbook names: hooks, scripts, what they source.

Hooks are bookkeeping: they must exist, start, and write nothing to the cluster. Action
scripts may write; of them only existence and form are checked. shellcheck is used where
it is installed, on all files at once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nvsx.core.errors import Problem
from nvsx.core.runbook import review
from nvsx.core.runbook.catalog import LoadedRunbook, shown
from nvsx.lint import kube_writes
from nvsx.lint.bash_tree import read_script
from nvsx.lint.findings import Finding, Severity, error, warning
from nvsx.lint.lint_messages import check_messages

_MAX_BYTES = 1024 * 1024
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
_SHELLCHECK_SECONDS = 60
_GUARDED = "read it; a kubectl that writes is refused when the hook runs"


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file a runbook uses. `place` is where the runbook names it."""

    book: LoadedRunbook
    path: Path
    kind: str  # hook, script (an action's), library (sourced by a hook)
    place: tuple[str | int, ...]

    @property
    def file(self) -> str:
        return shown(self.path, self.book.root)


def list_named_files(book: LoadedRunbook) -> Iterator[ScriptFile]:
    """Every hook and action script a runbook names; the same file once."""
    seen: set[tuple[Path, str]] = set()
    for file in _all_named(book):
        if (file.path, file.kind) not in seen:
            seen.add((file.path, file.kind))
            yield file


def _all_named(book: LoadedRunbook) -> Iterator[ScriptFile]:
    index = {stage.id: i for i, stage in enumerate(book.runbook.stages)}
    for hook in book.runbook.hooks():
        stage = ("stages", index[hook.stage]) if hook.stage else ()
        yield ScriptFile(book, book.hook_file(hook), "hook", (*stage, hook.role))
    for i, stage_ in enumerate(book.runbook.stages):
        if stage_.action:
            path = book.root / stage_.action.script
            yield ScriptFile(book, path, "script", ("stages", i, "action", "script"))


def check_files(
    books: Sequence[LoadedRunbook],
    *,
    shellcheck: bool = True,
    targets: Collection[str] | None = None,
) -> Iterator[Finding]:
    """Everything about the files of these runbooks; without `shellcheck` in milliseconds.
    `targets` are the names of those that can be told, None where they are not known."""
    seen: set[Path] = set()
    to_check: list[ScriptFile] = []
    for book in books:
        yield from _check_prerequisites(book)
        for file in list_named_files(book):
            yield from _check_presence(file)
            content = _read_content(file.path)
            if content is None:
                continue
            yield from _check_form(file, content)
            scripts = [(file, content), *_find_sourced(file, content)]
            for script, text in scripts:
                if script.path in seen:
                    continue
                seen.add(script.path)
                if is_shell(script.path, text) and name_interpreter(text) != "zsh":
                    to_check.append(script)  # shellcheck knows no zsh
                if script.kind != "script":
                    yield from _check_cluster_writes(script, text)
                if is_shell(script.path, text):
                    shell = text.decode("utf-8", "replace")
                    yield from check_messages(script.file, shell, book.name, targets)
    if shellcheck:
        yield from _run_shellcheck(to_check)


def _check_presence(file: ScriptFile) -> Iterator[Finding]:
    if not file.path.is_file():
        message = f"{file.kind} {file.file} does not exist"
        yield error(f"{file.kind}-missing", file.book, message, *file.place)
    elif is_unreviewed(file.path):
        message = f"{file.kind} {file.file} was converted and not reviewed yet"
        hint = f"read it, then `nvsx convert --accept {file.book.name}`"
        yield error("hook-unreviewed", file.book, message, *file.place, hint=hint)
    elif not os.access(file.path, os.X_OK):
        hint = f"chmod +x {file.file}"
        message = f"{file.kind} {file.file} is not executable"
        yield error(f"{file.kind}-not-executable", file.book, message, *file.place, hint=hint)


def is_unreviewed(path: Path) -> bool:
    """Whether a hook carries the mark of a model's work, whatever its mode."""
    return review.is_unreviewed(_read_content(path) or b"")


def _read_content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()[:_MAX_BYTES] if path.is_file() else None
    except OSError:
        return None


def _check_form(file: ScriptFile, content: bytes) -> Iterator[Finding]:
    """What keeps the kernel from starting a script that looks fine."""
    first = content.split(b"\n", 1)[0]
    if content.startswith(b"\x7fELF"):
        return
    if not first.startswith(b"#!"):
        message = f"{file.file} has no #! line, so it cannot be started"
        yield error("no-interpreter", file.book, message, *file.place, hint="#!/usr/bin/env bash")
    elif first.endswith(b"\r"):
        message = f"{file.file} has Windows line ends, so it cannot be started"
        hint = f"sed -i 's/\\r$//' {file.file}"
        yield error("no-interpreter", file.book, message, *file.place, hint=hint)


def is_shell(path: Path, content: bytes) -> bool:
    """Whether a file is a shell script, by its first line, else by its name."""
    name = name_interpreter(content)
    return name in _SHELLS if name else path.suffix == ".sh"


def name_interpreter(content: bytes) -> str:
    """The program that a #! line starts, "" without one.

    `#!/bin/bash -eu` and `#!/usr/bin/env -S LC_ALL=C bash -eu` are both bash.
    """
    first = content.split(b"\n", 1)[0].decode("utf-8", "replace")
    if not first.startswith("#!"):
        return ""
    words = [PurePosixPath(word).name for word in first[2:].split()]
    if words[:1] == ["env"]:
        words = [w for w in words[1:] if "=" not in w and not re.fullmatch(r"-\w*S?|--.*", w)]
        words = [w.removeprefix("-S") for w in words]
    return words[0] if words else ""


def _find_sourced(file: ScriptFile, content: bytes) -> Iterator[tuple[ScriptFile, bytes]]:
    """The files a hook sources from its own surroundings, as far as their path can be read
    off: `source "$(dirname "$0")/../lib/notify.sh"`."""
    if not is_shell(file.path, content):
        return
    root = file.book.root.resolve()
    for command in read_script(content.decode("utf-8", "replace")).commands:
        if command.program not in ("source", ".") or len(command.words) < 2:
            continue
        tail = re.sub(r"^.*(\$\(\)|\$\{[^}]*\}|\$\w+)", "", command.words[1].shown).lstrip("/")
        path = Path(os.path.normpath(file.path.parent / tail))
        text = _read_content(path)
        if text is not None and path.resolve().is_relative_to(root):
            kind = "library" if file.kind == "hook" else file.kind
            yield ScriptFile(file.book, path, kind, file.place), text


def _check_cluster_writes(file: ScriptFile, content: bytes) -> Iterator[Finding]:
    """Writes of a hook, and what lint cannot tell: only shell is read."""
    if not is_shell(file.path, content):
        message = f"{file.file} is no shell script: not checked for writes to the cluster"
        yield warning("not-checked", file.book, message, *file.place, hint=_GUARDED)
        return
    verdict = kube_writes.judge_script(content.decode("utf-8", "replace"))
    for write in verdict.writes:
        problem = Problem(
            f"`{write.command}` writes to the cluster, and a {file.kind} may only read",
            file.file,
            write.line,
            hint="only an action.script may write",
        )
        yield Finding("error", "cluster-write", problem, file.book.name)
    for write in verdict.unjudged:
        message = f"{write.command}: not checked for writes to the cluster"
        problem = Problem(message, file.file, write.line, hint=_GUARDED)
        yield Finding("warning", "not-checked", problem, file.book.name)


def _check_prerequisites(book: LoadedRunbook) -> Iterator[Finding]:
    for index, asked in enumerate(book.runbook.prerequisites):
        for write in kube_writes.find_writes(asked.check or ""):
            message = f"`{write.command}` writes to the cluster, and a prerequisite may only read"
            yield error("cluster-write", book, message, "prerequisites", index, "check")


def find_shellcheck() -> str | None:
    """The shellcheck program: on PATH, or beside this Python; None when there is none."""
    beside = Path(sys.executable).parent / "shellcheck"
    return shutil.which("shellcheck") or (str(beside) if os.access(beside, os.X_OK) else None)


def _run_shellcheck(scripts: Sequence[ScriptFile]) -> Iterator[Finding]:
    """What shellcheck says. Reading a library anew for each hook that sources it is nearly all
    of its time, so hooks are read alone first, and with what they source only where that may
    explain what was found."""
    program = find_shellcheck()
    if not program or not scripts:
        return
    by_path = {str(s.path): s for s in scripts}
    libraries = [path for path, script in by_path.items() if script.kind == "library"]
    hooks = [path for path in by_path if path not in libraries]
    try:
        unclear = {c["file"] for c in _read_comments(program, hooks)}
        found = _read_comments(program, [p for p in hooks if p in unclear], follow=True)
        found += _read_comments(program, libraries, follow=True)
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
