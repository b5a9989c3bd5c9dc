"""Proofs and dead ends, stage by stage: rows on both sides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as build
from tests.nvsentinel.test_chain import CHAIN, HELD, XID, watch

from nvsx.core.watches.snapshot import Resource, Snapshot
from nvsx.nvsentinel.chain import NvsentinelChain
from nvsx.nvsentinel.installation import Repair

STAGES = ("preflight", "detect", "quarantine", "drain", "remediate", "recover", "postmortem")
LABEL = watch("node-label", key="dgxc.nvidia.com/nvsentinel-state")
STATE = watch("nvsentinel-state", state="quarantined")


def dead(snap: Snapshot) -> set[str]:
    """The stages that cannot pass any more."""
    return {s for s in STAGES if CHAIN.dead_end(s, snap) is not None}


@pytest.mark.parametrize(
    ("stage", "state", "behind"),
    [
        ("quarantine", "quarantined", False),
        ("quarantine", "draining", True),
        ("drain", "drain-succeeded", False),
        ("drain", "drain-failed", False),
        ("drain", "remediating", True),
        ("drain", "remediation-failed", True),
        ("quarantine", "some-later-word", False),
        ("detect", "remediation-succeeded", False),
        ("remediate", "remediation-succeeded", False),
        ("recover", "remediation-succeeded", False),
    ],
)
def test_a_stage_lies_behind_a_later_state(stage: str, state: str, behind: bool) -> None:
    """Quarantine is over once a drain began, a drain once a repair did; later stages never."""
    snap = build.snapshot(session=build.session("quarantined", state))
    for mark in (LABEL, STATE):
        assert bool(CHAIN.prove(mark, stage, snap, None)) == behind


@pytest.mark.parametrize(
    ("wanted", "proven"),
    [
        (watch("node-annotation", key="quarantineHealthEvent"), True),
        (watch("node-annotation", key="team/ack"), False),
        (watch("node", field="ready"), False),
        (watch("node-event", type="GpuThermalWatch"), False),
        (watch("node-event", type=["NodeDraining", "Other"]), True),
        (watch("node-condition", type="SysLogsXIDError", status="False"), False),
    ],
)
def test_only_marks_of_nvsentinels_are_proven_by_its_state(wanted: Any, proven: bool) -> None:
    """What NVSentinel sets itself lies behind; what it does not is looked at as it is."""
    snap = build.snapshot(session=build.session("quarantined", "remediating"))
    assert bool(CHAIN.prove(wanted, "quarantine", snap, None)) == proven


@pytest.mark.parametrize(
    ("changes", "proven"),
    [
        ({}, True),
        ({"healthy": True}, False),
        ({"check": "GpuMemWatch"}, False),
        ({"error_codes": ("48",)}, False),
        ({"error_codes": ("48", "79")}, True),
        ({"error_codes": ()}, False),
    ],
)
def test_an_event_proves_its_own_condition(changes: dict[str, Any], proven: bool) -> None:
    """The check and one of the codes that are asked for, and not a healthy event."""
    trigger = build.health_event(**changes)
    assert bool(CHAIN.prove(XID, "detect", build.snapshot(), trigger)) == proven
    assert (
        bool(
            CHAIN.prove(
                XID, "detect", build.snapshot(session=build.session(events=(trigger,))), None
            )
        )
        == proven
    )
    any_code = watch("node-condition", type="SysLogsXIDError")
    if changes == {"error_codes": ()}:
        said = CHAIN.prove(any_code, "detect", build.snapshot(), trigger)
        assert said == "proven by the session: SysLogsXIDError"


def test_dead_stages_of_a_session_that_ended() -> None:
    """A cancel and a Node that is gone end the chain's stages, and no other."""
    chain = {"quarantine", "drain", "remediate", "recover"}
    for ending in ("cancelled", "terminated"):
        over = build.ended(build.session(), build.AT + 60, ending=ending)
        assert dead(build.snapshot(session=over)) == chain
    recovered = build.ended(build.session(), build.AT + 60, ending="recovered")
    assert dead(build.snapshot(session=recovered)) == set()


def test_dead_stages_of_a_failed_drain() -> None:
    """Nothing from the drain on comes any more; the quarantine stays what it was."""
    snap = build.snapshot(session=build.session("quarantined", "drain-failed"))
    assert dead(snap) == {"drain", "remediate", "recover"}


def test_words_of_a_dead_end() -> None:
    """The session's own words, or what is known without them."""
    for ending, words in (("cancelled", "somebody took"), ("terminated", "the node is gone")):
        over = build.ended(build.session(), build.AT + 60, ending=ending)  # type: ignore[arg-type]
        said = CHAIN.dead_end("drain", build.snapshot(session=over))
        assert said is not None
        assert words in said.reason
        assert said.overrules == (ending == "cancelled")
        told = msgspec.structs.replace(over, ending_detail="by ops")
        said = CHAIN.dead_end("drain", build.snapshot(session=told))
        assert said is not None
        assert "by ops" in said.reason


