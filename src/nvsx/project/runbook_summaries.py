"""What a list of runbooks says of each file, kept by content for the next list.

Reading a runbook takes the models and a YAML parser, which is most of the time that `nvsx
list` would take. A valid file with the same text, checked by the same code, is valid again;
but for one thing that is not in the text: where links lead. A file that cannot be used is
read anew each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nvsx.project import locate
from nvsx.project.kept_answers import KeptAnswers, digest_of, fingerprint_of_code

FILE = "runbook-summaries.json"


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
    answers = KeptAnswers(FILE, env)
    code, real_root = fingerprint_of_code("core", "project"), root.resolve()
    found = []
    for path in locate.runbook_files(root):
        key = _key_of(path, code)
        summary = _from_json(answers.get(key))
        if summary is None or any(
            locate.leads_out(root / f, real_root) for f in summary.named_files
        ):
            summary = _summarise_file(path, root)
            if key and not summary.problems:
                answers.keep(key, summary)
        found.append(summary)
    answers.save()
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
    return digest_of(code, str(path), text)


def _from_json(kept: Any) -> RunbookSummary | None:
    try:
        fields: list[Any] = [tuple(v) if isinstance(v, list) else v for v in kept]
        return RunbookSummary(*fields)
    except TypeError:  # nothing was kept, or nothing of ours
        return None
