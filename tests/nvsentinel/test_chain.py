"""What NVSentinel's marks mean for a run: proofs, dead ends, configured kinds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import TypeAdapter
from tests.fakes import fake_observer as build

from nvsx.core.watches.kinds import Watch
from nvsx.nvsentinel.chain import NvsentinelChain
from nvsx.nvsentinel.installation import Repair

CHAIN = NvsentinelChain()
ADAPTER: TypeAdapter[Any] = TypeAdapter(Watch)


def watch(kind: str, **fields: Any) -> Any:
    """A watch of this kind."""
    return ADAPTER.validate_python({"kind": kind, **fields})


XID = watch("node-condition", type="SysLogsXIDError", errorCode="79")


@pytest.mark.parametrize(
    ("wanted", "stage", "states", "proven"),
    [
        (XID, "detect", ("quarantined",), True),
        (
            watch("node-condition", type="SysLogsXIDError", errorCode="48"),
            "detect",
            ("quarantined",),
            False,
        ),
        (watch("node-condition", type="GpuMemWatch"), "detect", ("quarantined",), False),
        (watch("node", field="spec.unschedulable"), "quarantine", ("quarantined",), False),
        (
            watch("node", field="spec.unschedulable"),
            "quarantine",
            ("quarantined", "draining"),
            True,
        ),
        (
            watch("node", field="spec.unschedulable", expect=False),
            "quarantine",
            ("draining",),
            False,
        ),
        (watch("node-event", type="NodeDraining"), "drain", ("draining",), False),
        (watch("node-event", type="NodeDraining"), "drain", ("remediating",), True),
        (watch("node-label", key="team/ack"), "quarantine", ("remediating",), False),
        (watch("taint", key="nvidia.com/gpu-error"), "quarantine", ("remediating",), False),
        (watch("node", field="ready"), "recover", ("remediation-succeeded",), False),
    ],
)
def test_session_proves_only_what_is_nvsentinels(
    wanted: Any, stage: str, states: tuple[str, ...], *, proven: bool
) -> None:
    """The session proves its own events and marks, never a team's label or another fault."""
    snap = build.snapshot(session=build.session(*states))
    assert bool(CHAIN.prove(wanted, stage, snap, None)) == proven


def test_the_triggering_event_proves_the_fault() -> None:
    """Without any session the event that fired the run proves its condition."""
    assert CHAIN.prove(XID, "detect", build.snapshot(), build.health_event())


@pytest.mark.parametrize("stage", ["quarantine", "drain", "remediate", "recover"])
def test_cancelled_session_overrules_everything(stage: str) -> None:
    """After a manual uncordon every stage of the chain ends, even if its watches hold."""
    session = build.ended(build.session(), build.AT + 60, ending="cancelled")
    dead = CHAIN.dead_end(stage, build.snapshot(session=session))
    assert dead is not None
    assert dead.overrules
    assert dead.reason.startswith("cancelled by hand")


def test_failed_drain_ends_the_chain() -> None:
    """drain-failed is terminal for NVSentinel, so waiting for the drain is useless."""
    snap = build.snapshot(session=build.session("quarantined", "draining", "drain-failed"))
    assert CHAIN.dead_end("drain", snap) is not None
    assert CHAIN.dead_end("quarantine", snap) is None


def test_newest_repair_decides() -> None:
    """A failed reboot is a dead end until NVSentinel makes another request."""
    refused = build.resource(("SignalSent", "False", "Failed"), completed=build.AT + 100)
    again = build.resource(created=build.AT + 200, name=f"maintenance-{build.NODE}-2")
    session = build.session("remediation-succeeded")
    assert CHAIN.dead_end("recover", build.snapshot(session=session, resources=(refused,)))
    both = build.snapshot(session=session, resources=(refused, again))
    assert CHAIN.dead_end("recover", both) is None


@pytest.mark.parametrize(
    ("action", "states", "kinds", "waits"),
    [
        ("REPLACE_VM", ("quarantined", "remediation-succeeded"), (), True),
        ("REPLACE_VM", ("quarantined",), (), False),
        ("RESTART_BM", ("quarantined", "remediation-succeeded"), (), False),
        ("RESTART_BM", ("quarantined", "remediation-succeeded"), ("TerminateNode",), True),
        ("REPLACE_VM", ("quarantined", "remediation-succeeded"), ("RebootNode",), False),
    ],
)
def test_a_node_that_goes_is_a_dead_end_unless_the_repair_takes_it_away(
    action: str, states: tuple[str, ...], kinds: tuple[str, ...], *, waits: bool
) -> None:
    """The requests that were seen decide; when they went with the Node, what was asked for."""
    session = build.session(*states, events=(build.health_event(action=action),))
    over = build.ended(session, build.AT + 300, ending="terminated")
    seen = tuple(build.resource(kind=kind) for kind in kinds)
    snap = msgspec.structs.replace(build.snapshot(session=over, resources=seen), node=None)
    assert (CHAIN.dead_end("recover", snap) is None) == waits


HELD = {"k8saas.nvidia.com/cordon-by": "NVSentinel"}
ANNOTATION = {"key": "quarantineHealthEvent", "absent": True}
STATE = {"key": "dgxc.nvidia.com/nvsentinel-state", "absent": True}


@pytest.mark.parametrize(
    ("kind", "fields", "labels", "over", "held"),
    [
        ("node-annotation", ANNOTATION, HELD, False, True),
        ("node-label", STATE, HELD, False, True),
        ("node-label", STATE | {"value": "draining"}, HELD, False, False),
        ("node-label", {"key": "team/ack", "absent": True}, HELD, False, False),
        ("node-annotation", ANNOTATION, {}, False, False),
        ("node-annotation", ANNOTATION, HELD, True, False),
    ],
)
def test_a_cordon_that_stays_for_a_validation_is_no_release(
    kind: str, fields: dict[str, Any], labels: dict[str, str], *, over: bool, held: bool
) -> None:
    """Only the marks themselves, while NVSentinel's own cordon holds a node in its session."""
    session = build.session("remediation-succeeded", open=not over)
    snap = build.snapshot(of=build.node(cordoned=True, labels=labels), session=session)
    assert bool(CHAIN.still_held(watch(kind, **fields), snap)) == held


def test_configured_kind_completes_by_its_own_condition() -> None:
    """A kind of the operator's is maintenance, and its configured condition completes it."""
    chain = NvsentinelChain(
        [
            Repair(
                action="CUSTOM",
                group="acme.io",
                version="v1",
                kind="Swap",
                complete_condition="Swapped",
            )
        ]
    )
    swap = msgspec.structs.replace(
        build.resource(("Swapped", "True", "Done"), kind="Swap"), group="acme.io", name="swap-1"
    )
    assert chain.is_maintenance(swap)
    assert chain.outcome(swap)[0] == "succeeded"
    assert not CHAIN.is_maintenance(swap)
