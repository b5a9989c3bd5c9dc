# ruff: noqa: E501 - patterns stay in one piece, in the languages of pages
"""Which fault a page is about, and what NVSentinel shows for it.

The page's own words decide: its error codes first, then what it calls the fault. The
answer is in NVSentinel's names, never the page's: many pages wait for conditions, taints
and events that do not exist. Source of what each fault shows: the checks and actions of
NVSentinel's monitors (syslog-health-monitor's XID catalogue, dcgmerrorsmapping.csv).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nvsx.convert.blocks import Block
from nvsx.core.routing.vocabulary import Vocabulary

#: `repaired`: cordon, drain, repair request. `people`: cordoned and drained, then people.
#: `reported`: an Event only, nothing happens to the node. `any`: whatever was quarantined.
Course = Literal["repaired", "people", "reported", "any"]

_XIDS = re.compile(
    r"\bXIDs?(?:[- ]?(?:codes?|errors?))?[\s:#=(]*(\d{1,3}(?:\s*(?:,|/|and|or|und|et|y|&|\+)\s*\d{1,3})*)(?!\d)",
    re.IGNORECASE,
)
_NVRM = re.compile(r"NVRM: Xid[^:]*: *(\d{1,3})\b")
#: XIDs the sandbox can cause.
_REHEARSED = frozenset("79 48 94 95 63 64 74 31 13 43 45 119 120 145 154".split())
_TITLES = {
    "79": "GPU fell off the bus",
    "48": "double-bit ECC error",
    "95": "uncontained ECC error",
    "64": "row remapping failed",
    "74": "NVLink error",
    "119": "GSP timeout",
    "120": "GSP error",
}


@dataclass(frozen=True, slots=True)
class PageFault:
    """A fault as a runbook needs it. Triggers and watches are as in the YAML."""

    title: str
    course: Course
    triggers: tuple[dict[str, Any], ...]
    detect: tuple[dict[str, Any], ...]
    conditions: tuple[str, ...] = ()
    drill: str = ""
    tag: str = ""


def _watch_condition(check: str, *codes: str) -> dict[str, Any]:
    watch: dict[str, Any] = {"kind": "node-condition", "type": check}
    return watch | ({"errorCode": list(codes) if len(codes) > 1 else codes[0]} if codes else {})


def _build_named_fault(title: str, check: str, drill: str, course: Course) -> PageFault:
    return PageFault(
        title, course, ({"check": check},), (_watch_condition(check),), (check,), drill, check
    )


_THERMAL = PageFault(
    "GPU throttles because of heat",
    "reported",
    ({"check": "GpuThermalWatch", "fatal": "any"},),
    (
        {"kind": "node-event", "type": "GpuThermalWatch"},
        {"kind": "node-condition", "type": "GpuThermalWatch"},
    ),
    ("GpuThermalWatch",),
    "thermal",
    "GpuThermalWatch",
)
#: What a page calls its fault when it names no error code; the first that fits.
_CALLED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"off (?:the )?(?:pci(?:e)? )?bus|fallen? off|lost gpu|vom bus", re.IGNORECASE), "79"),
    (re.compile(r"double[- ]bit|uncorrectable|\bDBE\b|\bECC\b", re.IGNORECASE), "48"),
    (re.compile(r"row[- ]remap", re.IGNORECASE), "64"),
    (re.compile(r"thermal|overheat|throttl|temperature|überhitz|surchauff|过热|高温|過熱", re.IGNORECASE), "thermal"),
    (re.compile(r"nvlink|nvswitch", re.IGNORECASE), "nvlink"),
    (re.compile(r"info ?rom", re.IGNORECASE), "inforom"),
    (re.compile(r"\bGSP\b", re.IGNORECASE), "119"),
    (re.compile(r"driver hang|dcgm (?:is )?(?:unresponsive|hang|hung|not respond)", re.IGNORECASE), "dcgm"),
    (re.compile(r"node (?:is )?not ?ready|notready", re.IGNORECASE), "not-ready"),
)  # fmt: skip


def recognise(blocks: Sequence[Block], words: Vocabulary, names: Sequence[str] = ()) -> PageFault:
    """The fault the page is about; one that fits every quarantine when nothing tells."""
    heads = [b.text for b in blocks if b.kind == "heading"]
    title = " ".join([*heads[:1], *(n.replace("-", " ").replace("_", " ") for n in names)])
    everything = "\n".join(b.text for b in blocks)
    for text in (title, *heads[1:], everything):
        codes = _find_codes(text)
        if codes:
            return _build_xid_fault(codes if text == title else codes[:1], words)
    for text in (title, everything):
        for pattern, kind in _CALLED:
            if pattern.search(text):
                return _by_name(kind, words)
    quarantined = {"kind": "node-annotation", "key": "quarantineHealthEvent"}
    return PageFault("GPU fault", "any", (), (quarantined,), (), "xid-79")


def _find_codes(text: str) -> list[str]:
    """The XID numbers of a text, the most frequent first, then in their order."""
    found: list[str] = []
    for match in _XIDS.finditer(text):
        found += re.findall(r"\d+", match[1])
    found += _NVRM.findall(text)
    return [code for code, _ in Counter(found).most_common()]


def _build_xid_fault(codes: Sequence[str], words: Vocabulary) -> PageFault:
    """XIDs as the syslog monitor reports them; those that only warn when there is no other."""
    check = "SysLogsXIDError"
    action = {code: words.no_repair.get((check, code), "") for code in codes}
    serious = [c for c in codes if action[c] != "NONE"]
    chosen = sorted(serious or codes, key=int)
    title = f"XID {', '.join(chosen)}" + (
        f": {_TITLES[chosen[0]]}" if len(chosen) == 1 and chosen[0] in _TITLES else ""
    )
    drill = next((f"xid-{c}" for c in chosen if c in _REHEARSED), "")
    value: str | list[str] = chosen if len(chosen) > 1 else chosen[0]
    if not serious:
        trigger = {"check": check, "errorCode": value, "fatal": "any"}
        pattern = rf"ErrorCode:({'|'.join(chosen)})\b"
        event = {"kind": "node-event", "type": check, "pattern": pattern}
        return PageFault(title, "reported", (trigger,), (event,), (), drill, f"xid-{chosen[0]}")
    course: Course = "people" if all(action[c] for c in chosen) else "repaired"
    triggers: list[dict[str, Any]] = [{"check": check, "errorCode": value}]
    detect = [_watch_condition(check, *chosen)]
    conditions = [check]
    if "79" in chosen:
        triggers.append({"check": "SysLogsGPUFallenOff"})
        detect.append(_watch_condition("SysLogsGPUFallenOff"))
        conditions.append("SysLogsGPUFallenOff")
    return PageFault(
        title, course, tuple(triggers), tuple(detect), tuple(conditions), drill, f"xid-{chosen[0]}"
    )


def _by_name(kind: str, words: Vocabulary) -> PageFault:
    if kind.isdigit():
        return _build_xid_fault([kind], words)
    if kind == "thermal":
        return _THERMAL
    if kind == "nvlink":
        return _build_named_fault("NVLink fault", "GpuNvlinkWatch", "nvlink-down", "repaired")
    if kind == "inforom":
        return _build_named_fault("InfoROM corrupt", "GpuInforomWatch", "inforom", "repaired")
    if kind == "dcgm":
        check = "GpuDcgmConnectivityFailure"
        return _build_named_fault("DCGM gets no answer", check, "dcgm-connectivity", "people")
    return _build_named_fault("Node is not ready", "node-not-ready", "node-not-ready", "people")
