"""`nvsx init`: a runbook to start from, right for the kind of fault it is about.

It plans files as values: the YAML with its schema beside it, and three hook stubs. The text
lies in `templates/`; which template, which conditions and which triggers follow from the
fault. Which faults there are is the caller's to say. Nothing is written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from typing import Literal

from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.routing.route import Evaluate, TriggerFacts, no_expressions, route
from nvsx.core.runbook.schema import NAME_PATTERN, Runbook, title_of
from nvsx.project import schema_document
from nvsx.project.new_files import NewFile

#: Where the YAML's first line leads an editor: it works offline and in a clone.
SCHEMA_FILE = "runbooks/.runbook.schema.json"
#: What a scaffold is about when nobody says: common, and no starter runbook is.
DEFAULT_FAULT = "xid-119"
#: Folders under runbooks/hooks/ that are no runbook's.
RESERVED = ("lib",)
_PATTERN = re.compile(NAME_PATTERN)

End = Literal["repair", "people", "condition", "event"]


@dataclass(frozen=True, slots=True)
class FaultSigns:
    """What a monitor reports about a fault. `shown` is false for what is only stored,
    `quarantined` for what no rule of NVSentinel's takes a node out of service for."""

    check: str
    codes: tuple[str, ...]
    action: str
    fatal: bool
    agent: str = ""
    shown: bool = True
    repaired: bool = False
    quarantined: bool = True

    def facts(self) -> TriggerFacts:
        """The event as routing sees it."""
        return TriggerFacts(
            check_name=self.check,
            error_codes=self.codes,
            is_fatal=self.fatal,
            recommended_action=self.action,
            agent=self.agent,
        )


@dataclass(frozen=True, slots=True)
class KnownFault:
    """A fault by name: its reports decide how NVSentinel's chain ends."""

    name: str
    title: str
    reports: tuple[FaultSigns, ...]

    @property
    def shown(self) -> tuple[FaultSigns, ...]:
        return tuple(r for r in self.reports if r.shown)

    @property
    def telling(self) -> tuple[FaultSigns, ...]:
        """What a runbook is about: not the warnings from which a fatal one is concluded."""
        return tuple(r for r in self.shown if r.fatal or self.end == "event")

    @property
    def end(self) -> End:
        if not any(r.fatal for r in self.shown):
            return "event"
        if not any(r.fatal and r.quarantined for r in self.shown):
            return "condition"
        return "repair" if any(r.repaired for r in self.shown) else "people"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """The files of a new runbook. `parked_by` are runbooks that its fault fires already; its
    own triggers are then commented out, since a tie would fire neither."""

    name: str
    fault: KnownFault
    files: tuple[NewFile, ...]
    parked_by: tuple[str, ...] = ()


def check_slug(slug: str) -> None:
    """Raises UsageError with what is wrong with a name, and one that would do."""
    if _PATTERN.match(slug) and slug not in RESERVED:
        return
    if slug in RESERVED:
        raise UsageError(f"runbooks/hooks/{slug}/ holds what hooks share", "choose another name")
    proposed = re.sub(r"[^a-z0-9._-]+", "-", slug.lower()).strip("-._")[:63].strip("-._")
    wrong = (
        f"{slug!r} is not a name for a runbook: lower-case letters, digits, - . _, "
        "at most 63, with a letter or digit at both ends"
    )
    raise UsageError(wrong, f"try {proposed}" if _PATTERN.match(proposed) else "such as gpu-stuck")


def pick_fault(wanted: str | None, known: Mapping[str, KnownFault]) -> KnownFault:
    """The fault to start from. Raises UsageError for one that is unknown or never shows."""
    name = wanted or DEFAULT_FAULT
    name = f"xid-{name}" if name.isdigit() else name.lower()
    fault = known.get(name)
    if fault is None:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"no fault is called {wanted}", f"{hint}see `nvsx sandbox faults`")
    if not fault.shown:
        raise UsageError(
            f"{name} shows nowhere in the cluster: NVSentinel only stores it",
            "a runbook can watch for it with kind health-event alone; "
            "start from another fault and change it",
        )
    return fault


def scaffold(
    slug: str,
    fault: KnownFault,
    others: Sequence[Runbook] = (),
    *,
    title: str | None = None,
    summary: str | None = None,
    collects: bool = False,
    evaluate: Evaluate = no_expressions,
) -> Scaffold:
    """A runbook `slug` about `fault` beside `others`; `collects` when the project has
    scripts/collect-metrics.sh. Raises UsageError for a name that cannot be."""
    check_slug(slug)
    parked = _fired_already(fault, others, evaluate)
    words = {
        "NAME": slug,
        "NICKNAME": _free_nickname(slug, others),
        "TITLE": _quote_text(title or title_of(slug)),
        "SUMMARY": _quote_text(summary or f"{fault.title}. {_WHO[fault.end]}"),
        "FAULT": fault.name,
        "FAULT_TITLE": fault.title,
        "TRIGGERS": _format_triggers(fault, parked),
        "DETECT": _format_detect(fault),
        "SILENCE": _watch_for_silence(fault),
        "CHECKS": _format_list(dict.fromkeys(r.check for r in fault.shown if r.fatal)),
        "POSTMORTEM": _POSTMORTEM[collects],
        "REMEDIATE": _REMEDIATE[fault.end][0],
        "REMEDIATE_TEXT": _REMEDIATE[fault.end][1],
        "REMEDIATE_CALL": _REMEDIATE[fault.end][2],
    }
    second = "on-detect" if fault.end in ("condition", "event") else "on-remediate"
    hooks = [
        NewFile(f"runbooks/hooks/{slug}/{name}.sh", filled(f"{name}.sh", words), executable=True)
        for name in ("preflight", second, "on-recover")
    ]
    book = NewFile(f"runbooks/{slug}.yaml", filled(f"{fault.end}.yaml", words))
    return Scaffold(slug, fault, (book, *hooks), parked)


