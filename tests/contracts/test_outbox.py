"""What every Outbox does, whichever way it stores: run on the fake and on SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.fakes.fake_incidents import FakeIncidents
from tests.fakes.fake_outbox import FakeOutbox

from nvsx.core.incident.incident_events import (
    IncidentEnded,
    IncidentOpened,
    PeopleTold,
)
from nvsx.core.incident.incident_store import IncidentStore
from nvsx.core.notify.message import Message, MessageKind
from nvsx.core.notify.order import OrderAction, Receipt
from nvsx.core.notify.outbox import (
    CLOCK_WENT_BACK,
    TRY_LIMIT,
    Addressed,
    AddressedTarget,
    Delivery,
    DeliveryChange,
    Outbox,
    OutboxFilter,
    PageRole,
)
from nvsx.store import incidents_of, open_store, outbox_of
from nvsx.store.sqlite_journal import SqliteJournal

GPU_OPS = AddressedTarget(name="gpu-ops", kind="slack")
ONCALL = AddressedTarget(name="oncall", kind="pagerduty")


class Kept:
    """An outbox with its incidents, another process's view of the same, and two living owners."""

    def __init__(
        self,
        outbox: Outbox,
        incidents: IncidentStore,
        owner: str,
        again: Callable[[], tuple[Outbox, str]],
        kill: Callable[[], None],
    ) -> None:
        self.outbox = outbox
        self.incidents = incidents
        self.owner = owner
        self.again = again
        self.kill = kill

    async def begin_incident(self, node: str = "n1") -> str:
        """Open an incident on a node; its id."""
        opened = IncidentOpened(key=f"k-{node}", node=node, by="fault")
        return (await self.incidents.append("c1", node, 0, (opened,), 50.0)).stored.open_id


