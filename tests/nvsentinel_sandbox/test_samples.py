"""The lifecycle against recorded objects: nodes, requests, Events, documents, CloudEvents.

The recorded objects are of one incident, XID 79 on gpu-node-a1; each branch of the lifecycle
is compared in all fields that can be observed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.nvsentinel.fixtures import load
from tests.nvsentinel_sandbox.likeness import (
    LIFECYCLE,
    Stored,
    last,
    node_facts,
    plain,
    recorded_node,
    resource_facts,
)
from tests.nvsentinel_sandbox.simulation import Object, Simulation, condition, state_is

from nvsentinel_sandbox.chain import stored

Start = Callable[..., Simulation]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Makes simulations that have a fault, and ends them."""
    made: list[Simulation] = []

    def make(variant: str = "", fault: str = "xid-79", *, people: bool = True) -> Simulation:
        made.append(Simulation(variant))
        made[-1].stored = Stored(made[-1])  # type: ignore[attr-defined]
        made[-1].simulator.inject(fault, people=people)
        return made[-1]

    yield make
    for simulation in made:
        await simulation.simulator.stop()


def documents(simulation: Simulation) -> Stored:
    """The stores that followed it."""
    found: Stored = simulation.stored  # type: ignore[attr-defined]
    return found


def sick(node: Object) -> bool:
    """Whether the XID's condition is True."""
    return bool(condition(node, "SysLogsXIDError")["status"] == "True")


# --- nodes ------------------------------------------------------------------------------


async def test_the_node_is_as_recorded_at_each_stage(start: Start) -> None:
    """Healthy, detected, quarantined, draining, drained, rebooting, cleared, recovered."""
    simulation = start()
    healthy = simulation.node
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    stages = {
        "healthy": healthy,
        "detected": simulation.first(sick),
        "quarantined": last(simulation, state_is("quarantined")),
        "draining": last(simulation, state_is("draining")),
        "drain_succeeded": last(simulation, state_is("drain-succeeded")),
        "cr_created_rebooting": simulation.first(
            lambda n: condition(n, "Ready")["status"] == "False"
        ),
        "rebooted_condition_clear_not_yet_uncordoned": last(
            simulation, lambda n: state_is("remediation-succeeded")(n) and not sick(n)
        ),
        "recovered": simulation.node,
    }
    for stage, node in stages.items():
        found, recorded = node_facts(node), recorded_node(stage)
        if stage == "healthy":  # recorded before any monitor but one had reported
            found["conditions"].pop("GpuPcieWatch")
        assert found == recorded, stage


async def test_a_manual_uncordon_leaves_the_node_as_recorded(start: Start) -> None:
    """Marks and state are gone, the mark of the hand is there, condition and labels stay."""
    simulation = start("manual-uncordon")
    await simulation.until(lambda: "quarantinedNodeUncordonedManually" in simulation.annotations)
    await simulation.settled()
    assert node_facts(simulation.node) == recorded_node("alt_manual_uncordon")


async def test_a_repair_that_cannot_be_asked_for_leaves_the_node_as_recorded(start: Start) -> None:
    """remediation-failed with all marks of the quarantine, and no trace of a repair."""
    simulation = start("repair-refused")
    await simulation.until(lambda: simulation.state == "remediation-failed")
    await simulation.settled()
    assert node_facts(simulation.node) == recorded_node("alt_unsupported_action")
    assert simulation.reboots() == []
    status = documents(simulation).statuses(isfatal=True)[-1]
    assert status["faultremediated"] == {"value": False}
    assert status["lastremediationtimestamp"] is None


async def test_a_dry_run_leaves_the_node_as_recorded(start: Start) -> None:
    """Annotations alone, when fault-quarantine has been there."""
    simulation = start("dry-run")
    await simulation.until(lambda: "quarantineHealthEvent" in simulation.annotations)
    assert node_facts(simulation.node) == recorded_node("alt_dry_run")


# --- requests ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "case"),
    [
        ("", "completed"),
        ("reboot-timeout", "timeout"),
        ("signal-refused", "signal_refused_looks_in_progress_to_FR"),
    ],
)
async def test_a_finished_reboot_is_as_recorded(start: Start, variant: str, case: str) -> None:
    """Name, labels, annotations, owner, spec and every condition, for each way it ends."""
    simulation = start(variant)
    await simulation.until(lambda: "completionTime" in str(simulation.reboots()))
    await simulation.settled()
    (reboot,) = simulation.reboots()
    assert resource_facts(reboot) == resource_facts(load("resources")[case])


async def test_a_reboot_under_way_is_as_recorded(start: Start) -> None:
    """When the janitor took it up, and when the provider took the signal."""
    simulation = start()
    await simulation.until(lambda: simulation.recovered)
    seen = [resource_facts(r) for r in simulation.seen("rebootnodes") if "status" in r]
    assert seen[0] == resource_facts(load("resources")["just_created"])
    assert seen[1] == resource_facts(load("resources")["in_progress"])


