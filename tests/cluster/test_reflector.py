"""Finer points of the reflector, on the tiny server alone."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest
from tests.cluster.scripted import Sleeps, TinyServer, node
from tests.patience import patience, until

from nvsx.cluster import projections
from nvsx.cluster.gateway import DirectGateway
from nvsx.cluster.pace import Backoff
from nvsx.cluster.reflector import Reflector
from nvsx.core.watches.snapshot import Node


class Bench:
    def __init__(self) -> None:
        self.server = TinyServer()
        self.sleeps = Sleeps()

    async def open(self) -> None:
        await self.server.start()
        self.gateway = DirectGateway(self.server.url)
        self.nodes: Reflector[Node] = Reflector(
            self.gateway, "/api/v1/nodes", projections.decode_node, pace=self.sleeps.pace()
        )

    async def settle(self) -> None:
        await self.nodes.start()
        await asyncio.wait_for(self.nodes.settled(), patience(5))
        await until(lambda: self.server.open)

    async def close(self) -> None:
        await self.nodes.stop()
        await self.gateway.close()
        await self.server.stop()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A reflector of a tiny server's nodes, not yet started."""
    made = Bench()
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("size", [1, 3, 4096])
async def test_events_survive_any_chunking(bench: Bench, size: int) -> None:
    """Events cut anywhere, even inside a character, arrive whole."""
    bench.server.chunk = size
    await bench.settle()
    bench.server.put(node("knoten-ä", place="Köln – Süd 雪"))
    bench.server.put(node("big", text="x" * 3000))
    await until(lambda: len(bench.nodes) == 2, within=10)
    found, big = bench.nodes.get("knoten-ä"), bench.nodes.get("big")
    assert found is not None
    assert big is not None
    assert found.labels["place"] == "Köln – Süd 雪"
    assert big.labels["text"] == "x" * 3000


async def test_a_watch_asks_for_what_it_needs(bench: Bench) -> None:
    """A watch resumes from the list's version, asks for bookmarks and ends at a random time."""
    bench.server.put(node("a"))
    await bench.settle()
    asked = bench.server.watches()[0]
    assert asked["resourceVersion"] == str(bench.server.version)
    assert asked["allowWatchBookmarks"] == "true"
    assert 290 <= int(asked["timeoutSeconds"]) <= 590
    assert bench.server.lists()[0] == {"limit": "500"}


async def test_a_bookmark_moves_the_version_and_nothing_else(bench: Bench) -> None:
    """The next watch starts at the bookmark; no reader hears of it."""
    heard: list[str] = []
    bench.nodes.subscribe(lambda key, _old, _new: heard.append(key))
    await bench.settle()
    bench.server.bookmark()
    marked = bench.server.version
    await until(lambda: bench.nodes._version == str(marked))
    bench.server.end_watches()
    await until(lambda: len(bench.server.watches()) == 2)
    assert bench.server.watches()[1]["resourceVersion"] == str(marked)
    assert heard == []


async def test_an_error_event_is_not_a_node(bench: Bench) -> None:
    """An ERROR event other than 410 is reported in its own words, and the watch resumes."""
    errors: list[str] = []
    bench.nodes.on_status(lambda: errors.append(bench.nodes.error))
    await bench.settle()
    status = {"kind": "Status", "code": 500, "message": "etcd is unwell"}
    bench.server.say(json.dumps({"type": "ERROR", "object": status}).encode())
    await until(lambda: any("etcd is unwell" in e for e in errors))
    bench.server.put(node("a"))
    await until(lambda: len(bench.nodes) == 1)
    assert bench.nodes.error == ""
    assert len(bench.server.lists()) == 1


async def test_a_version_from_the_future_lists_again(bench: Bench) -> None:
    """A server restored from a backup knows less than we do: list again, do not wait."""
    await bench.settle()
    body = {"kind": "Status", "message": "Too large resource version: 9, current: 1"}
    bench.server.refusals.append(("watch", 504, body, {}))
    bench.server.end_watches()
    await until(lambda: len(bench.server.lists()) == 2)


async def test_an_equal_list_is_no_news(bench: Bench) -> None:
    """Listing again tells readers only what differs, and keeps the objects that do not."""
    bench.server.put(node("a"))
    bench.server.put(node("b"))
    await bench.settle()
    kept = bench.nodes.get("a")
    heard: list[str] = []
    bench.nodes.subscribe(lambda key, _old, _new: heard.append(key))
    bench.server.objects["b"]["metadata"]["labels"]["x"] = "1"
    bench.server.expire()
    bench.server.end_watches()
    await until(lambda: len(bench.server.lists()) == 2 and heard)
    assert heard == ["b"]
    assert bench.nodes.get("a") is kept


async def test_an_unreadable_object_does_not_hide_the_others(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """An object of the wrong shape is left out with a warning; the rest stays current."""
    bench.server.put(node("a"))
    bench.server.objects["odd"] = {"metadata": {"name": "odd", "labels": "not a map"}}
    await bench.settle()
    bench.server.say(b'{"type":"ADDED","object":{"metadata":{"labels":{}}}}')
    bench.server.put(node("b"))
    await until(lambda: len(bench.nodes) == 2)
    assert sum(r.levelno == logging.WARNING for r in caplog.records) == 2


async def test_garbage_in_the_stream_resumes(bench: Bench) -> None:
    """A complete line that is no event ends the watch, which resumes where it was."""
    await bench.settle()
    bench.server.say(b"<html>502 Bad Gateway</html>")
    await until(lambda: len(bench.server.watches()) == 2)
    bench.server.put(node("a"))
    await until(lambda: len(bench.nodes) == 1)
    assert len(bench.server.lists()) == 1


async def test_a_reader_that_fails_blinds_nobody(bench: Bench) -> None:
    """A callback that raises is logged; the others and the watch go on."""
    heard: list[str] = []

    def broken(_key: str, _old: Node | None, _new: Node | None) -> None:
        raise RuntimeError("a mistake in a reader")

    bench.nodes.subscribe(broken)
    bench.nodes.subscribe(lambda key, _old, _new: heard.append(key))
    await bench.settle()
    bench.server.put(node("a"))
    bench.server.put(node("b"))
    await until(lambda: heard == ["a", "b"])


async def test_a_list_that_is_no_json_is_reported(bench: Bench) -> None:
    """A login page instead of a list is one clear error, not a crash."""
    bench.server.refusals.append(("list", 200, {"items": "none"}, {}))
    await bench.nodes.start()
    await asyncio.wait_for(bench.nodes.settled(), patience(5))
    assert "is not a list" in bench.nodes.error
    await until(lambda: bench.nodes.synced and not bench.nodes.error)


async def test_last_seen_follows_the_bytes(bench: Bench) -> None:
    """Every chunk, bookmarks too, counts as a sign of life."""
    await bench.settle()
    before = bench.nodes.last_seen
    await asyncio.sleep(0.01)
    bench.server.bookmark()
    await until(lambda: bench.nodes.last_seen > before)


def test_backoff_grows_to_its_limit_and_honours_floors() -> None:
    """Waits double from the base to the limit, jitter within 50–100 %, never below a floor."""
    low, high = Backoff(1.0, 8.0, lambda: 0.0), Backoff(1.0, 8.0, lambda: 0.999)
    assert [low.next() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
    assert [round(high.next()) for _ in range(5)] == [1, 2, 4, 8, 8]
    assert low.next(30.0) == 30.0
    assert 30.0 < high.next(30.0) < 38.0
    low.reset()
    assert low.next() == 0.5
