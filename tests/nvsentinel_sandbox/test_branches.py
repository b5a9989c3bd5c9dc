"""Branches of the lifecycle beside the default one: every field that tells them apart.

Field by field as in NVSentinel's sources and recorded objects: drain modes, kinds of repair,
hand-overs, joins and partial recovery, taints, restarts.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.nvsentinel_sandbox.simulation import (
    STATE,
    Object,
    Simulation,
    checks,
    condition,
    distinct,
    state_is,
)

from nvsentinel_sandbox.world.health import Document

Start = Callable[..., Simulation]
RELEASE = "nvsentinel.dgxc.nvidia.com/external-remediation"
MANAGED = "nvsentinel.dgxc.nvidia.com/managed"


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Makes simulations, with a fault if one is named, and ends them."""
    made: list[Simulation] = []

    def make(variant: str, fault: str = "xid-79", **arguments: Any) -> Simulation:
        made.append(Simulation(variant, **arguments))
        if fault:
            made[-1].simulator.inject(fault, people=True)
        return made[-1]

    yield make
    for simulation in made:
        await simulation.simulator.stop()


def documents(simulation: Simulation) -> list[Document]:
    """The node's faults in the ledger, oldest first."""
    ledger = simulation.simulator._context.ledger
    return [d for d in ledger.of(simulation.name) if not d.event.healthy]


def only(simulation: Simulation, plural: str) -> Object:
    """The one object of its kind, as it is now."""
    (found,) = simulation.store.list(plural)
    return found


def seen_phases(simulation: Simulation, plural: str) -> list[str]:
    """The phases an object went through."""
    return distinct(o.get("status", {}).get("phase", "") for o in simulation.seen(plural))


def told(obj: Object) -> dict[str, tuple[str, str]]:
    """Condition type → (status, reason)."""
    return {c["type"]: (c["status"], c["reason"]) for c in obj["status"]["conditions"]}


# --- drains -----------------------------------------------------------------------------


async def test_immediate_drain_evicts_as_the_eviction_api_does(start: Start) -> None:
    """DisruptionTarget/EvictionByEvictionAPI, a Killing Event, a grace of 60 s, no Evicted."""
    simulation = start("immediate-drain")
    await simulation.until(lambda: simulation.recovered)
    pods = [p for p in simulation.seen("pods") if p["metadata"]["name"].startswith("train-")]
    (evicted,) = {
        json.dumps([c["type"], c["status"], c["reason"]])
        for p in pods
        for c in p["status"].get("conditions", ())
        if c["type"] == "DisruptionTarget"
    }
    assert json.loads(evicted) == ["DisruptionTarget", "True", "EvictionByEvictionAPI"]
    assert {p["metadata"].get("deletionGracePeriodSeconds") for p in pods} == {None, 60}
    events = simulation.store.list("events", namespace="ml")
    assert [(e["reason"], e["type"], e["involvedObject"]["kind"]) for e in events] == [
        ("Killing", "Normal", "Pod")
    ]
    assert "NodeDraining" not in {e["type"] for e in simulation.store.list("events")}
    assert simulation.states_seen()[:4] == ["", "quarantined", "draining", "drain-succeeded"]


async def test_an_evicted_job_gets_a_pod_that_waits_for_its_node(start: Start) -> None:
    """The replacement is Pending without a node until the node is back, and runs then."""
    simulation = start("immediate-drain")
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    pods = [p for p in simulation.seen("pods") if p["metadata"]["namespace"] == "ml"]
    pending = [p for p in pods if not p["spec"].get("nodeName")]
    assert {p["status"]["phase"] for p in pending} == {"Pending"}
    name = pending[0]["metadata"]["name"]
    now = simulation.store.get("pods", name, namespace="ml")
    assert (now["spec"]["nodeName"], now["status"]["phase"]) == (simulation.name, "Running")


async def test_a_disruption_budget_holds_an_eviction_up(start: Start) -> None:
    """While the budget allows none the pod stays and the drainer retries; then it goes."""
    simulation = start("budget-blocks", fault="")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.state == "draining")
    pods = f"spec.nodeName={simulation.name}"
    assert simulation.store.list("pods", namespace="ml", field_selector=pods)
    assert only(simulation, "poddisruptionbudgets")["status"]["disruptionsAllowed"] == 0
    await simulation.until(lambda: simulation.recovered)
    (drainer,) = simulation.store.list("pods", label_selector="app.kubernetes.io/name=node-drainer")
    lines = simulation.store.logs.read("nvsentinel", drainer["metadata"]["name"], "node-drainer")
    blocked = [line for line in lines if "PodDisruptionBudget" in line.text]
    assert len(blocked) >= 2