async def test_a_reboot_in_manual_mode_is_as_recorded(start: Start) -> None:
    """ManualMode beside the two conditions that nobody moves."""
    simulation = start("manual-mode", people=False)
    await simulation.until(lambda: "OutsideActorRequired" in str(simulation.reboots()))
    (reboot,) = simulation.reboots()
    assert resource_facts(reboot) == resource_facts(load("resources")["manual_mode"])


async def test_a_gpu_reset_is_as_recorded(start: Start) -> None:
    """Phase, selector and six conditions with their reasons."""
    simulation = start("gpu-reset", "xid-64")
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    (reset,) = simulation.store.list("gpuresets")
    found, recorded = resource_facts(reset), resource_facts(load("resources")["gpureset_done"])
    for field in ("apiVersion", "kind", "spec", "status"):
        assert found[field] == recorded[field]
    assert found["metadata"]["name"] == recorded["metadata"]["name"]


async def test_a_released_node_and_its_request_are_as_recorded(start: Start) -> None:
    """The whole event in the spec, finalizer, conditions; taint and label on the node."""
    simulation = start("custom-action")
    kind = "externalremediationrequests"
    await simulation.until(lambda: "ReleaseTaintApplied" in str(simulation.store.list(kind)))
    (request,) = simulation.store.list(kind)
    found, recorded = resource_facts(request), resource_facts(load("resources")["extrr_released"])
    assert list(request["spec"]["healthEvent"]) != []
    for field in ("apiVersion", "kind", "spec"):
        assert found[field] == recorded[field]
    assert found["status"]["conditions"] == recorded["status"]["conditions"]
    assert found["metadata"]["finalizers"] == recorded["metadata"]["finalizers"]
    assert found["metadata"]["name"] == recorded["metadata"]["name"]
    release = "nvsentinel.dgxc.nvidia.com/external-remediation"
    taints = [t for t in simulation.node["spec"]["taints"] if t["key"] == release]
    assert taints == [
        {"key": release, "value": request["metadata"]["name"], "effect": "NoSchedule"}
    ]
    assert simulation.labels["nvsentinel.dgxc.nvidia.com/managed"] == "false"
    await simulation.until(lambda: simulation.recovered)


# --- Events and configuration -----------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "fault", "reason"),
    [
        ("", "thermal", "GpuThermalWatchIsNotHealthy"),
        ("", "xid-79", "AwaitingPodCompletion"),
        ("delete-after-timeout", "xid-79", "WaitingBeforeForceDelete"),
    ],
)
async def test_events_are_as_recorded(start: Start, variant: str, fault: str, reason: str) -> None:
    """Every field but how many pods or GPUs, and how often."""
    simulation = start(variant, fault)
    await simulation.until(lambda: any(e["reason"] == reason for e in simulation.seen("events")))
    await simulation.settled()
    event = next(e for e in simulation.seen("events")[::-1] if e["reason"] == reason)
    recorded = load("events")[reason]

    def facts(found: Object) -> Object:
        kept = {k: found[k] for k in recorded if k not in ("count", "metadata")}
        kept["name"], kept["namespace"] = (found["metadata"][k] for k in ("name", "namespace"))
        kept["source"] = {"component": found["source"]["component"]}
        # the samples leave out the apiVersion that node-drainer's own Events were seen to have
        involved = found["involvedObject"]
        kept["involvedObject"] = {k: v for k, v in involved.items() if k != "apiVersion"}
        text = plain(kept["message"]).replace("ml/train-N ml/train-N", "ml/train-N")
        # recorded with another text of the monitor's, on another GPU
        text = text.split(" throttl")[0].split(" clocks")[0]
        return {**plain(kept), "message": text.replace("GPU:2", "GPU:n").rstrip("0123456789")}

    found, wanted = facts(event), facts(recorded)
    if fault == "thermal":
        assert found.pop("message").startswith(wanted.pop("message").removesuffix("GPU:n"))
    assert found == wanted
    assert event["count"] >= 2
    assert event["firstTimestamp"] < event["lastTimestamp"]


async def test_configuration_is_as_recorded(start: Start) -> None:
    """The breaker once it has tripped, and where the database is."""
    simulation = start("breaker-tripped", "xid-94")
    for name, recorded in LIFECYCLE["configmaps"].items():
        found = simulation.store.get("configmaps", name, namespace="nvsentinel")
        assert found["data"] == recorded["data"]


# --- documents --------------------------------------------------------------------------


def event_of(document: Object) -> Object:
    """The event, without what not every monitor adds."""
    event: Object = plain(document["healthevent"])
    event["metadata"].pop("chassis_serial", None)
    return event


async def test_the_fault_s_document_goes_through_the_recorded_states(start: Start) -> None:
    """Each write of each module, and nothing of the recovery."""
    simulation = start()
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    recorded = LIFECYCLE["fault"]
    order = ("inserted", "quarantined", "draining", "drained", "cr_created")
    assert documents(simulation).statuses(isfatal=True) == [plain(recorded[s]) for s in order]
    assert recorded["after_recovery_unchanged"] == recorded["cr_created"]
    document = documents(simulation).of(isfatal=True)[0]
    assert event_of(document) == event_of(load("documents")["inserted"])
    assert list(document["healthevent"]) == list(load("documents")["inserted"]["healthevent"])


