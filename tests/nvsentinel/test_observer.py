"""The observer against the sandbox: a real API over HTTP, and a simulated NVSentinel."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.patience import patience

from nvsentinel_sandbox.chain.simulator import Simulator
from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import DirectGateway
from nvsx.core.errors import NotFound, StoreError
from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_state import NodeStory
from nvsx.core.incident.session import HealthEvent, Times
from nvsx.core.incident.stepping import step
from nvsx.core.ports import Fault, HealthEventStore, NodeFeed, Observer
from nvsx.core.watches.snapshot import LogSource, Needs, PodSource, ResourceSource, Snapshot
from nvsx.nvsentinel import maintenance, names, times
from nvsx.nvsentinel.observer import NvsentinelObserver
from nvsx.nvsentinel.pipeline import is_pipeline_current
from nvsx.nvsentinel.sights import VALIDATION_PLURAL, sight_of

DEADLINE = patience(20.0)
NEEDS = Needs(
    resources=(ResourceSource(VALIDATION_PLURAL, "nvsentinel.nvidia.com", "v1alpha1"),),
    budgets=True,
)


class Wall:
    """The real clock, or one that is so many seconds ahead of it."""

    def __init__(self, ahead: float = 0.0) -> None:
        self._ahead = ahead

    def now(self) -> float:
        return time.time() + self._ahead

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class World:
    """A simulated NVSentinel, served, and an observer that may only read it."""

    def __init__(
        self, variant: str, speed: float, store: HealthEventStore | None, ahead: float
    ) -> None:
        self.simulator = Simulator(variant=variant, seed=7, speed=speed)
        self.node = self.simulator.default_node
        self.server = ApiServer(self.simulator.store)
        self.health_events = store
        self.clock = Wall(ahead)

    async def start(self) -> None:
        await self.server.start()
        gateway = DirectGateway(self.server.url, self.server.read_only_token)
        self.cluster = Cluster(gateway, now=self.clock.now)
        await self.cluster.start()
        self.observer = NvsentinelObserver(
            self.cluster, clock=self.clock, health_events=self.health_events
        )

    async def stop(self) -> None:
        await self.observer.close()
        await self.cluster.close()
        await self.simulator.stop()
        await self.server.stop()


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Makes worlds and ends them."""
    made: list[World] = []

    async def make(
        variant: str = "",
        *,
        speed: float = 60.0,
        store: HealthEventStore | None = None,
        ahead: float = 0.0,
    ) -> World:
        world = World(variant, speed, store, ahead)
        made.append(world)
        await world.start()
        return world

    yield make
    for world in made:
        await world.stop()


async def until(feed: NodeFeed, holds: Callable[[Snapshot], bool]) -> list[Snapshot]:
    """All snapshots up to the first for which `holds`."""
    seen = [feed.current]
    async with asyncio.timeout(DEADLINE):
        while not holds(seen[-1]):
            seen.append(await feed.changed(seen[-1]))
    return seen


def read(snap: Snapshot) -> bool:
    """Whether everything was read but the unconfigured store and kinds that do not exist."""
    return all(
        source == "health-events" or "not installed" in why for source, why in snap.unread.items()
    )


async def test_a_whole_incident(start: Start) -> None:
    """Inject XID 79: one session through all states to recovery, with its repair and times."""
    world = await start()
    observer: Observer = world.observer
    feed = await observer.follow(world.node, Needs())
    await until(feed, read)
    world.simulator.inject("xid-79")
    seen = await until(feed, lambda s: s.session.ending != "")
    last = seen[-1].session
    assert last.ending == "recovered"
    assert len({s.session.key for s in seen if s.session.known}) == 1
    assert [state for state, _ in last.states] == [
        "quarantined",
        "draining",
        "drain-succeeded",
        "remediating",
        "remediation-succeeded",
    ]
    done = maintenance.repairs_of_session(seen[-1].resources, last, node=world.node)
    assert [maintenance.read_outcome(r)[0] for r in done] == ["succeeded"]
    known = Times()
    for snap in seen:
        known = times.add_times(known, snap)
    assert all(getattr(known, mark) is not None for mark in known.__struct_fields__)
    assert known.time_to_repair() is not None
    assert any(e.type == names.DRAIN_EVENT_TYPE for s in seen for e in s.events)


