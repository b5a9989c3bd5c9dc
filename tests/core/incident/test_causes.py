"""Each cause of the list: when it holds, for whom, and where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.core.incident.timelines import (
    HOUR,
    MINUTE,
    NOON,
    Timeline,
    alert,
    done,
    failed,
    fault,
    quarantined,
    reboot,
    released,
    sent,
    session,
)

from nvsx.core.incident.cause_view import CauseView
from nvsx.core.incident.causes import CAUSES, find_cause
from nvsx.core.incident.incident_stage import stage_of_incident
from nvsx.core.incident.sight import NODE, SeenCause, SeenChain, SeenHold, SeenRepair

CONTACT = fault("SysLogsXIDError", "74", "e1", action="CONTACT_SUPPORT")
REPAIRING = frozenset({"RESTART_BM"})
GONE: dict[str, Any] = {"exists": False, "node_uid": "", "ready": None, "faults": ()}


def holding(kind: Any, **more: Any) -> Timeline:
    """A quarantined node with one more hold."""
    return quarantined().at(10, holds=(SeenHold(kind, "NVSentinel", name="n-1", **more),))


def terminated() -> Timeline:
    """NVSentinel's TerminateNode took the node."""
    made = SeenRepair("TerminateNode", "t", "u1", "e1", effect="node gone", signal="sent")
    return quarantined().at(5, repairs=(made,)).at(10, **GONE)


def with_a_second_fault_after_the_reboot() -> Timeline:
    """One of two faults has had its repair, and the other waits for its own."""
    line = quarantined().at(5, repairs=(sent("e1"),)).at(9, boot_id="boot-2")
    both = (*line.sight.faults, fault("SysLogsXIDError", "48", "e2"))
    return line.at(20, faults=both, session=session("e1", "e2"))


def explained(code: str, *, line: Timeline | None = None, **more: Any) -> Timeline:
    """What those who read the objects of the cluster have found on a quarantined node."""
    seen = (SeenCause(code, f"what {code} means", "what to do"),)
    return (line or quarantined()).at(10, causes=seen, **more)


def recovering() -> Timeline:
    """A quarantined node whose reboot has worked: its release is awaited."""
    return quarantined().at(5, repairs=(sent("e1"),)).at(9, boot_id="boot-2", repairs=(done("e1"),))


def chain(**known: Any) -> Timeline:
    """A quarantined node under an NVSentinel of which this is known."""
    return quarantined().at(10, chain=SeenChain(**known))


