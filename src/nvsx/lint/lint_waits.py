"""Lint rules about what a runbook waits for: does NVSentinel ever show it?

Early runbooks and old documents wait for taints, events and conditions that never come;
a run would stand there until its time limit. The facts are in the vocabulary; these rules
only compare. A wait that is one alternative of several, or a negation, is not reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from nvsx.core.routing.route import detect_conditions
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.runbook.schema import Stage
from nvsx.core.watches.event_watches import PodEventWatch
from nvsx.core.watches.health_event_watch import HealthEventWatch
from nvsx.core.watches.kinds import AnyOf, Watch, describe
from nvsx.core.watches.node_watches import (
    NodeAnnotationWatch,
    NodeConditionWatch,
    NodeLabelWatch,
    NvsentinelStateWatch,
    TaintWatch,
)
from nvsx.core.watches.resource_watch import CrdWatch
from nvsx.lint.findings import Finding, error, warning

Place = tuple[str | int, ...]

_MONITOR = re.compile(r"\b(?:daemonsets?|ds)[/ ]+gpu-health-monitor(?![\w-])")


def check_waits(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:
    """Watches for what NVSentinel never shows, and names it does not have."""
    for stage, alternatives in _list_watches(book):
        reasons = [_explain_silence(watch, book, words) for watch, _ in alternatives]
        if all(reasons):
            for reason, (watch, place) in zip(reasons, alternatives, strict=True):
                message = f"{stage.id} waits for what never comes: {describe(watch)}"
                yield warning("never-shown", book, message, *place, hint=reason)
        for watch, place in alternatives:
            yield from _check_names(watch, place, book, words)
    yield from _check_prerequisites(book, words)


def _list_watches(book: LoadedRunbook) -> Iterator[tuple[Stage, list[tuple[Watch, Place]]]]:
    """Every entry of a `watch` list as its alternatives, each with its place."""
    for s, stage in enumerate(book.runbook.stages):
        for w, item in enumerate(stage.watch):
            place: Place = ("stages", s, "watch", w)
            if isinstance(item, AnyOf):
                yield stage, [(x, (*place, "anyOf", i)) for i, x in enumerate(item.any_of)]
            else:
                yield stage, [(item, place)]


def _explain_silence(watch: Watch, book: LoadedRunbook, words: Vocabulary) -> str:
    """Why this watch never holds; "" when it may."""
    if watch.absent:
        return ""
    subjects: list[str] = []
    if isinstance(watch, NodeConditionWatch):
        if watch.status != "True":
            return ""
        if _is_violation(watch):
            return ""
        subjects = [f"condition {t}" for t in watch.type]
        if _is_about_xid_79(book):
            subjects = [_of_xid_79(s, words) for s in subjects]
    elif isinstance(watch, TaintWatch):
        if "thermal" in _describe_topic(book):
            return "thermal faults set no taint: wait for node-event with type GpuThermalWatch"
        subjects = [f"taint {watch.key}"]
    elif isinstance(watch, NodeAnnotationWatch):
        subjects = [f"annotation {watch.key}"]
    elif isinstance(watch, NodeLabelWatch):
        subjects = [f"label {watch.key}"]
    elif isinstance(watch, PodEventWatch):
        subjects = [f"pod-event {reason}" for reason in watch.reason]
    elif isinstance(watch, HealthEventWatch):
        return _not_in_store(watch, words)
    reasons = [words.silent.get(s) or _name_invented(s, words) for s in subjects]
    return reasons[0] if reasons and all(reasons) else ""


def _is_violation(watch: NodeConditionWatch) -> bool:
    """A thermal violation, unlike throttling, is fatal and shows as a condition."""
    codes = any(re.search(r"VIOLATIONS?$", code) for code in watch.error_code)
    return "GpuThermalWatch" in watch.type and codes


def _of_xid_79(subject: str, words: Vocabulary) -> str:
    special = f"xid-79 {subject.removeprefix('condition ')}"
    return special if special in words.silent else subject


def _name_invented(subject: str, words: Vocabulary) -> str:
    real = words.invented.get(subject.removeprefix("condition "))
    return f"NVSentinel has no such check; the real one is {real}" if real else ""


def _describe_topic(book: LoadedRunbook) -> str:
    meta = book.runbook.metadata
    return " ".join((meta.name, meta.nickname, meta.title, *meta.tags)).lower()


def _is_about_xid_79(book: LoadedRunbook) -> bool:
    codes = {c for t in book.runbook.triggers for c in t.error_code}
    about = re.search(r"\bxid[- _]?79\b|off[- ](the[- ])?bus|rogue-moose", _describe_topic(book))
    return "79" in codes or about is not None


def _not_in_store(watch: HealthEventWatch, words: Vocabulary) -> str:
    if watch.collection and watch.collection not in words.collections:
        return f"the collections are {' and '.join(sorted(words.collections))}"
    roots = {field.split(".")[0] for field in _list_fields(watch.filter)}
    unknown = sorted(roots - words.document_roots)
    if not unknown:
        return ""
    return (
        f"stored events have no field {unknown[0]} at the top; "
        f"write healthevent.{unknown[0].lower()}"
    )


def _list_fields(condition: object) -> Iterator[str]:
    """The document fields a filter names at its top, inside $and and $or too."""
    for key, value in condition.items() if isinstance(condition, dict) else ():
        if key in ("$and", "$or"):
            for branch in value:
                yield from _list_fields(branch)
        else:
            yield key


def _check_names(
    watch: Watch, place: Place, book: LoadedRunbook, words: Vocabulary
) -> Iterator[Finding]:
    if isinstance(watch, NvsentinelStateWatch):
        for state in watch.state:
            if state not in words.states:
                hint = suggest_nearest(state, words.states) or f"states: {', '.join(words.states)}"
                message = f"NVSentinel has no state '{state}'"
                yield error("unknown-state", book, message, *place, "state", hint=hint)
    elif isinstance(watch, NodeConditionWatch):
        yield from find_misspelt_checks(watch.type, (*place, "type"), book, words)
    elif isinstance(watch, HealthEventWatch):
        yield from find_misspelt_checks(watch.check, (*place, "check"), book, words)


def find_misspelt_checks(
    names: tuple[str, ...], place: Place, book: LoadedRunbook, words: Vocabulary
) -> Iterator[Finding]:
    """Names close to a check of NVSentinel's. Others may be anybody's: monitors can be
    given checks of their own, and Kubernetes has conditions of its own."""
    for name in names:
        if words.knows_check(name):
            continue
        near = suggest_nearest(name, words.checks, 0.85)
        if name in words.invented:
            near = f"use {words.invented[name]}"
        if near:
            yield warning("unknown-check", book, f"no check is called '{name}'", *place, hint=near)


def suggest_nearest(word: str, known: tuple[str, ...] | frozenset[str], cutoff: float = 0.6) -> str:
    """The word probably meant, as a question; "" when nothing is near."""
    folded = {k.lower(): k for k in sorted(known)}
    near = get_close_matches(word.lower(), folded, n=1, cutoff=cutoff)
    return f"did you mean {folded[near[0]]}?" if near else ""


def _check_prerequisites(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:
    for index, asked in enumerate(book.runbook.prerequisites):
        reason = words.silent.get(f"{asked.kind} {asked.subject}", "")
        if asked.kind == "check" and _MONITOR.search(asked.subject):
            reason = words.silent.get("daemonset gpu-health-monitor", "")
        if reason:
            message = f"prerequisite '{asked.label}' is never met"
            place = ("prerequisites", index, asked.kind)
            yield warning("never-shown", book, message, *place, hint=reason)


def find_unrepaired(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:
    """Waiting in remediate for a custom resource when the fault's action creates none."""
    faults = set(_list_faults(book))
    actions = {
        words.no_repair.get((check, code)) or words.no_repair.get((check, ""))
        for check, code in faults
    }
    if not faults or None in actions:
        return
    for stage, alternatives in _list_watches(book):
        wanted = [w for w, _ in alternatives if isinstance(w, CrdWatch) and not w.absent]
        if stage.id == "remediate" and len(wanted) == len(alternatives):
            action = " or ".join(sorted(a for a in actions if a))
            message = f"remediate waits for {describe(wanted[0])}"
            hint = f"this fault's action is {action}, which creates none: people repair it"
            yield warning("no-resource", book, message, *alternatives[0][1], hint=hint)


def _list_faults(book: LoadedRunbook) -> Iterator[tuple[str, str]]:
    """(check, error code) pairs the runbook is for; "" for a code that is not said."""
    for trigger in book.runbook.triggers:
        for check in trigger.check or ("SysLogsXIDError",) * bool(trigger.error_code):
            yield from ((check, code) for code in trigger.error_code or ("",))
    if not book.runbook.triggers:
        for tag in book.runbook.metadata.tags:
            if re.fullmatch(r"xid-\d+", tag):
                yield "SysLogsXIDError", tag.removeprefix("xid-")
        for condition in detect_conditions(book.runbook):
            for check in condition.type:
                yield from ((check, code) for code in condition.error_code or ("",))
