"""The ways a chain can go: what tells each variant and each kind of fault from the normal one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.nvsentinel_sandbox.simulation import (
    BEGAN,
    STATE,
    Simulation,
    checks,
    condition,
    distinct,
)

from nvsentinel_sandbox.chain.connectors import apply_to
from nvsentinel_sandbox.chain.simulator import Simulator
from nvsentinel_sandbox.errors import WrongCall
from nvsentinel_sandbox.world import health, names
from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.reports import ANALYZER, UNRULED
from nvsentinel_sandbox.world.variants import VARIANTS
from nvsx.nvsentinel import names as read_names

Start = Callable[..., Simulation]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Makes simulations and ends them."""
    made: list[Simulation] = []

    def make(variant: str = "", **arguments: Any) -> Simulation:
        made.append(Simulation(variant, **arguments))
        return made[-1]

    yield make
    for simulation in made:
        await simulation.simulator.stop()


def reboot_conditions(simulation: Simulation) -> dict[str, tuple[str, str]]:
    """Type → (status, reason) of the only RebootNode there is."""
    (reboot,) = simulation.reboots()
    found = reboot.get("status", {}).get("conditions", ())
    return {c["type"]: (c["status"], c["reason"]) for c in found}


# --- variants ---------------------------------------------------------------------------


async def test_stale_cr_has_an_old_finished_reboot_before_the_fault(start: Start) -> None:
    """A week-old, completed RebootNode and uncordon labels are there before the injection."""
    simulation = start("stale-cr")
    (old,) = simulation.reboots()
    created = datetime.fromisoformat(old["metadata"]["creationTimestamp"])
    assert timedelta(days=6) < datetime.fromtimestamp(BEGAN, UTC) - created < timedelta(days=8)
    assert reboot_conditions(simulation)["NodeReady"] == ("True", "Succeeded")
    assert "k8saas.nvidia.com/uncordon-by" in simulation.labels
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.state == "remediation-succeeded")
    assert len({r["metadata"]["name"] for r in simulation.reboots()}) == 2


async def test_reboot_timeout_ends_with_a_node_that_stays_down(start: Start) -> None:
    """NodeReady=False/Timeout with a completion time; condition and cordon stay."""
    simulation = start("reboot-timeout")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: "completionTime" in str(simulation.reboots()))
    assert reboot_conditions(simulation) == {
        "SignalSent": ("True", "Succeeded"),
        "NodeReady": ("False", "Timeout"),
    }
    await simulation.settled()
    assert simulation.condition("Ready")["status"] == "False"
    assert simulation.condition("SysLogsXIDError")["status"] == "True"
    assert simulation.state == "remediation-succeeded"


async def test_after_a_timeout_a_person_can_still_bring_the_node_back(start: Start) -> None:
    """Healing boots the machine, the monitors see it, and the node is un-quarantined."""
    simulation = start("reboot-timeout")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: "completionTime" in str(simulation.reboots()))
    simulation.simulator.heal(simulation.name)
    await simulation.until(lambda: simulation.recovered)


async def test_signal_refused_leaves_node_ready_unknown(start: Start) -> None:
    """SignalSent=False/Failed and completed, NodeReady Unknown, and the node never went down."""
    simulation = start("signal-refused")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: "completionTime" in str(simulation.reboots()))
    assert reboot_conditions(simulation) == {
        "SignalSent": ("False", "Failed"),
        "NodeReady": ("Unknown", "Initializing"),
    }
    await simulation.settled()
    assert {condition(n, "Ready")["status"] for n in simulation.nodes_seen()} == {"True"}
    assert simulation.state == "remediation-succeeded"


async def test_manual_mode_waits_for_a_person(start: Start) -> None:
    """ManualMode=True and no signal, until a person reboots the node."""
    simulation = start("manual-mode")
    simulation.simulator.inject("xid-79", people=True)
    await simulation.until(lambda: simulation.recovered)
    assert reboot_conditions(simulation) == {
        "SignalSent": ("Unknown", "Initializing"),
        "NodeReady": ("True", "Succeeded"),
        "ManualMode": ("True", "OutsideActorRequired"),
    }


async def test_drain_waits_names_the_pod_again_and_again(start: Start) -> None:
    """The drain outlasts many looks at the pod, and then the chain runs through."""
    simulation = start("drain-waits")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.recovered)
    waits = [e for e in simulation.seen("events") if e["reason"] == "AwaitingPodCompletion"]
    assert max(e["count"] for e in waits) >= 5
    assert "ml/train-" in waits[0]["message"]