async def test_delete_after_timeout_says_until_when_and_deletes(start: Start) -> None:
    """Event WaitingBeforeForceDelete with pods, namespace and time; then a delete at grace 0."""
    simulation = start("delete-after-timeout")
    await simulation.until(lambda: simulation.recovered)
    (event,) = [e for e in simulation.store.list("events") if e["type"] == "NodeDraining"]
    assert event["reason"] == "WaitingBeforeForceDelete"
    assert event["involvedObject"]["uid"] == simulation.node["metadata"]["uid"]
    assert event["source"]["component"] == "nvsentinel-node-drainer"
    found = re.fullmatch(
        r"Waiting for following pods to finish: \[(train-\d)\] in namespace: \[ml\] or they will "
        r"be force deleted on: (\S+)",
        event["message"],
    )
    assert found
    (document,) = documents(simulation)
    limit = datetime.fromisoformat(found[2]).timestamp()
    assert document.created - 1 < limit < (document.drain_finished or 0) + 1
    assert not any(
        c["type"] == "DisruptionTarget"
        for p in simulation.seen("pods")
        for c in p["status"].get("conditions", ())
    )


async def test_a_failed_drain_is_the_end_of_the_chain(start: Start) -> None:
    """Label drain-failed, document Failed, no repair, still cordoned and marked."""
    simulation = start("drain-failed")
    await simulation.until(lambda: simulation.state == "drain-failed")
    await simulation.settled()
    (document,) = documents(simulation)
    assert (document.eviction, document.remediated) == ("Failed", None)
    assert document.drain_finished is None
    assert simulation.states_seen() == ["", "quarantined", "draining", "drain-failed"]
    assert simulation.node["spec"]["unschedulable"] is True
    assert "quarantineHealthEvent" in simulation.annotations
    assert simulation.reboots() == []


# --- repairs ----------------------------------------------------------------------------


async def test_a_gpu_reset_goes_through_its_phases(start: Start) -> None:
    """Phases, conditions with their reasons, the GPU in the selector, the Job by its name."""
    simulation = start("gpu-reset", "xid-48")
    await simulation.until(lambda: simulation.recovered)
    reset = only(simulation, "gpuresets")
    # Two checks see the fault; whichever was drained first has the reset named after it.
    by_name = {f"maintenance-{simulation.name}-{d.id}": d for d in documents(simulation)}
    drained = by_name[reset["metadata"]["name"]]
    assert reset["spec"] == {
        "nodeName": simulation.name,
        "selector": {"uuids": [drained.event.entity("GPU_UUID")]},
    }
    assert seen_phases(simulation, "gpuresets") == ["", "Pending", "InProgress", "Succeeded"]
    assert list(told(reset).items()) == [
        ("Ready", ("True", "ReadyForReset")),
        ("ServicesTornDown", ("True", "ServiceTeardownSucceeded")),
        ("ResetJobCreated", ("True", "ResetJobCreationSucceeded")),
        ("ResetJobCompleted", ("True", "ResetJobSucceeded")),
        ("ServicesRestored", ("True", "ServiceRestoreSucceeded")),
        ("Complete", ("True", "GPUResetSucceeded")),
    ]
    assert reset["status"]["startTime"] <= reset["status"]["completionTime"]
    job = simulation.store.get(
        "jobs", f"{reset['metadata']['name']}-reset-job", namespace="nvsentinel"
    )
    assert job["status"]["succeeded"] == 1


async def test_a_gpu_reset_clears_one_gpu_without_a_reboot(start: Start) -> None:
    """The healthy event names the GPU; the node was Ready all along, with its old boot id."""
    simulation = start("gpu-reset", "xid-48")
    await simulation.until(lambda: simulation.recovered)
    ledger = simulation.simulator._context.ledger
    healthy = [d.event for d in ledger.of(simulation.name) if d.event.healthy]
    uuid = documents(simulation)[0].event.entity("GPU_UUID")
    assert {e.check for e in healthy} == {"SysLogsXIDError", "GpuMemWatch"}
    assert {e.entity("GPU_UUID") for e in healthy} == {uuid}
    assert {condition(n, "Ready")["status"] for n in simulation.nodes_seen()} == {"True"}
    assert len({n["status"]["nodeInfo"]["bootID"] for n in simulation.nodes_seen()}) == 1
    group = f"reset-{uuid}"
    states = [
        json.loads(n["metadata"]["annotations"]["latestFaultRemediationState"])
        for n in simulation.nodes_seen()
        if "latestFaultRemediationState" in n["metadata"]["annotations"]
    ]
    assert {tuple(s["equivalenceGroups"]) for s in states} == {(group,)}


