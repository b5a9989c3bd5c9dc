"""What a daemon tells people: what it hears of, and what it finds when it begins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.core.notify.test_judging import at_work, over
from tests.fakes.fake_outbox import FakeOutbox

from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.notify.message import Message
from nvsx.core.notify.order import Receipt
from nvsx.core.notify.outbox import Addressed, AddressedTarget, Delivery, DeliveryChange
from nvsx.core.notify.subject import StormMember, StormView, Subject
from nvsx.core.routing.inbox import Silence
from nvsx.notify.telling import Telling
from nvsx.serve.daemon_voice import DaemonVoice, note_deliveries
from nvsx.serve.incident_publisher import IncidentNews
from nvsx.serve.metrics import Metrics


class FakeSpeaker:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bool]] = []
        self.again: list[str] = []
        self.is_silenced: Callable[[str], bool] = lambda _node: False

    def hear(self, incident: str, state: IncidentState) -> None:
        self.heard.append((incident, state.ended is not None))

    def look_again(self, node: str) -> None:
        self.again.append(node)


class FakeKeeper:
    """Open incidents, and one listener."""

    def __init__(self, **incidents: IncidentState) -> None:
        self.open_incidents = list(incidents.items())
        self.tell: Callable[[IncidentNews], None] = lambda _news: None

    def listen(self, listener: Callable[[IncidentNews], None]) -> None:
        self.tell = listener


def make_voice(subjects: Any = None) -> tuple[DaemonVoice, FakeSpeaker, FakeOutbox, Metrics]:
    """A voice with fakes all around it."""
    speaker, outbox, metrics = FakeSpeaker(), FakeOutbox(), Metrics()

    async def ask(subject: str) -> Subject:
        found = (subjects or {}).get(subject)
        if isinstance(found, StormView):
            return Subject(subject=subject, storm=found)
        return Subject(subject=subject, incident=found)

    telling = Telling(None, None, speaker, outbox, ask)  # type: ignore[arg-type]
    return DaemonVoice(telling, metrics, "c-1"), speaker, outbox, metrics


async def open_page(outbox: FakeOutbox, incident: str) -> None:
    """A page of an incident is open at the pager."""
    message = Message(call=f"c/{incident}", kind="page", title="x", incident=incident)
    target = AddressedTarget(name="oncall", kind="pagerduty")
    [row] = await outbox.accept([Addressed(message=message, targets=(target,))], 1.0)
    receipt = Receipt(target="oncall", kind="pagerduty", action="open page", account="…1")
    opened = DeliveryChange(
        number=row.number, state="delivered", action="open page", role="watch", receipt=receipt
    )
    await outbox.settle([opened], 1.0)


async def test_what_is_open_is_spoken_of_from_the_start() -> None:
    """Also when nothing changes: somebody may wait for people."""
    voice, speaker, _, _ = make_voice()
    await voice.take_up_incidents(FakeKeeper(i1=at_work()))  # type: ignore[arg-type]
    assert speaker.heard == [("i1", False)]


async def test_a_page_that_outlived_its_incident_is_closed() -> None:
    """Another process saw the end and was killed before it closed anything."""
    voice, speaker, outbox, _ = make_voice({"i-old": over(), "i-new": at_work()})
    await open_page(outbox, "i-old")
    await open_page(outbox, "i-new")
    await voice.take_up_incidents(FakeKeeper())  # type: ignore[arg-type]
    assert speaker.heard == [("i-old", True)]


@pytest.mark.parametrize("is_over", [True, False])
async def test_a_storms_page_that_outlived_its_last_member_is_closed(is_over: bool) -> None:
    """By speaking of a member; while one of them is open the storm is nobody's to end."""
    members = (
        StormMember(incident="i-1", node="gpu-1", is_over=True),
        StormMember(incident="i-2", node="gpu-2", is_over=is_over),
    )
    storm = StormView(storm="s-1", key="s", members=members)
    voice, speaker, outbox, _ = make_voice({"s-1": storm, "i-1": over()})
    await open_page(outbox, "s-1")
    await voice.take_up_incidents(FakeKeeper())  # type: ignore[arg-type]
    assert speaker.heard == ([("i-1", True)] if is_over else [])