async def test_nothing_is_absent_before_it_was_looked_for(start: Start) -> None:
    """The first snapshot names every source that has not answered, then they all are read."""
    world = await start()
    feed = await world.observer.follow(world.node, Needs())
    first = feed.current
    assert first.node is not None
    assert {"pods", "events", "resources/rebootnodes"} <= set(first.unread)
    last = (await until(feed, read))[-1]
    assert last.unread == {"health-events": last.unread["health-events"]}
    assert "healthEvents.uri" in last.unread["health-events"]
    assert [p.namespace for p in last.pods_on_node() if p.gpus] == ["ml"]


async def test_unknown_nodes_are_refused(start: Start) -> None:
    """A node the cluster does not have is NotFound, with the next step."""
    world = await start()
    with pytest.raises(NotFound, match="no node gpu-node-z9"):
        await world.observer.follow("gpu-node-z9", Needs())
    assert world.node in await world.observer.node_names()
    namespace = world.simulator.store.get("namespaces", "kube-system")
    assert await world.observer.cluster_id() == namespace["metadata"]["uid"]


async def test_other_nodes_do_not_wake_a_feed(start: Start) -> None:
    """Only changes of the followed node make a new snapshot."""
    world = await start()
    other = next(n for n in world.simulator.nodes if n != world.node)
    feed = await world.observer.follow(world.node, Needs())
    witness = await world.observer.follow(other, Needs())
    calm = (await until(feed, read))[-1]
    world.simulator.inject("xid-79", other)
    await until(witness, lambda s: s.session.state == "draining")
    assert feed.current is calm


async def test_manual_uncordon_is_cancelled(start: Start) -> None:
    """A person uncordons during the drain: the session is cancelled, not recovered."""
    world = await start("manual-uncordon", speed=20.0)
    feed = await world.observer.follow(world.node, Needs())
    world.simulator.inject("xid-79")
    seen = await until(feed, lambda s: s.session.ending != "")
    assert seen[-1].session.ending == "cancelled"


async def test_an_old_repair_is_not_this_incidents(start: Start) -> None:
    """Last week's finished RebootNode is seen and does not belong; the new one does."""
    world = await start("stale-cr")
    feed = await world.observer.follow(world.node, Needs())
    before = (await until(feed, read))[-1]
    assert len(before.resources) == 1
    assert not before.session.open
    assert before.session.previous_end is not None
    world.simulator.inject("xid-79")
    seen = await until(feed, lambda s: len(s.resources) == 2)
    mine = maintenance.repairs_of_session(seen[-1].resources, seen[-1].session, node=world.node)
    assert len(mine) == 1
    assert mine[0].created > before.session.previous_end


async def test_a_terminated_node(start: Start) -> None:
    """The Node object goes away during the session: terminated; a resumed run learns it too."""
    world = await start(speed=20.0)
    feed = await world.observer.follow(world.node, Needs())
    world.simulator.inject("xid-79")
    seen = await until(feed, lambda s: s.session.open)
    await world.simulator.stop()
    world.simulator.store.delete("nodes", world.node)
    gone = await until(feed, lambda s: s.node is None)
    assert gone[-1].session.ending == "terminated"
    resumed = await world.observer.follow(world.node, Needs(), seen[-1].session)
    assert resumed.current.session.ending == "terminated"
    assert resumed.current.session.key == seen[-1].session.key


async def test_a_replaced_node(start: Start) -> None:
    """TerminateNode takes Node and request away, and a new Node comes: the session tells of it,
    and what was carried out is still known."""
    world = await start("terminate-node")
    feed = await world.observer.follow(world.node, Needs())
    world.simulator.inject("xid-79")
    last = (await until(feed, lambda s: s.session.replaced_at is not None))[-1]
    assert (last.node is not None, last.session.ending) == (True, "terminated")
    assert world.simulator.store.find("terminatenodes", last.resources[-1].name) is None
    assert maintenance.read_outcome(last.resources[-1])[0] == "succeeded"


