"""Lint rules about the files a runbook names: hooks, scripts, what they source.

Hooks are bookkeeping: they must exist, start, and write nothing to the cluster. Action
scripts may write; of them only existence and form are checked. shellcheck is used where
it is installed, on all files at once.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from nvsx.core.errors import Problem
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.lint import kube_writes
from nvsx.lint.findings import Finding, error, warning
from nvsx.lint.lint_messages import check_messages
from nvsx.lint.script_file import (
    ScriptFile,
    is_shell,
    is_unreviewed,
    list_named_files,
    name_interpreter,
    read_content,
)
from nvsx.lint.script_readings import read_shell
from nvsx.lint.shellcheck import run_shellcheck
from nvsx.project.kept_answers import KeptAnswers

_GUARDED = "read it; a kubectl that writes is refused when the hook runs"


def check_files(
    books: Sequence[LoadedRunbook],
    answers: KeptAnswers,
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
            content = read_content(file.path)
            if content is None:
                continue
            yield from _check_form(file, content)
            scripts = [(file, content), *_find_sourced(file, content, answers)]
            for script, text in scripts:
                if script.path in seen:
                    continue
                seen.add(script.path)
                if is_shell(script.path, text) and name_interpreter(text) != "zsh":
                    to_check.append(script)  # shellcheck knows no zsh
                if script.kind != "script":
                    yield from _check_cluster_writes(script, text, answers)
                if is_shell(script.path, text):
                    shell = text.decode("utf-8", "replace")
                    yield from check_messages(script.file, shell, book.name, targets)
    if shellcheck:
        yield from run_shellcheck(to_check, answers)


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


def _find_sourced(
    file: ScriptFile, content: bytes, answers: KeptAnswers
) -> Iterator[tuple[ScriptFile, bytes]]:
    """The files a hook sources from its own surroundings, as far as their path can be read off."""
    if not is_shell(file.path, content):
        return
    root = file.book.root.resolve()
    for tail in read_shell(content, answers).sourced:
        path = Path(os.path.normpath(file.path.parent / tail))
        text = read_content(path)
        if text is not None and path.resolve().is_relative_to(root):
            kind = "library" if file.kind == "hook" else file.kind
            yield ScriptFile(file.book, path, kind, file.place), text


def _check_cluster_writes(
    file: ScriptFile, content: bytes, answers: KeptAnswers
) -> Iterator[Finding]:
    """Writes of a hook, and what lint cannot tell: only shell is read."""
    if not is_shell(file.path, content):
        message = f"{file.file} is no shell script: not checked for writes to the cluster"
        yield warning("not-checked", file.book, message, *file.place, hint=_GUARDED)
        return
    verdict = read_shell(content, answers)
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
