"""Drains that are not the default one, events with overrides, and repairs nobody makes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.nvsentinel_sandbox.simulation import (
    STATE,
    Object,
    Simulation,
    checks,
    condition,
    distinct,
)

from nvsentinel_sandbox.world.health import Document

Start = Callable[..., Simulation]
CORDON = "k8saas.nvidia.com/cordon-"


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Makes simulations, with a fault if one is named, and ends them."""
    made: list[Simulation] = []

    def make(variant: str = "", fault: str = "xid-79", **arguments: Any) -> Simulation:
        made.append(Simulation(variant, **arguments))
        if fault:
            made[-1].simulator.inject(fault, people=True)
        return made[-1]

    yield make
    for simulation in made:
        await simulation.simulator.stop()


def faults(simulation: Simulation) -> list[Document]:
    """The node's faults in the ledger, oldest first."""
    found = simulation.simulator.ledger.of(simulation.name)
    return [d for d in found if not d.event.healthy]


def pods_on(simulation: Simulation, app: str) -> list[Object]:
    """The pods of an app on the node."""
    return simulation.store.list(
        "pods",
        namespace="ml",
        label_selector=f"app={app}",
        field_selector=f"spec.nodeName={simulation.name}",
    )


# --- partial ----------------------------------------------------------------------------


async def test_a_partial_drain_waits_for_the_pods_of_one_gpu(start: Start) -> None:
    """Of eight inference pods one is named and ends; the others run through all of it."""
    simulation = start("partial-drain", "xid-64")
    before = {p["metadata"]["name"]: p["metadata"]["uid"] for p in pods_on(simulation, "infer")}
    assert len(before) == 8
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    (document,) = faults(simulation)
    uuid = document.event.entity("GPU_UUID")
    (hit,) = [
        p
        for p in simulation.store.list("pods", namespace="ml", label_selector="app=infer")
        if uuid in p["metadata"]["annotations"]["dgxc.nvidia.com/devices"]
    ]
    name = hit["metadata"]["name"]
    (event,) = [e for e in simulation.store.list("events") if e["type"] == "NodeDraining"]
    assert event["message"] == f"Waiting for following pods to finish: [ml/{name}]"
    after = {p["metadata"]["name"]: p["metadata"]["uid"] for p in pods_on(simulation, "infer")}
    assert {n for n in before if before[n] != after[n]} == {name}
    assert simulation.states_seen()[:4] == ["", "quarantined", "draining", "drain-succeeded"]
    (reset,) = simulation.store.list("gpuresets")
    assert reset["spec"]["selector"] == {"uuids": [uuid]}


async def test_a_partial_drain_is_for_component_resets_alone(start: Start) -> None:
    """A fault that asks for a restart drains all pods of the node."""
    simulation = start("partial-drain")
    await simulation.until(lambda: simulation.recovered)
    events = [e for e in simulation.seen("events") if e["type"] == "NodeDraining"]
    assert any(e["message"].count("ml/infer-") == 8 for e in events)
    config = simulation.store.get("configmaps", "node-drainer", namespace="nvsentinel")
    assert "partialDrainEnabled = true" in config["data"]["config.toml"]


# --- custom -----------------------------------------------------------------------------


async def test_a_custom_drain_is_asked_for_and_its_request_removed(start: Start) -> None:
    """Name, label and pods of the request; AlreadyDrained, and a label that stays draining."""
    simulation = start("custom-drain")
    await simulation.until(lambda: simulation.recovered)
    (document,) = faults(simulation)
    created = simulation.seen("drainrequests")[0]
    assert created["apiVersion"] == "drain.example.com/v1alpha1"
    assert created["metadata"]["name"] == f"drain-{simulation.name}-{document.id}"
    assert created["metadata"]["labels"] == {"nvsentinel.nvidia.com/node-name": simulation.name}
    assert created["spec"]["nodeName"] == simulation.name
    assert list(created["spec"]["podsToDrain"]) == ["ml"]
    assert "NodeDraining" not in {e["type"] for e in simulation.store.list("events")}
    assert document.eviction == "AlreadyDrained"
    assert simulation.store.list("drainrequests") == []
    assert simulation.states_seen() == [
        "", "quarantined", "draining", "remediating", "remediation-succeeded", "",
    ]  # fmt: skip
    config = simulation.store.get("configmaps", "node-drainer", namespace="nvsentinel")
    assert 'kind = "DrainRequest"' in config["data"]["config.toml"]


async def test_an_uncordon_calls_a_custom_drain_off(start: Start) -> None:
    """The request is deleted, the document Cancelled, and nothing is repaired."""
    simulation = start("custom-drain")
    await simulation.until(lambda: bool(simulation.store.list("drainrequests")))
    simulation.simulator.cordon(simulation.name, on=False)
    await simulation.settled()
    assert simulation.store.list("drainrequests") == []
    assert [(d.quarantined, d.eviction) for d in faults(simulation)] == [("Cancelled",) * 2]
    assert simulation.reboots() == []


# --- overrides --------------------------------------------------------------------------