async def test_resume_keeps_the_session(start: Start) -> None:
    """A run that is resumed with its session goes on in it, states of before included."""
    world = await start(speed=30.0)
    feed = await world.observer.follow(world.node, Needs())
    world.simulator.inject("xid-79")
    before = (await until(feed, lambda s: "drain-succeeded" in s.session.reached()))[-1].session
    await feed.close()
    await feed.close()
    again = await world.observer.follow(world.node, Needs(), before)
    last = (await until(again, lambda s: s.session.ending != ""))[-1].session
    assert (last.key, last.ending) == (before.key, "recovered")
    assert {"quarantined", "draining", "drain-succeeded"} <= last.reached()


# --- faults -------------------------------------------------------------------------------


async def take(faults: AsyncIterator[Fault], wanted: Callable[[Fault], bool]) -> list[Fault]:
    """Faults up to the first that is wanted."""
    found: list[Fault] = []
    async with asyncio.timeout(DEADLINE):
        async for fault in faults:
            found.append(fault)
            if wanted(fault):
                return found
    raise AssertionError


async def listening(world: World) -> AsyncIterator[Fault]:
    """A stream that has its baseline: what comes now is new."""
    stream = world.observer.faults()
    async with asyncio.timeout(DEADLINE):
        await world.observer._hub.ready.wait()
    return stream


async def test_new_faults_come_once_with_their_session(start: Start) -> None:
    """XID 79 shows as a condition and then in the annotation, once each, and only if new."""
    world = await start()
    other = next(n for n in world.simulator.nodes if n != world.node)
    feed = await world.observer.follow(other, Needs())
    world.simulator.inject("xid-48", other)
    await until(feed, lambda s: s.session.open)
    stream = await listening(world)
    world.simulator.inject("xid-79")
    found = await take(stream, lambda f: f.node == world.node and f.session_key != "")
    mine = [f for f in found if f.node == world.node]
    assert {(f.event.check, f.event.error_codes) for f in mine} == {("SysLogsXIDError", ("79",))}
    assert len(mine) == 2
    assert mine[0].event.action == "RESTART_BM"
    assert mine[0].event.generated_at == pytest.approx(time.time(), abs=DEADLINE)
    assert not any(f.event.error_codes == ("48",) for f in found)


async def test_non_fatal_faults_show_as_events(start: Start) -> None:
    """Thermal throttling leaves only an Event: it is a fault too, and not a fatal one."""
    world = await start()
    stream = await listening(world)
    world.simulator.inject("thermal")
    (fault,) = await take(stream, lambda _: True)
    assert (fault.node, fault.event.check) == (world.node, "GpuThermalWatch")
    assert not fault.event.fatal


async def test_dropped_listeners_are_forgotten(start: Start) -> None:
    """A stream nobody holds any more takes no faults."""
    world = await start()
    stream = world.observer.faults()
    assert len(world.observer._hub._streams) == 1
    del stream
    assert len(world.observer._hub._streams) == 0


async def test_nodes_in_incident(start: Start) -> None:
    """A quarantined node with its session's key; nothing for healthy ones."""
    world = await start(speed=20.0)
    assert await world.observer.nodes_in_incident() == []
    feed = await world.observer.follow(world.node, Needs())
    world.simulator.inject("xid-79")
    snap = (await until(feed, lambda s: s.session.open))[-1]
    (fault,) = await world.observer.nodes_in_incident()
    assert (fault.node, fault.session_key) == (world.node, snap.session.key)
    assert fault.event.id == snap.session.key


async def test_nodes_in_incident_without_quarantine(start: Start) -> None:
    """Monitor-only: the condition is all there is, and there is no session key."""
    world = await start("monitor-only")
    feed = await world.observer.follow(world.node, Needs())
    world.simulator.inject("xid-79")
    await until(feed, lambda s: s.node is not None and _sick(s))
    (fault,) = await world.observer.nodes_in_incident()
    assert (fault.node, fault.session_key, fault.event.error_codes) == (world.node, "", ("79",))


def _sick(snap: Snapshot) -> bool:
    found = snap.node.condition("SysLogsXIDError") if snap.node else None
    return found is not None and found.status == "True"


