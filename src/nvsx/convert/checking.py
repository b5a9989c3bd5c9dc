"""Whether a draft is good: schema, lint, shellcheck and ledger, on a copy outside the project.

The project is read and never touched. For shell that a model wrote, `safety` comes on top.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvsx.convert.blocks import Page
from nvsx.convert.draft import RunbookDraft
from nvsx.convert.facts import PageFact
from nvsx.convert.ledger import FactLedger, account
from nvsx.core.errors import InvalidRunbook, Problem
from nvsx.core.routing.route import Evaluate, route
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.lint import lint_rules, linter
from nvsx.lint.findings import Finding


@dataclass(frozen=True, slots=True)
class ConversionDesk:
    """The project a page is converted into, and what reads it."""

    root: Path
    words: Vocabulary
    catalog: Sequence[LoadedRunbook | BrokenRunbook]
    load: Callable[[Path, Path], LoadedRunbook]
    evaluate: Evaluate


@dataclass(frozen=True, slots=True)
class DraftReport:
    """What the checks found. `ledger` is None when the runbook could not be read."""

    findings: tuple[Finding, ...]
    ledger: FactLedger | None

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def good(self) -> bool:
        return not self.errors and self.ledger is not None and not self.ledger.missing


def examine(
    draft: RunbookDraft,
    facts: Sequence[PageFact],
    pages: Sequence[Page],
    desk: ConversionDesk,
    extra: Callable[[LoadedRunbook], Sequence[Finding]] = lambda _: (),
) -> DraftReport:
    """Everything that can be known about a draft without running it."""
    with tempfile.TemporaryDirectory(prefix="nvsx-convert-") as folder:
        root = Path(folder)
        _lay_out(draft, root)
        try:
            loaded = desk.load(root / draft.runbook_file, root)
        except InvalidRunbook as exc:
            problems = [Finding("error", "schema", p, draft.name) for p in exc.problems]
            return DraftReport(tuple(problems), None)
        others = [entry for entry in desk.catalog if entry.name != draft.name]
        found = linter.lint([*others, loaded], desk.words, [draft.name], desk.evaluate)
        found = [f for f in found if f.rule != "hook-unreviewed"]  # that is what acceptance is for
        found += extra(loaded)
        ledger = account(facts, pages, loaded.runbook, draft.hooks, draft.by)
        found += find_unused_hooks(loaded, draft)
        return DraftReport(tuple(dict.fromkeys(found)), ledger)


def find_rival(draft: RunbookDraft, desk: ConversionDesk) -> str:
    """The runbook of the project that fires for the same events, "" when there is none."""
    with tempfile.TemporaryDirectory(prefix="nvsx-convert-") as folder:
        root = Path(folder)
        _lay_out(draft, root)
        loaded = desk.load(root / draft.runbook_file, root)
    others = [e for e in desk.catalog if isinstance(e, LoadedRunbook) and e.name != draft.name]
    for event, _ in lint_rules.sample_events(loaded.runbook):
        tie = route(event, [*(o.runbook for o in others), loaded.runbook], desk.evaluate).tie
        if tie and draft.name in tie:
            return next(name for name in tie if name != draft.name)
    return ""


def find_unused_hooks(loaded: LoadedRunbook, draft: RunbookDraft) -> list[Finding]:
    """Hooks that no stage fires say their words to nobody."""
    used = {f"runbooks/{hook.path}" for hook in loaded.runbook.hooks()}
    return [
        Finding("error", "hook-unused", Problem("no stage fires this hook", path), draft.name)
        for path in draft.hooks
        if path not in used
    ]


def _lay_out(draft: RunbookDraft, root: Path) -> None:
    """The draft's files as they would be in the project, all of them able to start."""
    for path, text in draft.files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)