FAILED = build.resource(("NodeReady", "False", "Timeout"), completed=build.AT + 100)


@pytest.mark.parametrize(
    ("resources", "changes", "stages"),
    [
        ((FAILED,), {}, {"remediate", "recover"}),
        ((FAILED,), {"open": False}, set()),
        ((), {}, set()),
        ((build.resource(("NodeReady", "True", ""), completed=build.AT + 99),), {}, set()),
        ((build.resource(("SignalSent", "True", "")),), {}, set()),
    ],
)
def test_dead_stages_of_a_repair(
    resources: tuple[Resource, ...], changes: dict[str, Any], stages: set[str]
) -> None:
    """Only a failed repair of an open session ends the stages that wait for it."""
    session = build.session("quarantined", "remediation-succeeded", **changes)
    assert dead(build.snapshot(session=session, resources=resources)) == stages


def test_of_two_repairs_within_a_second_the_name_decides() -> None:
    """Creation times are whole seconds."""
    again = msgspec.structs.replace(
        build.resource(("SignalSent", "True", "")), name=f"maintenance-z-{build.EVENT_ID}"
    )
    session = build.session("quarantined", "remediation-succeeded")
    for pair in ((FAILED, again), (again, FAILED)):
        assert CHAIN.dead_end("recover", build.snapshot(session=session, resources=pair)) is None


@pytest.mark.parametrize(
    ("stage", "states", "waits"),
    [
        ("recover", ("quarantined", "remediating"), True),
        ("remediate", ("quarantined", "remediation-succeeded"), True),
        ("drain", ("quarantined", "remediating"), False),
        ("recover", ("quarantined", "remediation-failed"), False),
    ],
)
def test_a_machine_that_is_replaced_is_waited_for(
    stage: str, states: tuple[str, ...], waits: bool
) -> None:
    """From the request on the Node goes as it should; before, nobody asked for that."""
    session = build.session(*states, events=(build.health_event(action="REPLACE_VM"),))
    over = build.ended(session, build.AT + 300, ending="terminated")
    snap = msgspec.structs.replace(build.snapshot(session=over), node=None)
    assert (CHAIN.dead_end(stage, snap) is None) == waits


@pytest.mark.parametrize(("action", "waits"), [("SWAP", True), ("REPLACE_VM", False)])
def test_the_configured_action_takes_the_machine_away(action: str, waits: bool) -> None:
    """Where the configuration maps an action to TerminateNode, that one and no other."""
    repairs = [
        Repair("SWAP", "janitor.dgxc.nvidia.com", "v1alpha1", "TerminateNode"),
        Repair("RESTART_BM", "janitor.dgxc.nvidia.com", "v1alpha1", "RebootNode"),
    ]
    session = build.session("remediating", events=(build.health_event(action=action),))
    over = build.ended(session, build.AT + 300, ending="terminated")
    snap = msgspec.structs.replace(build.snapshot(session=over), node=None)
    assert (NvsentinelChain(repairs).dead_end("recover", snap) is None) == waits


@pytest.mark.parametrize(
    ("wanted", "node", "held"),
    [
        (watch("node-label", key="dgxc.nvidia.com/nvsentinel-state", absent=True), True, True),
        (watch("node-label", key="dgxc.nvidia.com/nvsentinel-state", absent=True), False, False),
        (
            watch("node-label", key="dgxc.nvidia.com/nvsentinel-state", pattern="d.*", absent=True),
            True,
            False,
        ),
        (watch("node", field="spec.unschedulable", expect=False), True, False),
    ],
)
def test_a_mark_that_is_gone_is_no_release_while_held(wanted: Any, node: bool, held: bool) -> None:
    """The whole mark, on a Node that is there."""
    snap = build.snapshot(of=build.node(cordoned=True, labels=HELD), session=build.session())
    snap = snap if node else msgspec.structs.replace(snap, node=None)
    assert bool(CHAIN.still_held(wanted, snap)) == held


def test_rank_of_states() -> None:
    """Along the chain; a word nvsx does not know has none."""
    assert CHAIN.state_rank("quarantined") == 1
    assert CHAIN.state_rank("remediating") == 4
    assert CHAIN.state_rank("other") is None


def test_a_proof_names_the_latest_state() -> None:
    """How far the session came, not where it began."""
    snap = build.snapshot(session=build.session("quarantined", "draining", "remediating"))
    said = CHAIN.prove(STATE, "quarantine", snap, None)
    assert said == "proven by state remediating, which comes later"


def test_one_terminate_among_the_requests_takes_the_machine_away() -> None:
    """A reboot that did not help is followed by the replacement: both are of the session."""
    both = (build.resource(), build.resource(kind="TerminateNode"))
    over = build.ended(build.session("remediating"), build.AT + 300, ending="terminated")
    snap = msgspec.structs.replace(build.snapshot(session=over, resources=both), node=None)
    assert CHAIN.dead_end("recover", snap) is None
