"""What a person sees before anything is written: files as a diff, ledger as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from nvsx.convert.checking import DraftReport
from nvsx.convert.draft import RunbookDraft
from nvsx.convert.ledger import LedgerEntry
from nvsx.convert.page_masking import PageSecret

_WIDTHS = (26, 8, 46, 8)


def diff(draft: RunbookDraft) -> list[str]:
    """The new files, as `diff -u` shows new files."""
    lines: list[str] = []
    for path, text in draft.files.items():
        body = text.splitlines()
        lines += ["--- /dev/null", f"+++ {path}", f"@@ -0,0 +1,{len(body)} @@"]
        lines += [f"+{line}" for line in body]
        lines.append("")
    return lines


def table(rows: Sequence[tuple[str, str, str, str, str]]) -> list[str]:
    """The ledger for a terminal: source, kind, fact, fate, where."""
    head = ("SOURCE", "KIND", "FACT", "FATE", "WHERE")
    shown = [tuple(_clip_cell(c, i) for i, c in enumerate(row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in shown) for i in range(4)]
    return [
        "  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]).rstrip() for row in shown
    ]


def _clip_cell(text: str, column: int) -> str:
    text = " ".join(text.split())
    if column >= len(_WIDTHS) or len(text) <= _WIDTHS[column]:
        return text
    if column == 0:
        return "…" + text[-_WIDTHS[0] + 1 :]
    return text[: _WIDTHS[column] - 1] + "…"


def summary(draft: RunbookDraft, report: DraftReport, secrets: Sequence[PageSecret]) -> list[str]:
    """What came of the page, in a few lines."""
    lines = [f"{draft.runbook_file} and {len(draft.hooks)} hooks, made by {draft.by}"]
    if report.ledger:
        lines.append(report.ledger.summary())
    lines += list(draft.notes)
    lines += [f"{f.severity}: {f.problem} [{f.rule}]" for f in report.findings if report.good]
    if secrets:
        names = ", ".join(sorted({s.variable for s in secrets}))
        where = ", ".join(f"{s.page}:{s.line}" for s in secrets[:5])
        lines.append(f"secrets in the page ({where}) became variables; export {names}")
    if draft.unplaced:
        count = len(draft.unplaced)
        what = "line fits" if count == 1 else "lines fit"
        said = "is" if count == 1 else "are"
        lines.append(f"{count} {what} no stage by any rule and {said} said in preflight:")
        lines += [
            f"  {x.page}:{x.line}  {textwrap.shorten(x.text, 90)}" for x in draft.unplaced[:20]
        ]
        lines += [f"  and {count - 20} more"] if count > 20 else []
    return lines


def missing(entries: Iterable[LedgerEntry]) -> list[str]:
    """The facts nothing accounts for, with their place in the page."""
    return [f"  {e.fact.page}:{e.fact.line}  {e.fact.kind}: {e.fact.text}" for e in entries]


def problems(report: DraftReport) -> list[str]:
    """Everything that keeps a draft from being written."""
    lines = [f"  {f.severity}: {f.problem} [{f.rule}]" for f in report.findings]
    if report.ledger and report.ledger.missing:
        lines.append(f"  {len(report.ledger.missing)} facts of the page are not accounted for:")
        lines += ["  " + line for line in missing(report.ledger.missing)]
    return lines


def findings_text(draft: RunbookDraft, report: DraftReport, said: Mapping[str, str]) -> str:
    """FINDINGS.md of a draft that is kept: why it was not written into the project."""
    lines = [f"# Why {draft.name} was not written", ""]
    lines += [f"- {key}: {value}" for key, value in said.items()]
    lines += ["", *(line.strip() for line in problems(report))]
    return "\n".join(lines) + "\n"