# --- needs --------------------------------------------------------------------------------


async def test_pods_logs_and_events_as_needed(start: Start) -> None:
    """Pods of other nodes, matching log lines and Events of the node's pods are followed."""
    world = await start()
    store = world.simulator.store
    source = LogSource("ml", selector="app=train", pattern="fell off")
    pods = PodSource("ml", "app=train", on_node=False)
    training = store.list("pods", namespace="ml")
    name = next(p["metadata"]["name"] for p in training if p["spec"]["nodeName"] == world.node)
    feed = await world.observer.follow(
        world.node, Needs(pods=(pods,), logs=(source,), event_namespaces=("ml",))
    )
    snap = (await until(feed, read))[-1]
    assert len({p.node for p in snap.pods if p.namespace == "ml"}) > 1
    store.append_log("ml", name, "train", "all is well")
    store.append_log("ml", name, "train", "GPU fell off the bus")
    snap = (await until(feed, lambda s: bool(s.logs.get(source))))[-1]
    assert [line.text for line in snap.logs[source]] == ["GPU fell off the bus"]
    store.create(
        "events",
        {
            "metadata": {"name": "killed"},
            "involvedObject": {"kind": "Pod", "name": name, "namespace": "ml"},
            "reason": "Killing",
        },
        namespace="ml",
    )
    snap = (await until(feed, lambda s: any(e.reason == "Killing" for e in s.events)))[-1]
    assert snap.node_name == world.node


async def test_a_line_of_just_before_is_read(start: Start) -> None:
    """What a program logged of a fault almost two minutes before nvsx followed the node is read;
    whether it counts is for the watch to say."""
    world = await start(ahead=110)
    source = LogSource("ml", selector="app=train", pattern="fell off")
    store = world.simulator.store
    job = store.list("pods", namespace="ml")[0]["metadata"]["name"]
    store.append_log("ml", job, "train", "it fell off before")
    feed = await world.observer.follow(world.node, Needs(logs=(source,)))
    snap = (await until(feed, lambda s: bool(s.logs.get(source))))[-1]
    assert [line.text for line in snap.logs[source]] == ["it fell off before"]


async def test_a_pod_that_has_gone_is_remembered(start: Start) -> None:
    """A pod that left the node is still known, since Events tell of it afterwards."""
    world = await start()
    store = world.simulator.store
    pod = {"metadata": {"name": "once"}, "spec": {"nodeName": world.node, "containers": []}}
    store.create("pods", pod, namespace="ml")
    feed = await world.observer.follow(world.node, Needs())
    await until(feed, lambda s: any(p.name == "once" for p in s.pods))
    store.delete("pods", "once", namespace="ml", grace=0)
    snap = (await until(feed, lambda s: all(p.name != "once" for p in s.pods)))[-1]
    assert [p.name for p in snap.departed] == ["once"]


async def test_a_resource_kind_that_is_not_installed(start: Start) -> None:
    """A missing CRD is unread with that reason, and hides nothing else."""
    world = await start("monitor-only")
    feed = await world.observer.follow(world.node, Needs())
    snap = (await until(feed, read))[-1]
    assert snap.unread["resources/rebootnodes"] == "rebootnodes is not installed"
    assert snap.pods_on_node()


class Stored:
    """A store of health events."""

    def __init__(self) -> None:
        self.error: StoreError | None = None
        self.asked: list[tuple[str, float]] = []

    async def events(self, node: str, since: float) -> list[HealthEvent]:
        self.asked.append((node, since))
        if self.error:
            raise self.error
        return [HealthEvent("SysLogsXIDError", node, id="1")]


async def test_stored_events_only_when_needed(start: Start) -> None:
    """The store is read for runbooks that watch it, from before the incident on."""
    store = Stored()
    world = await start(store=store)
    await world.observer.follow(world.node, Needs())
    assert store.asked == []
    feed = await world.observer.follow(world.node, Needs(health_events=True))
    snap = (await until(feed, lambda s: bool(s.health_events)))[-1]
    assert "health-events" not in snap.unread
    assert store.asked[0][0] == world.node
    assert store.asked[0][1] < time.time() - 500


