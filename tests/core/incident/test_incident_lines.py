"""An incident's entries in words: what is not known is said so, NVSentinel's word is quoted."""

from __future__ import annotations

import typing

import pytest
from tests.core.incident.test_stories import two_attempts
from tests.core.incident.timelines import NOON

from nvsx.core.incident import incident_events as ev
from nvsx.core.incident.incident_lines import describe_event, format_clock, tell_timeline
from nvsx.core.incident.incident_state import IncidentState, NodeStory, Stamp

TWO_ATTEMPTS = """\
12:00:00 incident opened: NVSentinel's quarantine of the node was seen
12:00:00 fault 1: SysLogsXIDError 79 on GPU 0, fatal, seen in NVSentinel's quarantine annotation \
and the node's condition, recommended action RESTART_BM
12:00:00 NVSentinel quarantined the node; its label says "quarantined"
12:00:00 the node is Ready, since 2026-03-01 12:00:00; boot boot-1
12:00:00 state: repairing
12:00:10 attempt 1 began: NVSentinel asked for RebootNode maintenance-e1, for SysLogsXIDError 79
12:00:10 attempt 1 (RebootNode maintenance-e1): its signal was sent; NVSentinel's request says \
"in progress"
12:00:20 the node is not Ready; boot boot-1
12:25:00 attempt 1 (RebootNode maintenance-e1): NVSentinel's request says "failed"; \
failure: timeout; it ended with a timeout
12:25:00 attempt 1 (RebootNode maintenance-e1) failed: timeout: it ended with a timeout
12:25:00 state: needs people: RebootNode maintenance-e1: it ended with a timeout \
(repair-timed-out); remedy: look at the console of gpu-1 before another try
12:26:00 attempt 2 began: NVSentinel asked again for RebootNode maintenance-e1, \
for SysLogsXIDError 79
12:26:00 attempt 2 (RebootNode maintenance-e1): NVSentinel's request says "in progress"
12:26:00 state: repairing
12:26:05 attempt 2 (RebootNode maintenance-e1): its signal was sent
12:28:20 attempt 1 (RebootNode maintenance-e1): a new boot of the node was seen; the node is Ready
12:28:20 attempt 2 (RebootNode maintenance-e1): a new boot of the node was seen; the node is Ready
12:28:20 attempt 2 (RebootNode maintenance-e1) succeeded: rebooted and Ready
12:28:20 the node is Ready; boot boot-2
12:28:20 state: recovering
12:28:30 attempt 2 (RebootNode maintenance-e1): NVSentinel's request says "succeeded"
12:28:40 NVSentinel released the node
12:28:40 fault 1 (SysLogsXIDError 79) has cleared
12:29:10 over: recovered: the node is back, as of 12:28:40
"""


def test_a_failed_repair_and_its_retry_are_told_word_for_word() -> None:
    """Each entry is one line, in the order in which nvsx learnt it."""
    lines = tell_timeline(two_attempts().entries)
    told = "".join(f"{format_clock(line.t, near=NOON)} {line.text}\n" for line in lines)
    assert told == TWO_ATTEMPTS