async def test_a_failed_gpu_reset_is_a_new_fault_that_reboots(start: Start) -> None:
    """GPU_RESET_FAILURE with RESTART_VM joins the session, and a RebootNode ends it."""
    simulation = start("gpu-reset-fails", "xid-64")
    await simulation.until(lambda: simulation.recovered)
    reset = only(simulation, "gpuresets")
    assert reset["status"]["phase"] == "Failed"
    assert told(reset)["Complete"] == ("False", "GPUResetFailed")
    joined = documents(simulation)[-1]
    assert joined.event.codes == ("GPU_RESET_FAILURE",)
    assert (joined.event.action, joined.quarantined) == ("RESTART_VM", "AlreadyQuarantined")
    (reboot,) = simulation.reboots()
    assert reboot["metadata"]["name"].endswith(joined.id)


async def test_termination_removes_the_node_and_a_new_one_comes(start: Start) -> None:
    """TerminateNode is seen True with its node gone; the new node has another uid and boot id."""
    simulation = start("terminate-node")
    before = simulation.node
    await simulation.until(lambda: not simulation.store.find("nodes", simulation.name))
    await simulation.until(lambda: bool(simulation.store.find("nodes", simulation.name)))
    await simulation.settled()
    last = simulation.seen("terminatenodes")[-1]
    assert told(last) == {
        "SignalSent": ("True", "Succeeded"),
        "NodeTerminated": ("True", "Succeeded"),
    }
    assert "deletionTimestamp" in last["metadata"]
    assert simulation.store.list("terminatenodes") == []
    after = simulation.node
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["nodeInfo"]["bootID"] != before["status"]["nodeInfo"]["bootID"]
    assert after["metadata"]["annotations"] == {}
    assert STATE not in after["metadata"]["labels"]
    assert "unschedulable" not in after["spec"]
    assert [d.quarantined for d in documents(simulation)] == ["Quarantined"]
    pods = simulation.store.list("pods", field_selector=f"spec.nodeName={simulation.name}")
    assert {p["status"]["phase"] for p in pods} == {"Running"}
    assert any(p["metadata"]["namespace"] == "ml" for p in pods)


async def test_an_external_repair_releases_the_node_and_takes_it_back(start: Start) -> None:
    """Finalizer, taint and label in one patch, conditions, completion; then recovery."""
    simulation = start("external-repair")
    await simulation.until(lambda: simulation.recovered)
    request = only(simulation, "externalremediationrequests")
    name = request["metadata"]["name"]
    assert request["metadata"]["finalizers"] == [
        "nvsentinel.dgxc.nvidia.com/external-remediation-cleanup"
    ]
    assert request["apiVersion"] == "nvsentinel.dgxc.nvidia.com/v1"
    event = request["spec"]["healthEvent"]
    assert (event["nodeName"], event["checkName"]) == (simulation.name, "SysLogsXIDError")
    assert datetime.fromisoformat(event["generatedTimestamp"]).tzinfo is UTC
    assert told(request)["NVSentinelOwnershipReleased"] == ("True", "ReleaseTaintApplied")
    assert told(request)["ExternalRemediationComplete"][0] == "True"
    assert request["status"]["completionTime"]
    released = simulation.first(lambda n: n["metadata"]["labels"].get(MANAGED) == "false")
    taint = {"key": RELEASE, "value": name, "effect": "NoSchedule"}
    assert taint in released["spec"]["taints"]
    reasons = {e["reason"] for e in simulation.store.list("events")}
    assert {"ReleaseTaintApplied", "ReleaseTaintRemoved"} <= reasons
    assert MANAGED not in simulation.labels


async def test_monitors_leave_a_released_node(start: Start) -> None:
    """While it is released the detection labels are gone and its condition does not move."""
    simulation = start("external-repair")
    await simulation.until(lambda: simulation.recovered)
    released = [
        n for n in simulation.nodes_seen() if n["metadata"]["labels"].get(MANAGED) == "false"
    ]
    label = "nvsentinel.dgxc.nvidia.com/driver.installed"
    assert label not in released[-1]["metadata"]["labels"]
    assert {condition(n, "SysLogsXIDError")["status"] for n in released} == {"True"}
    assert simulation.labels[label] == "true"


