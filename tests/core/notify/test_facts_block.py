"""The facts of a message: true at that moment, short, and no more than the target may have."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.core.incident.timelines import (
    NOON,
    Timeline,
    alert,
    cordon,
    done,
    failed,
    fault,
    quarantined,
    released,
    repaired,
    sent,
    session,
)

from nvsx.core.aliases import alias_of
from nvsx.core.incident.incident_document import NodeJob
from nvsx.core.incident.incident_events import FaultSeen
from nvsx.core.incident.sight import SeenCause
from nvsx.core.notify.facts_block import NAMES_SHOWN, make_facts, tell_storm_headline
from nvsx.core.notify.order import FactsBlock, FactsLevel
from nvsx.core.notify.subject import StormMember, StormView, Subject

JOBS = (NodeJob(namespace="ml", name="train-4"), NodeJob(namespace="ml", name="eval-1"))


def block(line: Timeline, level: FactsLevel = "node", at: float = 600.0, **more: Any) -> FactsBlock:
    """The facts of a time line's incident, so many seconds after noon."""
    about = Subject(subject="i-7", incident=line.incident, cluster="prod", **more)
    return make_facts(about, level, NOON + at)


def stuck() -> Timeline:
    """A budget refuses the eviction of a training job, as those who know the cluster found."""
    cause = SeenCause("drain-blocked", "ml/train-4 may not be evicted", "kubectl -n ml get pdb")
    return quarantined().at(30, causes=(cause,)).wait(400)


def headlines() -> dict[str, tuple[Timeline, str]]:
    """Each state, and what a phone shows of it."""
    wanting = quarantined().at(300, repairs=(failed("e1", "timeout"),))
    again = quarantined().at(60, repairs=(failed("e1", "timeout"), sent("e1", "u2")))
    back = quarantined().at(5, repairs=(sent("e1"),)).at(60, boot_id="b2", ready=True)
    return {
        "an alert": (
            Timeline().at(0, alerts=(alert(),)),
            "gpu-1: alert GpuHot · observing, nothing wanted of you now",
        ),
        "repairing": (
            quarantined(),
            "gpu-1: SysLogsXIDError 79 · repairing, nothing wanted of you now",
        ),
        "again": (
            again,
            "gpu-1: SysLogsXIDError 79 · repairing (attempt 2), nothing wanted of you now",
        ),
        "needs people": (
            wanting,
            (
                "gpu-1: SysLogsXIDError 79 · needs people: look at the console of gpu-1 before "
                "another try"
            ),
        ),
        "recovering": (
            back.at(61, repairs=(done("e1"),)),
            "gpu-1: SysLogsXIDError 79 · recovering, nothing wanted of you now",
        ),
        "over": (
            repaired().wait(120),
            "gpu-1: SysLogsXIDError 79 · over: recovered at 12:01Z, nothing wanted of you",
        ),
        "still cordoned": (
            quarantined().at(60, faults=(), session=released(at=60), holds=(cordon(),)).wait(120),
            (
                "gpu-1: SysLogsXIDError 79 · over: recovered at 12:01Z, still held: cordon by "
                "somebody with kubectl since 12:01:00 UTC"
            ),
        ),
        "closed": (
            quarantined().closed(60, "ada"),
            "gpu-1: SysLogsXIDError 79 · over: closed by ada at 12:01Z, nothing wanted of you",
        ),
    }


@pytest.mark.parametrize("state", headlines())
def test_the_headline_says_node_fault_state_and_what_is_wanted(state: str) -> None:
    """In one line, for a phone at night."""
    line, expected = headlines()[state]
    assert block(line).headline == expected


def test_the_rows_of_a_repair_at_work() -> None:
    """Cause first where there is one; what is empty is left out."""
    line = quarantined().at(10, repairs=(sent("e1"),))
    clears = "NVSentinel releases the node, SysLogsXIDError 79 clears"
    assert block(line, jobs=JOBS) == FactsBlock(
        headline="gpu-1: SysLogsXIDError 79 · repairing, nothing wanted of you now",
        rows=(
            ("Node", f"gpu-1 ({alias_of('gpu-1')}) in prod"),
            ("Incident", "i-7, since 12:00Z (10m)"),
            ("Faults", "SysLogsXIDError 79"),
            ("NVSentinel", 'holds the node since 12:00Z; its label says "quarantined"'),
            ("Repair", "attempt 1, RebootNode: at work"),
            ("Awaited", f"{clears}, the RebootNode takes effect"),
            ("Jobs hit", "2"),
        ),
        as_of=NOON + 600,
    )


