"""What a run of a runbook would do: stages, watches, hooks, limits. Contacts nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvsx.core import durations
from nvsx.core.runbook import review
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.runbook.schema import Prerequisite, Stage
from nvsx.core.watches.kinds import describe
from nvsx.lint import script_file


@dataclass(frozen=True, slots=True)
class Plan:
    """A runbook with what is known of its files."""

    loaded: LoadedRunbook

    def as_json(self) -> dict[str, Any]:
        book = self.loaded.runbook
        meta = book.metadata
        return {
            "runbook": meta.name,
            "nickname": meta.nickname,
            "title": meta.title,
            "summary": meta.summary,
            "tags": list(meta.tags),
            "file": str(self.loaded.path),
            "triggers": [
                t.model_dump(by_alias=True, exclude_defaults=True, mode="json")
                for t in book.triggers
            ],
            "prerequisites": [
                {"name": p.label, "check": describe_question(p), "required": p.required}
                for p in book.prerequisites
            ],
            "stages": [self._stage_json(s) for s in book.stages],
            "on_failure": self._describe_file(book.on_failure, "runbooks"),
            "on_attempt": self._describe_file(book.on_attempt, "runbooks"),
        }

    def _stage_json(self, stage: Stage) -> dict[str, Any]:
        action = stage.action
        return {
            "stage": stage.id,
            "title": stage.title,
            "timeout_s": stage.effective_timeout,
            "budget_s": stage.effective_budget,
            "on_timeout": stage.on_timeout,
            "action": self._describe_file(action.script if action else None, ""),
            "watches": [describe(w) for w in stage.watch],
            "hook": self._describe_file(stage.hook, "runbooks"),
            "on_overdue": self._describe_file(stage.on_overdue, "runbooks"),
            "on_failure": self._describe_file(stage.on_failure, "runbooks"),
        }

    def _describe_file(self, path: str | None, base: str) -> dict[str, Any] | None:
        if path is None:
            return None
        full = self.loaded.root / base / path
        return {"path": path, "exists": full.is_file(), "executable": os.access(full, os.X_OK)}

    def find_unusable_files(self) -> list[str]:
        """Hooks and scripts that cannot run, as sentences."""
        book = self.loaded.runbook
        wanted: list[tuple[str, Path]] = [
            (f"hook {ref.path}", self.loaded.hook_file(ref)) for ref in book.hooks()
        ]
        wanted += [(f"script {script}", self.loaded.root / script) for script in book.scripts()]
        found = []
        for name, path in dict(wanted).items():
            if not path.is_file():
                found.append(f"{name} is not there")
            elif script_file.is_unreviewed(path):
                found.append(f"{name} {review.explain_unreviewed(self.loaded.name)}")
            elif not os.access(path, os.X_OK):
                found.append(f"{name} is not executable; run: chmod +x {path}")
        return found

    def lines(self) -> list[str]:
        """The plan as readable text."""
        book = self.loaded.runbook
        meta = book.metadata
        lines = [f"{meta.name} (#{meta.nickname}): {meta.title}"]
        if meta.summary:
            lines.append(f"  {meta.summary}")
        lines.append(f"  file {self.loaded.file}")
        if meta.tags:
            lines.append(f"  tags {', '.join(meta.tags)}")
        lines += [
            f"  needs {p.label}: {describe_question(p)}" + (" (required)" if p.required else "")
            for p in book.prerequisites
        ]
        for stage in book.stages:
            lines += self._stage_lines(stage)
        if book.on_failure:
            lines.append(f"on failure: {self._describe_path(book.on_failure, 'runbooks')}")
        if book.on_attempt:
            text = self._describe_path(book.on_attempt, "runbooks")
            lines.append(f"on each further repair attempt: {text}")
        return lines

    def _stage_lines(self, stage: Stage) -> list[str]:
        limit = stage.effective_timeout
        budget = stage.effective_budget
        limits = [f"limit {durations.format(limit)}" if limit is not None else "no limit"]
        if budget is not None:
            limits.append(f"overdue after {durations.format(budget)}")
        if stage.on_timeout == "continue":
            limits.append("goes on after its limit")
        lines = [f"{stage.id}: {stage.title} ({', '.join(limits)})"]
        if stage.action:
            lines.append(f"  action  {self._describe_path(stage.action.script, '')}")
        lines += [f"  waits   {describe(w)}" for w in stage.watch]
        for word, path in (
            ("hook", stage.hook),
            ("overdue", stage.on_overdue),
            ("failure", stage.on_failure),
        ):
            if path:
                lines.append(f"  {word:<7} {self._describe_path(path, 'runbooks')}")
        return lines

    def _describe_path(self, path: str, base: str) -> str:
        full = self.loaded.root / base / path
        if not full.is_file():
            return f"{path} (missing)"
        return path if os.access(full, os.X_OK) else f"{path} (not executable)"


def describe_question(p: Prerequisite) -> str:
    """What a prerequisite asks, in words."""
    if p.kind != "check":
        return f"{p.kind} {p.subject}"
    return f"`{p.subject}`" + (f" prints {p.expect}" if p.expect else " succeeds")
