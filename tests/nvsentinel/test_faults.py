import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel import fixtures as f

from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import DirectGateway
from nvsx.core.watches.snapshot import Node
from nvsx.nvsentinel import new_faults

ONE = "ErrorCode:79 PCI:0000:b3:00 gone Recommended Action=RESTART_BM;"
TWO = "ErrorCode:48 GPU:3 double bit error Recommended Action=COMPONENT_RESET;"


def sick(message: str, at: float = fake.AT) -> Node:
    """A node whose SysLogsXIDError says `message`."""
    return fake.node(conditions=[fake.condition(message=message, heartbeat=at)])


def codes(old: Node | None, new: Node) -> list[tuple[str, ...]]:
    """The error codes of the new faults."""
    return [
        fault.event.error_codes for fault in new_faults.find_new_faults(old, new, lambda _: "key")
    ]


def test_a_new_fragment_is_a_new_fault() -> None:
    """Only the fragment that joined is told, with the heartbeat as its time."""
    before, after = sick(ONE), sick(ONE + TWO, fake.AT + 60)
    (fault,) = new_faults.find_new_faults(before, after, lambda _: "")
    assert fault.event.error_codes == ("48",)
    assert fault.event.generated_at == fake.AT + 60
    assert fault.event.action == "COMPONENT_RESET"
    assert fault.session_key == ""


def test_repeats_are_not_new() -> None:
    """A newer heartbeat, another order, or a cut message report the same faults again."""
    assert codes(sick(ONE + TWO), sick(ONE + TWO, fake.AT + 60)) == []
    assert codes(sick(ONE + TWO), sick(TWO + ONE)) == []
    assert codes(sick(ONE + TWO), sick((ONE + TWO)[:-20] + "...")) == []
    assert codes(sick((ONE + TWO)[:-20] + "..."), sick(ONE + TWO)) == []


def test_a_fault_that_comes_back_is_new() -> None:
    """Healthy in between: the same code is told again."""
    healthy = fake.node(conditions=[fake.condition(healthy=True)])
    assert codes(sick(ONE), healthy) == []
    assert codes(healthy, sick(ONE)) == [("79",)]
    assert codes(None, sick(ONE)) == [("79",)]


def test_annotation_events_carry_the_session() -> None:
    """An event that joins the annotation is told with the session's key, once."""
    before, after = f.node("detected"), f.node("quarantined")
    (fault,) = new_faults.find_new_faults(before, after, lambda _: f.KEY)
    assert (fault.event.id, fault.session_key) == (f.KEY, f.KEY)
    assert new_faults.find_new_faults(after, f.node("draining"), lambda _: f.KEY) == []


def test_existing_is_the_newest_fault_not_given_up_on() -> None:
    """The newest unhealthy condition; none after a manual uncordon."""
    found = new_faults.find_existing_fault(f.node("detected"))
    assert found is not None
    assert found.event.error_codes == ("79",)
    shown = f.node("detected").condition("SysLogsXIDError")
    assert shown is not None
    assert found.since == shown.transition
    assert new_faults.find_existing_fault(f.node("healthy")) is None
    assert new_faults.find_existing_fault(f.node("alt_manual_uncordon")) is None


async def test_an_event_counts_again_after_a_pause() -> None:
    """NVSentinel bumps one Event: repeats are the same episode, after ten minutes it is new."""
    cluster = Cluster(DirectGateway("http://127.0.0.1:9", ""))
    hub = new_faults.FaultHub(cluster, lambda _: "")
    stream = new_faults.FaultStream()
    hub._streams.add(stream)
    thermal = f.event("GpuThermalWatchIsNotHealthy")
    later = msgspec.structs.replace(thermal, last=thermal.last + 15, count=4)
    again = msgspec.structs.replace(thermal, last=later.last + new_faults.EPISODE, count=5)
    hub._event_changed("k", None, thermal)
    assert stream._queue.empty()  # there before the baseline: not new
    hub._events_known = True
    for old, new in ((None, thermal), (thermal, later), (later, again), (again, None)):
        hub._event_changed("k", old, new)
    assert [stream._queue.get_nowait().event.generated_at for _ in range(2)] == [
        thermal.last,
        again.last,
    ]
    assert stream._queue.empty()
    await hub.close()


async def test_a_hub_gives_back_what_it_had_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed after the nodes were listed and before the Events were."""
    cluster = Cluster(DirectGateway("http://127.0.0.1:9", ""))
    given_back: list[object] = []

    async def release(reflector: object) -> None:
        given_back.append(reflector)

    monkeypatch.setattr(cluster, "release", release)
    hub = new_faults.FaultHub(cluster, lambda _: "")
    nodes = object()
    monkeypatch.setattr(hub, "_nodes", nodes)
    await hub.close()
    assert given_back == [nodes]