def test_names_of_jobs_are_for_targets_that_may_have_them() -> None:
    """`node` has counts; whoever put a name into a cause or a remedy, it stays out."""
    for level, named in (("node", False), ("full", True)):
        found = block(stuck(), level, jobs=JOBS)  # type: ignore[arg-type]
        whole = " ".join([found.headline, *(v for _, v in found.rows)])
        assert ("ml/train-4" in whole) is named
        assert ("kubectl -n ml" in whole) is named
    assert dict(block(stuck(), jobs=JOBS).rows)["Cause"] == (
        "a disruption budget refuses the eviction of pods on the node"
    )


def test_a_cause_that_is_not_known_here_is_told_by_its_code() -> None:
    """A newer journal may have one, and nobody knows what it names."""
    state = stuck().incident
    newer = replace(state, cause=replace(state.cause, code="pod-stuck"))
    rows = dict(make_facts(Subject(subject="i-7", incident=newer), "node", NOON).rows)
    assert (rows["Cause"], rows["Remedy"]) == ("pod stuck", "`nvsx status` shows what to do")


def test_no_facts_are_no_facts() -> None:
    """Not even the node: the message says what it says."""
    assert block(quarantined(), "none") == FactsBlock(as_of=NOON + 600)
    assert make_facts(Subject(), "full", NOON) == FactsBlock(as_of=NOON)


def test_what_was_not_seen_is_not_invented() -> None:
    """A fault of an unknown time makes the incident's beginning unknown."""
    line = quarantined()
    [record] = line.incident.faults
    unknown: FaultSeen = replace(record.latest, at=None)
    state = replace(line.incident, faults=(replace(record, latest=unknown, first=unknown),))
    about = Subject(subject="i-7", incident=state)
    rows = dict(make_facts(about, "node", NOON + 60).rows)
    assert rows["Incident"] == "i-7, since when is not known"
    assert "Jobs hit" not in rows


@pytest.mark.parametrize(("count", "more"), [(NAMES_SHOWN, ""), (NAMES_SHOWN + 1, " and 1 more")])
def test_a_row_names_so_many_and_counts_the_rest(count: int, more: str) -> None:
    """A phone shows no more."""
    ids = [f"e{n}" for n in range(count)]
    faults = tuple(fault(f"Check{n}", "1", ids[n]) for n in range(count))
    line = Timeline().at(0, faults=faults, session=session(*ids))
    faults_row = dict(block(line).rows)["Faults"]
    assert faults_row.count("Check") == NAMES_SHOWN
    assert faults_row.endswith(f"Check{NAMES_SHOWN - 1} 1{more}")


def test_text_of_the_cluster_cannot_forge_a_line() -> None:
    """Codes are whatever their sender writes."""
    line = Timeline().at(0, faults=(fault("Check", "a\nb", "e1"),), session=session("e1"))
    found = block(line)
    assert "\n" not in "".join([found.headline, *(v for _, v in found.rows)])


def test_a_storm_says_how_many_are_left() -> None:
    """And how many of them need people."""
    members = (
        StormMember(incident="i-1", node="n1", is_over=True),
        StormMember(incident="i-2", node="n2", needs_people=True),
        StormMember(incident="i-3", node="n3"),
    )
    storm = StormView(storm="s", key="k", fault="XID 79", domain="rack-4", members=members)
    assert tell_storm_headline(storm) == (
        "storm: XID 79 on 3 nodes of rack-4 · 1 over, 2 open, 1 needs people"
    )
    ended = replace(storm, members=tuple(replace(m, is_over=True) for m in members))
    assert tell_storm_headline(ended).endswith("over: all are back or closed")
    rows = dict(make_facts(Subject(subject="s", storm=storm), "node", NOON).rows)
    assert rows == {"First": "n1", "Need people": "n2", "Nodes": "n1, n2, n3"}
