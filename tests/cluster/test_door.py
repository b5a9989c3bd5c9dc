"""The door on the sandbox's API server: sharing, views by node, discovery, logs, reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.cluster.scripted import Sleeps
from tests.patience import until

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsx.cluster import discovery
from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import DirectGateway, Gateway
from nvsx.core.errors import NotFound, Unreachable
from nvsx.core.watches.snapshot import LogLine, LogSource, PodSource, ResourceSource

RESET = ResourceSource("rebootnodes", "janitor.dgxc.nvidia.com")


class Place:
    """A sandbox API server and a door to it."""

    def __init__(self, node_limit: int = 3) -> None:
        self.store = ObjectStore()
        self.server = ApiServer(self.store)
        self.sleeps = Sleeps()
        self.limit = node_limit

    async def open(self) -> None:
        await self.server.start()
        pace = self.sleeps.pace()
        self.cluster = Cluster(
            DirectGateway(self.server.url, self.server.token),
            now=pace.now,
            sleep=pace.sleep,
            node_limit=self.limit,
        )
        await self.cluster.start()

    async def close(self) -> None:
        await self.cluster.close()
        await self.server.stop()

    def pod(self, name: str, node: str, *, owner: str = "", uid: str = "", **labels: str) -> None:
        meta: dict[str, Any] = {"name": name, "namespace": "ml", "labels": labels}
        if owner:
            kind, _, of = owner.partition("/")
            meta["ownerReferences"] = [
                {"apiVersion": "apps/v1", "kind": kind, "name": of, "uid": "u", "controller": True}
            ]
        spec = {"nodeName": node, "containers": [{"name": "main", "image": "x"}]}
        body = {"metadata": meta, "spec": spec, "status": {"phase": "Running"}}
        self.store.create("pods", body)

    def happening(self, name: str, node: str) -> None:
        self.store.create(
            "events",
            {
                "metadata": {"name": name, "namespace": "default"},
                "involvedObject": {"kind": "Node", "name": node},
                "reason": "R",
                "message": "m",
            },
        )

    def watching(self, plural: str) -> int:
        return len([f for f in self.cluster.health() if f.path.endswith(plural)])

    def requests(self, verb: str, path: str) -> int:
        found = self.server.requests.latest
        return len([r for r in found if r.verb == verb and r.path == path])


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A door to an empty sandbox; more than three nodes share one watch."""
    made = Place()
    await made.open()
    made.store.create("namespaces", {"metadata": {"name": "ml"}})
    yield made
    await made.close()


async def test_runs_share_one_watch(place: Place) -> None:
    """Ten runs that need the nodes cost one list and one watch, ended by the last of them."""
    place.store.create("nodes", {"metadata": {"name": "a"}})
    used = [await place.cluster.nodes() for _ in range(10)]
    await used[0].settled()
    await until(lambda: place.requests("watch", "/api/v1/nodes") == 1)
    assert len(set(map(id, used))) == 1
    for reflector in used[:-1]:
        await place.cluster.release(reflector)
    place.store.create("nodes", {"metadata": {"name": "b"}})
    await until(lambda: len(used[-1]) == 2)
    await place.cluster.release(used[-1])
    assert place.cluster.health() == ()
    assert place.requests("list", "/api/v1/nodes") == 1


async def test_a_view_holds_one_nodes_objects(place: Place) -> None:
    """Pods and Events of a node are there, those of others are not."""
    place.pod("p1", "a")
    place.pod("p2", "b")
    place.happening("e1", "a")
    place.happening("e2", "b")
    pods, events = await place.cluster.pods_on("a"), await place.cluster.events_for("a")
    await asyncio.gather(pods.settled(), events.settled())
    assert [p.name for p in pods.items()] == ["p1"]
    assert [e.name for e in events.items()] == ["e1"]
    assert pods.synced
    assert events.error == ""


