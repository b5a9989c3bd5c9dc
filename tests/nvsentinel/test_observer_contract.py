"""What every observer does, asked of the fake and of the real one on a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel.test_observer import DEADLINE, World, until

from nvsx.core.errors import NotFound
from nvsx.core.ports import Observer
from nvsx.core.watches.snapshot import Needs


class Subject(NamedTuple):
    """An observer, a node it knows, and how a fault comes to that node."""

    observer: Observer
    node: str
    strike: Callable[[], object]
    listening: Callable[[], Awaitable[object]]


@pytest.fixture(params=["fake", "sandbox"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """One of the observers, with a healthy node."""
    if request.param == "fake":
        observer = fake.FakeObserver(fake.snapshot())

        def strike() -> None:
            sick = fake.node(conditions=[fake.condition()], cordoned=True)
            observer.set(fake.snapshot(of=sick, session=fake.session()))
            observer.incidents.append(fake.fault(session_key=fake.EVENT_ID))
            observer.add_fault(fake.fault())

        yield Subject(observer, fake.NODE, strike, observer.until_listening)
        return
    world = World("", 20.0, None, ahead=0.0)
    await world.start()
    hub = world.observer._hub
    yield Subject(
        world.observer, world.node, lambda: world.simulator.inject("xid-79"), hub.ready.wait
    )
    await world.stop()


async def test_follows_only_known_nodes(subject: Subject) -> None:
    """A known node has a snapshot at once, an unknown one is NotFound."""
    feed = await subject.observer.follow(subject.node, Needs())
    assert feed.current.node_name == subject.node
    assert feed.current.node is not None
    with pytest.raises(NotFound):
        await subject.observer.follow("gpu-node-nowhere", Needs())
    assert subject.node in await subject.observer.node_names()


async def test_a_fault_changes_the_snapshot_for_every_follower(subject: Subject) -> None:
    """Both followers come to see the session; one who asks with an old snapshot gets it now."""
    feeds = [await subject.observer.follow(subject.node, Needs()) for _ in range(2)]
    old = feeds[0].current
    subject.strike()
    for feed in feeds:
        seen = await until(feed, lambda s: s.session.open)
        assert seen[-1].session.key
    async with asyncio.timeout(DEADLINE):
        assert await feeds[0].changed(old) is feeds[0].current


async def test_a_fault_is_told_and_listed(subject: Subject) -> None:
    """A new fault is told to those who listen, and its node is then in an incident."""
    assert list(await subject.observer.nodes_in_incident()) == []
    faults = subject.observer.faults()
    feed = await subject.observer.follow(subject.node, Needs())
    async with asyncio.timeout(DEADLINE):
        await subject.listening()
        subject.strike()
        fault = await anext(faults)
    assert (fault.node, fault.event.check) == (subject.node, "SysLogsXIDError")
    key = (await until(feed, lambda s: s.session.open))[-1].session.key
    (listed,) = await subject.observer.nodes_in_incident()
    assert (listed.node, listed.session_key) == (subject.node, key)


async def test_closing_twice_is_safe(subject: Subject) -> None:
    """A feed can be closed again, and followed anew afterwards."""
    feed = await subject.observer.follow(subject.node, Needs())
    await feed.close()
    await feed.close()
    again = await subject.observer.follow(subject.node, Needs())
    assert again.current.node_name == subject.node


async def test_answers_about_the_cluster(subject: Subject) -> None:
    """An identity, evidence that is JSON, notes, and a missing prerequisite with words."""
    observer = subject.observer
    assert await observer.cluster_id()
    files = await observer.evidence(subject.node)
    assert files["node.json"].lstrip().startswith(b"{")
    feed = await observer.follow(subject.node, Needs())
    assert all(n.text for n in await observer.why(feed.current, "quarantine"))
    ready, detail = await observer.prerequisite("deployment", "nothing-such", "nvsentinel")
    assert not ready
    assert "nothing-such" in detail
