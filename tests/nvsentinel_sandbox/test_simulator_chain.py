"""XID 79 through the whole chain: every field that can be observed, in the order it appears."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.nvsentinel_sandbox.simulation import STATE, Simulation, condition, distinct, state_is

CORDON = "k8saas.nvidia.com/cordon-"
UNCORDON = "k8saas.nvidia.com/uncordon-"
DASHED_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")


@pytest.fixture
async def played() -> AsyncIterator[Simulation]:
    """XID 79 on the default node, from injection until everything is tidy again."""
    simulation = Simulation()
    assert simulation.simulator.inject("xid-79") == simulation.name
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    yield simulation
    await simulation.simulator.stop()


def event_of(simulation: Simulation) -> dict[str, Any]:
    """The one event in the annotation, as it was when the node was quarantined."""
    node = simulation.first(state_is("quarantined"))
    found = json.loads(node["metadata"]["annotations"]["quarantineHealthEvent"])
    assert isinstance(found, list)
    assert len(found) == 1
    event: dict[str, Any] = found[0]
    return event


async def test_a_healthy_node_carries_what_labeler_and_monitors_leave() -> None:
    """Before any fault a node has GPU labels, healthy conditions, GPUs and a boot id."""
    simulation = Simulation()
    node = simulation.node
    assert node["metadata"]["labels"]["nvidia.com/gpu.present"] == "true"
    assert node["metadata"]["labels"]["nvsentinel.dgxc.nvidia.com/driver.installed"] == "true"
    assert node["metadata"]["annotations"] == {}
    assert condition(node, "Ready")["status"] == "True"
    healthy = condition(node, "SysLogsXIDError")
    assert (healthy["status"], healthy["reason"], healthy["message"]) == (
        "False",
        "SysLogsXIDErrorIsHealthy",
        "No Health Failures",
    )
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert node["status"]["nodeInfo"]["bootID"]
    assert node["spec"]["providerID"].endswith(simulation.name)
    assert "unschedulable" not in node["spec"]
    await simulation.simulator.stop()


async def test_the_state_label_goes_through_the_chain_in_order(played: Simulation) -> None:
    """The label passes each state once, `remediating` included, and then disappears."""
    assert played.states_seen() == [
        "",
        "quarantined",
        "draining",
        "drain-succeeded",
        "remediating",
        "remediation-succeeded",
        "",
    ]


async def test_the_condition_comes_before_the_cordon(played: Simulation) -> None:
    """At detection only the condition has changed, in NVSentinel's message format."""
    node = played.first(lambda n: condition(n, "SysLogsXIDError")["status"] == "True")
    assert STATE not in node["metadata"]["labels"]
    assert "unschedulable" not in node["spec"]
    found = condition(node, "SysLogsXIDError")
    assert found["reason"] == "SysLogsXIDErrorIsNotHealthy"
    assert re.fullmatch(
        r"ErrorCode:79 PCI:(0000:\w\w:00) GPU_UUID:GPU-[0-9a-f-]{36} "
        r"NVRM: Xid \(PCI:\1\): 79, pid=\d+, name=train, GPU has fallen off the bus\. "
        r"Recommended Action=RESTART_BM;",
        found["message"],
    )
    generated = event_of(played)["generatedTimestamp"]["seconds"]
    at = datetime.fromtimestamp(generated, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found["lastHeartbeatTime"] == found["lastTransitionTime"] == at


async def test_quarantine_is_one_update_of_the_node(played: Simulation) -> None:
    """The first node with the state label has cordon, labels and annotations all at once."""
    node = played.first(state_is("quarantined"))
    labels, annotations = node["metadata"]["labels"], node["metadata"]["annotations"]
    assert node["spec"]["unschedulable"] is True
    assert labels[CORDON + "by"] == "NVSentinel"
    assert labels[CORDON + "reason"] == "Syslog-fatal-error-ruleset"
    assert DASHED_TIME.fullmatch(labels[CORDON + "timestamp"])
    assert sorted(annotations) == ["quarantineHealthEvent", "quarantineHealthEventIsCordoned"]
    assert annotations["quarantineHealthEventIsCordoned"] == "True"


async def test_nvsentinel_adds_no_taint(played: Simulation) -> None:
    """The only taints ever seen are those Kubernetes derives from cordon and readiness."""
    keys = {t["key"] for n in played.nodes_seen() for t in n["spec"].get("taints", ())}
    assert keys == {"node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready"}


async def test_the_annotation_holds_the_event_as_protobuf_json(played: Simulation) -> None:
    """The quarantine annotation has the fields, names and types of the Go JSON."""
    event = event_of(played)
    assert list(event) == [
        "version",
        "agent",
        "componentClass",
        "checkName",
        "isFatal",
        "message",
        "recommendedAction",
        "errorCode",
        "entitiesImpacted",
        "metadata",
        "generatedTimestamp",
        "nodeName",
        "processingStrategy",
        "id",
    ]
    assert event["agent"] == "syslog-health-monitor"
    assert (event["componentClass"], event["checkName"]) == ("GPU", "SysLogsXIDError")
    assert event["isFatal"] is True
    assert event["recommendedAction"] == 24
    assert event["errorCode"] == ["79"]
    assert [e["entityType"] for e in event["entitiesImpacted"]] == ["PCI", "GPU_UUID"]
    assert event["metadata"] == {"trace_id": "0" * 32}
    assert set(event["generatedTimestamp"]) == {"seconds", "nanos"}
    assert (event["nodeName"], event["processingStrategy"]) == (played.name, 1)
    assert re.fullmatch(r"[0-9a-f]{24}", event["id"])


async def test_the_drain_waits_and_says_so_in_one_event(played: Simulation) -> None:
    """One Event object is bumped while the drain waits for the training pod."""
    told = [e for e in played.seen("events") if e["reason"] == "AwaitingPodCompletion"]
    assert len({e["metadata"]["name"] for e in told}) == 1
    assert [e["count"] for e in told] == list(range(1, len(told) + 1))
    last = told[-1]
    assert last["metadata"]["namespace"] == "default"
    assert last["type"] == "NodeDraining"
    assert last["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": played.name,
        "uid": played.node["metadata"]["uid"],
    }
    assert last["metadata"]["generateName"] == f"{played.name}-"
    assert last["reportingComponent"] == ""
    assert last["source"]["component"] == "nvsentinel-node-drainer"
    assert re.fullmatch(r"Waiting for following pods to finish: \[ml/train-\d]", last["message"])


async def test_nothing_is_evicted(played: Simulation) -> None:
    """The training pod ends by itself before the drain succeeds, and is not deleted by it."""
    order = [
        ("failed" if p == "pods" else "drained")
        for k, p, o in played.changes
        if (p == "pods" and k == "MODIFIED" and o["status"]["phase"] == "Failed")
        or (p == "nodes" and state_is("drain-succeeded")(o))
    ]
    assert order[:2] == ["failed", "drained"]
    assert not [e for e in played.seen("events") if e["reason"] == "Evicted"]


async def test_the_reboot_object_is_named_owned_and_labelled(played: Simulation) -> None:
    """The RebootNode has the name, owner, labels and annotations of the default template."""
    (reboot,) = played.reboots()
    meta = reboot["metadata"]
    assert reboot["apiVersion"] == "janitor.dgxc.nvidia.com/v1alpha1"
    assert meta["name"] == f"maintenance-{played.name}-{event_of(played)['id']}"
    assert "namespace" not in meta
    assert meta["labels"] == {"app.kubernetes.io/managed-by": "nvsentinel"}
    assert meta["annotations"] == {
        "nvsentinel.nvidia.com/trace-id": "0" * 32,
        "nvsentinel.nvidia.com/span-id": "",
        "nvsentinel.nvidia.com/ttl": "336h",
    }
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "name": played.name,
            "uid": played.node["metadata"]["uid"],
            "controller": False,
            "blockOwnerDeletion": False,
        }
    ]
    assert reboot["spec"] == {"nodeName": played.name, "force": False}


