"""What a reflector survives, shown on a tiny server of this suite and on the sandbox's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import psutil
import pytest
from tests.cluster.scripted import Sleeps, TinyServer, node
from tests.patience import patience, until

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.kube.streamfaults import StreamFaults
from nvsx.cluster import projections
from nvsx.cluster.gateway import DirectGateway
from nvsx.cluster.reflector import Reflector
from nvsx.core.watches.snapshot import Node

NODES = "/api/v1/nodes"


class Rig(Protocol):
    """The same world and the same faults on either server."""

    async def start(self) -> tuple[str, str]: ...
    async def stop(self) -> None: ...
    def put(self, name: str, **labels: str) -> None: ...
    def drop(self, name: str) -> None: ...
    def end(self, how: str, times: int = 1, after: int = 0) -> None: ...
    def refuse(self, verb: str, code: int, times: int = 1) -> None: ...
    def heal(self) -> None: ...
    def expire(self) -> None: ...
    def expire_continue(self) -> None: ...
    def lists(self) -> int: ...
    def watches(self) -> int: ...
    def methods(self) -> set[str]: ...


class TinyRig:
    def __init__(self) -> None:
        self.server = TinyServer()

    async def start(self) -> tuple[str, str]:
        await self.server.start()
        return self.server.url, ""

    async def stop(self) -> None:
        await self.server.stop()

    def put(self, name: str, **labels: str) -> None:
        self.server.put(node(name, **labels))

    def drop(self, name: str) -> None:
        self.server.drop(name)

    def end(self, how: str, times: int = 1, after: int = 0) -> None:
        self.server.ends.extend([(how, after)] * times)

    def refuse(self, verb: str, code: int, times: int = 1) -> None:
        extra = {"Retry_After": "1"} if code == 429 else {}
        self.server.refuse(verb, code, times if times > 0 else 10_000, **extra)

    def heal(self) -> None:
        self.server.refusals.clear()
        self.server.ends.clear()

    def expire(self) -> None:
        self.server.expire()

    def expire_continue(self) -> None:
        self.server.expired_continues += 1

    def lists(self) -> int:
        return len([q for q in self.server.lists() if "continue" not in q])

    def watches(self) -> int:
        return len(self.server.watches())

    def methods(self) -> set[str]:
        return {line.split()[0] for line, _ in self.server.requests}


class SandboxRig:
    def __init__(self) -> None:
        self.store = ObjectStore()
        self.faults = StreamFaults()
        self.port = 0

    async def start(self) -> tuple[str, str]:
        # As a real one, it comes back without its watch history.
        self.server = ApiServer(self.store, token="t", faults=self.faults)
        await self.server.start(port=self.port)
        self.port = int(self.server.url.rpartition(":")[2])
        return self.server.url, self.server.token

    async def stop(self) -> None:
        await self.server.stop()

    def put(self, name: str, **labels: str) -> None:
        if self.store.find("nodes", name) is None:
            self.store.create("nodes", node(name, **labels))
            return

        def change(body: dict[str, Any]) -> None:
            body["metadata"]["labels"] = labels

        self.store.update("nodes", name, change)

    def drop(self, name: str) -> None:
        self.store.delete("nodes", name)

    def end(self, how: str, times: int = 1, after: int = 0) -> None:
        self.faults.end_watch(how, path=NODES, times=times, after=after)  # type: ignore[arg-type]

    def refuse(self, verb: str, code: int, times: int = 1) -> None:
        self.faults.refuse(code, path=NODES, times=times, verbs=(verb,))

    def heal(self) -> None:
        self.faults.clear()

    def expire(self) -> None:
        self.server.expire()

    def expire_continue(self) -> None:
        self.faults.expire_continue()

    def lists(self) -> int:
        return len([r for r in self.server.requests.latest if r.verb == "list"])

    def watches(self) -> int:
        return len([r for r in self.server.requests.latest if r.verb == "watch"])

    def methods(self) -> set[str]:
        return self.server.requests.methods()


class World:
    """A rig, a gateway to it, and a reflector of its nodes on a sleep that hardly sleeps."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.sleeps = Sleeps()
        self.seen: list[tuple[str, bool, bool]] = []
        self.statuses: list[str] = []

    async def open(self) -> None:
        url, token = await self.rig.start()
        self.gateway = DirectGateway(url, token)
        self.nodes = self.reflector()

    def reflector(self, *, page: int = 500, bookmarks: bool = True) -> Reflector[Node]:
        made = Reflector(
            self.gateway,
            NODES,
            projections.decode_node,
            bookmarks=bookmarks,
            pace=self.sleeps.pace(),
            page=page,
            idle=0.15,
        )
        made.subscribe(lambda k, old, new: self.seen.append((k, old is not None, new is not None)))
        made.on_status(lambda: self.statuses.append(made.error))
        return made

    def names(self) -> set[str]:
        return {n.name for n in self.nodes.items()}

    async def settle(self, nodes: Reflector[Node] | None = None) -> None:
        self.nodes = nodes or self.nodes
        await self.nodes.start()
        await asyncio.wait_for(self.nodes.settled(), patience(5))

    async def watching(self) -> None:
        before = self.rig.watches()
        await until(lambda: self.rig.watches() > before or before)

    async def close(self) -> None:
        await self.nodes.stop()
        await self.gateway.close()
        await self.rig.stop()