async def test_a_store_that_cannot_be_read_is_unread(start: Start) -> None:
    """The store's error is the reason, in the snapshot."""
    store = Stored()
    store.error = StoreError("the server refuses the certificate")
    world = await start(store=store)
    feed = await world.observer.follow(world.node, Needs(health_events=True))
    snap = (await until(feed, lambda s: bool(store.asked) and "pods" not in s.unread))[-1]
    assert snap.unread["health-events"] == "the server refuses the certificate"


# --- looking around -------------------------------------------------------------------------


async def test_evidence(start: Start) -> None:
    """Node, pods, Events and the node's own resources as JSON, without variables' values."""
    world = await start("stale-cr")
    files = await world.observer.evidence(world.node)
    assert {"node.json", "pods.json", "events.json"} <= set(files)
    (repair,) = [n for n in files if n.startswith("rebootnodes-")]
    assert json.loads(files[repair])["spec"]["nodeName"] == world.node
    assert json.loads(files["node.json"])["metadata"]["name"] == world.node
    pods = json.loads(files["pods.json"])["items"]
    assert {p["spec"]["nodeName"] for p in pods} == {world.node}
    every = [e for p in pods for c in p["spec"]["containers"] for e in c.get("env", ())]
    assert all(set(e) == {"name"} for e in every)


async def test_evidence_says_what_is_missing(start: Start) -> None:
    """A node that is gone leaves its reason in unread.json."""
    world = await start()
    files = await world.observer.evidence("gpu-node-z9")
    assert "node.json" in json.loads(files["unread.json"])


@pytest.mark.parametrize(
    ("variant", "code", "words", "remedy"),
    [
        ("breaker-tripped", "breaker-tripped", "no node is cordoned", "edit cm circuit-breaker"),
        ("dry-run", "dry-run", "runs dry", "global.dryRun"),
        ("monitor-only", "monitor-only", "only monitors", "kubectl cordon {node}"),
        ("opted-out", "opted-out", "keeps NVSentinel away", "kubectl label node {node} "),
        ("drain-waits", "drain-waits", "the drain waits for pod ml/train", "delete pod train"),
        ("drain-failed", "drain-failed", "the drain failed", "logs deploy/node-drainer"),
        (
            "budget-blocks",
            "drain-blocked",
            "PodDisruptionBudget ml/train allows no disruption now, so the eviction of pod ml/",
            "kubectl -n ml describe pdb train",
        ),
        ("signal-refused", "signal-refused", "signal refused", "repair {node} by hand"),
        ("reboot-timeout", "repair-timed-out", "timed out", "console of {node}"),
        ("manual-mode", "manual-mode", "person", "on {node} by hand"),
        ("repair-refused", "request-not-made", "could not ask", "logs deploy/fault-remediation"),
        ("external-repair", "external-repair", "external system", "ask those who repair it"),
        ("validation-fails", "validation-failed", "validation", "repair {node}, then"),
    ],
)
async def test_why_the_chain_stops(
    start: Start, variant: str, code: str, words: str, remedy: str
) -> None:
    """What the incident says of itself, read off the live objects: code, text and remedy."""
    world = await start(variant, speed=30.0)
    feed = await world.observer.follow(world.node, NEEDS)
    story, memory = NodeStory(world.node), WatchMemory()
    world.simulator.inject("xid-79")
    async with asyncio.timeout(DEADLINE):
        while True:
            snap = feed.current
            inst = await world.observer.installation()
            sight = sight_of(snap, asyncio.get_running_loop().time(), installation=inst)
            story, memory, _ = step(story, memory, sight)
            incident = story.open or story.last
            cause = incident.cause if incident is not None else None
            if cause is not None and cause.code == code and words in cause.text:
                break
            await feed.changed(snap)
    assert remedy.format(node=world.node) in cause.remedy