async def test_logs_are_collected_before_the_repair_is_asked_for(start: Start) -> None:
    """The Job has its generated name and labels, and completes before the RebootNode appears."""
    simulation = start("log-collector")
    await simulation.until(lambda: simulation.recovered)
    (document,) = documents(simulation)
    (job,) = [
        j
        for j in simulation.store.list("jobs", namespace="nvsentinel")
        if j["metadata"]["name"].startswith("fault-remediation-log-collector-job-")
    ]
    assert job["metadata"]["labels"] == {
        "app": "log-collector",
        "dgxc.nvidia.com/node-name": simulation.name,
        "dgxc.nvidia.com/event-id": document.id,
    }
    kinds = [
        (plural, bool(o.get("status", {}).get("completionTime")))
        for _, plural, o in simulation.changes
        if plural == "rebootnodes"
        or (plural == "jobs" and o["metadata"]["uid"] == job["metadata"]["uid"])
    ]
    assert kinds[:3] == [("jobs", False), ("jobs", True), ("rebootnodes", False)]


# --- marks ------------------------------------------------------------------------------


async def test_a_configured_taint_comes_and_goes_with_the_quarantine(start: Start) -> None:
    """The taint is noted as applied and not pre-existing, and is gone after recovery."""
    simulation = start("tainted")
    await simulation.until(lambda: simulation.recovered)
    node = simulation.first(state_is("quarantined"))
    taint = {"key": "nvidia.com/gpu-error", "value": "fatal", "effect": "NoSchedule"}
    assert taint in node["spec"]["taints"]
    noted = json.loads(node["metadata"]["annotations"]["quarantineHealthEventAppliedTaints"])
    assert noted == [{**taint, "preExisting": False}]
    await simulation.settled()
    assert "taints" not in simulation.node["spec"]


async def test_a_manual_untaint_cancels_the_session(start: Start) -> None:
    """Quarantine marks and state go, the mark comes, the cordon stays; documents Cancelled."""
    simulation = start("manual-untaint")
    mark = "quarantinedNodeUntaintedManually"
    await simulation.until(lambda: mark in simulation.annotations)
    await simulation.settled()
    assert simulation.annotations == {mark: "True"}
    assert STATE not in simulation.labels
    assert simulation.node["spec"]["unschedulable"] is True
    assert simulation.condition("SysLogsXIDError")["status"] == "True"
    assert [(d.quarantined, d.eviction) for d in documents(simulation)] == [
        ("Cancelled", "Cancelled")
    ]


async def test_a_cordon_of_before_outlives_the_incident(start: Start) -> None:
    """Noted as pre-existing, no cordon labels, and the node stays unschedulable."""
    simulation = start("cordoned-before")
    await simulation.until(lambda: simulation.states_seen()[-2:] == ["remediation-succeeded", ""])
    await simulation.settled()
    node = simulation.first(state_is("quarantined"))
    assert node["metadata"]["annotations"]["quarantineHealthEventCordonPreExisting"] == "True"
    assert not any("cordon-" in key for key in node["metadata"]["labels"])
    assert simulation.node["spec"]["unschedulable"] is True
    assert simulation.annotations == {}


async def test_v120_holds_a_healthy_node_for_its_validation(start: Start) -> None:
    """The annotation goes while the node is cordoned with its labels, until it is validated."""
    simulation = start("validated")
    await simulation.until(lambda: simulation.recovered)
    assert seen_phases(simulation, "validationrequests") == ["", "Pending", "Running", "Succeeded"]
    request = only(simulation, "validationrequests")
    assert request["spec"]["nodes"] == [{"name": simulation.name}]
    held = [
        n
        for n in simulation.nodes_seen()
        if "k8saas.nvidia.com/cordon-by" in n["metadata"]["labels"]
        and "quarantineHealthEvent" not in n["metadata"]["annotations"]
    ]
    assert held
    assert all(n["spec"]["unschedulable"] and STATE not in n["metadata"]["labels"] for n in held)
    assert "unschedulable" not in simulation.node["spec"]