async def test_manual_uncordon_cancels_the_session(start: Start) -> None:
    """Annotations and state label go, the mark comes, cordon labels and condition stay."""
    simulation = start("manual-uncordon")
    simulation.simulator.inject("xid-79")
    mark = "quarantinedNodeUncordonedManually"
    await simulation.until(lambda: mark in simulation.annotations)
    assert simulation.annotations == {mark: "True"}
    assert STATE not in simulation.labels
    assert simulation.labels["k8saas.nvidia.com/cordon-by"] == "NVSentinel"
    assert "k8saas.nvidia.com/uncordon-by" not in simulation.labels
    await simulation.settled()
    assert simulation.condition("SysLogsXIDError")["status"] == "True"
    assert "unschedulable" not in simulation.node["spec"]
    assert simulation.reboots() == []
    assert simulation.states_seen() == ["", "quarantined", "draining", ""]


async def test_three_checks_join_one_session_and_leave_it_one_by_one(start: Start) -> None:
    """The annotation grows to three checks and shrinks, with one RebootNode for all."""
    simulation = start("three-checks")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.recovered)
    sizes = distinct(len(checks(n)) for n in simulation.nodes_seen())
    assert sizes == [0, 1, 2, 3, 2, 1, 0]
    widest = next(checks(n) for n in simulation.nodes_seen() if len(checks(n)) == 3)
    assert widest == ["SysLogsXIDError", "GpuDcgmConnectivityFailure", "node-not-ready"]
    assert len(simulation.reboots()) == 1


async def test_three_checks_move_the_label_backwards(start: Start) -> None:
    """The joined fault drains again and ends unsupported, until it clears."""
    simulation = start("three-checks")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.recovered)
    assert simulation.states_seen()[5:] == [
        "remediation-succeeded",
        "draining",
        "drain-succeeded",
        "remediation-failed",
        "remediation-succeeded",
        "",
    ]


async def test_idle_node_has_nothing_to_drain(start: Start) -> None:
    """Without an eligible pod there is neither a draining label nor a drain Event."""
    simulation = start("idle-node")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.recovered)
    assert "draining" not in simulation.states_seen()
    assert "drain-succeeded" in simulation.states_seen()
    assert not [e for e in simulation.seen("events") if e["type"] == "NodeDraining"]


async def test_no_ids_writes_the_annotation_of_2025(start: Start) -> None:
    """One object without id and strategy; the CR has an id nobody can match to it."""
    simulation = start("no-ids")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: bool(simulation.reboots()))
    event = json.loads(simulation.annotations["quarantineHealthEvent"])
    assert isinstance(event, dict)
    assert event["checkName"] == "SysLogsXIDError"
    assert not {"id", "processingStrategy"} & set(event)
    assert "annotations" not in simulation.reboots()[0]["metadata"]
    await simulation.until(lambda: simulation.recovered)


async def test_opted_out_shows_the_fault_and_nothing_else(start: Start) -> None:
    """The opt-out label keeps the node out of quarantine; the condition is still written."""
    simulation = start("opted-out")
    assert simulation.labels["k8saas.nvidia.com/ManagedByNVSentinel"] == "false"
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.condition("SysLogsXIDError")["status"] == "True")
    await simulation.settled()
    assert simulation.annotations == {}
    assert "unschedulable" not in simulation.node["spec"]


async def test_a_tripped_breaker_stops_the_chain_until_it_is_reset(start: Start) -> None:
    """Nothing is cordoned while it is TRIPPED; after a reset the missed event is worked off."""
    simulation = start("breaker-tripped")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.condition("SysLogsXIDError")["status"] == "True")
    await simulation.settled()
    assert STATE not in simulation.labels
    simulation.store.update(
        "configmaps",
        "circuit-breaker",
        lambda cm: cm["data"].update(status="CLOSED"),
        namespace="nvsentinel",
    )
    await simulation.until(lambda: simulation.recovered)


