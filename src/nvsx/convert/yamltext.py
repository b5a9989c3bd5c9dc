# ruff: noqa: E501 - patterns stay in one piece, in the languages of pages
"""The runbook's YAML, written out by hand: the same bytes for the same plan, and comments
where a reader wonders."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nvsx.convert.page_faults import PageFault

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset("true false yes no on off null none y n".split())

REPAIR = [{"kind": "crd", "resource": "maintenance", "completed": True}]
TO_PEOPLE: list[dict[str, Any]] = [
    {"anyOf": [*REPAIR, {"kind": "nvsentinel-state", "state": "remediation-failed", "for": "30s"}]},
    {"anyOf": [*REPAIR, {"kind": "crd", "resource": "maintenance", "absent": True}]},
]
RELEASED: list[dict[str, Any]] = [
    {"kind": "node", "field": "ready"},
    {"kind": "node-annotation", "key": "quarantineHealthEvent", "absent": True},
    {"kind": "node-label", "key": "dgxc.nvidia.com/nvsentinel-state", "absent": True},
]


@dataclass(frozen=True, slots=True)
class Outline:
    """What the YAML is made from. `hooks` and `overdue` say for which stages there are hooks;
    `overdue` maps a stage to its budget as text. `routed` is the name of a runbook that
    these events fire already, "" when the triggers are free."""

    name: str
    title: str
    source: str
    fault: PageFault
    hooks: frozenset[str]
    overdue: dict[str, str] = field(default_factory=dict)
    failure: bool = False
    routed: str = ""


def write(outline: Outline) -> str:
    """The text of `runbooks/<name>.yaml`."""
    fault = outline.fault
    lines = [
        f"# Converted from {outline.source} by `nvsx convert --offline`.",
        "# NVSentinel cordons, drains, repairs and uncordons: those steps became watches. What the",
        "# page asks of people is in the hooks, in its own words; ledger.json beside them accounts",
        "# for every fact.",
        "apiVersion: nvsx/v1",
        "kind: Runbook",
        "metadata:",
        f"  name: {_write_scalar(outline.name)}",
        f"  title: {_write_scalar(outline.title)}",
        f"  summary: {_write_scalar(_write_summary(fault))}",
    ]
    if fault.tag:
        lines.append(f"  tags: [{_write_scalar(fault.tag)}]")
    lines.append("")
    lines += _write_triggers(outline)
    lines += _write_prerequisites(fault)
    lines.append("stages:")
    for stage, watches, keys in _write_stages(fault):
        lines += _write_stage(outline, stage, watches, keys)
    if outline.failure:
        lines.append(f"onFailure: hooks/{outline.name}/on-failure.sh")
    if fault.drill:
        lines.append(f"drill: {_write_flow({'fault': fault.drill})}")
    return "\n".join(lines).rstrip() + "\n"


def _write_summary(fault: PageFault) -> str:
    told = {
        "repaired": "NVSentinel isolates and repairs the node; people do what the page asks.",
        "people": "NVSentinel isolates the node and leaves the repair to people.",
        "reported": "A report only: NVSentinel does nothing to the node by itself.",
        "any": "Follows whatever NVSentinel quarantined; the page names no fault it knows.",
    }
    return f"{fault.title}. {told[fault.course]}"


def _write_triggers(outline: Outline) -> list[str]:
    entries = [f"  - {_write_flow(t)}" for t in outline.fault.triggers]
    if not entries:
        return [
            "# No trigger: the page names no fault that NVSentinel reports. Run it by hand.",
            "",
        ]
    if outline.routed:
        return [
            f"# {outline.routed} fires for these events already, so this one runs by hand. To let it",
            "# fire instead, take them from the other and put them here:",
            "# triggers:",
            *(f"# {entry}" for entry in entries),
            "",
        ]
    return ["triggers:", *entries, ""]


def _write_prerequisites(fault: PageFault) -> list[str]:
    if fault.course == "reported":
        return []
    modules = ["fault-quarantine", "node-drainer", "fault-remediation"]
    modules += ["janitor"] if fault.course == "repaired" else []
    return [
        "prerequisites:",
        *(f"  - {_write_flow({'name': m, 'deployment': m})}" for m in modules),
        "",
    ]


_Stage = tuple[str, list[dict[str, Any]], dict[str, str]]


def _write_stages(fault: PageFault) -> list[_Stage]:
    """(id, watches, other keys) of each stage the fault goes through."""
    detect: list[dict[str, Any]] = list(fault.detect)
    if len(detect) > 1:
        detect = [{"anyOf": detect}]
    gone = [{"kind": "node-condition", "type": c, "absent": True} for c in fault.conditions]
    if fault.course == "reported":
        quiet = [
            {**w, "absent": True, "for": "10m"} for w in fault.detect if w["kind"] == "node-event"
        ]
        ends: list[_Stage] = [("recover", [*quiet, *gone], {"timeout": "12h"})]
        return [("preflight", [], {}), ("detect", detect, {}), *ends, ("postmortem", [], {})]
    remediate = REPAIR if fault.course == "repaired" else TO_PEOPLE
    patience = {"timeout": "45m" if fault.course == "repaired" else "7d"}
    return [
        ("preflight", [], {}),
        ("detect", detect, {}),
        ("quarantine", [{"kind": "nvsentinel-state", "state": "quarantined"}], {}),
        ("drain", [{"kind": "nvsentinel-state", "state": "drain-succeeded"}], {}),
        ("remediate", list(remediate), {"timeout": "45m"}),
        ("recover", [*gone, *RELEASED], patience),
        ("postmortem", [], {}),
    ]


def _write_stage(
    outline: Outline, stage: str, watches: Sequence[dict[str, Any]], keys: dict[str, str]
) -> list[str]:
    """One stage's lines; none for a stage without anything in it."""
    overdue = outline.overdue.get(stage)
    if not watches and stage not in outline.hooks:
        return []
    lines = [f"  - id: {stage}"]
    if watches:
        lines.append("    watch:")
        for watch in watches:
            if "anyOf" in watch:
                lines.append("      - anyOf:")
                lines += [f"          - {_write_flow(w)}" for w in watch["anyOf"]]
            else:
                lines.append(f"      - {_write_flow(watch)}")
    if overdue:
        lines += [
            f"    budget: {overdue} # from the page",
            f"    onOverdue: hooks/{outline.name}/on-{stage}-overdue.sh",
        ]
    lines += [f"    {key}: {value}" for key, value in keys.items()]
    if stage in outline.hooks:
        lines.append(f"    hook: hooks/{outline.name}/on-{stage}.sh")
    return [*lines, ""]


def _write_flow(value: Any) -> str:
    """A value in YAML's one-line form."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_write_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_write_flow(v) for v in value) + "]"
    return _write_scalar(value)


def _write_scalar(value: Any) -> str:
    if value is True or value is False:
        return str(value).lower()
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if re.fullmatch(r"[1-9]\d*[smhd]", text):
        return text
    return json.dumps(text, ensure_ascii=False)