async def test_a_failed_validation_keeps_the_node(start: Start) -> None:
    """Phase Failed: cordoned with NVSentinel's labels, and never un-quarantined."""
    simulation = start("validation-fails")
    await simulation.until(lambda: seen_phases(simulation, "validationrequests")[-1:] == ["Failed"])
    await simulation.settled()
    assert simulation.node["spec"]["unschedulable"] is True
    assert simulation.labels["k8saas.nvidia.com/cordon-by"] == "NVSentinel"
    assert "k8saas.nvidia.com/uncordon-by" not in simulation.labels


# --- several faults ---------------------------------------------------------------------


async def test_a_partial_recovery_keeps_what_is_left(start: Start) -> None:
    """The reboot clears the XID; the link stays in the annotation until people fix it."""
    simulation = start("partial-recovery")
    await simulation.until(lambda: simulation.recovered)
    groups = distinct(tuple(sorted(checks(n))) for n in simulation.nodes_seen())
    both = ("InfiniBandStateCheck", "SysLogsXIDError")
    assert groups == [(), ("SysLogsXIDError",), both, ("InfiniBandStateCheck",), ()]
    first, second = documents(simulation)
    assert (first.quarantined, second.quarantined) == ("Quarantined", "AlreadyQuarantined")
    assert (second.eviction, second.remediated) == ("AlreadyDrained", False)
    ledger = simulation.simulator._context.ledger
    ends = {
        d.event.check: d.quarantined
        for d in ledger.of(simulation.name)
        if d.event.healthy and d.quarantined
    }
    assert ends == {
        "SysLogsXIDError": "AlreadyQuarantined",
        "InfiniBandStateCheck": "UnQuarantined",
    }


async def test_a_restarted_monitor_reports_the_fault_again(start: Start) -> None:
    """A second document with another id joins; annotation and RebootNode stay one."""
    simulation = start("monitor-restarts")
    await simulation.until(lambda: simulation.recovered)
    first, second = documents(simulation)
    assert first.id != second.id
    assert second.quarantined == "AlreadyQuarantined"
    assert {len(checks(n)) for n in simulation.nodes_seen()} == {0, 1}
    assert len(simulation.reboots()) == 1


async def test_half_of_the_nodes_trip_the_breaker_which_blocks_recovery(start: Start) -> None:
    """Healthy and still cordoned while TRIPPED; after the reset both nodes are released."""
    simulation = start("breaker-trips")

    def breaker() -> str:
        found = simulation.store.get("configmaps", "circuit-breaker", namespace="nvsentinel")
        return str(found["data"]["status"])

    await simulation.until(lambda: breaker() == "TRIPPED")
    await simulation.until(
        lambda: (
            bool(simulation.reboots())
            and simulation.condition("SysLogsXIDError")["status"] == "False"
        )
    )
    assert breaker() == "TRIPPED"
    assert simulation.node["spec"]["unschedulable"] is True
    await simulation.until(lambda: simulation.recovered)
    assert breaker() == "CLOSED"
    await simulation.settled()
    nodes = simulation.store.list("nodes")
    assert not any(n["spec"].get("unschedulable") for n in nodes)
    assert len(simulation.reboots()) == 2


async def test_store_only_leaves_no_trace_in_the_cluster(start: Start) -> None:
    """The fault is in the ledger as STORE_ONLY; node and Events are as before."""
    simulation = start("store-only")
    before = simulation.node["status"]["conditions"]
    await simulation.until(lambda: any(p == "pods" for _, p, _ in simulation.changes))
    (document,) = documents(simulation)
    assert (document.event.strategy, document.quarantined) == ("STORE_ONLY", "")
    assert simulation.node["status"]["conditions"] == before
    assert simulation.store.list("events") == []


async def test_a_storm_is_worked_off_node_by_node(start: Start) -> None:
    """120 faults at once on 300 nodes: each node has one session, one RebootNode, and recovers."""
    simulation = start("", fault="", nodes=300)
    hit = simulation.simulator.nodes[:120]
    for node in hit:
        simulation.simulator.inject("xid-79", node)
    await simulation.settled()
    label = "k8saas.nvidia.com/uncordon-by"
    assert len(simulation.store.list("nodes", label_selector=label)) == 120
    assert sorted(r["spec"]["nodeName"] for r in simulation.reboots()) == sorted(hit)
    assert not any(n["spec"].get("unschedulable") for n in simulation.store.list("nodes"))
    ledger = simulation.simulator.ledger
    faults = [[d.quarantined for d in ledger.of(n) if not d.event.healthy] for n in hit]
    assert faults == [["Quarantined"]] * 120