async def test_the_breaker_trips_at_half_of_the_gpu_nodes(start: Start) -> None:
    """Of two GPU nodes the first cordon trips it, so that recovery is blocked too."""
    simulation = start(nodes=2)
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.state == "quarantined")
    breaker = simulation.store.get("configmaps", "circuit-breaker", namespace="nvsentinel")
    assert breaker["data"] == {"status": "TRIPPED", "cursor": "RESUME"}
    await simulation.settled()
    assert simulation.condition("SysLogsXIDError")["status"] == "False"
    assert simulation.node["spec"]["unschedulable"] is True


async def test_dry_run_annotates_and_does_not_cordon(start: Start) -> None:
    """Annotations appear; no cordon, no cordon labels, no RebootNode."""
    simulation = start("dry-run")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: "quarantineHealthEvent" in simulation.annotations)
    await simulation.settled()
    assert simulation.annotations["quarantineHealthEventIsCordoned"] == "True"
    assert "unschedulable" not in simulation.node["spec"]
    assert "k8saas.nvidia.com/cordon-by" not in simulation.labels
    assert simulation.reboots() == []
    deployment = simulation.store.get("deployments", "fault-quarantine", namespace="nvsentinel")
    assert "--dry-run=true" in str(deployment["spec"]["template"]["spec"]["containers"])


async def test_monitor_only_has_no_chain_and_people_repair(start: Start) -> None:
    """Only the condition comes and goes; modules, database and custom kinds are absent."""
    simulation = start("monitor-only")
    deployments = simulation.store.list("deployments", namespace="nvsentinel")
    assert [d["metadata"]["name"] for d in deployments] == ["labeler"]
    assert simulation.store.list("customresourcedefinitions") == []
    simulation.simulator.inject("xid-79", people=True)
    await simulation.until(lambda: simulation.condition("SysLogsXIDError")["status"] == "True")
    await simulation.until(lambda: simulation.condition("SysLogsXIDError")["status"] == "False")
    assert not any(n["metadata"]["annotations"] for n in simulation.nodes_seen())


async def test_a_node_variant_can_be_given_to_an_injection(start: Start) -> None:
    """The variant holds for the injected node alone."""
    simulation = start()
    other = next(n for n in simulation.simulator.nodes if n != simulation.name)
    simulation.simulator.inject("xid-79", other, "signal-refused")
    simulation.simulator.inject("xid-79", variant="")
    await simulation.until(lambda: "permission denied" in str(simulation.reboots()))
    assert simulation.store.get("nodes", other)["spec"]["unschedulable"] is True


async def test_the_sandbox_variant_has_its_own_description() -> None:
    """Every variant and fault has a name, a title, and is found under its name."""
    for name, variant in VARIANTS.items():
        assert variant.name == name
        assert variant.title.endswith(".")
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.title
        assert fault.reports


# --- faults -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        name
        for name, fault in FAULTS.items()
        if any(r.fatal and r.agent not in UNRULED for r in fault.reports) and name != "xid-79"
    ],
)
async def test_every_fatal_fault_comes_to_an_end(start: Start, fault: str) -> None:
    """With people around, each ends healthy; whether by a RebootNode its action decides."""
    simulation = start("idle-node")
    simulation.simulator.inject(fault, people=True)
    shown = [r for r in FAULTS[fault].reports if r.strategy == "EXECUTE_REMEDIATION"]
    if not shown:
        await simulation.settled()
        assert simulation.nodes_seen() == []
        return
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    assert simulation.condition(shown[0].check)["status"] == "False"
    repairs = {"COMPONENT_RESET", "RESTART_VM", "RESTART_BM"}
    assert bool(simulation.reboots()) == (shown[0].action in repairs)
    assert ("remediation-failed" in simulation.states_seen()) == (shown[0].action not in repairs)


NON_FATAL = [name for name, f in FAULTS.items() if not any(r.fatal for r in f.reports)]


@pytest.mark.parametrize("fault", NON_FATAL)
async def test_a_non_fatal_fault_is_an_event_and_no_more(start: Start, fault: str) -> None:
    """No condition, no cordon: an Event whose type is the check and whose uid is the name."""
    simulation = start()
    simulation.simulator.inject(fault)
    await simulation.settled()
    (report,) = FAULTS[fault].reports
    events = [e for e in simulation.seen("events") if e["type"] == report.check]
    assert {e["metadata"]["name"] for e in events} == {events[0]["metadata"]["name"]}
    last = events[-1]
    assert last["count"] == FAULTS[fault].repeats + 1
    assert last["reason"] == f"{report.check}IsNotHealthy"
    codes = "".join(f"ErrorCode:{code} " for code in report.codes)
    assert last["message"].startswith(codes + report.entities[0] + ":")
    assert last["message"].endswith(" Recommended Action=NONE;")
    assert last["involvedObject"] == {
        "kind": "Node",
        "name": simulation.name,
        "uid": simulation.name,
    }
    assert last["source"]["component"] == last["reportingComponent"] == report.agent
    shown = {c["type"]: c["status"] for c in simulation.node["status"]["conditions"]}
    assert shown.get(report.check, "False") == "False"
    assert "unschedulable" not in simulation.node["spec"]