async def test_an_event_that_skips_the_drain_leaves_pods_and_label(start: Start) -> None:
    """AlreadyDrained while a pod runs; no draining, no drain-succeeded, no eviction."""
    simulation = start("", "drill-no-drain")
    await simulation.until(lambda: simulation.state == "remediation-failed")
    (pod,) = pods_on(simulation, "train")
    assert pod["status"]["phase"] == "Running"
    (document,) = faults(simulation)
    assert (document.quarantined, document.eviction) == ("Quarantined", "AlreadyDrained")
    assert simulation.states_seen() == ["", "quarantined", "remediation-failed"]
    (event,) = json.loads(simulation.annotations["quarantineHealthEvent"])
    assert event["drainOverrides"] == {"skip": True}
    assert "quarantineOverrides" not in event
    await simulation.until(lambda: simulation.recovered)


async def test_a_forced_event_passes_the_rules_and_evicts(start: Start) -> None:
    """On a node that opted out: cordoned by who asked, and drained at once."""
    simulation = start("opted-out", "drill-forced")
    await simulation.until(lambda: simulation.state == "remediation-failed")
    assert simulation.labels[CORDON + "by"] == "gpu-health-monitor-sre"
    assert simulation.labels[CORDON + "reason"] == "drill--no-action-needed"
    (event,) = json.loads(simulation.annotations["quarantineHealthEvent"])
    assert (event["quarantineOverrides"], event["drainOverrides"]) == ({"force": True},) * 2
    assert event["metadata"]["creator_id"] == "sre"
    reasons = {
        c["reason"]
        for p in simulation.seen("pods")
        for c in p["status"].get("conditions", ())
        if c["type"] == "DisruptionTarget"
    }
    assert reasons == {"EvictionByEvictionAPI"}


# --- drains in trouble ------------------------------------------------------------------


async def test_a_pod_that_never_ends_is_given_up(start: Start) -> None:
    """Terminating for too long behind a finalizer, it does not hold the drain up for ever."""
    simulation = start("immediate-drain", "")
    simulation.store.create(
        "pods",
        {
            "metadata": {"name": "stuck", "finalizers": ["example.com/never"]},
            "spec": {
                "nodeName": simulation.name,
                "containers": [{"name": "c", "image": "registry.example/c:1"}],
            },
        },
        namespace="ml",
    )
    await simulation.settled()
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.recovered)
    stuck = simulation.store.get("pods", "stuck", namespace="ml")
    assert "deletionTimestamp" in stuck["metadata"]
    (document,) = faults(simulation)
    assert document.eviction == "Succeeded"


async def test_a_dry_run_evicts_nothing(start: Start) -> None:
    """Evictions are sent to be tried only: no pod is marked or deleted."""
    simulation = start("dry-run", "drill-forced")
    await simulation.until(lambda: simulation.state == "draining")
    for _ in range(3):
        await simulation.simulator.wait(1.0)
    (pod,) = pods_on(simulation, "train")
    assert "deletionTimestamp" not in pod["metadata"]
    assert all(c["type"] != "DisruptionTarget" for c in pod["status"]["conditions"])
    (drainer,) = simulation.store.list("pods", label_selector="app.kubernetes.io/name=node-drainer")
    lines = simulation.store.logs.read("nvsentinel", drainer["metadata"]["name"], "node-drainer")
    assert any(json.loads(line.text).get("dryRun") == "True" for line in lines)


# --- repairs nobody makes ---------------------------------------------------------------


async def test_a_custom_action_without_a_mapping_is_left_to_people(start: Start) -> None:
    """CUSTOM in the condition, its name in the annotation, remediation-failed, no request."""
    simulation = start("custom-unmapped")
    await simulation.until(lambda: simulation.state == "remediation-failed")
    told = condition(simulation.node, "SysLogsXIDError")["message"]
    assert told.endswith("Recommended Action=CUSTOM;")
    (event,) = json.loads(simulation.annotations["quarantineHealthEvent"])
    assert (event["recommendedAction"], event["customRecommendedAction"]) == (27, "replace-tray")
    (document,) = faults(simulation)
    assert (document.remediated, document.remediation_at) == (False, None)
    assert simulation.reboots() == []
    await simulation.until(lambda: simulation.recovered)


async def test_a_replay_after_the_recovery_reboots_the_node_for_nothing(start: Start) -> None:
    """A second session with a document and a RebootNode of its own, for the fault of before."""
    simulation = start("cold-start-replay")
    await simulation.until(lambda: len(simulation.reboots()) == 2)
    await simulation.settled()
    first, second = faults(simulation)
    assert (first.quarantined, second.quarantined) == ("Quarantined", "Quarantined")
    assert first.event.message == second.event.message
    assert first.event.generated < second.event.generated
    names = sorted(r["metadata"]["name"] for r in simulation.reboots())
    assert names == sorted(f"maintenance-{simulation.name}-{d.id}" for d in (first, second))
    sessions = distinct(tuple(checks(n)) for n in simulation.nodes_seen())
    assert sessions == [(), ("SysLogsXIDError",), (), ("SysLogsXIDError",), ()]
    assert STATE not in simulation.labels


async def test_what_slurm_drained_is_a_condition_without_quarantine(start: Start) -> None:
    """No rule set is for it: True until people are done, and the node is never cordoned."""
    simulation = start("", "slurm-drain")
    await simulation.until(lambda: "SlurmHealthCheck" in str(simulation.node["status"]))
    assert simulation.condition("SlurmHealthCheck")["status"] == "True"
    await simulation.until(lambda: simulation.condition("SlurmHealthCheck")["status"] == "False")
    assert simulation.states_seen() == [""]
    assert not any(n["spec"].get("unschedulable") for n in simulation.nodes_seen())