async def test_many_nodes_share_one_watch_without_a_gap(place: Place) -> None:
    """Beyond the limit one watch feeds all views; each change is told exactly once."""
    views, told = {}, []
    for node in "abc":
        place.pod(f"p-{node}", node)
        views[node] = await place.cluster.pods_on(node)
        views[node].subscribe(lambda key, old, new: told.append((key, old is None, new is None)))
    await asyncio.gather(*(v.settled() for v in views.values()))
    assert place.watching("pods") == 3
    for node in "def":
        place.pod(f"p-{node}", node)
        views[node] = await place.cluster.pods_on(node)
        views[node].subscribe(lambda key, old, new: told.append((key, old is None, new is None)))
    # While the switch is under way, in whatever order it happens.
    place.pod("during", "a")
    await until(lambda: place.watching("pods") == 1)
    await asyncio.gather(*(v.settled() for v in views.values()))
    place.pod("after", "a")
    place.store.delete("pods", "p-b", namespace="ml")
    await until(lambda: len(views["b"]) == 0 and len(views["a"]) == 3)
    await until(lambda: all(len(views[n]) == 1 for n in "cdef"))
    assert sorted(told) == sorted(
        [(f"ml/p-{n}", True, False) for n in "abcdef"]
        + [("ml/during", True, False), ("ml/after", True, False), ("ml/p-b", False, True)]
    )


async def test_a_shared_watch_that_fails_first_takes_nothing_away(place: Place) -> None:
    """While the watch of everything cannot list, nodes keep their own; then all is told once."""
    views, told = {}, []
    for node in "abc":
        place.pod(f"p-{node}", node)
        views[node] = await place.cluster.pods_on(node)
        views[node].subscribe(lambda key, _old, new: told.append((key, new is None)))
    await asyncio.gather(*(v.settled() for v in views.values()))
    place.server.faults.refuse(503, path="/api/v1/pods", times=3, verbs=("list",))
    place.pod("p-d", "d")
    views["d"] = await place.cluster.pods_on("d")
    await views["d"].settled()
    assert "answered 503" in views["d"].error
    assert views["a"].error == ""
    await until(lambda: place.watching("pods") == 1 and views["d"].synced)
    assert views["d"].error == ""
    assert [len(v) for v in views.values()] == [1, 1, 1, 1]
    assert sorted(told) == [("ml/p-a", False), ("ml/p-b", False), ("ml/p-c", False)]


async def test_few_nodes_go_back_to_their_own_watches(place: Place) -> None:
    """When the storm is over the watch of everything ends, and nothing is told twice."""
    views, told = {}, []
    for node in "abcde":
        place.pod(f"p-{node}", node)
        views[node] = await place.cluster.pods_on(node)
    views["a"].subscribe(lambda key, _old, _new: told.append(key))
    await until(lambda: place.watching("pods") == 1 and all(v.synced for v in views.values()))
    for node in "bcde":
        await views[node].close()
    health = place.cluster.health
    await until(lambda: [f.objects for f in health() if f.synced] == [1])
    told.clear()
    place.pod("later", "a")
    place.pod("elsewhere", "b")
    await until(lambda: told)
    assert told == ["ml/later"]
    await views["a"].close()
    assert place.cluster.health() == ()


async def test_a_second_view_of_a_node_is_free(place: Place) -> None:
    """Two views of one node share its watch, and closing one leaves the other alive."""
    first, second = await place.cluster.pods_on("a"), await place.cluster.pods_on("a")
    await second.settled()
    assert place.watching("pods") == 1
    await first.close()
    await first.close()
    place.pod("p", "a")
    await until(lambda: len(second) == 1)
    await second.close()
    assert place.watching("pods") == 0


