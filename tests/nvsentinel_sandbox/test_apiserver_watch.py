"""Watches over HTTP: replay, expiry, bookmarks, selections, slow readers, and broken streams."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from tests.patience import patience

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.objects import ObjectStore

NODES = "/api/v1/nodes"
EVENTS = "/api/v1/namespaces/default/events"


def label(store: ObjectStore, name: str, **labels: str) -> None:
    """Give a node these labels only."""
    store.update("nodes", name, lambda o: o["metadata"].update(labels=labels))


async def collect(client: Any, path: str, count: int) -> list[tuple[str, str]]:
    """The first `count` events as (type, name); fails when they do not come in time."""
    found: list[tuple[str, str]] = []

    async def read() -> None:
        async for event in client.watch(path):
            found.append((event["type"], event["object"].get("metadata", {}).get("name", "")))
            if len(found) == count:
                return

    await asyncio.wait_for(read(), patience(10))
    return found


async def rest(client: Any, path: str) -> list[dict[str, Any]]:
    """All events until the server ends the stream."""

    async def read() -> list[dict[str, Any]]:
        return [event async for event in client.watch(path)]

    return await asyncio.wait_for(read(), patience(10))


async def test_replay_from_a_version(store: ObjectStore, client: Any) -> None:
    """A watch from a listed version sends everything that happened since, in order."""
    store.create("nodes", {"metadata": {"name": "old"}})
    version = (await client.get(NODES))["metadata"]["resourceVersion"]
    store.create("nodes", {"metadata": {"name": "new"}})
    label(store, "old", a="b")
    store.delete("nodes", "new")
    found = await collect(client, f"{NODES}?watch=true&resourceVersion={version}", 3)
    assert found == [("ADDED", "new"), ("MODIFIED", "old"), ("DELETED", "new")]


async def test_no_version_begins_with_what_is_there(store: ObjectStore, client: Any) -> None:
    """A watch without a version begins with synthetic ADDED events."""
    for name in ("a", "b"):
        store.create("nodes", {"metadata": {"name": name}})
    assert await collect(client, f"{NODES}?watch=1", 2) == [("ADDED", "a"), ("ADDED", "b")]


@pytest.mark.parametrize("cause", ["window", "compaction"])
async def test_too_old_a_version(
    api: ApiServer, store: ObjectStore, client: Any, cause: str
) -> None:
    """A version from before the window, or from before a compaction, is an ERROR 410 Expired."""
    store.create("nodes", {"metadata": {"name": "n"}})
    version = store.version
    for number in range(100 if cause == "window" else 1):
        label(store, "n", step=str(number))
    if cause == "compaction":
        api.expire()
    (event,) = await rest(client, f"{NODES}?watch=true&resourceVersion={version}")
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_quiet_kind_outlives_a_busy_one(store: ObjectStore, client: Any) -> None:
    """Changes of one kind do not age another kind's versions."""
    store.create("nodes", {"metadata": {"name": "n"}})
    version = store.version
    for number in range(100):
        store.create("events", {"metadata": {"name": f"e{number}"}})
    label(store, "n", a="b")
    found = await collect(client, f"{NODES}?watch=true&resourceVersion={version}", 1)
    assert found == [("MODIFIED", "n")]


async def test_timeout_ends_cleanly_with_a_bookmark(store: ObjectStore, client: Any) -> None:
    """timeoutSeconds ends a watch; with bookmarks the last one carries the current version."""
    path = f"{NODES}?watch=true&resourceVersion={store.version}&timeoutSeconds=1"
    assert await rest(client, path) == []
    events = await rest(client, f"{path}&allowWatchBookmarks=true")
    assert {e["type"] for e in events} == {"BOOKMARK"}
    assert events[-1]["object"]["kind"] == "Node"
    assert events[-1]["object"]["metadata"]["resourceVersion"] == str(store.version)


async def test_events_have_no_bookmarks(store: ObjectStore, client: Any) -> None:
    """A watch of Events gets no bookmarks, as on a real server."""
    query = f"watch=true&resourceVersion={store.version}&timeoutSeconds=1&allowWatchBookmarks=true"
    assert await rest(client, f"{EVENTS}?{query}") == []


async def test_streaming_list(store: ObjectStore, client: Any) -> None:
    """sendInitialEvents sends what is there, then the bookmark that says so."""
    store.create("nodes", {"metadata": {"name": "n"}})
    path = f"{NODES}?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=1"
    events = await rest(client, f"{path}&resourceVersionMatch=NotOlderThan")
    assert [e["type"] for e in events[:2]] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (await client.ask("GET", path))[0] == 422


