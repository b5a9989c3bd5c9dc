"""The ledger: what became of every fact of the source.

A fact is `kept` (its words are in a hook), `watched` (the runbook observes it), `dropped`
for a reason one of the rules here accepts, or `missing`. What converted the page has no
say in it. A conversion with a missing fact fails. The ledger is stored beside the hooks
with the source's digest, so that lint can tell when the source has moved on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nvsx.convert.blocks import Page
from nvsx.convert.commands import CORE_STAGE
from nvsx.convert.facts import PageFact
from nvsx.convert.matching import Speech, normalise, speech_of
from nvsx.core import durations
from nvsx.core.runbook.schema import Runbook
from nvsx.core.runbook.stage_order import StageId
from nvsx.core.watches.health_event_watch import HealthEventWatch
from nvsx.core.watches.node_watches import NodeConditionWatch

FILE = "ledger.json"
VERSION = 1

Fate = Literal["kept", "watched", "dropped", "missing"]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A fact and its fate; `where` is `file:line` or `stage …`, `why` the rule's reason."""

    fact: PageFact
    fate: Fate
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class FactLedger:
    """What became of all facts of these pages in one runbook."""

    runbook: str
    by: str
    pages: tuple[Page, ...]
    entries: tuple[LedgerEntry, ...]

    @property
    def missing(self) -> list[LedgerEntry]:
        return [e for e in self.entries if e.fate == "missing"]

    def count(self, fate: Fate) -> int:
        return sum(e.fate == fate for e in self.entries)

    def summary(self) -> str:
        """`61 facts: 49 kept, 9 watched, 3 dropped, 0 missing`."""
        fates: tuple[Fate, ...] = ("kept", "watched", "dropped", "missing")
        parts = ", ".join(f"{self.count(fate)} {fate}" for fate in fates)
        return f"{len(self.entries)} facts: {parts}"

    def as_json(self, places: Mapping[str, str]) -> dict[str, Any]:
        """What is stored. `places` has each page's path relative to the project."""
        return {
            "version": VERSION,
            "runbook": self.runbook,
            "by": self.by,
            "sources": [
                {"file": places.get(page.name, page.name), "sha256": page.sha256}
                for page in self.pages
            ],
            "facts": [
                {
                    "source": f"{places.get(e.fact.page, e.fact.page)}:{e.fact.line}",
                    "kind": e.fact.kind,
                    "text": e.fact.text,
                    "fate": e.fate,
                    "where": e.where,
                    "why": e.why,
                }
                for e in self.entries
            ],
        }


def stored(ledger: FactLedger, places: Mapping[str, str]) -> str:
    """The ledger as it is kept in the project: the same bytes for the same conversion."""
    return json.dumps(ledger.as_json(places), indent=1, ensure_ascii=False) + "\n"


def rows(data: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """The stored ledger as table rows: source, kind, fact, fate, where or why."""
    return [
        (
            str(f["source"]),
            str(f["kind"]),
            str(f["text"]),
            str(f["fate"]),
            str(f["where"] or f["why"]) + (f" ({f['why']})" if f["where"] and f["why"] else ""),
        )
        for f in data["facts"]
    ]


def account(
    facts: Sequence[PageFact],
    pages: Sequence[Page],
    runbook: Runbook,
    hooks: Mapping[str, str],
    by: str,
) -> FactLedger:
    """What became of each fact. `hooks` maps a path people know to the script's text."""
    judge = _Judge(runbook, [speech_of(path, text) for path, text in hooks.items()])
    entries: list[LedgerEntry] = []
    for fact in facts:
        parent = entries[fact.parent] if fact.parent >= 0 else None
        entries.append(judge.entry(fact, parent))
    return FactLedger(runbook.name, by, tuple(pages), tuple(entries))


class _Judge:
    def __init__(self, runbook: Runbook, speeches: list[Speech]) -> None:
        self.runbook = runbook
        self.speeches = speeches
        self.codes: dict[str, StageId] = {}
        self.limits: dict[float, str] = {}
        for stage in runbook.stages:
            for watch in stage.watches:
                if isinstance(watch, NodeConditionWatch | HealthEventWatch):
                    self.codes |= dict.fromkeys(watch.error_code, stage.id)
            for key, value in (("budget", stage.budget), ("timeout", stage.timeout)):
                if value is not None and key in stage.model_fields_set:
                    self.limits[value] = f"stage {stage.id}, {key}"
        self.triggers = {c for t in runbook.triggers for c in t.error_code}

    def entry(self, fact: PageFact, parent: LedgerEntry | None) -> LedgerEntry:
        """The fate of one fact, given that of the sentence it is part of."""
        if fact.core == "page-link":
            return LedgerEntry(fact, "dropped", why="points within the page")
        if fact.core:
            return self._account_core_step(fact)
        where = self._find_place(fact.pieces)
        if where:
            return LedgerEntry(fact, "kept", where)
        if parent is not None and self._part_of(fact, parent):
            return LedgerEntry(fact, parent.fate, parent.where, parent.why)
        if fact.kind == "fault" and (stage := self._watched_code(fact.text)):
            return LedgerEntry(fact, "watched", stage)
        if fact.kind == "number" and (limit := self._find_limit(fact.text)):
            return LedgerEntry(fact, "watched", limit)
        return LedgerEntry(fact, "missing")

    def _find_place(self, pieces: Sequence[str]) -> str:
        for speech in self.speeches:
            if line := speech.find(pieces):
                return f"{speech.file}:{line}"
        return ""

    def _part_of(self, fact: PageFact, parent: LedgerEntry) -> bool:
        """Words that are in a kept sentence are kept with it, whatever splits them."""
        if parent.fate == "missing":
            return False
        if parent.fact.core:
            return fact.kind in ("fault", "code", "severity")
        return normalise(fact.text) in normalise(" ".join(parent.fact.pieces))

    def _account_core_step(self, fact: PageFact) -> LedgerEntry:
        """What NVSentinel does itself: seen by a watch, or left out where no chain runs."""
        stage_id = CORE_STAGE[fact.core]
        stage = next((s for s in self.runbook.stages if s.id == stage_id), None)
        if stage is not None and stage.watch:
            return LedgerEntry(
                fact, "watched", f"stage {stage_id}", f"NVSentinel does the {fact.core}"
            )
        why = f"NVSentinel decides about the {fact.core}; this fault has no stage {stage_id}"
        return LedgerEntry(fact, "dropped", why=why)

    def _watched_code(self, text: str) -> str:
        number = re.search(r"\d+", text)
        code = number[0] if number else ""
        if code in self.codes:
            return f"stage {self.codes[code]}"
        return "triggers" if code in self.triggers else ""

    def _find_limit(self, text: str) -> str:
        match = re.fullmatch(r"(\d+)\s*(s|sec|seconds?|m|mins?|minutes?|h|hours?|d|days?)", text)
        if not match:
            return ""
        try:
            seconds = durations.parse(f"{match[1]}{match[2][0]}")
        except ValueError:
            return ""
        return self.limits.get(seconds, "")