@pytest.fixture(params=[TinyRig, SandboxRig], ids=["tiny", "sandbox"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The same world, once on each server."""
    made = World(request.param())
    await made.open()
    yield made
    await made.close()


async def test_it_lists_in_pages(world: World) -> None:
    """All pages of a list arrive, and the cache is synced only then."""
    for number in range(7):
        world.rig.put(f"n{number}")
    await world.settle(world.reflector(page=2))
    assert world.nodes.synced
    assert world.names() == {f"n{number}" for number in range(7)}


async def test_it_follows_changes(world: World) -> None:
    """Additions, changes and deletions reach the cache and its subscribers, in order."""
    world.rig.put("a", x="1")
    await world.settle()
    world.rig.put("b")
    world.rig.put("a", x="2")
    world.rig.drop("b")
    await until(lambda: len(world.seen) == 4)
    assert world.seen == [
        ("a", False, True),
        ("b", False, True),
        ("a", True, True),
        ("b", True, False),
    ]
    assert world.names() == {"a"}
    found = world.nodes.get("a")
    assert found is not None
    assert found.labels == {"x": "2"}


async def test_a_wait_hears_of_its_own_object_alone(world: World) -> None:
    """A subscription by key is called for that key only, and not after it was ended."""
    heard: list[str] = []
    await world.settle()
    end = world.nodes.subscribe(lambda key, _old, _new: heard.append(key), key="a")
    for name in ("b", "a", "c"):
        world.rig.put(name)
    await until(lambda: len(world.nodes) == 3)
    end()
    world.rig.put("a", x="1")
    await until(lambda: len(world.seen) == 4)
    assert heard == ["a"]


@pytest.mark.parametrize("how", ["close", "tear", "reset", "silent"])
async def test_a_broken_watch_resumes_without_listing_again(world: World, how: str) -> None:
    """After a clean end, a torn line, a cut or silence, the watch goes on where it was."""
    world.rig.put("a")
    world.rig.end(how, after=1)
    await world.settle()
    world.rig.put("b")
    await until(lambda: world.rig.watches() >= 2)
    world.rig.put("c")
    await until(lambda: world.names() == {"a", "b", "c"})
    assert world.rig.lists() == 1
    assert world.nodes.error == ""
    assert [s for s in world.statuses if s] == []
    assert min(world.sleeps.asked) > 0


@pytest.mark.parametrize("how", ["in the stream", "as a status"])
async def test_an_expired_version_lists_again_and_tells_what_vanished(
    world: World, how: str
) -> None:
    """410 either way leads to a new list, and what is gone from it counts as deleted."""
    for name in ("a", "b"):
        world.rig.put(name)
    world.rig.end("gone" if how == "in the stream" else "close", after=1)
    await world.settle()
    await until(lambda: world.rig.watches() == 1)
    if how == "as a status":
        world.rig.refuse("watch", 410)
    # The watch ends after the first of the two: only the list can tell of the second.
    world.rig.put("c")
    world.rig.drop("b")
    await until(lambda: world.names() == {"a", "c"})
    assert world.rig.lists() == 2
    assert world.seen[-1] == ("b", True, False)
    assert world.nodes.error == ""


async def test_what_vanished_while_nobody_looked_is_deleted(world: World) -> None:
    """An object deleted while the server was away is a deletion after the relist."""
    for name in ("a", "b"):
        world.rig.put(name)
    await world.settle()
    await until(lambda: world.rig.watches() == 1)
    await world.rig.stop()
    await until(lambda: world.nodes.error)
    world.rig.drop("b")
    world.rig.expire()
    await world.rig.start()
    await until(lambda: world.names() == {"a"} and not world.nodes.error)
    assert world.seen[-1] == ("b", True, False)
    assert world.seen.count(("a", False, True)) == 1


async def test_an_expired_continue_token_starts_over(world: World) -> None:
    """410 between two pages leads to one whole list, without an error."""
    for number in range(5):
        world.rig.put(f"n{number}")
    world.rig.expire_continue()
    await world.settle(world.reflector(page=2))
    assert len(world.nodes) == 5
    assert [s for s in world.statuses if s] == []


async def test_one_401_is_retried_in_silence(world: World) -> None:
    """Credentials that were just renewed are no news: one 401 is not reported."""
    world.rig.put("a")
    world.rig.refuse("list", 401)
    await world.settle()
    assert world.names() == {"a"}
    assert [s for s in world.statuses if s] == []


@pytest.mark.parametrize(
    ("code", "says", "least"),
    [
        (401, "does not accept these credentials", 30.0),
        (403, "forbids reading", 30.0),
        (429, "asks to wait 1s", 1.0),
        (503, "answered 503", 0.0),
    ],
)
async def test_a_refusal_is_reported_and_tried_again(
    world: World, code: int, says: str, least: float
) -> None:
    """Refusals say why, are tried again at the pace they deserve, and are forgotten."""
    world.rig.put("a")
    world.rig.refuse("list", code, times=-1)
    await world.settle()
    assert not world.nodes.synced
    assert says in world.nodes.error
    await until(lambda: world.sleeps.asked and max(world.sleeps.asked) >= least)
    world.rig.heal()
    await until(lambda: world.nodes.synced)
    assert world.nodes.error == ""
    assert world.statuses[-1] == ""


async def test_a_server_that_is_gone_and_back(world: World) -> None:
    """While nobody answers `error` says so and the objects stay; then all goes on."""
    world.rig.put("a")
    await world.settle()
    await world.rig.stop()
    await until(lambda: world.nodes.error)
    assert "cannot be reached" in world.nodes.error
    assert world.names() == {"a"}
    await world.rig.start()
    world.rig.put("b")
    await until(lambda: world.names() == {"a", "b"})
    assert world.nodes.error == ""


async def test_clean_ends_back_off(world: World) -> None:
    """A server that closes at once is not hammered: the waits grow, with jitter."""
    await world.settle()
    world.rig.end("close", times=12)
    await world.rig.stop()
    await world.rig.start()
    world.sleeps.asked.clear()
    await until(lambda: len(world.sleeps.asked) >= 9)
    waits = world.sleeps.asked[:9]
    assert waits[0] >= 0.1
    assert max(waits) > 5 * waits[0]
    assert max(waits) <= 10.0
    assert len(set(waits)) == len(waits)


async def test_silence_is_normal_without_bookmarks(world: World) -> None:
    """Collections without bookmarks have no idle limit: one watch stays open."""
    await world.settle(world.reflector(bookmarks=False))
    await until(lambda: world.rig.watches() == 1)
    await asyncio.sleep(0.4)
    assert world.rig.watches() == 1
    world.rig.put("late")
    await until(lambda: world.names() == {"late"})


async def test_stopping_leaves_nothing_behind(world: World) -> None:
    """After stop and close there is no task and no connection to the server."""
    before = asyncio.all_tasks()
    await world.settle()
    await until(lambda: world.rig.watches() == 1)
    await world.nodes.stop()
    await world.gateway.close()
    ours = {t.get_name() for t in asyncio.all_tasks() - before}
    assert not [name for name in ours if name.startswith("reflector")]
    port = int(world.gateway._base.rpartition(":")[2])

    def established() -> list[object]:
        found = psutil.Process().net_connections("tcp")
        return [c for c in found if c.raddr and c.raddr.port == port and c.status == "ESTABLISHED"]

    await until(lambda: not established())


async def test_it_only_ever_reads(world: World) -> None:
    """Whatever happens, GET is the only method a server sees."""
    world.rig.put("a")
    world.rig.refuse("list", 503, times=2)
    world.rig.end("reset")
    await world.settle()
    await until(lambda: world.names() == {"a"} and world.rig.watches() >= 2)
    assert world.rig.methods() == {"GET"}