NODE = (
    ev.IncidentOpened(key="k", node="n1", by="alert"),
    ev.FaultSeen(fault=1, check="XID", error_codes=("79",), by=("condition",), at=NOON),
    ev.AlertAttached(key="GpuHot", started=NOON - 60, source="Alertmanager", check="GpuHot"),
    ev.SessionBegan(session=1, ids=("e1",), at=NOON),
    ev.AttemptBegan(attempt=1, kind="RebootNode", name="r-1", serves=(1,), at=NOON),
)
LEFT = ev.LeftOver(kind="session", ids=("e1",))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            ev.IncidentOpened(key="k", node="n1", by="fault", late=True, adopted=True),
            (
                "incident opened: a fault was seen; it was under way when nvsx first looked; nvsx "
                "knew nothing of this cluster before, so nobody is paged for it"
            ),
        ),
        (
            ev.IncidentOpened(key="k", node="n1", by="fault", again_of="k0", again_after_s=180.0),
            "incident opened: a fault was seen; again: it continues k0, 3m after its end",
        ),
        (ev.IncidentIdentified(key="k2", main=True), "known as k2 from now on"),
        (ev.IncidentIdentified(key="k3"), "also known as k3"),
        (
            ev.FaultSeen(fault=2, check="Thermal", by=("event",), at=None),
            "fault 2: Thermal, not fatal, seen in a Kubernetes Event, since when is not known",
        ),
        (
            ev.FaultSeen(fault=2, check="Dcgm", fatal=True, side_effect_of=1, at=NOON - 5),
            (
                "fault 2: Dcgm, fatal, seen in an alert, explained by the reboot of attempt 1 "
                "(RebootNode r-1), since 11:59:55"
            ),
        ),
        (
            ev.FaultSeen(fault=1, check="XID", error_codes=("79",), by=("event",), ids=("e1",)),
            "more is seen of fault 1 (XID 79): now in a Kubernetes Event; its events: e1",
        ),
        (
            ev.FaultSeen(fault=1, check="XID", error_codes=("79",), by=("condition",), anew=True),
            "fault 1 (XID 79) is there again, seen in the node's condition",
        ),
        (ev.FaultCleared(fault=1), "fault 1 (XID 79) has cleared, when is not known"),
        (
            ev.SideEffectOutlived(fault=1),
            "fault 1 (XID 79) is still there, so the reboot does not explain it",
        ),
        (
            ev.SessionBegan(session=2, dry_run=True),
            "NVSentinel marked the node in a dry run: nothing is cordoned, when is not known",
        ),
        (
            ev.SessionChanged(session=1, ids=("e1", "e2"), state="draining"),
            'NVSentinel\'s label says "draining"; it lists 2 events',
        ),
        (
            ev.SessionChanged(session=1, ids=("e1", "e2")),
            "NVSentinel's quarantine changed: it lists 2 events",
        ),
        (
            ev.SessionEnded(session=1, how="by hand"),
            "somebody took the node out of NVSentinel's quarantine by hand, when is not known",
        ),
        (
            ev.SessionEnded(session=1, how="marks removed", at=NOON),
            "NVSentinel's marks are gone from the node, who removed them is not known",
        ),
        (
            ev.AlertAttached(key="k9", started=NOON, source="Grafana", names_fault=False),
            "Grafana sent alert k9: it names no fault, firing since 2026-03-02 12:00:00",
        ),
        (
            ev.AlertResolved(key="GpuHot", started=NOON - 60),
            "Alertmanager took alert GpuHot back",
        ),
        (
            ev.AttemptBegan(attempt=2, kind="GPUReset", name="g-1", why="other check"),
            (
                "attempt 2 began: NVSentinel asked for GPUReset g-1, because of another check, "
                "when is not known"
            ),
        ),
        (
            ev.AttemptChanged(attempt=1, signal="refused", detail="403"),
            "attempt 1 (RebootNode r-1): its signal was refused; 403",
        ),
        (
            ev.AttemptEnded(attempt=1, outcome="taken away"),
            "attempt 1 (RebootNode r-1) was taken away before it had ended",
        ),
        (
            ev.AttemptEnded(attempt=1, outcome="unseen"),
            "attempt 1 (RebootNode r-1) was not seen to end",
        ),
        (
            ev.HoldBegan(kind="validation", who="NVSentinel", name="val-1", since=NOON - 5),
            "held: validation val-1 by NVSentinel, since 11:59:55",
        ),
        (
            ev.HoldBegan(kind="cordon", who=""),
            "held: cordon, by whom is not known, since when is not known",
        ),
        (ev.HoldEnded(kind="cordon", who="kubectl"), "no longer held: cordon by kubectl"),
        (ev.NodeChanged(there=False), "the Node is gone"),
        (ev.NodeChanged(ready=None), "the node may be Ready or not: it is unknown"),
        (
            ev.StateChanged(state="needs people", code="c", text="why", remedy="do"),
            "state: needs people: why (c); remedy: do",
        ),
        (
            ev.RunJoined(run_id="r-1", runbook="gpu-off-bus", faults=(1,)),
            "run r-1 of gpu-off-bus joined, for XID 79",
        ),
        (ev.RunEnded(run_id="r-1"), "run r-1 ended: how is not known"),
        (ev.PeopleTold(target="slack", what="page", ref="42"), "told slack: page (42)"),
        (
            ev.PeopleTold(target="oncall", what="open page", details={"title": "t"}),
            'told oncall: open page "t"',
        ),
        (
            ev.PeopleTold(target="oncall", what="post", details={"would": True}),
            "would tell oncall: post",
        ),
        (ev.IncidentNoted(text="called", author="sam"), "sam noted: called"),
        (ev.IncidentNoted(text="quiet", code="unseen"), "nvsx noted: quiet (unseen)"),
        (
            ev.IncidentEnded(
                how="closed",
                by="sam",
                text="vendor",
                at=NOON,
                still=("cordon by x",),
                left_overs=(LEFT,),
            ),
            (
                "over: closed by sam: vendor; still held: cordon by x; left over: NVSentinel's "
                "quarantine"
            ),
        ),
        (
            ev.LeftOverGone(left_over=LEFT),
            "after the end: NVSentinel's quarantine is over too",
        ),
    ],
)
def test_an_event_reads_so(event: ev.IncidentEvent, words: str) -> None:
    """The words of one event, told at noon of an incident that has faults and a repair."""
    assert describe_event(event, state_with(event), NOON) == words


def state_with(event: ev.IncidentEvent) -> IncidentState:
    """An incident with a fault, an alert and a repair, and then the event."""
    story = NodeStory("n1")
    for each in (*NODE, event):
        story = story.after(each, Stamp(NOON))
    state = story.open or story.last
    assert state is not None
    return state


def test_every_kind_of_event_has_words() -> None:
    """A kind that is added later is missed here, and not at three in the morning."""
    from nvsx.core.incident import incident_lines

    assert set(incident_lines._WORDS) == set(typing.get_args(ev.IncidentEvent))
