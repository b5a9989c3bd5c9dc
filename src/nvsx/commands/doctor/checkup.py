"""`nvsx doctor`: judges a survey by every check of the list, in one pass.

Each check yields ok, warning, failed or skipped, with the evidence it rests on and the next
step. Nothing is read, printed or changed here; the command shows the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nvsx.commands.doctor.doctor_facts import Survey

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """A verdict. `details` are further lines of evidence."""

    status: Status
    evidence: str
    fix: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the list. `id` is stable: scripts read it."""

    id: str
    title: str
    group: str
    judge: Judge


MACHINE, CLUSTER, NVSENTINEL, NODES, PROJECT, NOTIFY = GROUPS = (
    "This machine",
    "Cluster",
    "NVSentinel",
    "Nodes",
    "Project",
    "Telling people",
)
"""In the order of the list. Within a group it is the order in which checks are written."""

Judge = Callable[[Survey], CheckOutcome]

_REGISTERED: list[Check] = []


def check(id: str, title: str, group: str) -> Callable[[Judge], Judge]:  # noqa: A002
    """Makes a function that judges a survey an entry of the list."""

    def register(judge: Judge) -> Judge:
        _REGISTERED.append(Check(id, title, group, judge))
        return judge

    return register


def all_checks() -> list[Check]:
    """The list, of the modules that have been imported; `doctor_checks` imports them all."""
    return sorted(_REGISTERED, key=lambda one: GROUPS.index(one.group))


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """What one check came to."""

    check: Check
    outcome: CheckOutcome

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.check.id,
            "title": self.check.title,
            "group": self.check.group,
            "status": self.outcome.status,
            "evidence": self.outcome.evidence,
            "fix": self.outcome.fix,
            "details": list(self.outcome.details),
        }


@dataclass(frozen=True, slots=True)
class CheckupReport:
    """All findings, in the order of the list. `reached`: whether the API server answered."""

    findings: tuple[CheckFinding, ...]
    reached: bool

    def count(self, status: Status) -> int:
        return sum(f.outcome.status == status for f in self.findings)

    @property
    def exit_code(self) -> int:
        """3 when the cluster cannot be reached, else 1 when something failed, else 0."""
        if not self.reached:
            return 3
        return 1 if self.count("failed") else 0

    def as_dict(self) -> dict[str, Any]:
        """The shape of `nvsx doctor -o json`."""
        words: tuple[Status, ...] = ("ok", "warning", "failed", "skipped")
        return {
            "ok": self.exit_code == 0,
            "cluster_reached": self.reached,
            "counts": {word: self.count(word) for word in words},
            "checks": [f.as_dict() for f in self.findings],
        }


def ok(evidence: str, *details: str) -> CheckOutcome:
    return CheckOutcome("ok", evidence, "", details)


def warning(evidence: str, fix: str, *details: str) -> CheckOutcome:
    return CheckOutcome("warning", evidence, fix, details)


def failed(evidence: str, fix: str, *details: str) -> CheckOutcome:
    return CheckOutcome("failed", evidence, fix, details)


def skipped(evidence: str, fix: str = "") -> CheckOutcome:
    return CheckOutcome("skipped", evidence, fix)


def examine(survey: Survey, checks: Sequence[Check]) -> CheckupReport:
    """Every check of `checks` on `survey`."""
    findings = tuple(CheckFinding(check, check.judge(survey)) for check in checks)
    return CheckupReport(findings, reached=bool(survey.cluster.version))