async def test_resources_are_found_by_plural(place: Place) -> None:
    """Version and group are discovered, and the resource knows its node."""
    place.store.create(
        "rebootnodes", {"metadata": {"name": "r1"}, "spec": {"nodeName": "a", "force": False}}
    )
    for source in (RESET, ResourceSource("rebootnodes")):
        found = await place.cluster.resources(source)
        await found.settled()
        assert [(r.name, r.node, r.kind, r.version) for r in found.items()] == [
            ("r1", "a", "RebootNode", "v1alpha1")
        ]
        await place.cluster.release(found)


async def test_a_kind_that_is_not_served_says_so(place: Place) -> None:
    """Without the CRD `error` names it, and it is looked for again at a slow pace."""
    found = await place.cluster.resources(ResourceSource("widgets", "example.com"))
    await found.settled()
    assert "serves no widgets.example.com" in found.error
    assert isinstance(found.failure, NotFound)
    assert not found.synced
    await until(lambda: place.sleeps.asked and max(place.sleeps.asked) >= 30)


async def test_single_reads(place: Place) -> None:
    """Version, cluster id and any path; what is not there is NotFound with the path."""
    assert (await place.cluster.version()).startswith("v1.")
    uid = place.store.get("namespaces", "kube-system")["metadata"]["uid"]
    assert await place.cluster.cluster_id() == uid
    with pytest.raises(NotFound, match="/api/v1/nodes/none"):
        await place.cluster.read("/api/v1/nodes/none")


async def test_pods_and_events_of_a_namespace(place: Place) -> None:
    """A selector and a namespace narrow what is read."""
    place.pod("p1", "a", app="x")
    place.pod("p2", "a", app="y")
    place.happening("e1", "a")
    pods = await place.cluster.pods(PodSource("ml", "app=x"))
    events = await place.cluster.events_in("default")
    await asyncio.gather(pods.settled(), events.settled())
    assert [p.name for p in pods.items()] == ["p1"]
    assert [e.name for e in events.items()] == ["e1"]


# --- logs -------------------------------------------------------------------------------------


def texts(lines: list[LogLine]) -> list[str]:
    """What was written, in order."""
    return [line.text for line in lines]


async def test_a_log_is_followed_through_broken_streams(place: Place) -> None:
    """Every line arrives once, also across connections that end."""
    place.pod("p", "a")
    lines: list[LogLine] = []
    follower = place.cluster.logs(LogSource("ml", pod="p"), "a", lines.append)
    await until(lambda: follower.following and place.requests("get", LOG))
    for number in range(3):
        place.server.append_log("ml", "p", "main", f"line {number}")
    await until(lambda: len(lines) == 3)
    await place.server.stop()
    await until(lambda: follower.error)
    assert "cannot be reached" in follower.error
    port = int(place.server.url.rpartition(":")[2])
    place.server = ApiServer(place.store, token=place.server.token)
    await place.server.start(port=port)
    place.server.append_log("ml", "p", "main", "line 3")
    await until(lambda: len(lines) == 4)
    assert texts(lines) == [f"line {number}" for number in range(4)]
    assert (lines[0].namespace, lines[0].pod, lines[0].container) == ("ml", "p", "main")
    await until(lambda: not follower.error)
    await follower.close()
    assert place.watching("pods") == 0


LOG = "/api/v1/namespaces/ml/pods/p/log"


async def test_pods_of_a_selector_come_and_go(place: Place) -> None:
    """New pods of a selector are followed as they appear, others are not."""
    place.pod("p1", "a", app="x")
    place.pod("other", "a", app="y")
    lines: list[LogLine] = []
    follower = place.cluster.logs(LogSource("ml", "app=x", container="main"), "", lines.append)
    await follower.settled()
    place.pod("p2", "b", app="x")
    await until(lambda: follower.following == 2)
    for pod in ("p1", "p2", "other"):
        place.server.append_log("ml", pod, "main", f"from {pod}")
    await until(lambda: len(lines) == 2)
    assert set(texts(lines)) == {"from p1", "from p2"}
    place.store.delete("pods", "p1", namespace="ml")
    await until(lambda: follower.following == 1)
    await follower.close()