#: code → (who is needed when, a time line in which it holds)
HOLDS: dict[str, tuple[str, Callable[[], Timeline]]] = {
    "node-unreadable": ("later", lambda: quarantined().at(10, unread=frozenset({NODE}))),
    "node-taken-away": ("now", lambda: quarantined().at(10, **GONE)),
    "replacement-awaited": ("never", terminated),
    "uncordoned-while-faulty": (
        "now",
        lambda: quarantined().at(10, faults=(fault(),), session=released("", by_hand=True)),
    ),
    "validation-failed": ("now", lambda: holding("validation", failed=True, keeps_open=True)),
    "dry-run": ("now", lambda: chain(dry_run=True)),
    "monitor-only": ("now", lambda: chain(monitor_only=True)),
    "breaker-tripped": (
        "now",
        lambda: Timeline().at(0, faults=(fault(),), chain=SeenChain(breaker_tripped=True)),
    ),
    "signal-refused": ("now", lambda: quarantined().at(10, repairs=(failed("e1", "refused"),))),
    "repair-timed-out": ("now", lambda: quarantined().at(10, repairs=(failed("e1", "timeout"),))),
    "provider-poll-error": (
        "later",
        lambda: quarantined().at(10, repairs=(failed("e1", "poll error"),)),
    ),
    "repair-escalated": (
        "later",
        lambda: quarantined().at(10, repairs=(failed("e1", "escalated"),)),
    ),
    "repair-failed": ("now", lambda: quarantined().at(10, repairs=(failed("e1", "other"),))),
    "repair-taken-away": (
        "now",
        lambda: quarantined().at(5, repairs=(reboot("e1"),)).at(10, repairs=()),
    ),
    "external-repair": (
        "never",
        lambda: quarantined().at(
            10, repairs=(reboot("e1", outcome="manual", kind="ExternalRemediationRequest"),)
        ),
    ),
    "manual-mode": (
        "now",
        lambda: quarantined().at(10, repairs=(reboot("e1", outcome="manual"),)),
    ),
    "unsupported-action": (
        "now",
        lambda: Timeline().at(
            10,
            faults=(CONTACT,),
            session=session("e1"),
            chain=SeenChain(repairing=REPAIRING),
        ),
    ),
    "request-not-made": (
        "later",
        lambda: quarantined().at(10, session=session("e1", state="remediation-failed")),
    ),
    "module-missing": ("now", lambda: chain(missing=("node-drainer",))),
    "module-not-ready": (
        "later",
        lambda: chain(unwell=(("node-drainer", "Deployment node-drainer: 0 of 1 ready"),)),
    ),
    "drain-failed": (
        "now",
        lambda: quarantined().at(10, session=session("e1", state="drain-failed")),
    ),
    "opted-out": ("later", lambda: chain(opted_out="managed=false")),
    "no-rule": ("now", lambda: explained("no-rule", line=Timeline(), faults=(fault(),))),
    "not-quarantined": ("later", lambda: Timeline().at(0, faults=(fault(),)).at(130)),
    "released-while-faulty": (
        "later",
        lambda: quarantined().at(10, faults=(fault(),), session=released()).at(50),
    ),
    "driver-upgrade": ("never", lambda: holding("driver upgrade")),
    "node-not-ready": ("later", lambda: quarantined().at(10, ready=None)),
    "drain-blocked": ("later", lambda: explained("drain-blocked")),
    "drain-waits": ("never", lambda: explained("drain-waits")),
    "validation": ("never", lambda: holding("validation", keeps_open=True)),
    "handed-over": ("never", lambda: holding("handed over", keeps_open=True)),
    "maintenance": ("never", lambda: holding("maintenance")),
    "healthy-but-cordoned": ("later", lambda: explained("healthy-but-cordoned")),
    "pods-left": (
        "never",
        lambda: explained("pods-left", session=session("e1", state="drain-succeeded")),
    ),
    "nothing-shown": (
        "never",
        lambda: Timeline().at(0, alerts=(alert(),), chain=SeenChain(current=True)).at(130),
    ),
    "store-only": (
        "never",
        lambda: explained("store-only", line=Timeline().run_by_hand(0)),
    ),
    "action-none": (
        "never",
        lambda: explained("action-none", line=Timeline().run_by_hand(0)),
    ),
}


def test_every_cause_of_the_list_has_its_time_line() -> None:
    """No code is without a test, and none stands twice."""
    assert [rule.code for rule in CAUSES] == list(HOLDS)


@pytest.mark.parametrize("code", HOLDS)
def test_a_cause_is_told_with_text_and_remedy(code: str) -> None:
    """People are needed at once, after five minutes, or not at all."""
    people, make = HOLDS[code]
    line = make()
    cause = line.incident.cause
    assert cause.code == code
    assert cause.text
    assert cause.remedy
    assert (cause.state == "needs people") is (people == "now")
    if people == "later":
        now = line.sight.mono
        assert line.at(now + 5 * MINUTE - 0.1).incident.state != "needs people"
        assert line.at(now + 5 * MINUTE).incident.state == "needs people"
    elif people == "never":
        assert line.at(line.sight.mono + 6 * MINUTE).incident.state != "needs people"


@pytest.mark.parametrize("code", HOLDS)
def test_a_cause_is_not_told_where_it_cannot_hold(code: str) -> None:
    """The same sight, asked in each stage that the rule leaves out."""
    rule = next(r for r in CAUSES if r.code == code)
    line = HOLDS[code][1]()
    view = CauseView(line.incident, line.sight, stage_of_incident(line.incident))
    assert rule.find(view) is not None
    for stage in rule.not_in:
        found = find_cause(view._replace(stage=stage))  # type: ignore[arg-type]
        assert found is None or found.code != code


@pytest.mark.parametrize(
    ("module", "stage", "told"),
    [
        ("fault-quarantine", "recover", True),
        ("node-drainer", "drain", True),
        ("node-drainer", "remediate", False),
        ("fault-remediation", "remediate", True),
        ("fault-remediation", "recover", False),
        ("janitor", "remediate", True),
        ("janitor", "recover", False),
    ],
)
def test_a_module_is_missed_where_it_still_has_work(module: str, stage: Any, told: bool) -> None:
    """A drainer that is gone after the drain stops nothing."""
    line = chain(missing=(module,))
    found = find_cause(CauseView(line.incident, line.sight, stage))
    assert (found is not None and found.code == "module-missing") is told


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"breaker_tripped": True}, ""),
        ({"missing": ("janitor",)}, ""),
        ({"manual": True}, ""),
        ({"opted_out": "managed=false"}, "opted-out"),
    ],
)
def test_while_a_repair_is_in_flight_nobody_is_needed_for_anything_else(
    known: dict[str, Any], code: str
) -> None:
    """Decided for the incident, never for one fault of it."""
    line = quarantined().at(5, repairs=(sent("e1"),)).at(10, chain=SeenChain(**known))
    assert (line.incident.state, line.incident.cause.code) == ("repairing", code)