async def test_selection_transitions(store: ObjectStore, client: Any) -> None:
    """An object that stops matching is DELETED as it last matched; one that starts is ADDED."""
    store.create("nodes", {"metadata": {"name": "n", "labels": {"team": "a"}}})
    version = store.version
    label(store, "n", team="b")
    left_at = store.version
    label(store, "n", team="a", x="y")
    label(store, "n", team="a", x="z")
    store.delete("nodes", "n")
    path = f"{NODES}?watch=true&labelSelector=team%3Da&timeoutSeconds=1&resourceVersion={version}"
    events = await rest(client, path)
    assert [e["type"] for e in events] == ["DELETED", "ADDED", "MODIFIED", "DELETED"]
    meta = events[0]["object"]["metadata"]
    assert (meta["labels"], meta["resourceVersion"]) == ({"team": "a"}, str(left_at))


async def test_field_selection(store: ObjectStore, client: Any) -> None:
    """A watch of one node's pods sees that node's pods only."""
    version = store.version
    for name, where in (("p1", "n1"), ("p2", "n2"), ("p3", "n1")):
        store.create("pods", {"metadata": {"name": name}, "spec": {"nodeName": where}})
    path = f"/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn1&resourceVersion={version}"
    assert await collect(client, path, 2) == [("ADDED", "p1"), ("ADDED", "p3")]


async def test_table_events(store: ObjectStore, client: Any) -> None:
    """A watch that asks for Tables gets a Table per event."""
    version = store.version
    store.create("nodes", {"metadata": {"name": "n"}})
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async for event in client.watch(f"{NODES}?watch=true&resourceVersion={version}", Accept=accept):
        assert event["object"]["kind"] == "Table"
        assert event["object"]["rows"][0]["cells"][0] == "n"
        break


async def test_a_stalled_watcher_holds_nobody_up(store: ObjectStore, client: Any) -> None:
    """While one watcher reads nothing, another gets every change; the stalled one is expired."""
    store.create("nodes", {"metadata": {"name": "n"}})
    path = f"{NODES}?watch=true&resourceVersion={store.version}"
    filler = "x" * 400_000

    async def change(steps: int) -> None:
        for number in range(steps):
            label(store, "n", step=str(number))
            store.update("nodes", "n", lambda o, n=number: o.update(spec={"n": n, "fill": filler}))  # type: ignore[misc]
            await asyncio.sleep(0)

    async with client.session.get(client.url + path, headers=client.headers) as stalled:
        await change(60)
        fresh = f"{NODES}?watch=true&resourceVersion={store.version}"
        brisk = asyncio.create_task(collect(client, fresh, 1))
        await asyncio.sleep(0)
        while not brisk.done():
            await change(1)
            await asyncio.sleep(0.01)
        assert (await brisk)[0][0] == "MODIFIED"
        last = (await asyncio.wait_for(stalled.content.read(), patience(10))).splitlines()[-1]
    assert json.loads(last)["object"]["reason"] == "Expired"


async def test_a_burst_reaches_many_watchers(store: ObjectStore, session: Any) -> None:
    """Every one of 20 watchers gets all 500 changes of a burst, each encoded once."""
    server = ApiServer(store)
    await server.start()
    store.create("nodes", {"metadata": {"name": "n"}})
    headers = {"Authorization": f"Bearer {server.token}"}
    url = f"{server.url}{NODES}?watch=true&resourceVersion={store.version}"

    async def count(answer: aiohttp.ClientResponse) -> int:
        seen = 0
        async for _ in answer.content:
            seen += 1
            if seen == 500:
                break
        return seen

    answers = [await session.get(url, headers=headers) for _ in range(20)]
    for number in range(500):
        label(store, "n", step=str(number))
    counts = await asyncio.wait_for(asyncio.gather(*map(count, answers)), patience(20))
    for answer in answers:
        answer.close()
    await server.stop()
    assert counts == [500] * 20


# --- broken streams ----------------------------------------------------------------------


async def test_close_at_once(api: ApiServer, store: ObjectStore, client: Any) -> None:
    """`close` ends the next watch cleanly before anything is sent, and only that one."""
    api.faults.end_watch("close", path=NODES)
    path = f"{NODES}?watch=true&resourceVersion={store.version}&timeoutSeconds=1"
    started = asyncio.get_running_loop().time()
    assert await rest(client, path) == []
    assert asyncio.get_running_loop().time() - started < 0.9
    store.create("nodes", {"metadata": {"name": "n"}})
    assert await collect(client, path, 1) == [("ADDED", "n")]
    assert api.faults.used == ["close"]


