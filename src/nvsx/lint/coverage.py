"""Coverage: which faults NVSentinel can report, and the runbook each would fire.

The answer is the router's own, so it is what serve would do. Nothing is contacted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nvsx.core.errors import Problem
from nvsx.core.routing.route import Evaluate, Router, TriggerFacts
from nvsx.core.routing.vocabulary import ReportableFault
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.core.runbook.schema import Runbook
from nvsx.lint.findings import Finding

#: What closes every gap at once.
WAY_OUT = "add a catch-all: any-fault from `nvsx setup`, or `triggers: [{default: true}]`"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Coverage:
    """A fault and the runbook it fires; `runbook` is "" for nobody, and `reason` says why."""

    fault: ReportableFault
    runbook: str
    reason: str

    @property
    def is_gap(self) -> bool:
        """Whether NVSentinel would act on the fault and no runbook tells anybody."""
        return self.fault.calls_for_runbook and not self.runbook

    @property
    def shown(self) -> str:
        """The runbook, or why there is none."""
        if self.runbook:
            return self.runbook
        if self.is_gap:
            return "nobody"
        return (
            "nobody: it is only an Event" if self.fault.action == "NONE" else "nobody: stored only"
        )

    def as_dict(self) -> dict[str, object]:
        """The shape of `nvsx doctor --coverage -o json`; `runbook` is null for nobody."""
        return {
            "check": self.fault.check,
            "error_code": self.fault.code or None,
            "action": self.fault.action,
            "agent": self.fault.agent,
            "fatal": self.fault.fatal,
            "strategy": self.fault.strategy,
            "runbook": self.runbook or None,
            "gap": self.is_gap,
            "reason": self.reason,
        }


def find_coverage(
    runbooks: Iterable[Runbook], faults: Iterable[ReportableFault], evaluate: Evaluate
) -> list[Coverage]:
    """The runbook each of `faults` fires, in their order.

    Example, with one runbook whose trigger is `check: SysLogsXIDError, errorCode: "79"`:

    | fault                     | runbook     | gap                                      |
    |---------------------------|-------------|------------------------------------------|
    | SysLogsXIDError 79        | gpu-off-bus | no                                       |
    | SysLogsXIDError 119       | nobody      | yes: NVSentinel cordons, nobody is told  |
    | SysLogsXIDError 31        | nobody      | no: it is not fatal, so nothing happens  |
    """
    router = Router(runbooks)
    found = []
    for fault in faults:
        result = router.route(_make_facts(fault), evaluate)
        winner = result.winner.name if result.winner else ""
        found.append(Coverage(fault, winner, result.reason))
    return found


def _make_facts(fault: ReportableFault) -> TriggerFacts:
    return TriggerFacts(
        check_name=fault.check,
        error_codes=(fault.code,) if fault.code else (),
        is_fatal=fault.fatal,
        recommended_action=fault.action,
        processing_strategy=fault.strategy,
        agent=fault.agent,
        component_class=fault.component_class,
    )


def describe_gaps(coverage: Sequence[Coverage]) -> str:
    """One sentence about the faults that fire nothing; "" when there are none."""
    gaps = [c.fault.label for c in coverage if c.is_gap]
    wanted = sum(c.fault.calls_for_runbook for c in coverage)
    if not gaps:
        return ""
    fire = "fires" if len(gaps) == 1 else "fire"
    shown = ", ".join(gaps[:_SHOWN]) + (", …" if len(gaps) > _SHOWN else "")
    return f"{len(gaps)} of {wanted} fatal faults of NVSentinel {fire} no runbook: {shown}"


def find_gaps(
    catalog: Sequence[LoadedRunbook | BrokenRunbook],
    faults: Iterable[ReportableFault],
    evaluate: Evaluate,
) -> list[Finding]:
    """One warning for all faults that fire nothing; none about a project without runbooks."""
    books = [entry.runbook for entry in catalog if isinstance(entry, LoadedRunbook)]
    message = describe_gaps(find_coverage(books, faults, evaluate)) if books else ""
    problem = Problem(message, hint=f"{WAY_OUT}; all: nvsx doctor --coverage")
    return [Finding("warning", "uncovered-faults", problem, "")] if message else []
