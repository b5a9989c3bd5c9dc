"""Which texts are a fault, and which faults are new: rows on both sides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake

from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import DirectGateway
from nvsx.core.watches.snapshot import Condition, Node
from nvsx.nvsentinel import messages, names, new_faults
from nvsx.nvsentinel.messages import Fragment

AT = 1_000_000.0


def parse(text: str) -> Fragment:
    """The one fault in a message."""
    (found,) = messages.parse_fragments(text)
    return found


@pytest.mark.parametrize(
    ("text", "codes", "entities", "words", "action", "truncated"),
    [
        ("ErrorCode:79", ("79",), (), "", "", True),
        ("ErrorCode:79... ", (), (), "", "", True),
        ("ErrorCode:79 GPU:3 PCI:0... ", ("79",), (("GPU", "3"),), "", "", True),
        ("GPU:3 lost Recommended Action=NONE", (), (("GPU", "3"),), "lost", "NONE", False),
        ("lost Recommended Action=RESTA...", (), (), "lost", "", True),
        ("see http://host:80/x Recommended Action=", (), (), "see http://host:80/x", "", False),
        ("http://host Recommended Action=NONE", (), (), "http://host", "NONE", False),
    ],
)
def test_a_fragment_gives_what_is_whole(
    text: str,
    codes: tuple[str, ...],
    entities: tuple[tuple[str, str], ...],
    words: str,
    action: str,
    truncated: bool,
) -> None:
    """What was cut off is left out, and only a whole action ends a fragment."""
    found = parse(text)
    assert (found.error_codes, found.entities) == (codes, entities)
    assert (found.text, found.action, found.truncated) == (words, action, truncated)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Fragment(("1",)), Fragment(("1",)), True),
        (Fragment(("1",)), Fragment(("2",)), False),
        (Fragment(("1",)), Fragment(("1", "2")), False),
        (Fragment(("1",), truncated=True), Fragment(("1", "2")), True),
        (Fragment(("1", "2")), Fragment(("1",), truncated=True), True),
        (Fragment(("3",), truncated=True), Fragment(("1", "2")), False),
        (Fragment(("1",), (("GPU", "1"),)), Fragment(("1",), (("GPU", "2"),)), False),
        (Fragment(("1",), text="a"), Fragment(("1",), text="b"), True),
        (Fragment((), (("GPU", "1"),), "a"), Fragment((), (("GPU", "1"),), "b"), True),
        (Fragment((), (), "a", truncated=True), Fragment((), (("GPU", "1"),), "b"), True),
        (Fragment((), (), "a", truncated=True), Fragment(("1",), (), "b"), True),
        (Fragment(text="abc"), Fragment(text="abc"), True),
        (Fragment(text="abc"), Fragment(text="ab"), False),
        (Fragment(text="ab...", truncated=True), Fragment(text="abc"), True),
        (Fragment(text="abc"), Fragment(text="ab..."), True),
        (Fragment(text="ab..."), Fragment(text="abc"), True),
        (Fragment(text="ab", truncated=True), Fragment(text="b"), False),
        (Fragment(text="xb..."), Fragment(text="abc"), False),
    ],
)
def test_the_same_fault_though_cut(one: Fragment, other: Fragment, same: bool) -> None:
    """Codes and entities decide; the text does where there are neither; a cut one matches as
    far as it goes."""
    assert messages.same_fault(one, other) == same


@pytest.mark.parametrize(
    ("message", "count"),
    [
        ("", 0),
        ("...", 0),
        ("No Health Failures", 0),
        (";;", 0),
        ("a;", 1),
        ("a;...", 1),
        ("a;b;", 2),
    ],
)
def test_how_many_faults_a_message_has(message: str, count: int) -> None:
    """Nothing, the cut mark and the healthy sentence are no faults."""
    assert len(messages.parse_fragments(message)) == count


@pytest.mark.parametrize(
    ("reason", "status", "check", "unhealthy"),
    [
        ("XIsNotHealthy", "True", True, True),
        ("XIsNotHealthy", "Unknown", True, False),
        ("XIsHealthy", "False", True, False),
        ("YIsNotHealthy", "True", False, False),
    ],
)
def test_a_condition_of_nvsentinels_is_known_by_its_reason(
    reason: str, status: str, check: bool, unhealthy: bool
) -> None:
    """Its reason is made from its type, and only True is a fault."""
    condition = Condition("X", status, reason)
    assert messages.is_check(condition) == check
    assert messages.is_unhealthy(condition) == unhealthy


@pytest.mark.parametrize(("heartbeat", "at"), [(AT + 5, AT + 5), (0.0, AT)])
def test_a_fault_has_the_newest_time_of_its_condition(heartbeat: float, at: float) -> None:
    """The heartbeat is the newest event's; without one the transition has to do."""
    condition = fake.condition(transition=AT, heartbeat=heartbeat)
    found = messages.event_of_fragment("n", condition, Fragment())
    assert (found.generated_at, found.action, found.fatal) == (at, "UNKNOWN", True)