async def test_prerequisites(start: Start) -> None:
    """Deployments, variants of DaemonSets and CRDs; what is missing says the next step."""
    world = await start()
    ask = world.observer.prerequisite
    assert (await ask("deployment", "fault-quarantine", ""))[0]
    ready, text = await ask("daemonset", "gpu-health-monitor", "")
    assert ready
    assert "gpu-health-monitor-dcgm-4.x" in text
    assert (await ask("crd", "rebootnodes.janitor.dgxc.nvidia.com", ""))[0]
    assert (await ask("crd", "rebootnodes", ""))[0]
    missing, text = await ask("deployment", "nothing-such", "")
    assert not missing
    assert "kubectl -n nvsentinel get deployments" in text
    missing, text = await ask("crd", "unicorns.example.com", "")
    assert not missing
    assert "CRD installed" in text


async def test_the_installation(start: Start) -> None:
    """The simulated installation reads as what it is, and is asked once in half a minute."""
    world = await start()
    inst = await world.observer.installation()
    assert inst.found.value is True
    assert inst.monitor_only.value is False
    assert inst.breaker.value == "CLOSED"
    assert inst.modules["fault-quarantine"].works
    assert inst.repairs
    before = sum(world.server.requests.counts.values())
    again = await asyncio.gather(*(world.observer.installation() for _ in range(20)))
    assert all(found is inst for found in again)
    assert sum(world.server.requests.counts.values()) == before


async def test_everything_was_only_read(start: Start) -> None:
    """A whole incident observed sends no request but GET."""
    world = await start()
    feed = await world.observer.follow(world.node, Needs())
    world.simulator.inject("xid-79")
    await until(feed, lambda s: s.session.ending != "")
    await world.observer.evidence(world.node)
    assert world.server.requests.methods() == {"GET"}


@pytest.mark.parametrize(
    ("manager", "who"),
    [
        ("kubectl-cordon", "somebody with kubectl"),
        ("karpenter", "Karpenter"),
        ("node-fixer", "node-fixer"),
        ("", "somebody or something"),
    ],
)
async def test_a_cordon_over_the_api_is_told_with_its_program(
    start: Start, manager: str, who: str
) -> None:
    """As kubectl and controllers write it, and as something from before managedFields did."""
    world = await start()
    feed = await world.observer.follow(world.node, NEEDS)
    if manager:
        url = f"{world.server.url}/api/v1/nodes/{world.node}?fieldManager={manager}"
        headers = {
            "Authorization": f"Bearer {world.server.token}",
            "Content-Type": "application/strategic-merge-patch+json",
        }
        async with aiohttp.ClientSession() as session:
            patch = {"spec": {"unschedulable": True}}
            async with session.patch(url, json=patch, headers=headers) as answer:
                assert answer.status == 200
    else:
        world.simulator.store.update(
            "nodes", world.node, lambda node: node["spec"].update(unschedulable=True)
        )
    *_, snap = await until(feed, lambda s: s.node is not None and s.node.unschedulable)
    (hold,) = [h for h in sight_of(snap, 0.0).holds if h.kind == "cordon"]
    assert hold.who == who
    assert (hold.since > 0) == bool(manager)


@pytest.mark.parametrize(("ready", "current"), [(True, True), (False, False)])
async def test_reporters_on_the_node_tell_whether_the_pipeline_is_current(
    start: Start, ready: bool, current: bool
) -> None:
    """Read off the pods of the simulated DaemonSets, two minutes after their start."""
    world = await start()
    feed = await world.observer.follow(world.node, NEEDS)
    if not ready:
        of_node = (p for p in world.simulator.store.list("pods", namespace=names.NAMESPACE))
        connector = next(
            p["metadata"]["name"]
            for p in of_node
            if p["spec"].get("nodeName") == world.node
            and p["metadata"]["name"].startswith("platform-connectors")
        )

        def fail(pod: dict[str, Any]) -> None:
            pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]

        world.simulator.store.update("pods", connector, fail, namespace=names.NAMESPACE)
    *_, snap = await until(feed, lambda s: read(s) and (ready or _has_unready_connector(s)))
    inst = await world.observer.installation()
    later = msgspec.structs.replace(snap, at=snap.at + 120)
    assert is_pipeline_current(later, inst) is current


def _has_unready_connector(snap: Snapshot) -> bool:
    return any(p.name.startswith("platform-connectors") and not p.ready for p in snap.pods)
