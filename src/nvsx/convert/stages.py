# ruff: noqa: E501, RUF001 - patterns stay in one piece, in the languages of pages
"""At which turn of the chain a sentence of a page belongs.

A hook fires when its stage is over: what the page wants done before the drain belongs to
quarantine, what it wants after the reboot to remediate. The cursor walks the page once;
a heading, NVSentinel's own steps and words such as `before cordoning` move it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nvsx.convert import page_patterns as p

#: Stage whose end lets a hook run, by what a heading is about. The first that fits.
_HEADINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"background|overview|about|scope|history|past |previous|known|incident notes|notes|lessons|references?|links|see also"
                r"|owner|contact|escalation (?:path|contacts|matrix|policy)|glossary|appendix|revision|change ?log|prereq|access|before you|faq"
                r"|hintergrund|kontakt|referenz|verweise|historique|contexte|antecedentes|背景|联系|参考|履歴|連絡先", re.IGNORECASE), "preflight"),
    (re.compile(r"post[- ]?mortem|post[- ]?incident|\brca\b|retrospective|follow[- ]?up|nachbereitung|suivi|复盘|振り返り|事后", re.IGNORECASE), "postmortem"),
    (re.compile(r"wrap|clos(?:e|ing|ure)|resolv|resolution|all[- ]clear|hand ?back|abschluss|clôture|cierre|收尾|完了|クローズ", re.IGNORECASE), "recover"),
    (re.compile(r"verif|validat|health ?check|return|uncordon|back (?:in|to)|recover|dcgm|test|prüf|vérif|verific|验证|恢复|確認", re.IGNORECASE), "remediate"),
    (re.compile(r"reboot|restart|reset|power|remediat|repair|\bfix|neustart|redémarr|reinici|重启|再起動", re.IGNORECASE), "drain"),
    (re.compile(r"drain|evict|workload|\bjobs?\b|räum|驱逐|排空|退避", re.IGNORECASE), "quarantine"),
    (re.compile(r"cordon|isolat|quarantin|detect|symptom|alert|trigger|triage|identif|diagnos|confirm|notif|page|paging|communic|slack|jira|ticket"
                r"|first|immediate|erkenn|alarm|detecci|症状|告警|检测|検知|隔离", re.IGNORECASE), "detect"),
)  # fmt: skip
_AFTER = {
    "cordon": "quarantine",
    "taint": "quarantine",
    "drain": "drain",
    "reboot": "remediate",
    "uncordon": "recover",
}
_WHEN = re.compile(
    r"\b(before|prior to|until|after|once|while|during|vor(?: dem)?|nach(?: dem)?|avant|après|antes de|después de)\s+"
    r"(?:(?:the|you|it|node|any|is|are|has|been|we|it's|le|la|el|das|den|der|dem)\s+)*"
    r"(un-?cordon|cordon|isolat|taint|drain|evict|reboot|restart|reset|power|neustart|redémarr|reinici)\w*",
    re.IGNORECASE,
)
_LATER = ("after", "once", "nach", "nach dem", "après", "después de")
_ORDER = ("preflight", "detect", "quarantine", "drain", "remediate", "recover", "postmortem")
_DOING = {"isolat": "cordon", "evict": "drain", "un-cordon": "uncordon"} | dict.fromkeys(
    "restart reset power neustart redémarr reinici".split(), "reboot"
)
_FAILS = re.compile(
    r"\b(?:fails?|failed|does ?n[o']t (?:come|recover|return|boot|help)|doesn’t|still (?:missing|down|gone|off|failing|there)"
    r"|not (?:come|back|return|recover)\w*|stays? (?:off|down|not ?ready)|second (?:time|reboot)|rma|replace)\b",
    re.IGNORECASE,
)
_ABOUT = (
    (re.compile(r"\bdrain|evict|workload|pods? ", re.IGNORECASE), "drain"),
    (re.compile(r"reboot|restart|boot", re.IGNORECASE), "remediate"),
    (
        re.compile(r"recover|healthy|back|return|uncordon|repair|resolved|mitigat", re.IGNORECASE),
        "recover",
    ),
    (re.compile(r"cordon|quarantin", re.IGNORECASE), "quarantine"),
)
_NEXT = {
    "detect": "quarantine",
    "quarantine": "drain",
    "drain": "remediate",
    "remediate": "recover",
}
_DURATION = re.compile(
    r"(\d+)\s*-?\s*(min(?:ute)?s?|m|h(?:ours?|rs?)?|Minuten?|Stunden?|heures?|horas?|minutos?|分钟|分|小时|時間)(?![a-z])",
    re.IGNORECASE,
)
#: Below the hard limits of the stages, so that the budget is noticed before the end.
_MOST_MINUTES = {"quarantine": 14, "drain": 24 * 60, "remediate": 44, "recover": 44}


def heading_stage(title: str) -> str:
    """The stage a heading is about; "" when it does not say."""
    return next((stage for pattern, stage in _HEADINGS if pattern.search(title)), "")


@dataclass(slots=True)
class Cursor:
    """Where in the chain the page has arrived."""

    flow: str = "detect"
    aside: bool = False
    headed: bool = False  # the heading names a stage: what follows is about it
    told: bool = False  # a heading or a step has said where we are

    def heading(self, title: str, *, first: bool = False) -> None:
        """A new section; the title of a page tells its subject, not a stage."""
        stage = heading_stage(title)
        stage = "" if first and stage != "preflight" else stage
        self.aside = stage == "preflight"
        self.headed = bool(stage) and not self.aside
        self.told = self.told or bool(stage)
        if self.headed:
            self.flow = stage

    def did(self, verb: str) -> None:
        """The page has let `verb` happen: cordon, drain, reboot, uncordon."""
        self.told = True
        if self.aside or self.headed:
            return
        stage = _AFTER[verb]
        if _ORDER.index(stage) > _ORDER.index(self.flow):
            self.flow = stage

    def place(self, text: str) -> str:
        """The stage for a sentence here."""
        when = _WHEN.search(text)
        if when and when[1].lower() in _LATER and len(text[: when.start()].split()) > 3:
            when = None  # `first; after the reboot it is gone` is not about later
        if when and not self.aside:
            verb = when[2].lower()
            stage = _AFTER[_DOING.get(verb, verb)]
            earlier = {"quarantine": "detect", "drain": "quarantine", "remediate": "drain"}
            before = when[1].lower() not in _LATER
            return earlier.get(stage, "remediate") if before else stage
        return "preflight" if self.aside else self.flow


def is_failure(text: str) -> bool:
    """Whether a sentence is about a repair that did not work."""
    return p.CONDITION.search(text) is not None and _FAILS.search(text) is not None


def find_overdue(text: str, here: str) -> tuple[str, str]:
    """(stage, budget) for a sentence that says what to do when something takes too long."""
    if not p.CONDITION.search(text) or not p.OVERDUE.search(text):
        return "", ""
    length = _DURATION.search(text)
    if not length:
        return "", ""
    head = text[: length.end()]
    stage = next((s for pattern, s in _ABOUT if pattern.search(head)), _NEXT.get(here, ""))
    if stage == "recover" and here == "drain":
        stage = "remediate"  # `not back within …` is about the reboot while it reboots
    minutes = int(length[1]) * (60 if length[2][0] in "hHsS小時" else 1)
    if not stage or not 0 < minutes <= _MOST_MINUTES[stage]:
        return "", ""
    return stage, f"{minutes}m"