@pytest.mark.parametrize(
    ("kind", "reason", "counts"),
    [("Node", "XIsNotHealthy", True), ("Pod", "XIsNotHealthy", False), ("Node", "Other", False)],
)
def test_an_event_of_a_check_is_about_a_node(kind: str, reason: str, counts: bool) -> None:
    """Both the kind and the reason that its type makes are needed."""
    event = msgspec.structs.replace(fake.node_event("X", reason), kind=kind)
    assert messages.is_check_event(event) == counts


@pytest.mark.parametrize(
    ("message", "words", "action"),
    [
        ("No Health Failures", "No Health Failures", "NONE"),
        ("hot Recommended Action=X", "hot", "X"),
    ],
)
def test_an_event_without_a_fragment_keeps_its_words(message: str, words: str, action: str) -> None:
    """Nothing can be read out of it: the message is the text."""
    found = messages.event_of_kubernetes_event(fake.node_event("X", "XIsNotHealthy", message))
    assert (found.message, found.action) == (words, action)


@pytest.mark.parametrize(
    ("message", "pods", "at"),
    [
        ("waits for [a b, c/d] in namespace: [ml]", ("ml/a", "ml/b", "c/d"), 0.0),
        ("waits for [ml/a]", ("ml/a",), 0.0),
        ("waits for []", (), 0.0),
        ("waits", (), 0.0),
        ("[a] in namespace ml force deleted on: 1970-01-01T00:00:10Z.", ("ml/a",), 10.0),
    ],
)
def test_what_a_drain_waits_for(message: str, pods: tuple[str, ...], at: float) -> None:
    """Pods with their namespace, and the time of the deletion where there is one."""
    wait = messages.parse_drain_wait(fake.node_event("NodeDraining", "Awaiting", message))
    assert wait is not None
    assert (wait.pods, wait.force_delete_at) == (pods, at)


def sick(message: str = "ErrorCode:1 a Recommended Action=NONE;", **changes: Any) -> Node:
    """A node with one unhealthy check."""
    return fake.node(conditions=[fake.condition(message=message, **changes)])


def found(old: Node | None, new: Node) -> list[tuple[tuple[str, ...], str]]:
    """The codes and session keys of the new faults."""
    faults = new_faults.find_new_faults(old, new, lambda _: "key")
    return [(f.event.error_codes, f.session_key) for f in faults]