@pytest.mark.parametrize(
    "fault", [n for n, f in FAULTS.items() if any(r.agent == ANALYZER for r in f.reports)]
)
async def test_what_the_analyzer_concludes_never_heals_by_itself(start: Start, fault: str) -> None:
    """A condition without quarantine, which no boot clears; a person takes it off."""
    simulation = start()
    conclusion = FAULTS[fault].reports[-1]
    simulation.simulator.inject(fault)
    await simulation.until(lambda: conclusion.check in str(simulation.node["status"]))
    await simulation.settled()
    assert simulation.condition(conclusion.check)["status"] == "True"
    assert simulation.states_seen() == [""]
    simulation.simulator._machines.boot(simulation.name)
    await simulation.settled()
    assert simulation.condition(conclusion.check)["status"] == "True"
    simulation.simulator.heal(simulation.name)
    await simulation.until(lambda: conclusion.check not in str(simulation.node["status"]))


async def test_every_check_of_the_monitors_can_be_raised(start: Start) -> None:
    """Each check a fault is known for has one; the codes of the XIDs are all there."""
    raised = {r.check for f in FAULTS.values() for r in f.reports}
    silent = {"GpuPmuWatch", "GpuMcuWatch", "GpuSmWatch", "GpuDriverWatch"}
    assert {*names.GPU_CHECKS, *names.SYSLOG_CHECKS} - raised == silent
    assert {*read_names.NIC_CHECKS, "CSPMaintenance", "node-not-ready"} <= raised
    assert {*read_names.ANALYZER_CHECKS} <= raised
    assert {"SlurmHealthCheck", "DcgmDiagnostic", "NCCLLoopbackTest", "NCCLAllReduceTest"} <= raised
    codes = {"13", "31", "43", "45", "48", "63", "64", "74", "79", "94", "95", "109", "119", "120"}
    codes |= {*map(str, range(144, 151)), "154"}
    assert {f"xid-{code}" for code in codes} <= set(FAULTS)


async def test_contact_support_waits_for_people(start: Start) -> None:
    """XID 74 ends in remediation-failed without a CR, and stays until someone heals it."""
    simulation = start()
    simulation.simulator.inject("xid-74")
    await simulation.until(lambda: simulation.state == "remediation-failed")
    await simulation.settled()
    assert simulation.reboots() == []
    assert simulation.states_seen()[-2:] == ["drain-succeeded", "remediation-failed"]
    simulation.simulator.heal(simulation.name)
    await simulation.until(lambda: simulation.recovered)


async def test_faults_join_a_session_by_entity(start: Start) -> None:
    """The same check on the same GPU is tracked already; other checks grow the annotation."""
    simulation = start("drain-waits")
    simulator = simulation.simulator
    (report,) = FAULTS["inforom"].reports
    simulator._monitors.publish(report, simulation.name)
    await simulation.until(lambda: simulation.state == "draining")
    simulator._monitors.publish(report, simulation.name)
    ledger = simulator._context.ledger
    await simulation.until(lambda: len(ledger.session(simulation.name)) == 2)
    assert simulation.quarantined_for() == ["GpuInforomWatch"]
    simulator.inject("xid-48")
    await simulation.until(lambda: len(simulation.quarantined_for()) == 3)
    assert simulation.quarantined_for() == ["GpuInforomWatch", "SysLogsXIDError", "GpuMemWatch"]
    await simulation.until(lambda: simulation.recovered)


async def test_one_reboot_serves_all_faults_of_a_session(start: Start) -> None:
    """Two faults that ask for a reset at once come to a single RebootNode."""
    simulation = start()
    simulation.simulator.inject("xid-48")
    await simulation.until(lambda: simulation.recovered)
    assert len(simulation.reboots()) == 1
    assert "GpuMemWatch" in {c for n in simulation.nodes_seen() for c in checks(n)}


