"""Conversion without a model: the same page gives the same bytes, on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nvsx.convert import hooks, page_faults, yamltext
from nvsx.convert import page_patterns as p
from nvsx.convert.blocks import Block, Page
from nvsx.convert.draft import RunbookDraft, hook_file, runbook_file
from nvsx.convert.splitter import HookLine, split
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.stage_order import STAGE_ORDER

BY = "rules"


def draft(
    name: str, pages: Sequence[Page], blocks: Sequence[Block], words: Vocabulary, routed: str = ""
) -> RunbookDraft:
    """The runbook the rules make of these pages. `routed` names the runbook that their
    fault fires already; then this one gets no triggers."""
    names = [page.name.rsplit("/", 1)[-1].rsplit(".", 1)[0] for page in pages]
    fault = page_faults.recognise(blocks, words, [name, *names])
    done = split(blocks, fault.course)
    source = ", ".join(page.name.rsplit("/", 1)[-1] for page in pages)
    by_target: dict[str, list[HookLine]] = {}
    for line in done.lines:
        by_target.setdefault(line.target, []).append(line)
    by_target.setdefault("detect", [])
    by_target.setdefault("recover", [])
    by_target.setdefault("failure", [])
    title = _choose_title(blocks, fault.title)
    outline = yamltext.Outline(
        name=name,
        title=title,
        source=source,
        fault=fault,
        hooks=frozenset(t for t in by_target if t in STAGE_ORDER),
        overdue=done.budgets,
        failure=True,
        routed=routed,
    )
    severity = "critical" if _is_severe(blocks) else "warning"
    _leave_late_tickets_to_people(by_target)
    files = {runbook_file(name): yamltext.write(outline)}
    for target in _order_targets(by_target):
        files[hook_file(name, hooks.file_name(target))] = hooks.script(
            target,
            by_target[target],
            title=fault.title,
            source=source,
            severity=severity,
        )
    return RunbookDraft(
        name,
        BY,
        files,
        unplaced=tuple(done.unplaced),
        notes=(*_write_notes(fault, routed), *_list_channels(done.lines)),
    )


def _choose_title(blocks: Sequence[Block], fault: str) -> str:
    heading = next((b for b in blocks if b.kind == "heading" and b.text.strip()), None)
    text = " ".join(heading.text.split()) if heading else fault
    return text if len(text) <= 80 else text[:79] + "…"


def _leave_late_tickets_to_people(by_target: dict[str, list[HookLine]]) -> None:
    """Without a ticket before the recovery there is none to comment on: then people are told what
    the page says about tickets."""
    for target in _order_targets(by_target):
        if target in ("recover", "postmortem", "failure"):
            break
        if any(line.channel == "jira" for line in by_target[target]):
            return
    for target, lines in by_target.items():
        by_target[target] = [
            replace(x, mark="[ ]") if x.mark == "[jira]" else x
            for x in lines
            if x.channel != "jira"
        ]


def _is_severe(blocks: Sequence[Block]) -> bool:
    """Whether the page calls this urgent."""
    severe = ("p0", "p1", "sev0", "sev1", "sev-1", "sev 1", "critical")
    return any(m[0].lower() in severe for b in blocks for m in p.SEVERITY.finditer(b.text))


def _order_targets(targets: dict[str, list[HookLine]]) -> list[str]:
    """Stages in their order, each followed by its overdue hook; failure last."""
    ordered = [t for stage in STAGE_ORDER for t in (stage, f"{stage}-overdue") if t in targets]
    return [*ordered, *(t for t in targets if t not in ordered)]


def _list_channels(lines: Sequence[HookLine]) -> tuple[str, ...]:
    """A webhook posts to one channel, whatever the page calls it."""
    posted = [x.text for x in lines if x.channel == "slack" or x.mark == "[slack]"]
    named = sorted({name for text in posted for name in p.CHANNEL.findall(text)})
    if len(named) < 2:
        return ()
    return (f"posts for {', '.join(named)} all go to the targets for posts",)


def _write_notes(fault: page_faults.PageFault, routed: str) -> tuple[str, ...]:
    notes = []
    if fault.course == "any":
        notes.append("no fault was recognised: the runbook fits any quarantine and is run by hand")
    if fault.course == "reported":
        notes.append(
            "NVSentinel only reports this fault: there is no cordon, drain or repair to watch"
        )
    if fault.course == "people":
        notes.append("NVSentinel leaves this repair to people: remediate ends when it says so")
    if routed:
        notes.append(f"{routed} fires for this fault already: the new runbook has no triggers")
    if not fault.drill:
        notes.append("the sandbox cannot cause this fault: there is no drill")
    return tuple(notes)