async def test_the_recovery_s_document_carries_the_end(start: Start) -> None:
    """Inserted like any, then UnQuarantined, Succeeded and remediated."""
    simulation = start()
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    ended = [
        history
        for history in documents(simulation).written.values()
        if history[-1]["healtheventstatus"]["nodequarantined"] == "UnQuarantined"
    ]
    (history,) = ended
    recorded = LIFECYCLE["recovery"]
    assert plain(history[0]["healtheventstatus"]) == plain(recorded["inserted"])
    assert plain(history[-1]["healtheventstatus"]) == plain(recorded["processed"])
    assert event_of(history[0]) == event_of(load("documents")["recovery"])


async def test_a_cancelled_session_s_document_is_as_recorded(start: Start) -> None:
    """Cancelled twice over, with the quarantine's time and no other."""
    simulation = start("manual-uncordon")
    await simulation.until(lambda: "quarantinedNodeUncordonedManually" in simulation.annotations)
    await simulation.settled()
    recorded = LIFECYCLE["fault"]["alternative_manual_uncordon"]
    assert documents(simulation).statuses(isfatal=True)[-1] == plain(recorded)


async def test_a_fault_that_joins_is_as_recorded(start: Start) -> None:
    """AlreadyQuarantined, AlreadyDrained, not remediated; the event without entities."""
    simulation = start()
    await simulation.until(lambda: simulation.state == "remediation-succeeded")
    simulation.simulator.inject("dcgm-connectivity")
    await simulation.until(lambda: simulation.state == "remediation-failed")
    recorded = load("documents")["joined"]
    history = documents(simulation).of(checkname="GpuDcgmConnectivityFailure", ishealthy=False)
    assert event_of(history[-1]) == event_of(recorded)
    assert plain(history[-1]["healtheventstatus"]) == plain(recorded["healtheventstatus"])
    await simulation.until(lambda: simulation.recovered)


@pytest.mark.parametrize(
    ("fault", "case"),
    [("xid-74", "unsupported"), ("thermal", "nonfatal"), ("thermal-margin", "store_only")],
)
async def test_other_documents_are_as_recorded(start: Start, fault: str, case: str) -> None:
    """What is left to people, what is an Event, what is only stored: all but the texts."""
    simulation = start("", fault, people=False)
    if case == "unsupported":
        await simulation.until(lambda: simulation.state == "remediation-failed")
    await simulation.settled()
    recorded = load("documents")[case]
    first = next(iter(documents(simulation).written.values()))
    found, wanted = event_of(first[-1]), event_of(recorded)
    for event in (found, wanted):
        event.pop("message")  # recorded with other words
        for entity in event["entitiesimpacted"]:
            entity["entityvalue"] = "" if entity["entitytype"] == "GPU" else entity["entityvalue"]
    assert found == wanted
    assert plain(first[-1]["healtheventstatus"]) == plain(recorded["healtheventstatus"])


async def test_documents_of_2025_are_as_recorded(start: Start) -> None:
    """Fewer keys, a plain boolean, a Date; and nothing that came later."""
    simulation = start("no-ids")
    old = Stored(simulation, layout_2025=True)
    await simulation.until(lambda: simulation.recovered)
    document, recorded = old.of(isfatal=True)[-1], load("documents")["layout_2025"]
    assert event_of(document) == event_of(recorded)
    status = document["healtheventstatus"]
    at = status["lastremediationtimestamp"]
    status["lastremediationtimestamp"] = {"$date": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert plain(status) == plain(recorded["healtheventstatus"])
    assert at.tzinfo is not None


async def test_rows_have_the_recorded_json(start: Start) -> None:
    """PostgreSQL's column at the insert, the quarantine and the creation of the request."""
    simulation = start()
    await simulation.until(lambda: simulation.recovered)
    fault = next(iter(documents(simulation).columns.values()))
    for index, state in ((0, "inserted"), (1, "quarantined"), (4, "cr_created")):
        recorded: Any = load("rows")[state]["document"]
        assert plain(fault[index]) == plain(recorded), state


# --- CloudEvents ------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["fault", "recovery"])
async def test_cloud_events_are_as_recorded(start: Start, case: str) -> None:
    """Envelope and data, key by key; the cluster's own metadata is configuration."""
    simulation = start()
    await simulation.until(lambda: simulation.recovered)
    events = [
        d.event
        for d in simulation.simulator.ledger.of(simulation.name)
        if d.event.check == "SysLogsXIDError" and d.event.healthy == (case == "recovery")
    ]
    (event,) = events
    recorded = load("cloudevents")[case]
    bodies = [stored.cloud_event(event, "prod-west"), recorded]
    ids = [body.pop("id") for body in bodies]
    assert all(len(i) == 36 for i in ids)
    for body in bodies:
        body["data"]["metadata"].pop("environment", None)
        body["data"]["healthEvent"]["metadata"].pop("chassis_serial", None)
    assert plain(bodies[0]) == plain(bodies[1])
    assert list(bodies[0]) == [key for key in recorded if key != "id"]