async def test_a_cordon_that_was_there_before_is_kept(start: Start) -> None:
    """No cordon labels, a mark of its own, and the node stays cordoned after recovery."""
    simulation = start()
    simulation.store.update(
        "nodes", simulation.name, lambda n: n["spec"].update(unschedulable=True)
    )
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.state == "quarantined")
    assert simulation.annotations["quarantineHealthEventCordonPreExisting"] == "True"
    assert "k8saas.nvidia.com/cordon-by" not in simulation.labels
    await simulation.until(lambda: not simulation.annotations)
    assert simulation.node["spec"]["unschedulable"] is True
    assert STATE not in simulation.labels


async def test_a_reboot_object_made_by_hand_is_worked_off(start: Start) -> None:
    """Whoever creates a RebootNode, the janitor reboots the node."""
    simulation = start()
    boot_id = simulation.node["status"]["nodeInfo"]["bootID"]
    simulation.store.create(
        "rebootnodes", {"metadata": {"name": "by-hand"}, "spec": {"nodeName": simulation.name}}
    )
    await simulation.until(
        lambda: reboot_conditions(simulation).get("NodeReady", "")[:1] == ("True",)
    )
    assert simulation.node["status"]["nodeInfo"]["bootID"] != boot_id


# --- rules ------------------------------------------------------------------------------


def fault_event(pci: str, *, healthy: bool = False, text: str = "x") -> health.HealthEvent:
    """XID 79 of one GPU, or its end."""
    return health.HealthEvent(
        node="n",
        check="SysLogsXIDError",
        agent="syslog-health-monitor",
        component="GPU",
        generated=1_755_706_530_000_000_000,
        healthy=healthy,
        fatal=not healthy,
        message=text,
        codes=("79",),
        entities=(("PCI", pci),),
        action="RESTART_BM",
    )


def test_fragments_join_and_leave_by_entity() -> None:
    """Two GPUs are two fragments; a healthy event for one leaves the other and the status."""
    conditions: list[dict[str, Any]] = []
    for pci in ("0000:1b:00", "0000:b3:00", "0000:b3:00"):
        apply_to(conditions, fault_event(pci))
    assert conditions[0]["message"].count(";") == 2
    apply_to(conditions, fault_event("0000:1b:00", healthy=True))
    assert conditions[0]["status"] == "True"
    assert (
        conditions[0]["message"] == "ErrorCode:79 PCI:0000:b3:00 x Recommended Action=RESTART_BM;"
    )


def test_semicolons_of_a_text_cannot_break_the_message() -> None:
    """A `;` in a monitor's text becomes a dot, since it separates fragments."""
    conditions: list[dict[str, Any]] = []
    apply_to(conditions, fault_event("0000:1b:00", text="a; b"))
    assert "a. b" in conditions[0]["message"]


def test_a_condition_message_is_never_longer_than_1024_bytes() -> None:
    """Many long fragments are compacted and in the end cut, with a mark."""
    conditions: list[dict[str, Any]] = []
    for number in range(30):
        apply_to(conditions, fault_event(f"0000:{number:02x}:00", text="long " * 40))
    assert len(conditions[0]["message"].encode()) <= 1024
    assert conditions[0]["message"].endswith("...")


async def test_same_seed_same_names(start: Start) -> None:
    """Two sandboxes with one seed agree on node, uids, message and CR; another differs."""
    facts = []
    for seed in (3, 3, 4):
        simulation = start("idle-node", seed=seed)
        simulation.simulator.inject("xid-79")
        await simulation.until(lambda s=simulation: bool(s.reboots()))  # type: ignore[misc]
        facts.append(
            (
                simulation.name,
                simulation.node["metadata"]["uid"],
                simulation.condition("SysLogsXIDError")["message"],
                simulation.reboots()[0]["metadata"]["name"],
            )
        )
    assert facts[0] == facts[1]
    assert facts[0][1:] != facts[2][1:]


