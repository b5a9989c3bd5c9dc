"""Every branch of the lifecycle: what it comes to, and that all it shows is NVSentinel's.

The table is the promise: the ways the state label goes, what the store says of each fault,
the repairs, and what is left on the node. Every object is looked at in each of its versions
(rules.py); the fields that tell a branch from others have tests of their own beside this.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.nvsentinel_sandbox import rules
from tests.nvsentinel_sandbox.likeness import Stored
from tests.nvsentinel_sandbox.simulation import Simulation

from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.variants import VARIANTS

Q, D, S, R = "quarantined", "draining", "drain-succeeded", "remediating"
OK, FAILED = "remediation-succeeded", "remediation-failed"
WHOLE = (Q, D, S, R, OK)
DONE = "Quarantined Succeeded True"
REBOOT, RESET, EXTERNAL = "RebootNode", "GPUReset", "ExternalRemediationRequest"


class Branch(NamedTuple):
    """How a branch goes. `states` end with "" when the label is gone; `left` is one of
    released (uncordoned by NVSentinel), held (cordoned by it), bare (no mark of a cordon),
    cordoned (by somebody else); `sick` whether the condition is still True."""

    states: tuple[str, ...]
    faults: tuple[str, ...]
    repairs: tuple[str, ...]
    left: str = "released"
    sick: bool = False


GOOD = Branch((*WHOLE, ""), (DONE,), (REBOOT,))
TWICE = (*WHOLE, "", *WHOLE, "")
#: What becomes of a variant; of one that is not here as much as of none, GOOD.
OTHERWISE = {
    "stale-cr": GOOD._replace(repairs=(REBOOT, REBOOT)),
    "reboot-timeout": Branch(WHOLE, (DONE,), (REBOOT,), "held", sick=True),
    "signal-refused": Branch(WHOLE, (DONE,), (REBOOT,), "held", sick=True),
    "manual-uncordon": Branch((Q, D, ""), ("Cancelled Cancelled None",), (), "bare", sick=True),
    "three-checks": Branch(
        (*WHOLE, D, S, FAILED, OK, ""),
        (
            DONE,
            "AlreadyQuarantined Succeeded False",
            "AlreadyQuarantined AlreadyDrained False",
        ),
        (REBOOT,),
    ),
    "idle-node": GOOD._replace(states=(Q, S, R, OK, "")),
    "opted-out": Branch((), ("  None",), (), "bare", sick=True),
    "cordoned-before": GOOD._replace(left="cordoned"),
    "drain-failed": Branch(
        (Q, D, "drain-failed"), ("Quarantined Failed None",), (), "held", sick=True
    ),
    "partial-recovery": Branch(
        (*WHOLE, FAILED, ""), (DONE, "AlreadyQuarantined AlreadyDrained False"), (REBOOT,)
    ),
    "monitor-restarts": GOOD._replace(faults=(DONE, "AlreadyQuarantined AlreadyDrained True")),
    "cold-start-replay": Branch(TWICE, (DONE, DONE), (REBOOT, REBOOT)),
    "repair-refused": Branch(
        (Q, D, S, R, FAILED), ("Quarantined Succeeded False",), (), "held", sick=True
    ),
    "custom-unmapped": Branch((Q, D, S, FAILED, ""), ("Quarantined Succeeded False",), ()),
    "breaker-tripped": Branch((), ("  None",), (), "bare", sick=True),
    "dry-run": Branch((D, S, R, OK), (DONE,), (), "bare", sick=True),
    "monitor-only": Branch((), (), (), "bare"),
    "store-only": Branch((), ("  None",), (), "bare"),
    "breaker-trips": GOOD._replace(repairs=(REBOOT, REBOOT)),
    "partial-drain": GOOD._replace(repairs=(RESET,)),
    "custom-drain": GOOD._replace(
        states=(Q, D, R, OK, ""), faults=("Quarantined AlreadyDrained True",)
    ),
    "gpu-reset": GOOD._replace(
        faults=(DONE, "AlreadyQuarantined Succeeded True"), repairs=(RESET,)
    ),
    "gpu-reset-fails": Branch(
        (*WHOLE, R, OK, ""),
        (DONE, "AlreadyQuarantined AlreadyDrained True"),
        (REBOOT, RESET),
    ),
    "terminate-node": GOOD._replace(repairs=(), left="bare"),
    "external-repair": GOOD._replace(repairs=(EXTERNAL,)),
    "custom-action": GOOD._replace(repairs=(EXTERNAL,)),
    "manual-untaint": Branch((Q, D, ""), ("Cancelled Cancelled None",), (), "held", sick=True),
    "validation-fails": GOOD._replace(left="held"),
}
FAULT = {"gpu-reset": "xid-48", "gpu-reset-fails": "xid-64", "partial-drain": "xid-64"}


def test_every_row_is_of_a_variant() -> None:
    """A variant without a row goes as the chain does when nothing is amiss."""
    assert [name for name in OTHERWISE if name not in VARIANTS] == []
    assert GOOD not in OTHERWISE.values()


def left_on(simulation: Simulation) -> str:
    """In one word, who holds the node."""
    kinds = [k.removeprefix(rules.PREFIX) for k in simulation.labels if k.startswith(rules.PREFIX)]
    cordoned = bool(simulation.node["spec"].get("unschedulable"))
    if "cordon-by" in kinds and cordoned:
        return "held"
    if "uncordon-by" in kinds and not cordoned:
        return "released"
    return "cordoned" if cordoned else "bare"


async def played(variant: str, fault: str) -> tuple[Simulation, Stored]:
    """The branch to its end, with people who do what is theirs."""
    simulation = Simulation(variant)
    seen = Stored(simulation)
    simulation.simulator.inject(fault, people=True)
    await simulation.settled()
    return simulation, seen


@pytest.mark.parametrize("variant", ["", *VARIANTS])
async def test_a_branch_comes_to_its_end(variant: str) -> None:
    """States, documents, repairs and what is left; and every version of every object."""
    simulation, seen = await played(variant, FAULT.get(variant, "xid-79"))
    wanted = OTHERWISE.get(variant, GOOD)
    states = simulation.states_seen()
    assert tuple(states[1:] if states[:1] == [""] else states) == wanted.states
    faults = [d for d in simulation.simulator.ledger.of(simulation.name) if not d.event.healthy]
    told = [f"{d.quarantined} {d.eviction} {d.remediated}" for d in faults]
    assert tuple(told) == wanted.faults
    kinds = ("rebootnodes", "terminatenodes", "gpuresets", "externalremediationrequests")
    registry = simulation.store.registry
    listed = [o for k in kinds if registry.find(k) for o in simulation.store.list(k)]
    assert tuple(o["kind"] for o in listed) == wanted.repairs
    assert left_on(simulation) == wanted.left
    assert (simulation.condition("SysLogsXIDError")["status"] == "True") == wanted.sick
    for kind, plural, obj in simulation.changes:
        if kind != "DELETED":
            rules.check(plural, obj)
    for history in seen.written.values():
        for version in history:
            rules.document(version)
    await simulation.simulator.stop()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_shows_nothing_but_nvsentinel_s(fault: str) -> None:
    """Every fault, to its end, in every version of every object and document."""
    simulation, seen = await played("idle-node", fault)
    for kind, plural, obj in simulation.changes:
        if kind != "DELETED":
            rules.check(plural, obj)
    for history in seen.written.values():
        for version in history:
            rules.document(version)
    assert not [n for n in simulation.store.list("nodes") if n["spec"].get("unschedulable")]
    await simulation.simulator.stop()