async def test_torn_line(api: ApiServer, store: ObjectStore, client: Any) -> None:
    """`tear` ends a watch cleanly in the middle of a line, after the events asked for."""
    for name in ("a", "b"):
        store.create("nodes", {"metadata": {"name": name}})
    api.faults.end_watch("tear", after=1)
    async with client.session.get(f"{client.url}{NODES}?watch=1", headers=client.headers) as answer:
        lines = (await answer.content.read()).split(b"\n")
    assert json.loads(lines[0])["object"]["metadata"]["name"] == "a"
    assert lines[1].startswith(b'{"type":"MODIFIED"')
    assert len(lines) == 2
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(lines[1])


async def test_reset(api: ApiServer, client: Any) -> None:
    """`reset` cuts the connection: the client sees an error, not an end."""
    api.faults.end_watch("reset")
    with pytest.raises((aiohttp.ClientError, ValueError)):
        await rest(client, f"{NODES}?watch=true")


async def test_silence(api: ApiServer, store: ObjectStore, client: Any) -> None:
    """`silent` keeps the connection open and sends nothing, whatever happens."""
    api.faults.end_watch("silent")
    path = f"{client.url}{NODES}?watch=true"
    async with client.session.get(path, headers=client.headers) as answer:
        store.create("nodes", {"metadata": {"name": "n"}})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.content.readany(), 0.3)
        api.end_watches()
        assert await asyncio.wait_for(answer.content.read(), patience(5)) == b""


async def test_gone_in_the_stream(api: ApiServer, client: Any) -> None:
    """`gone` sends an ERROR event with a 410 Status and ends."""
    api.faults.end_watch("gone")
    (event,) = await rest(client, f"{NODES}?watch=true")
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


@pytest.mark.parametrize("code", [401, 403, 410, 429, 500, 503, 504])
async def test_refusals(api: ApiServer, client: Any, code: int) -> None:
    """`refuse` answers with the status, for the path and verbs asked for, as often as asked."""
    api.faults.refuse(code, path=NODES, verbs=("watch",))
    assert await client.status(NODES) == 200
    assert await client.status(f"{EVENTS}?watch=true") == 200
    found = await client.ask("GET", f"{NODES}?watch=true")
    assert (found[0], found[1]["code"]) == (code, code)
    assert await client.status(f"{NODES}?watch=true") == 200


async def test_refuse_until_cleared(api: ApiServer, client: Any) -> None:
    """With times=-1 a refusal stays until it is cleared."""
    api.faults.refuse(503, times=-1)
    codes = [(await client.ask("GET", NODES))[0] for _ in range(3)]
    api.faults.clear()
    assert [*codes, (await client.ask("GET", NODES))[0]] == [503, 503, 503, 200]


async def test_expire_continue(api: ApiServer, store: ObjectStore, client: Any) -> None:
    """An armed continue fault answers the next page with 410, and a new list works."""
    for number in range(3):
        store.create("nodes", {"metadata": {"name": f"n{number}"}})
    api.faults.expire_continue()
    token = (await client.get(f"{NODES}?limit=2"))["metadata"]["continue"]
    assert (await client.ask("GET", f"{NODES}?limit=2&continue={token}"))[0] == 410
    token = (await client.get(f"{NODES}?limit=2"))["metadata"]["continue"]
    assert len((await client.get(f"{NODES}?limit=2&continue={token}"))["items"]) == 1


async def test_a_client_that_leaves_is_no_error(
    api: ApiServer, store: ObjectStore, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A watcher that goes away in the middle of a burst leaves nothing in the log."""
    path = f"{client.url}{NODES}?watch=true&resourceVersion={store.version}"
    answer = await client.session.get(path, headers=client.headers)
    store.create("nodes", {"metadata": {"name": "n"}, "spec": {"fill": "x" * 3_000_000}})
    await answer.content.readany()
    answer.close()
    for number in range(10):
        label(store, "n", step=str(number))
        await client.get(f"{NODES}?limit=1&labelSelector=none")
    assert caplog.records == []


async def test_stop_ends_open_watches(store: ObjectStore, session: Any) -> None:
    """Stopping the server ends open watches at once and cleanly."""
    server = ApiServer(store)
    await server.start()
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = await session.get(f"{server.url}{NODES}?watch=true", headers=headers)
    await asyncio.wait_for(server.stop(), patience(5))
    assert await answer.content.read() == b""
    answer.close()
