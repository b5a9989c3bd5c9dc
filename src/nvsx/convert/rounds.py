# ruff: noqa: E501 - patterns stay in one piece, in the languages of pages
"""Conversion by a model: ask, check, send the findings back, at most three times.

What the model says is judged by the same checks as the rules' own draft, and by `safety`
on top. A draft that never passes is handed back with its findings, for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nvsx.convert import offline, preview, prompt, safety, triggering
from nvsx.convert.acceptance import MARKER
from nvsx.convert.checking import ConversionDesk, DraftReport, examine, find_rival
from nvsx.convert.conversion import PageSource
from nvsx.convert.draft import RunbookDraft, hook_file, runbook_file
from nvsx.convert.model import ConversionModel, ModelAnswer, ModelReply, Progress, findings_sentence
from nvsx.core.errors import Problem
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.lint.findings import Finding

MOST_RETURNS = 3
"""How often findings go back to the model."""


@dataclass(frozen=True, slots=True)
class ConversionOutcome:
    """The last draft, what the checks said of it, and how often findings went back."""

    draft: RunbookDraft
    report: DraftReport
    returns: int


def convert(
    source: PageSource, name: str, desk: ConversionDesk, model: ConversionModel, progress: Progress
) -> ConversionOutcome:
    """Let the model convert these pages. Raises NvsxError when it cannot be asked."""
    routed = _find_routed(source, name, desk)
    names = ", ".join(page.name for page in source.pages)
    yaml = prompt.skeleton(name, names, source.blocks, desk.words, routed)
    reply = model.ask(prompt.request(name, source.pages, source.facts, yaml, routed))
    for returns in range(MOST_RETURNS + 1):
        draft, report = _check_reply(reply, source, name, desk, model.name)
        if report.good or returns == MOST_RETURNS:
            return ConversionOutcome(draft, report, returns)
        wrong = [reply.wrong] if reply.wrong else preview.problems(report)
        what = "1 finding goes" if len(wrong) == 1 else f"{len(wrong)} findings go"
        progress(f"{what} back to {model.name}, round {returns + 1} of {MOST_RETURNS}")
        reply = model.again(reply, findings_sentence(wrong))
    raise AssertionError("the loop returns")


def _find_routed(source: PageSource, name: str, desk: ConversionDesk) -> str:
    """The runbook that fires for this fault already, "" when none does."""
    return find_rival(offline.draft(name, source.pages, source.blocks, desk.words), desk)


def _check_reply(
    reply: ModelReply, source: PageSource, name: str, desk: ConversionDesk, model: str
) -> tuple[RunbookDraft, DraftReport]:
    if reply.answer is None:
        problem = Problem(reply.wrong or "there was no answer")
        return RunbookDraft(name, model, {}, reviewed=False), DraftReport(
            (Finding("error", "answer", problem, name),), None
        )
    draft = _draft_answer(reply.answer, source, name, model)
    hosts = safety.hosts_in("\n".join(page.text for page in source.pages))

    def extra(loaded: LoadedRunbook) -> Sequence[Finding]:
        found = _find_forbidden_parts(loaded, draft) + triggering.find_broader_triggers(
            loaded, source, name, desk.words
        )
        for path, text in draft.hooks.items():
            found += safety.examine(path, text, hosts, name)
        return found

    return draft, examine(draft, source.facts, source.pages, desk, extra)


def _draft_answer(answer: ModelAnswer, source: PageSource, name: str, model: str) -> RunbookDraft:
    """The answer as files, each hook marked as nobody's yet."""
    names = ", ".join(page.name for page in source.pages)
    head = f"# Converted from {names} by {model}; ledger.json beside the hooks accounts for every fact.\n"
    files = {runbook_file(name): head + answer.runbook.strip() + "\n"}
    for hook in answer.hooks:
        first, _, rest = hook.script.strip().partition("\n")
        files[hook_file(name, hook.file)] = f"{first}\n{MARKER}\n{rest}\n"
    remarks = " ".join(answer.remarks.split())
    return RunbookDraft(name, model, files, reviewed=False, notes=(remarks,) if remarks else ())


def _find_forbidden_parts(loaded: LoadedRunbook, draft: RunbookDraft) -> list[Finding]:
    """What a converted runbook may not have, valid as it may be."""
    name = draft.name
    found = []
    if loaded.runbook.scripts():
        message = "a converted runbook has no action: only NVSentinel repairs"
        found.append(Finding("error", "convert-action", loaded.problem(message), name))
    for index, asked in enumerate(loaded.runbook.prerequisites):
        if asked.kind == "check":
            problem = loaded.problem(
                "a converted runbook runs no command as a prerequisite", "prerequisites", index
            )
            found.append(Finding("error", "convert-check", problem, name))
    for hook in loaded.runbook.hooks():
        if f"runbooks/{hook.path}" not in draft.files:
            problem = loaded.problem(f"{hook.path} is not among the hooks of this answer")
            found.append(Finding("error", "hook-missing", problem, name))
    return found