def test_a_node_that_cannot_be_read_says_why() -> None:
    """What the API server answered is in the text; where that is not known nothing stands in."""
    line = quarantined().at(10, unread=frozenset({NODE}), node_unread="c cannot be reached")
    said = "the node cannot be read now, so nothing is known of it"
    assert line.incident.cause.text == f"{said}: c cannot be reached"
    line.at(20, node_unread="")
    assert line.incident.cause.text == said


def test_from_needs_people_back_to_repairing_is_told() -> None:
    """NVSentinel's next request came."""
    line = quarantined().at(10, repairs=(failed("e1", "timeout"),))
    line.at(20, repairs=(failed("e1", "timeout"), reboot("e1", "u2")))
    assert line.states()[-2:] == ["needs people", "repairing"]


@pytest.mark.parametrize(
    ("detail", "told"),
    [("", "a person has to do it"), ("swap the node in the console", "swap the node")],
)
def test_what_a_person_has_to_do_is_in_nvsentinel_s_words(detail: str, told: str) -> None:
    """Where the request has a message."""
    manual = reboot("e1", outcome="manual", detail=detail)
    cause = quarantined().at(10, repairs=(manual,)).incident.cause
    assert (cause.code, told in cause.text) == ("manual-mode", True)


def test_a_repair_that_failed_matters_while_something_is_held_or_broken() -> None:
    """Released after a time-out, with the fault gone: nobody is needed for it."""
    line = quarantined().at(10, repairs=(failed("e1", "timeout"),))
    assert line.incident.cause.code == "repair-timed-out"
    line.at(20, faults=(), session=released(at=20))
    assert line.incident.cause.code == ""


@pytest.mark.parametrize("detail", ["", "pods are still being moved"])
def test_the_detail_of_what_holds_is_told(detail: str) -> None:
    """In the words of who holds it, and no empty ones."""
    text = holding("driver upgrade", detail=detail).incident.cause.text
    assert text.endswith(f": {detail}" if detail else "of the node")
    assert not text.endswith(": ")


def test_an_unknown_action_is_not_called_unsupported() -> None:
    """A fragment that was cut has none."""
    cut = fault("SysLogsXIDError", "74", "e1", action="UNKNOWN")
    known = SeenChain(repairing=REPAIRING)
    line = Timeline().at(10, faults=(cut,), session=session("e1"), chain=known)
    assert line.incident.state == "repairing"


def test_a_fault_beside_one_that_is_repaired_needs_nobody_yet() -> None:
    """One of two faults has a repair of its own coming."""
    two = (CONTACT, fault("SysLogsXIDError", "79", "e2"))
    known = SeenChain(repairing=REPAIRING)
    line = Timeline().at(10, faults=two, session=session("e1", "e2"), chain=known)
    assert line.incident.state == "repairing"


def test_other_words_for_a_cause_do_not_begin_its_time_anew() -> None:
    """One pod less after four minutes."""
    line = quarantined()
    for seconds, pods in ((10, "a, b"), (250, "a")):
        line.at(seconds, causes=(SeenCause("drain-blocked", f"kept: {pods}"),))
    assert line.at(310).incident.state == "needs people"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (lambda: Timeline().at(0, faults=(fault(),)), "no node is cordoned until it is reset"),
        (recovering, "recoveries are blocked too, so the node stays cordoned"),
    ],
)
def test_what_a_tripped_breaker_blocks(line: Callable[[], Timeline], told: str) -> None:
    """The cordon; a recovery, while one is due, also when the fault has gone."""
    for faults in ({}, {"faults": ()}) if line is recovering else ({},):
        known = SeenChain(breaker_tripped=True, namespace="gpu-ops")
        cause = line().at(20, chain=known, **faults).incident.cause
        assert cause.code == "breaker-tripped"
        assert told in cause.text
        assert cause.remedy.endswith("kubectl -n gpu-ops edit cm circuit-breaker")