async def test_a_lease_keeps_a_second_repair_off_the_node(played: Simulation) -> None:
    """While the janitor works a Lease of the node's name is the RebootNode's, and says no more."""
    (reboot,) = played.reboots()
    (lease,) = [o for k, p, o in played.changes if (k, p) == ("ADDED", "leases")]
    (owner,) = lease["metadata"]["ownerReferences"]
    assert lease["metadata"]["name"] == played.name
    assert lease["spec"] == {}
    assert (owner["kind"], owner["uid"]) == ("RebootNode", reboot["metadata"]["uid"])
    assert played.store.list("leases") == []


async def test_remediation_succeeded_comes_before_anything_is_repaired(played: Simulation) -> None:
    """With the label comes the annotation about the CR; its status is still empty then."""
    node = played.first(state_is("remediation-succeeded"))
    state = json.loads(node["metadata"]["annotations"]["latestFaultRemediationState"])
    group = state["equivalenceGroups"]["restart"]
    (created,) = [o for k, p, o in played.changes if (k, p) == ("ADDED", "rebootnodes")]
    assert group == {
        "maintenanceCR": created["metadata"]["name"],
        "createdAt": created["metadata"]["creationTimestamp"],
        "actionName": "RESTART_BM",
    }
    assert "status" not in created
    assert condition(node, "Ready")["status"] == "True"


