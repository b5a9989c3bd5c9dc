"""What nvsx believes NVSentinel can report, against what the sandbox's NVSentinel reports."""

from __future__ import annotations

from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.reports import Report
from nvsx.nvsentinel.reportable_faults import REPORTABLE_FAULTS

#: Made to rehearse with, at odds with the real mapping on purpose.
_DRILLS = ("drill-no-drain", "drill-forced")
#: What the analyzer counts is sent by monitors again, here as a small stand-in.
_COUNTED = {name for name, fault in FAULTS.items() if fault.reports[-1].agent.endswith("analyzer")}


def _list_reports() -> list[Report]:
    return [
        report
        for name, fault in FAULTS.items()
        if name not in _DRILLS
        for report in (fault.reports[-1:] if name in _COUNTED else fault.reports)
    ]


def _facts_of(report: Report, *, code: str) -> tuple[object, ...]:
    known = (report.check, code, report.action, report.agent, report.fatal, report.strategy)
    return (*known, "" if report.check == "CSPMaintenance" else report.component)


TABLE = {
    (f.check, f.code, f.action, f.agent, f.fatal, f.strategy, f.component_class)
    for f in REPORTABLE_FAULTS
}


def test_each_fault_of_the_sandbox_is_in_the_table() -> None:
    """Whatever the sandbox reports has a row with its action: its code's own, or its check's."""
    unknown = [
        report
        for report in _list_reports()
        if _facts_of(report, code=" ".join(report.codes)) not in TABLE
        and _facts_of(report, code="") not in TABLE
    ]
    assert unknown == []


def test_each_row_with_a_code_is_a_fault_of_the_sandbox() -> None:
    """No row is invented: every named code, and every check, can be tried on the sandbox."""
    reported = {_facts_of(r, code=" ".join(r.codes)) for r in _list_reports()}
    checks = {r.check for r in _list_reports()}
    assert {row for row in TABLE if row[1]} - reported == set()
    assert {row[0] for row in TABLE} == checks


def test_no_row_is_there_twice() -> None:
    """A check and code have one action, and so one answer to which runbook they fire."""
    pairs = [(f.check, f.code) for f in REPORTABLE_FAULTS]
    assert len(pairs) == len(set(pairs))