@pytest.fixture(params=["fake", "sqlite"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    """An outbox of each kind. `kill` ends its first owner."""
    if request.param == "fake":
        incidents = FakeIncidents()
        fake = FakeOutbox(incidents)
        yield Kept(fake, incidents, "a", lambda: (fake, "b"), lambda: fake.dead.add("a"))
        return
    opened: list[SqliteJournal] = [open_store(tmp_path / "state")]

    def again() -> tuple[Outbox, str]:
        opened.append(open_store(tmp_path / "state"))
        return outbox_of(opened[-1]), opened[-1].owner

    first = opened[0]
    yield Kept(outbox_of(first), incidents_of(first), first.owner, again, first.close)
    for journal in opened:
        journal.close()


def message(call: str = "k/1", kind: MessageKind = "post", incident: str = "") -> Message:
    """One message, `k/1` by default."""
    return Message(call=call, kind=kind, title=f"title of {call}", incident=incident, node="n1")


async def accept(
    kept: Kept, one: Message, *targets: AddressedTarget, at: float = 100.0
) -> list[Delivery]:
    """Store one message for these targets."""
    return list(await kept.outbox.accept([Addressed(message=one, targets=targets)], at))


def receipt(account: str = "…1234") -> Receipt:
    """The receipt of a page, sent with the key of that name."""
    return Receipt(
        target="oncall", kind="pagerduty", action="page", ref="dk-1", t=110.0, account=account
    )


def delivered(
    number: int,
    action: OrderAction = "post",
    role: PageRole = "",
    account: str = "…1234",
) -> DeliveryChange:
    """A try that the vendor took."""
    return DeliveryChange(
        number=number, state="delivered", action=action, role=role, receipt=receipt(account)
    )


async def test_a_message_waits_at_each_of_its_targets(kept: Kept) -> None:
    """Numbers grow over messages, a fallback is due later, and another process reads the same."""
    late = AddressedTarget(name="dc-hands", kind="pagerduty", fallback=True, after=120.0)
    first = await accept(kept, message("k/1"), GPU_OPS)
    second = await accept(kept, message("k/2", "page"), ONCALL, late)
    found = [*first, *second]
    assert [(d.number, d.target, d.kind, d.fallback, d.due) for d in found] == [
        (1, "gpu-ops", "slack", False, 100.0),
        (2, "oncall", "pagerduty", False, 100.0),
        (3, "dc-hands", "pagerduty", True, 220.0),
    ]
    assert {(d.state, d.accepted, d.tries, d.begun, d.unsure) for d in found} == {
        ("waiting", 100.0, 0, None, False)
    }
    assert second[0].message == message("k/2", "page")
    other, _ = kept.again()
    assert list(await other.deliveries(OutboxFilter())) == found


async def test_a_call_that_is_known_is_not_stored_again(kept: Kept) -> None:
    """It gives what it has already, settled or not, whatever targets are named now."""
    [first] = await accept(kept, message("k/1"), GPU_OPS)
    await kept.outbox.begin_try([first.number], kept.owner, 101.0)
    settled = await kept.outbox.settle([delivered(first.number)], 102.0)
    again = await accept(kept, message("k/1"), GPU_OPS, ONCALL, at=200.0)
    assert again == list(settled) == list(await kept.outbox.of_call("k/1"))
    assert await kept.outbox.deliveries(OutboxFilter()) == again


async def test_one_accept_keeps_the_order_of_its_list(kept: Kept) -> None:
    """Known and new calls beside each other; one given twice is stored once."""
    await accept(kept, message("k/2"), GPU_OPS)
    calls = ("k/1", "k/2", "k/1")
    given = [Addressed(message=message(c), targets=(GPU_OPS,)) for c in calls]
    found = await kept.outbox.accept(given, 100.0)
    assert [(d.message.call, d.number) for d in found] == [("k/1", 2), ("k/2", 1), ("k/1", 2)]


async def test_an_unknown_call_has_no_deliveries(kept: Kept) -> None:
    """It is not an error: nobody has asked yet."""
    assert list(await kept.outbox.of_call("nobody")) == []


async def test_due_are_pages_first_and_then_the_oldest(kept: Kept) -> None:
    """A delivery is due at its time, and not a moment earlier."""
    await accept(kept, message("k/1"), GPU_OPS, at=100.0)
    await accept(kept, message("k/2"), GPU_OPS, at=90.0)
    await accept(kept, message("k/3", "page"), ONCALL, at=105.0)

    async def due(now: float, limit: int = 200) -> list[str]:
        return [d.message.call for d in await kept.outbox.due(now, limit)]

    assert await due(104.9) == ["k/2", "k/1"]
    assert await due(105.0) == ["k/3", "k/2", "k/1"]
    assert await due(105.0, limit=1) == ["k/3", "k/2"]


async def test_what_waits_for_one_target_hides_nothing_of_another(kept: Kept) -> None:
    """The limit is each target's: three hundred posts for one that is down are no wall."""
    for number in range(4):
        await accept(kept, message(f"k/{number}"), GPU_OPS, at=100.0)
    await accept(kept, message("k/page", "page"), ONCALL, at=200.0)
    found = await kept.outbox.due(200.0, 3)
    assert [d.message.call for d in found] == ["k/page", "k/0", "k/1", "k/2"]


async def test_a_clock_that_went_back_holds_nothing_up(kept: Kept) -> None:
    """What was put off by a clock that was far ahead is due; by a little, it waits."""
    [one] = await accept(kept, message(), GPU_OPS, at=100_000.0)
    later = DeliveryChange(number=one.number, state="waiting", due=100_300.0, tried=False)
    await kept.outbox.settle([later], 100_000.0)
    assert list(await kept.outbox.due(100_000.0 - CLOCK_WENT_BACK)) == []
    assert len(await kept.outbox.due(100_000.0 - CLOCK_WENT_BACK - 1)) == 1


async def test_a_try_is_taken_by_one_owner_alone(kept: Kept) -> None:
    """While its owner lives nobody else gets it, and it is not due; the owner itself may."""
    other, beside = kept.again()
    [one] = await accept(kept, message(), GPU_OPS)
    assert list(await kept.outbox.begin_try([1], kept.owner, 101.0)) == [one]
    assert list(await other.begin_try([1], beside, 102.0)) == []
    assert list(await other.due(102.0)) == list(await kept.outbox.due(102.0)) == []
    assert [d.number for d in await kept.outbox.begin_try([1], kept.owner, 103.0)] == [1]


async def test_a_try_that_was_killed_is_taken_over_and_unsure(kept: Kept) -> None:
    """Between begin and settle nobody knows whether the request has arrived."""
    other, beside = kept.again()
    await accept(kept, message(), GPU_OPS)
    await kept.outbox.begin_try([1], kept.owner, 101.0)
    kept.kill()
    [due] = await other.due(102.0)
    assert (due.begun, due.unsure, due.tries) == (101.0, True, 0)
    [taken] = await other.begin_try([1], beside, 102.0)
    assert (taken.begun, taken.unsure) == (101.0, True)
    sure = DeliveryChange(number=1, state="waiting", due=110.0, reason="503")
    [settled] = await other.settle([sure], 103.0)
    assert (settled.begun, settled.unsure, settled.tries) == (None, True, 1)


@pytest.mark.parametrize(("after", "taken"), [(TRY_LIMIT, 0), (TRY_LIMIT + 0.1, 1)])
async def test_a_try_that_is_too_old_to_live_is_taken_over(
    kept: Kept, after: float, taken: int
) -> None:
    """Whoever began it: no request lasts so long."""
    other, beside = kept.again()
    await accept(kept, message(), GPU_OPS)
    await kept.outbox.begin_try([1], kept.owner, 101.0)
    assert len(await other.due(101.0 + after)) == taken
    assert len(await other.begin_try([1], beside, 101.0 + after)) == taken


async def test_a_try_that_failed_waits_for_the_next(kept: Kept) -> None:
    """With its reason; sure or unsure as the target says, and once unsure always."""
    await accept(kept, message(), GPU_OPS)
    for at, unsure, known in ((101.0, False, False), (111.0, True, True), (121.0, False, True)):
        await kept.outbox.begin_try([1], kept.owner, at)
        change = DeliveryChange(number=1, state="waiting", due=at + 10, reason="429", unsure=unsure)
        [row] = await kept.outbox.settle([change], at)
        assert (row.reason, row.due, row.begun, row.unsure) == ("429", at + 10, None, known)
    assert row.tries == 3


async def test_what_may_have_arrived_stays_what_it_was(kept: Kept) -> None:
    """A page of /people that was cut is so after further tries that say nothing of it."""
    await accept(kept, message("k/1", "page"), ONCALL)
    cut = DeliveryChange(
        number=1, state="waiting", role="people", action="open page", key="n/people", unsure=True
    )
    await kept.outbox.settle([cut], 101.0)
    [row] = await kept.outbox.settle([DeliveryChange(number=1, state="waiting")], 102.0)
    assert (row.role, row.action, row.key, row.unsure) == ("people", "open page", "n/people", True)
    [row] = await kept.outbox.settle([DeliveryChange(number=1, state="dropped")], 103.0)
    assert (row.state, row.unsure) == ("dropped", True)


async def test_what_is_sent_is_marked_before_it_leaves(kept: Kept) -> None:
    """Whoever takes over a cut try knows what it may have opened; a sure failure leaves no mark."""
    other, beside = kept.again()
    await accept(kept, message("k/1", "page"), ONCALL)
    await accept(kept, message("k/2", "page"), ONCALL)
    await kept.outbox.begin_try([1], kept.owner, 101.0)
    await kept.outbox.mark_try([1], "open page", "watch", "n/watch")
    kept.kill()
    [taken] = await other.begin_try([1], beside, 102.0)
    assert (taken.role, taken.action, taken.key, taken.unsure) == (
        "watch", "open page", "n/watch", True
    )  # fmt: skip
    await other.begin_try([2], beside, 103.0)
    await other.mark_try([2], "open page", "watch", "n/watch")
    [row] = await other.settle([DeliveryChange(number=2, state="waiting")], 104.0)
    assert (row.role, row.action, row.key, row.unsure) == ("", "", "", False)


async def test_what_is_put_off_without_a_try_counts_none(kept: Kept) -> None:
    """Judged to wait: no try more, and as sure as before."""
    await accept(kept, message(), GPU_OPS)
    await kept.outbox.begin_try([1], kept.owner, 101.0)
    wait = DeliveryChange(number=1, state="waiting", due=130.0, unsure=True, tried=False)
    [row] = await kept.outbox.settle([wait], 101.0)
    assert (row.tries, row.unsure, row.due) == (0, False, 130.0)


async def test_what_is_settled_for_good_stays_so(kept: Kept) -> None:
    """A second settle changes nothing, and nobody can begin a try of it."""
    await accept(kept, message(), GPU_OPS)
    [first] = await kept.outbox.settle([delivered(1)], 102.0)
    gave_up = DeliveryChange(number=1, state="given up", reason="400")
    assert list(await kept.outbox.settle([gave_up], 103.0)) == []
    assert list(await kept.outbox.begin_try([1], kept.owner, 104.0)) == []
    assert list(await kept.outbox.of_call("k/1")) == [first]
    assert (first.state, first.settled, first.receipt) == ("delivered", 102.0, receipt())


async def test_next_due_is_the_earliest_that_nobody_tries(kept: Kept) -> None:
    """One that is being tried counts when its try is too old; nothing waiting, nothing due."""
    assert await kept.outbox.next_due() is None
    await accept(kept, message("k/1"), GPU_OPS, at=100.0)
    await accept(kept, message("k/2"), GPU_OPS, at=5000.0)
    assert await kept.outbox.next_due() == 100.0
    await kept.outbox.begin_try([1], kept.owner, 101.0)
    assert await kept.outbox.next_due() == 101.0 + TRY_LIMIT
    await kept.outbox.settle([delivered(1)], 102.0)
    assert await kept.outbox.next_due() == 5000.0


async def test_deliveries_are_found_as_asked_for(kept: Kept) -> None:
    """By incident, waiting ones, a time on both of its sides, and the newest of a limit."""
    await accept(kept, message("k/1", incident="i-1"), GPU_OPS, at=100.0)
    await accept(kept, message("k/2", incident="i-2"), GPU_OPS, at=200.0)
    await accept(kept, message("k/3", incident="i-1"), GPU_OPS, at=300.0)
    await kept.outbox.settle([delivered(3)], 301.0)

    async def numbers(**asked: object) -> list[int]:
        found = await kept.outbox.deliveries(OutboxFilter(**asked))  # type: ignore[arg-type]
        return [d.number for d in found]

    assert await numbers() == [1, 2, 3]
    assert await numbers(incident="i-1") == [1, 3]
    assert await numbers(only_open=True) == [1, 2]
    assert await numbers(since=200.0) == [2, 3]
    assert await numbers(since=200.1) == [3]
    assert await numbers(limit=2) == [2, 3]
    assert await numbers(target="gpu-ops") == [1, 2, 3]
    assert await numbers(target="") == []


async def test_what_goes_to_a_storm_is_found_by_the_storm(kept: Kept) -> None:
    """And by the incident it is of; the incident's own page, thread and ticket have none of it."""
    quiet = Message(call="k/2", kind="post", incident="i-1", storm="s-1")
    await accept(kept, message("k/1", incident="i-1"), GPU_OPS)
    await accept(kept, quiet, GPU_OPS)

    async def numbers(**asked: str) -> list[int]:
        return [d.number for d in await kept.outbox.deliveries(OutboxFilter(**asked))]  # type: ignore[arg-type]

    assert await numbers(incident="i-1") == [1, 2]
    assert await numbers(incident="s-1") == [2]
    assert await numbers(subject="i-1") == [1]
    assert await numbers(subject="s-1") == [2]


async def told_in(kept: Kept, incident: str) -> list[PeopleTold]:
    """What the incident's journal says of messages."""
    entries = await kept.incidents.entries(incident)
    return [e.body for e in entries if isinstance(e.body, PeopleTold)]


async def test_what_was_delivered_is_told_to_the_incident(kept: Kept) -> None:
    """With target, action, reference, and the whole receipt; what was put off is not."""
    incident = await kept.begin_incident()
    await accept(kept, message("k/1", "page", incident), ONCALL)
    put_off = DeliveryChange(number=1, state="waiting", due=110.0)
    await kept.outbox.settle([put_off], 105.0)
    assert await told_in(kept, incident) == []
    await kept.outbox.settle([delivered(1, "open page", "watch")], 110.0)
    [told] = await told_in(kept, incident)
    assert (told.target, told.what, told.ref) == ("oncall", "open page", "dk-1")
    assert told.details is not None
    kinds = ("message", "title", "account", "role", "would", "delivery")
    assert [told.details[k] for k in kinds] == [
        "page", "title of k/1", "…1234", "watch", False, 1
    ]  # fmt: skip


async def test_what_would_be_told_is_told_to_the_incident_as_such(kept: Kept) -> None:
    """A rehearsal shows, and is marked."""
    incident = await kept.begin_incident()
    await accept(kept, message(incident=incident), GPU_OPS)
    would = DeliveryChange(number=1, state="would", action="post", receipt=receipt())
    await kept.outbox.settle([would], 110.0)
    [told] = await told_in(kept, incident)
    assert told.details is not None
    assert told.details["would"] is True


async def test_a_merged_message_is_told_once(kept: Kept) -> None:
    """Both are delivered; the incident hears of the one that has the words."""
    incident = await kept.begin_incident()
    await accept(kept, message("k/1", incident=incident), GPU_OPS)
    await accept(kept, message("k/2", incident=incident), GPU_OPS)
    merged = DeliveryChange(
        number=2, state="delivered", action="post", receipt=receipt(), merged_into=1, tried=False
    )
    settled = await kept.outbox.settle([delivered(1), merged], 110.0)
    assert [(d.number, d.state, d.merged_into) for d in settled] == [
        (1, "delivered", 0), (2, "delivered", 1)
    ]  # fmt: skip
    assert len(await told_in(kept, incident)) == 1


async def test_an_incident_that_is_over_is_told_as_well(kept: Kept) -> None:
    """The message of its end comes after its end."""
    incident = await kept.begin_incident()
    await kept.incidents.append("c1", "n1", 1, (IncidentEnded(how="recovered"),), 100.0)
    await accept(kept, message("k/1", "resolve", incident), ONCALL)
    await kept.outbox.settle([delivered(1, "close page", "watch")], 110.0)
    assert [t.what for t in await told_in(kept, incident)] == ["close page"]


async def test_a_receipt_for_an_unknown_incident_is_kept(kept: Kept) -> None:
    """It may have been forgotten; the delivery has the receipt all the same."""
    await accept(kept, message("k/1", incident="i-gone"), GPU_OPS)
    [row] = await kept.outbox.settle([delivered(1)], 110.0)
    assert (row.state, row.receipt) == ("delivered", receipt())


@pytest.mark.parametrize(
    ("opening", "closing", "left"),
    [
        (("open page", "watch", "a"), ("close page", "watch", "a"), []),
        (("open page", "watch", "a"), ("close page", "people", "a"), ["i-1"]),
        (("open page", "watch", "a"), ("close page", "watch", "b"), ["i-1"]),
        (("open page", "watch", "a"), ("close ticket", "", "a"), ["i-1"]),
        (("open ticket", "", "a"), ("close ticket", "", "a"), []),
        (("open ticket", "", "a"), ("comment ticket", "", "a"), ["i-1"]),
        (("post", "", "a"), ("post", "", "a"), []),
    ],
)
async def test_open_is_what_its_own_key_has_not_closed(
    kept: Kept,
    opening: tuple[OrderAction, PageRole, str],
    closing: tuple[OrderAction, PageRole, str],
    left: list[str],
) -> None:
    """A page by its role, and a resolve of another account closes nothing."""
    await accept(kept, message("k/1", "page", "i-1"), ONCALL)
    await accept(kept, message("k/2", "resolve", "i-1"), ONCALL)
    await kept.outbox.settle([delivered(1, *opening)], 110.0)
    await kept.outbox.settle([delivered(2, *closing)], 110.0)
    assert list(await kept.outbox.open_incidents()) == left


async def test_a_page_that_was_opened_again_is_open(kept: Kept) -> None:
    """The order in which things were delivered counts."""
    for number, call in enumerate(("k/1", "k/2", "k/3"), 1):
        await accept(kept, message(call, "page", "i-1"), ONCALL)
        action: OrderAction = "close page" if number == 2 else "open page"
        await kept.outbox.settle([delivered(number, action, "people")], 100.0 + number)
    assert list(await kept.outbox.open_incidents()) == ["i-1"]


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import Addressed, AddressedTarget
from nvsx.store import open_store, outbox_of

async def main():
    journal = open_store(Path(sys.argv[1]))
    outbox = outbox_of(journal)
    target = AddressedTarget(name="oncall", kind="pagerduty")
    message = Message(call="k/1", kind="page", incident="i-1")
    await outbox.accept([Addressed(message=message, targets=(target,))], 100.0)
    if sys.argv[2] == "begun":
        await outbox.begin_try([1], journal.owner, 101.0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize(("point", "unsure"), [("accepted", False), ("begun", True)])
async def test_a_kill_loses_nothing_that_was_accepted(
    tmp_path: Path, point: str, unsure: bool
) -> None:
    """After kill -9 the next process has the delivery at once, and knows whether it was tried."""
    state = tmp_path / "state"
    killed = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, "-c", _KILLED, str(state), point],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert killed.returncode == -signal.SIGKILL
    journal = open_store(state)
    try:
        outbox = outbox_of(journal)
        [due] = await outbox.due(102.0)
        assert (due.message.call, due.unsure) == ("k/1", unsure)
        assert len(await outbox.begin_try([1], journal.owner, 102.0)) == 1
    finally:
        journal.close()


async def test_what_is_settled_and_old_is_forgotten(tmp_path: Path) -> None:
    """Not what waits, what is young, what belongs to something open, nor the newest number."""
    journal = open_store(tmp_path / "state")
    outbox = outbox_of(journal)
    try:
        for call, incident in (("k/1", "i-1"), ("k/2", "i-2"), ("k/3", "i-3"), ("k/4", "i-4")):
            given = Addressed(message=message(call, "page", incident), targets=(ONCALL,))
            await outbox.accept([given], 100.0)
        await outbox.settle([delivered(1, "post"), delivered(2, "open page", "watch")], 110.0)
        await outbox.settle([delivered(4, "post")], 110.0)
        assert await outbox.forget(110.0) == 0
        assert await outbox.forget(110.1) == 1
        left = await outbox.deliveries(OutboxFilter())
        assert [d.number for d in left] == [2, 3, 4]
    finally:
        journal.close()