@pytest.mark.parametrize("at", [10, 2000])
def test_a_drain_under_way_is_not_blamed_on_the_breaker(at: float) -> None:
    """It stops the cordon and the release, and no drain."""
    assert chain(breaker_tripped=True).at(at).incident.cause.code == ""


@pytest.mark.parametrize(
    ("ready", "more", "text"),
    [
        (False, {}, "the kubelet of node gpu-1 is not Ready since 12:00:05 UTC: nothing moves"),
        (
            None,
            {"ready_why": "Kubelet stopped posting node status."},
            "is unknown since 12:00:05 UTC (Kubelet stopped posting node status): nothing moves",
        ),
        (None, {"ready_at": 0.0}, "the kubelet of node gpu-1 is unknown: nothing moves"),
    ],
)
def test_a_silent_kubelet_is_told_with_its_time(
    ready: Any, more: dict[str, Any], text: str
) -> None:
    """Since when and why, where the node says so."""
    line = quarantined().at(10, ready=ready, **({"ready_at": NOON + 5} | more))
    assert text in line.incident.cause.text


def test_a_dead_kubelet_is_why_a_drain_waits() -> None:
    """Pods of a silent kubelet end when it is back, whatever budgets and jobs say."""
    line = quarantined()
    pods = SeenCause("drain-waits", "the drain waits for pod ml/train-0")
    line.at(10, causes=(pods,)).at(20, ready=None)
    assert line.incident.cause.code == "node-not-ready"
    assert line.wait(3 * HOUR).incident.state == "needs people"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("CONTACT_SUPPORT", "open a case with the vendor"),
        ("CUSTOM", "map it in fault-remediation"),
        ("RUN_DCGMEUD", "end-user diagnostics"),
        ("NONE", "whether the node needs a repair"),
        ("SOMETHING_NEW", "decide by hand"),
    ],
)
def test_what_people_do_depends_on_the_action(action: str, words: str) -> None:
    """A vendor's case is for CONTACT_SUPPORT; other actions name their own."""
    asked = fault("SysLogsXIDError", "74", "e1", action=action)
    known = SeenChain(repairing=REPAIRING)
    line = Timeline().at(10, faults=(asked,), session=session("e1"), chain=known)
    assert words in line.incident.cause.remedy
    assert ("vendor" in line.incident.cause.remedy) == (action == "CONTACT_SUPPORT")


@pytest.mark.parametrize(
    ("make", "stage"),
    [
        (lambda: Timeline().run_by_hand(0), "detect"),
        (lambda: Timeline().at(0, faults=(fault(),)), "quarantine"),
        (quarantined, "drain"),
        (lambda: quarantined().at(5, session=session("e1", state="drain-succeeded")), "remediate"),
        (lambda: quarantined().at(5, repairs=(sent("e1"),)), "remediate"),
        (lambda: quarantined().at(5, repairs=(sent("e1"),)).at(9, boot_id="boot-2"), "recover"),
        (lambda: quarantined().at(5, faults=(), session=released()), "recover"),
        (with_a_second_fault_after_the_reboot, "drain"),
    ],
)
def test_how_far_the_chain_is(make: Callable[[], Timeline], stage: str) -> None:
    """From marks and requests, whatever a run watches."""
    assert stage_of_incident(make().incident) == stage


def test_a_repair_that_the_node_came_back_from_is_no_cause() -> None:
    """The request failed on a poll error; the node has booted since."""
    line = quarantined().at(5, repairs=(sent("e1"),)).at(6, repairs=(failed("e1", "poll error"),))
    assert line.incident.cause.code == "provider-poll-error"
    line.at(9, boot_id="boot-2")
    assert (line.incident.state, line.incident.cause.code) == ("recovering", "")
    assert line.at(20, repairs=(done("e1"),)).attempts() == [("first", "failed")]


@pytest.mark.parametrize(
    ("code", "wrong", "well"),
    [
        ("node-not-ready", {"ready": False}, {"ready": True}),
        ("node-unreadable", {"unread": frozenset({NODE})}, {"unread": frozenset()}),
    ],
)
def test_a_node_that_is_well_again_needs_nobody(
    code: str, wrong: dict[str, Any], well: dict[str, Any]
) -> None:
    """A run by hand: its incident ends with it, so people who stayed called would hold it for
    ever."""
    line = Timeline().run_by_hand(0).at(1, **wrong).wait(7 * MINUTE)
    assert (line.incident.state, line.incident.cause.code) == ("needs people", code)
    line.at(8 * MINUTE, **well)
    assert (line.incident.state, line.incident.cause.code) == ("observing", "")