async def test_a_daemonsets_pod_speaks_for_its_own_node(place: Place) -> None:
    """Of a DaemonSet the target node's pod is followed, of anything else all pods."""
    for node in "ab":
        place.pod(f"agent-{node}", node, owner="DaemonSet/agent", app="x")
        place.pod(f"worker-{node}", node, owner="Job/train", app="x")
    lines: list[LogLine] = []
    follower = place.cluster.logs(LogSource("ml", "app=x"), "a", lines.append)
    await until(lambda: follower.following == 3)
    for kind in ("agent", "worker"):
        for node in "ab":
            place.server.append_log("ml", f"{kind}-{node}", "main", f"{kind}-{node}")
    await until(lambda: len(lines) == 3)
    assert set(texts(lines)) == {"agent-a", "worker-a", "worker-b"}


async def test_a_long_line_is_cut(place: Place) -> None:
    """A line of a megabyte costs 16 KiB, and the next one is whole."""
    place.pod("p", "a")
    lines: list[LogLine] = []
    place.cluster.logs(LogSource("ml", pod="p"), "a", lines.append)
    place.server.append_log("ml", "p", "main", "ä" * 500_000)
    place.server.append_log("ml", "p", "main", "next")
    await until(lambda: len(lines) == 2)
    assert 8_000 < len(lines[0].text) <= 16 * 1024
    assert lines[1].text == "next"


async def test_closing_the_door_ends_everything(place: Place) -> None:
    """After close there is no task of the cluster left."""
    place.pod("p", "a")
    await place.cluster.nodes()
    await place.cluster.pods_on("a")
    follower = place.cluster.logs(LogSource("ml", pod="p"), "a", lambda _line: None)
    await until(lambda: follower.following)
    await place.cluster.close()
    names = {t.get_name() for t in asyncio.all_tasks()}
    assert not [n for n in names if n.startswith(("reflector", "logs"))]
    assert place.cluster.health() == ()


# --- discovery --------------------------------------------------------------------------------


class Canned(Gateway):
    """A gateway with fixed answers."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self.name = "canned"
        self.answers = answers

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        if path not in self.answers:
            raise NotFound(f"no {path}")
        return json.dumps(self.answers[path]).encode()

    def stream(
        self, path: str, params: Mapping[str, str] | None = None, *, idle: float | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError


async def test_the_preferred_version_comes_first() -> None:
    """Of the versions that serve a plural, the preferred one is taken."""
    kinds = {"resources": [{"name": "things", "kind": "Thing", "namespaced": True}]}
    versions = [{"version": "v1beta1"}, {"version": "v1"}, {"version": "v2"}]
    group = {"name": "x.io", "versions": versions, "preferredVersion": {"version": "v2"}}
    answers = {"/apis/x.io": group, "/apis/x.io/v1": kinds, "/apis/x.io/v1beta1": kinds}
    source = ResourceSource("things", "x.io")
    # The preferred version does not serve it: the next in the server's order does.
    assert (await discovery.find_served(Canned(answers), source)).version == "v1beta1"
    found = await discovery.find_served(Canned({**answers, "/apis/x.io/v2": kinds}), source)
    assert found.version == "v2"
    assert found.path("ml") == "/apis/x.io/v2/namespaces/ml/things"
    assert found.path() == "/apis/x.io/v2/things"


async def test_core_kinds_need_no_group() -> None:
    """A plural of the core group is found without asking every group."""
    kinds = {"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}
    gateway = Canned({"/apis": {"groups": []}, "/api/v1": kinds})
    found = await discovery.find_served(gateway, ResourceSource("configmaps"))
    assert found.path("ns") == "/api/v1/namespaces/ns/configmaps"


async def test_discovery_that_is_no_discovery() -> None:
    """An answer of another shape is one clear error."""
    with pytest.raises(Unreachable, match="not API discovery"):
        await discovery.find_served(Canned({"/apis": [1]}), ResourceSource("things"))
