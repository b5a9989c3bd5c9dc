"""Lint rules about a runbook's own sense, and about which events fire it.

Each rule is a function from a loaded runbook (or all of them) and the vocabulary to
findings. What waits never come is in `lint_waits`, what is wrong with files in
`lint_hooks`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from nvsx.core import durations
from nvsx.core.routing.route import (
    Evaluate,
    TriggerFacts,
    detect_conditions,
    find_unknown_event_keys,
    route,
)
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.runbook.schema import Runbook, Trigger
from nvsx.core.runbook.stage_order import StageId
from nvsx.lint.findings import Finding, error, warning
from nvsx.lint.lint_waits import find_misspelt_checks, suggest_nearest

#: Shorter hard limits fail runs that are going well: NVSentinel waits for pods without
#: limit, collects logs for up to 10 minutes, and gives a reboot 25 minutes.
_LEAST: dict[StageId, float] = {"drain": 1800.0, "remediate": 1500.0, "recover": 600.0}


def check_sense(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:  # noqa: ARG001
    """Keys that have no effect where they are, or surely the wrong one."""
    tags = book.runbook.metadata.tags
    for index, stage in enumerate(book.runbook.stages):
        place = ("stages", index)
        if stage.id == "inject" and "drill" not in tags:
            message = "inject causes a fault, and the runbook is not tagged drill"
            hint = "add drill to metadata.tags, or remove the stage"
            yield error("inject-without-drill", book, message, *place, "id", hint=hint)
        if stage.expect and not stage.action:
            message = "expect has no effect without an action"
            yield warning("no-effect", book, message, *place, "expect")
        if stage.on_overdue and stage.effective_budget is None:
            message = "onOverdue never fires: the stage has no budget"
            yield warning("no-effect", book, message, *place, "onOverdue", hint="add budget: 1h")
        least = _LEAST.get(stage.id)
        limit = stage.effective_timeout
        if least is not None and limit is not None and limit < least:
            message = f"{stage.id} gives up after {durations.format(limit)}"
            hint = f"it often takes longer than {durations.format(least)} when all goes well"
            yield warning("short-timeout", book, message, *place, "timeout", hint=hint)


def check_triggers(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:
    """Names in triggers, keys in expressions, and tags that look like routing."""
    for index, trigger in enumerate(book.runbook.triggers):
        place = ("triggers", index)
        yield from find_misspelt_checks(trigger.check, (*place, "check"), book, words)
        for action in trigger.recommended_action:
            if action.upper() not in words.actions:
                hint = (
                    suggest_nearest(action, words.actions)
                    or f"actions: {', '.join(sorted(words.actions))}"
                )
                message = f"there is no recommended action '{action}'"
                yield error("unknown-action", book, message, *place, "recommendedAction", hint=hint)
        for key in find_unknown_event_keys(trigger.when or ""):
            message = f"no event has a key '{key}', so this never matches"
            yield warning("unknown-event-key", book, message, *place, "when")
    yield from _idle_tags(book, words)


def _idle_tags(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:
    """Without triggers, tags route. Those that route nothing are named, since early
    runbooks were written for matching by parts of words."""
    if book.runbook.triggers or book.runbook.stage("inject"):
        return
    tags = book.runbook.metadata.tags
    idle = [t for t in tags if not re.fullmatch(r"(?i)xid-\d+(\.\w+)?", t)]
    idle = [t for t in idle if t.lower() not in {c.lower() for c in words.checks}]
    routed = len(idle) < len(tags) or bool(detect_conditions(book.runbook))
    if not routed:
        message = "no event fires this runbook: it has no triggers, and no tag routes to it"
        yield warning("routes-nothing", book, message, "metadata", hint="add triggers")
    elif idle:
        message = f"{'tags' if len(idle) > 1 else 'tag'} {', '.join(idle)} route nothing"
        hint = "tags route only as a check name or xid-<code>; add triggers to be clear"
        yield warning("tag-routes-nothing", book, message, "metadata", "tags", hint=hint)


def find_ties(books: Sequence[LoadedRunbook], evaluate: Evaluate) -> Iterator[Finding]:
    """Events that fit two runbooks equally well: in serve they would fire none."""
    by_name = {b.name: b for b in books}
    runbooks = [b.runbook for b in books]
    seen: set[tuple[str, ...]] = set()
    for book in books:
        for event, place in sample_events(book.runbook):
            tie = route(event, runbooks, evaluate).tie
            if not tie or tie in seen:
                continue
            seen.add(tie)
            said = " ".join((event.check_name, *event.error_codes)).strip() or "some event"
            for name in tie:
                others = " and ".join(n for n in tie if n != name)
                message = f"{said} fits {others} equally well, so it fires neither"
                where = place if name == book.name else ("metadata", "name")
                hint = "make one more specific, or remove its trigger"
                yield error("routing-tie", by_name[name], message, *where, hint=hint)


def sample_events(runbook: Runbook) -> Iterator[tuple[TriggerFacts, tuple[str | int, ...]]]:
    """One event for every combination a runbook's rules name, with the rule's place."""
    if runbook.triggers:
        for index, trigger in enumerate(runbook.triggers):
            for event in _events_for(trigger):
                yield event, ("triggers", index)
        return
    for index, tag in enumerate(runbook.metadata.tags):
        code = re.fullmatch(r"(?i)xid-(.+)", tag)
        facts = (
            TriggerFacts(check_name="SysLogsXIDError", error_codes=(code[1],), is_fatal=True)
            if code
            else TriggerFacts(check_name=tag, is_fatal=True)
        )
        yield facts, ("metadata", "tags", index)
    for condition in detect_conditions(runbook):
        for check, code_ in product(condition.type, condition.error_code or ("",)):
            codes = (code_,) if code_ else ()
            yield TriggerFacts(check_name=check, error_codes=codes, is_fatal=True), ("stages",)


def _events_for(trigger: Trigger) -> Iterator[TriggerFacts]:
    labels = {key: values[0] for key, values in trigger.labels.items()}
    for check, code, agent, component, action in product(
        trigger.check or ("",),
        trigger.error_code or ("",),
        trigger.agent or ("",),
        trigger.component_class or ("",),
        trigger.recommended_action or ("",),
    ):
        yield TriggerFacts(
            check_name=check,
            error_codes=(code,) if code else (),
            agent=agent,
            component_class=component,
            recommended_action=action,
            labels=labels,
            is_fatal=trigger.fatal is not False,
            processing_strategy=trigger.strategy[0],
        )


def find_shared_nicknames(books: Sequence[LoadedRunbook]) -> Iterator[Finding]:
    """Nicknames of several runbooks: neither can be called by it."""
    by_nickname: defaultdict[str, list[LoadedRunbook]] = defaultdict(list)
    for book in books:
        by_nickname[book.nickname].append(book)
    for nickname, sharing in by_nickname.items():
        for book in sharing if len(sharing) > 1 else ():
            others = " and ".join(b.name for b in sharing if b is not book)
            message = f"nickname {nickname} is also {others}'s"
            hint = "give one another nickname"
            yield warning("shared-nickname", book, message, "metadata", "nickname", hint=hint)
