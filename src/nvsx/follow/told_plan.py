"""What `nvsx show` tells of a runbook, kept for the next time somebody asks.

It comes from the runbook's text, and from which of the files it names are there and can be run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nvsx.project.kept_answers import KeptAnswers, digest_of, fingerprint_of_code
from nvsx.project.runbook_summaries import summarise_runbooks

FILE = "plans.json"


class ToldPlan(NamedTuple):
    """A plan as JSON and as text."""

    fields: dict[str, Any]
    lines: list[str]


def tell_plan(root: Path, wanted: str, env: Mapping[str, str]) -> ToldPlan:
    """The plan of the runbook with this name or nickname. Raises UsageError, InvalidRunbook."""
    answers = KeptAnswers(FILE, env)
    key = _key_of_plan(root, wanted.removeprefix("#"), env)
    kept = answers.get(key) if key else None
    if kept is None:
        kept = _tell_anew(root, wanted)
        if key:
            answers.keep(key, kept)
            answers.save()
    return ToldPlan(*kept)


def _key_of_plan(root: Path, word: str, env: Mapping[str, str]) -> str:
    """What a plan is kept by; "" where no single sound runbook is meant."""
    found = summarise_runbooks(root, env)
    meant = [s for s in found if s.name == word] or [s for s in found if s.nickname == word]
    if len(meant) != 1 or meant[0].problems:
        return ""
    file = Path(meant[0].file)
    places = [root / named for named in meant[0].named_files]
    states = [f"{place} {place.is_file()} {os.access(place, os.X_OK)}" for place in places]
    code = fingerprint_of_code("core", "follow", "project")
    return digest_of(code, str(file), file.read_bytes(), *states)


def _tell_anew(root: Path, wanted: str) -> ToldPlan:
    from nvsx.follow.plan import Plan
    from nvsx.project import loader

    plan = Plan(loader.find(root, wanted))
    return ToldPlan(plan.as_json(), plan.lines())