async def test_configuration_is_readable_toml(start: Start) -> None:
    """The modules' config.toml say default drain mode, rule sets and CR kinds."""
    store = start().store

    def config(name: str) -> dict[str, Any]:
        found = store.get("configmaps", name, namespace="nvsentinel")
        return tomllib.loads(found["data"]["config.toml"])

    assert config("node-drainer")["userNamespaces"] == [{"name": "*", "mode": "AllowCompletion"}]
    assert config("fault-quarantine")["label-prefix"] == "k8saas.nvidia.com/"
    assert len(config("fault-quarantine")["rule-sets"]) == 6
    actions = config("fault-remediation")["remediationActions"]
    assert {a: c["kind"] for a, c in actions.items()} == {
        **dict.fromkeys(("COMPONENT_RESET", "RESTART_VM", "RESTART_BM"), "RebootNode"),
        "REPLACE_VM": "TerminateNode",
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"fault": "xid-99"}, "no fault 'xid-99'"),
        ({"fault": "xid-79", "node": "nowhere"}, "no GPU node 'nowhere'"),
        ({"fault": "xid-79", "node": "cpu-node-1"}, "no GPU node 'cpu-node-1'"),
        ({"fault": "xid-79", "variant": "wild"}, "no variant 'wild'"),
        ({"fault": "xid-79", "variant": "dry-run"}, "whole installation"),
    ],
)
async def test_unknown_names_are_refused(
    start: Start, arguments: dict[str, str], told: str
) -> None:
    """A wrong fault, node or variant is a WrongCall that names it, and nothing happens."""
    simulation = start()
    with pytest.raises(WrongCall, match=told):
        simulation.simulator.inject(**arguments)  # type: ignore[arg-type]
    assert simulation.changes == []


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"fault": "XID_79"}, "did you mean xid-79? (`nvsx sandbox faults` lists all)"),
        ({"fault": "79"}, "did you mean xid-79? (`nvsx sandbox faults` lists all)"),
        ({"fault": "thermall"}, "did you mean thermal? (`nvsx sandbox faults` lists all)"),
        ({"fault": "zzz"}, "`nvsx sandbox faults`: xid-79, gpu-off-bus-line, "),
        ({"fault": "xid-79", "variant": "drain-wait"}, "did you mean drain-waits or "),
        ({"fault": "xid-79", "node": "a3"}, "did you mean gpu-node-a3?"),
        ({"fault": "xid-79", "node": "zzz"}, "it has gpu-node-a1, gpu-node-a2, "),
    ],
)
async def test_what_was_meant_is_guessed(
    start: Start, arguments: dict[str, str], hint: str
) -> None:
    """The next step names what is near, else what there is."""
    with pytest.raises(WrongCall) as told:
        start().simulator.inject(**arguments)  # type: ignore[arg-type]
    assert told.value.hint.startswith(hint)


@pytest.mark.parametrize("nodes", [0, 100_001])
def test_the_number_of_nodes_is_bounded(nodes: int) -> None:
    """None, and more than a machine holds, are refused before anything is built."""
    with pytest.raises(WrongCall, match=f"a sandbox of {nodes} nodes cannot be") as told:
        Simulator(nodes=nodes)
    assert told.value.hint == "give 1 to 100000"


async def test_healing_a_healthy_node_shows_nothing(start: Start) -> None:
    """A node that was Ready all along is not reported as Ready again."""
    simulation = start()
    simulation.simulator.heal("gpu-node-a1")
    await simulation.settled()
    assert not [obj for _, plural, obj in simulation.changes if plural == "events"]


def test_both_sides_spell_the_names_alike() -> None:
    """What the sandbox writes is what nvsx reads."""
    assert names.STATE_LABEL == read_names.STATE_LABEL
    assert names.LABEL_PREFIX == read_names.CORDON_LABEL_PREFIX
    assert names.OPT_OUT_LABELS == read_names.OPT_OUT_LABELS
    assert names.GPU_LABEL == read_names.GPU_NODE_LABEL
    assert names.QUARANTINE == read_names.QUARANTINE_ANNOTATION
    assert names.QUARANTINE_CORDONED == read_names.IS_CORDONED_ANNOTATION
    assert names.QUARANTINE_CORDON_PREEXISTING == read_names.CORDON_PREEXISTING_ANNOTATION
    assert names.UNCORDONED_MANUALLY == read_names.UNCORDONED_BY_HAND_ANNOTATION
    assert {n: a for a, n in health.ACTIONS.items()} == dict(read_names.ACTIONS)
    assert {n: s for s, n in health.STRATEGIES.items()} == dict(read_names.STRATEGIES)