async def test_an_incident_that_was_forgotten_stops_nothing() -> None:
    """Its page is open and its story is gone: an orphan, listed elsewhere."""
    voice, speaker, outbox, _ = make_voice()
    await open_page(outbox, "i-gone")
    await voice.take_up_incidents(FakeKeeper(i1=at_work()))  # type: ignore[arg-type]
    assert speaker.heard == [("i1", False)]


async def test_what_the_keeper_finds_at_its_first_look_is_heard() -> None:
    """An incident that ended while nvsx was down is told as over."""
    voice, speaker, _, _ = make_voice()
    keeper = FakeKeeper()
    voice.listen_to(keeper)  # type: ignore[arg-type]
    keeper.tell(IncidentNews("i-1", "gpu-1", at_work(), over(), ()))
    assert speaker.heard == [("i-1", True)]


def test_a_silence_that_ends_lets_nvsx_speak_again() -> None:
    """Of that node, and once."""
    voice, speaker, _, _ = make_voice()

    def silence(node: str, cluster: str = "") -> Silence:
        return Silence(cluster=cluster, node=node, until=1e9, reason="", by="me", created=0.0)

    voice.heed_silences([silence("gpu-1", "c-1"), silence("gpu-2"), silence("gpu-3", "c-other")])
    assert speaker.is_silenced("gpu-1")
    assert not speaker.is_silenced("gpu-3")
    voice.heed_silences([silence("gpu-2")])
    assert not speaker.is_silenced("gpu-1")
    assert speaker.is_silenced("gpu-2")
    assert speaker.again == ["gpu-1"]


async def test_the_age_of_the_oldest_undelivered_page_is_a_figure() -> None:
    """A post does not count, nor a fallback that waits for its turn."""
    voice, _, outbox, metrics = make_voice()
    for number, (kind, fallback) in enumerate((("post", False), ("page", True), ("page", False))):
        target = AddressedTarget(name="t", kind="", fallback=fallback)
        message = Message(call=f"c/{number}", kind=kind)  # type: ignore[arg-type]
        await outbox.accept([Addressed(message=message, targets=(target,))], 100.0 + number)
    await voice.read_waiting(112.0)
    text = generate_latest(metrics.registry).decode()
    assert "nvsx_messages_waiting 3.0" in text
    assert "nvsx_oldest_undelivered_page_seconds 10.0" in text


@pytest.mark.parametrize(
    ("state", "tries", "reason", "loud"),
    [
        ("delivered", 1, "", False),
        ("dropped", 0, "it is over", False),
        ("waiting", 0, "held", False),
        ("waiting", 1, "503", True),
        ("given up", 3, "404", True),
    ],
)
def test_what_nobody_was_told_is_loud(
    state: Any, tries: int, reason: str, loud: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """With the vendor's own reason; what is merely held back is not."""
    message = Message(call="c", kind="page", title="off the bus")
    row = Delivery(
        number=1, target="oncall", kind="pagerduty", message=message,
        state=state, tries=tries, reason=reason,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        note_deliveries(Metrics(), [row])
    assert [reason in r.getMessage() for r in caplog.records] == ([True] if loud else [])


def test_every_try_is_counted() -> None:
    """By target and by what became of it; a message that is only held is no try."""
    metrics = Metrics()
    message = Message(call="c", kind="page")
    rows = [
        Delivery(number=1, target="oncall", kind="", message=message, state="delivered"),
        Delivery(number=2, target="oncall", kind="", message=message, tries=1),
        Delivery(number=3, target="oncall", kind="", message=message),
        Delivery(number=4, target="", kind="", message=message, state="given up"),
    ]
    note_deliveries(metrics, rows)
    text = generate_latest(metrics.registry).decode()
    assert 'nvsx_messages_total{outcome="delivered",target="oncall"} 1.0' in text
    assert 'nvsx_messages_total{outcome="failed",target="oncall"} 1.0' in text
    assert 'nvsx_messages_total{outcome="given_up",target="nobody"} 1.0' in text