def test_another_checks_fault_is_new() -> None:
    """The same code of another check is another fault, and an unchanged one is none."""
    one = fake.condition(message="ErrorCode:1 a Recommended Action=NONE;")
    two = msgspec.structs.replace(one, type="GpuMemWatch", reason="GpuMemWatchIsNotHealthy")
    assert found(fake.node(conditions=[one]), fake.node(conditions=[one, two])) == [(("1",), "")]
    assert found(fake.node(conditions=[one, two]), fake.node(conditions=[one, two])) == []


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        (None, '[{"checkName": "X", "id": "a"}]', 1),
        ("", '[{"checkName": "X", "id": "a"}]', 1),
        ('[{"checkName": "X", "id": "a"}]', '[{"checkName": "X", "id": "a"}]', 0),
        (
            '[{"checkName": "X", "id": "a"}]',
            '[{"checkName": "X", "id": "a"}, {"checkName": "X", "id": "b"}]',
            1,
        ),
        ('[{"checkName": "X", "id": "a"}]', "[]", 0),
        ('[{"checkName": "X", "id": "a"}]', "", 0),
    ],
)
def test_an_event_that_joins_the_annotation_is_new(old: str | None, new: str, count: int) -> None:
    """What was listed before is not, and an empty list has none."""
    before = None if old is None else fake.node(annotations={names.QUARANTINE_ANNOTATION: old})
    after = fake.node(annotations={names.QUARANTINE_ANNOTATION: new})
    assert [key for _, key in found(before, after)] == ["key"] * count


def test_the_newest_condition_is_the_fault_that_was_there() -> None:
    """By heartbeat, else by transition; its last fragment, its own transition."""
    one = fake.condition(check="A", heartbeat=AT + 5, transition=AT)
    two = fake.condition(check="B", heartbeat=0.0, transition=AT + 3)
    three = fake.condition(healthy=True, check="C", at=AT + 99)
    fault = new_faults.find_existing_fault(fake.node(conditions=[two, one, three]))
    assert fault is not None
    assert (fault.event.check, fault.since) == ("A", AT)
    last = new_faults.find_existing_fault(sick("ErrorCode:1 a;ErrorCode:2 b;"))
    assert last is not None
    assert last.event.error_codes == ("2",)
    bare = new_faults.find_existing_fault(sick(""))
    assert bare is not None
    assert bare.event.error_codes == ()


@pytest.mark.parametrize(
    ("pause", "told"), [(new_faults.EPISODE, True), (new_faults.EPISODE - 1, False)]
)
async def test_ten_minutes_of_silence_make_an_episode(pause: float, told: bool) -> None:
    """An Event that comes again within ten minutes is the same episode."""
    assert new_faults.EPISODE == 600.0
    hub = new_faults.FaultHub(Cluster(DirectGateway("http://127.0.0.1:9", "")), lambda _: "")
    stream = new_faults.FaultStream()
    hub._streams.add(stream)
    hub._events_known = True
    event = fake.node_event("X", "XIsNotHealthy", at=AT)
    hub._event_changed("k", event, msgspec.structs.replace(event, last=AT + pause))
    hub._event_changed("k", None, fake.node_event("X", "Other"))
    assert stream._queue.qsize() == told
    await hub.close()


@pytest.mark.parametrize("known", [True, False])
async def test_what_is_listed_first_is_not_new(known: bool) -> None:
    """Until all nodes were listed nothing is new; a node that goes is no fault."""
    hub = new_faults.FaultHub(Cluster(DirectGateway("http://127.0.0.1:9", "")), lambda _: "")
    stream = new_faults.FaultStream()
    hub._streams.add(stream)
    hub._nodes_known = known
    hub._node_changed("n", None, sick())
    hub._node_changed("n", sick(), None)
    assert stream._queue.qsize() == known
    await hub.close()


async def test_a_hub_gives_back_what_it_follows() -> None:
    """Closed, it follows neither nodes nor Events; until they are listed nothing is new."""
    cluster = Cluster(DirectGateway("http://127.0.0.1:9", ""))
    hub = new_faults.FaultHub(cluster, lambda _: "")
    stream = hub.listen()
    assert hub._started is not None
    await hub._started
    assert len(cluster.health()) == 2
    hub._node_changed("n", None, sick())
    assert (stream._queue.qsize(), hub.ready.is_set()) == (0, False)
    await hub.close()
    assert cluster.health() == ()
    await cluster.close()


async def test_a_hub_can_be_closed_while_it_starts() -> None:
    """Closing in the same moment cancels the start and raises nothing."""
    cluster = Cluster(DirectGateway("http://127.0.0.1:9", ""))
    hub = new_faults.FaultHub(cluster, lambda _: "")
    hub.listen()
    await hub.close()
    await cluster.close()