async def test_the_reboot_object_goes_through_its_status_machine(played: Simulation) -> None:
    """Initializing, then signal sent, then node ready with a completion time."""
    steps = distinct(
        [
            (c["type"], c["status"], c["reason"], c["message"])
            for c in o.get("status", {}).get("conditions", ())
        ]
        for o in played.seen("rebootnodes")
    )
    request = steps[-1][0][3]
    assert re.fullmatch(r"req-\d+", request)
    waiting = ("NodeReady", "Unknown", "Initializing", "not determined")
    sent = ("SignalSent", "True", "Succeeded", request)
    assert steps == [
        [],
        [("SignalSent", "Unknown", "Initializing", "signal pending"), waiting],
        [sent, waiting],
        [sent, ("NodeReady", "True", "Succeeded", "ready again after reboot")],
    ]
    assert ["completionTime" in o.get("status", {}) for o in played.seen("rebootnodes")] == [
        False,
        False,
        False,
        True,
    ]
    assert "startTime" in played.reboots()[0]["status"]


async def test_the_node_goes_down_and_returns_with_a_new_boot_id(played: Simulation) -> None:
    """Ready turns False and True again, and the boot id changes exactly once."""
    seen = played.nodes_seen()
    ready = distinct((c := condition(n, "Ready"))["status"] + " " + c["reason"] for n in seen)
    assert ready == ["True KubeletReady", "False KubeletNotReady", "True KubeletReady"]
    assert len(distinct(n["status"]["nodeInfo"]["bootID"] for n in seen)) == 2
    reasons = [e["reason"] for e in played.seen("events") if e["source"]["component"] == "kubelet"]
    assert reasons == ["NodeNotReady", "Rebooted", "NodeReady"]


async def test_only_a_healthy_event_clears_the_condition(played: Simulation) -> None:
    """After the CR completed the condition is still True; it clears before the un-quarantine."""
    order = distinct(
        word
        for _, plural, obj in played.changes
        for word in (
            ["completed"]
            if plural == "rebootnodes" and "completionTime" in obj.get("status", {})
            else ["clear" if condition(obj, "SysLogsXIDError")["status"] == "False" else "sick"]
            if plural == "nodes" and obj["metadata"]["name"] == played.name
            else []
        )
    )
    assert order == ["sick", "completed", "sick", "clear"]
    between = played.first(
        lambda n: (
            STATE in n["metadata"]["labels"]
            and condition(n, "SysLogsXIDError")["status"] == "False"
        )
    )
    assert between["metadata"]["labels"][STATE] == "remediation-succeeded"
    assert between["spec"]["unschedulable"] is True
    found = condition(between, "SysLogsXIDError")
    assert (found["reason"], found["message"]) == ("SysLogsXIDErrorIsHealthy", "No Health Failures")


async def test_unquarantine_is_one_update_and_leaves_its_labels(played: Simulation) -> None:
    """Cordon, state, cordon labels and annotations go together; uncordon labels stay."""
    after = played.first(lambda n: UNCORDON + "by" in n["metadata"]["labels"])
    labels = after["metadata"]["labels"]
    assert "unschedulable" not in after["spec"]
    assert STATE not in labels
    assert not [key for key in labels if key.startswith(CORDON)]
    assert labels[UNCORDON + "by"] == "NVSentinel"
    assert labels[UNCORDON + "reason"] == "Syslog-fatal-error-ruleset-removed"
    assert DASHED_TIME.fullmatch(labels[UNCORDON + "timestamp"])
    assert list(after["metadata"]["annotations"]) == ["latestFaultRemediationState"]
    assert played.annotations == {}
    assert "taints" not in played.node["spec"]
    assert UNCORDON + "by" in played.labels


async def test_the_world_is_whole_again_afterwards(played: Simulation) -> None:
    """The training pod runs again, and a second fault makes a second session."""
    (pod,) = played.store.list(
        "pods", namespace="ml", field_selector=f"spec.nodeName={played.name}"
    )
    assert pod["status"]["phase"] == "Running"
    first = event_of(played)["id"]
    played.changes.clear()
    played.simulator.inject("xid-79")
    await played.until(lambda: len(played.reboots()) == 2)
    assert event_of(played)["id"] != first


async def test_transition_times_move_only_with_the_status(played: Simulation) -> None:
    """A check that stayed healthy through the reboot has a new heartbeat, no new transition."""
    before = condition(played.nodes_seen()[0], "GpuPcieWatch")
    after = played.condition("GpuPcieWatch")
    assert after["lastTransitionTime"] == before["lastTransitionTime"]
    assert after["lastHeartbeatTime"] > before["lastHeartbeatTime"]


async def test_modules_write_logs(played: Simulation) -> None:
    """The pods of the modules have log lines about the node, as JSON."""
    pods = played.store.list(
        "pods", namespace="nvsentinel", label_selector="app.kubernetes.io/name=fault-quarantine"
    )
    lines = played.store.logs.read("nvsentinel", pods[0]["metadata"]["name"], "fault-quarantine")
    told = [json.loads(line.text) for line in lines]
    assert [t["msg"] for t in told] == ["started", "node quarantined", "node un-quarantined"]