def schema_file() -> NewFile:
    """The JSON Schema for editors, as this version of nvsx has it."""
    return NewFile(SCHEMA_FILE, json.dumps(schema_document.json_schema(), indent=1) + "\n")


def filled(template: str, words: Mapping[str, str]) -> str:
    """A template with every @WORD@ replaced."""
    text = (
        resources.files("nvsx.commands.init")
        .joinpath("templates", template)
        .read_text(encoding="utf-8")
    )
    return re.sub(r"@([A-Z_]+)@", lambda m: words[m[1]], text)


# --- the parts of the YAML ----------------------------------------------------------------

_WHO: dict[End, str] = {
    "repair": "NVSentinel repairs the node; people are kept informed.",
    "people": "NVSentinel isolates the node and hands it to people.",
    "condition": "NVSentinel shows it and does nothing: people are told.",
    "event": "A warning, not a repair: people are told.",
}
#: The comment of the hook, what it says, and how.
_REMEDIATE: dict[End, tuple[str, str, str]] = {
    "repair": (
        "NVSentinel's repair request has finished. Health comes later.",
        "the repair request has finished",
        "post",
    ),
    "people": (
        "NVSentinel orders no repair for this fault: wake somebody here.",
        "the node is isolated and waits for people to repair it",
        "page --severity critical",
    ),
    "condition": ("", "", ""),
    "event": ("", "", ""),
}
_POSTMORTEM = {
    True: "  - id: postmortem\n"
    "    action: {script: scripts/collect-metrics.sh, idempotent: true} # it only reads\n",
    False: "  - id: postmortem\n",
}


def _fired_already(
    fault: KnownFault, others: Sequence[Runbook], evaluate: Evaluate
) -> tuple[str, ...]:
    found: list[str] = []
    for report in fault.telling:
        explained = route(report.facts(), others, evaluate)
        found += [explained.winner.name] if explained.winner else explained.tie
    return tuple(dict.fromkeys(found))


def _free_nickname(slug: str, others: Sequence[Runbook]) -> str:
    """A nickname of its own when the one its name gives is taken."""
    taken = {o.nickname for o in others}
    if alias_of(slug) not in taken:
        return ""
    free = next(a for i in range(2, 100) if (a := alias_of(f"{slug}-{i}")) not in taken)
    return f"  nickname: {free}\n"


def _quote_text(text: str) -> str:
    """Text as a YAML scalar: JSON's quoting is YAML's."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _format_list(words: Mapping[str, None]) -> str:
    return next(iter(words)) if len(words) == 1 else f"[{', '.join(words)}]"


def _format_codes(report: FaultSigns) -> str:
    return "[" + ", ".join(_quote_text(c) for c in report.codes) + "]"


def _format_triggers(fault: KnownFault, parked: tuple[str, ...]) -> str:
    lines: list[str] = []
    for report in fault.telling:
        lines.append(f"  - check: {report.check}")
        if report.codes:
            lines.append(f"    errorCode: {_format_codes(report)}")
        if not report.fatal:
            lines.append("    fatal: any")
    if not parked:
        return "\n".join(lines)
    who = " and ".join(parked)
    return "\n".join(
        [
            f"  # {who} fires on this fault already, and two that fit equally fire neither. So",
            "  # this one runs by hand only. To let it fire, remove the next line, take the",
            "  # comment marks off the others, and take the same triggers out there.",
            '  - when: "false"',
            *(f"  #{line[1:]}" for line in lines),
        ]
    )


def _format_detect(fault: KnownFault) -> str:
    watches = [_watch_for(r) for r in fault.telling]
    if len(watches) == 1:
        return f"      - {watches[0]}"
    return "\n".join(["      - anyOf:", *(f"          - {w}" for w in watches)])


def _watch_for(report: FaultSigns, more: str = "") -> str:
    if report.fatal:
        codes = f", errorCode: {_format_codes(report)}" if report.codes else ""
        return f"{{kind: node-condition, type: {report.check}{codes}{more}}}"
    codes = "|".join(re.escape(c) for c in report.codes)
    pattern = f", pattern: 'ErrorCode:({codes})\\b'" if codes else ""
    return f"{{kind: node-event, type: {report.check}{pattern}{more}}}"


def _watch_for_silence(fault: KnownFault) -> str:
    quiet = ", absent: true, for: 10m"
    return "\n".join(f"      - {_watch_for(r, quiet)}" for r in fault.shown if not r.fatal)
