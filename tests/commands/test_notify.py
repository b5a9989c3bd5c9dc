"""`nvsx notify` from a terminal: a person's message, who was told, and the test of a target."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.commands.conftest import Command
from tests.commands.test_incidents import keep, state_dir
from tests.core.incident.test_stories import two_attempts

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.outbox import Delivery, DeliveryChange, DeliveryState, OutboxFilter
from nvsx.core.notify.spool_format import SpoolAbout
from nvsx.core.notify.target_port import DeliveryRefused
from nvsx.follow.processes import notify_call
from nvsx.notify.spool import RunSpool
from nvsx.store import open_store, outbox_of

KEY = "R0123456789abcdef0123456789abcde"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """A project with a pager, in which nobody is waited for."""
    monkeypatch.setattr("nvsx.commands.notify.notify_command.SECONDS", 0.0)
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", KEY)


def stored() -> Sequence[Delivery]:
    """All deliveries."""

    async def read() -> Sequence[Delivery]:
        with closing(open_store(state_dir())) as journal:
            return await outbox_of(journal).deliveries(OutboxFilter(limit=None))

    return asyncio.run(read())


def settle(number: int, state: DeliveryState, **fields: str) -> None:
    """A deliverer has settled this one."""

    async def do() -> None:
        with closing(open_store(state_dir())) as journal:
            receipt = Receipt(
                target="pagerduty", kind="pagerduty", action="open page", ref="k1", account="…bcde"
            )
            change = DeliveryChange(
                number=number,
                state=state,
                role="watch",
                action="open page",
                receipt=receipt if state == "delivered" else None,
                reason=fields.get("reason", ""),
            )
            await outbox_of(journal).settle([change], 5.0)

    asyncio.run(do())


@pytest.mark.parametrize("by", ["id", "node"])
def test_a_persons_page_is_of_the_incident_that_is_named(nvsx: Command, by: str) -> None:
    """By its id or its node; stored with the person's name, to the target for pages."""
    incident = keep(two_attempts())
    named = incident if by == "id" else "n1"
    said = nvsx("notify", "page", "--incident", named, "--title", f"power cycle it {KEY}")
    assert said.code == 0
    assert "pagerduty: page not delivered yet" in said.out
    assert "goes out as soon as an nvsx of this state folder delivers" in said.err
    (row,) = stored()
    message = row.message
    assert (row.target, message.kind, message.by) == ("pagerduty", "page", "person")
    assert (message.incident, message.node) == (incident, "n1")
    assert (message.title, bool(message.author)) == ("power cycle it ***", True)


def test_a_rehearsals_incident_tells_nobody_for_real(nvsx: Command) -> None:
    """What a person says of an incident on a sandbox stays inside."""
    keep(two_attempts(), sandbox=True)
    nvsx("notify", "page", "--incident", "n1", "--title", "x")
    (row,) = stored()
    assert row.message.is_would


def test_without_anybody_to_tell_it_does_not_end_with_zero(nvsx: Command) -> None:
    """There is no target for tickets: it says so."""
    keep(two_attempts())
    said = nvsx("notify", "ticket", "--incident", "n1", "--title", "x")
    assert said.code == 1
    assert "nobody is told: no target takes a ticket" in said.err


def test_outside_of_a_hook_an_incident_has_to_be_named(nvsx: Command) -> None:
    """A usage error with the way out, and nothing is stored."""
    said = nvsx("notify", "page", "--title", "x")
    assert said.code == 2
    assert "--incident" in said.err
    assert not stored()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["page", "--title", "x", "--severity", "high"], "--severity is warning, error or"),
        (["post", "--title", ""], "needs a --title"),
        (["ticket", "--title", "x", "--field", "y"], "--field is NAME=VALUE"),
    ],
)
def test_a_persons_wrong_call_is_refused_as_a_hooks_is(
    nvsx: Command, words: list[str], said: str
) -> None:
    """The same checks, exit code 2."""
    keep(two_attempts())
    told = nvsx("notify", *words, "--incident", "n1")
    assert told.code == 2
    assert said in told.err


@pytest.mark.parametrize("wait", [["--wait"], ["--wait=0"], ["--wait", "0"]])
def test_wait_may_have_a_value_or_none(
    nvsx: Command, monkeypatch: pytest.MonkeyPatch, wait: list[str]
) -> None:
    """As in a hook."""
    monkeypatch.setattr("nvsx.commands.global_options.WAIT", 0.0)
    keep(two_attempts())
    assert nvsx("notify", "page", "--title", "x", *wait, "--incident", "n1").code == 0


def test_in_a_hook_the_whole_command_stores_as_the_light_one(
    nvsx: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that calls nvsx by a path of its own, also with global options in front."""
    monkeypatch.setenv("NVSX_NOTIFY_DIR", str(tmp_path))
    monkeypatch.setenv("NVSX_IDEMPOTENCY_KEY", "r-1.drain.hook")
    assert nvsx("notify", "post", "--title", "light").code == 0
    assert nvsx("--project", ".", "notify", "post", "--title", "whole").code == 0
    calls = [json.loads(p.read_bytes()) for p in sorted(tmp_path.glob("*-*.json"))]
    assert [(c["title"], c["call"]) for c in calls] == [
        ("light", "r-1.drain.hook/post/1"),
        ("whole", "r-1.drain.hook/post/2"),
    ]


# --- list -------------------------------------------------------------------------------


def test_the_list_says_who_was_told_what(nvsx: Command) -> None:
    """One line each, of one incident or of all; as JSON with all there is."""
    incident = keep(two_attempts())
    assert nvsx("notify", "list").out == "nobody was told of anything yet\n"
    nvsx("notify", "page", "--incident", "n1", "--title", "XID 79")
    settle(1, "delivered")
    said = nvsx("notify", "list", "n1").out
    assert said.startswith(f"{incident}  ")
    assert 'pagerduty: page opened: "XID 79" · k1 · …bcde' in said
    (row,) = json.loads(nvsx("notify", "list", "-o", "json").out)
    assert (row["target"], row["receipt"]["ref"]) == ("pagerduty", "k1")


def test_the_list_of_what_is_open_has_pages_and_what_waits(nvsx: Command) -> None:
    """An open page, and a message that is not delivered; nothing else."""
    incident = keep(two_attempts())
    assert "nothing is open" in nvsx("notify", "list", "--open").out
    nvsx("notify", "page", "--incident", "n1", "--title", "XID 79")
    settle(1, "delivered")
    nvsx("notify", "page", "--incident", "n1", "--title", "again")
    said = nvsx("notify", "list", "--open").out
    assert "watch page" in said
    assert '"again"' in said
    told = json.loads(nvsx("notify", "list", "--open", "n1", "-o", "json").out)
    assert [(o["incident"], o["what"]) for o in told["open"]] == [(incident, "watch page")]
    assert [w["message"]["title"] for w in told["waiting"]] == ["again"]


def test_the_list_takes_in_what_a_dead_run_left(nvsx: Command) -> None:
    """A hook's call in the spool of a run whose nvsx was killed is stored and shown."""
    incident = keep(two_attempts())
    folder = state_dir() / "spool" / "r-1"

    async def leave() -> None:
        async def nobody(_: object) -> Sequence[Delivery]:
            return ()

        about = SpoolAbout(owner="dead-1-abc", run="r-1", incident=incident, node="n1")
        await RunSpool(folder, nobody, str).open(about)

    asyncio.run(leave())
    asked = notify_call.Asked("page", [("--title", "left behind")])
    notify_call.store_call(asked, {"NVSX_NOTIFY_DIR": str(folder)})
    assert '"left behind"' in nvsx("notify", "list").out


# --- test -------------------------------------------------------------------------------


class Pager:
    """A target that keeps what it was asked; `broken` refuses."""

    has_threads = False

    def __init__(self, name: str, kind: str, *, broken: bool = False) -> None:
        self.name, self.kind, self.broken = name, kind, broken
        self.orders: list[Order] = []
        self.closed = False

    async def deliver(self, order: Order) -> Receipt:
        if self.broken:
            raise DeliveryRefused("401 invalid key", "set another one")
        self.orders.append(order)
        return Receipt(target=self.name, kind=self.kind, action=order.action, ref="r1")

    async def check(self) -> str:
        return "fine"

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("slack", ["post"]),
        ("pagerduty", ["open page", "close page"]),
        ("jira", ["open ticket", "close ticket"]),
        ("webhook", ["post"]),
    ],
)
def test_a_test_sends_one_marked_message_and_closes_what_it_opened(
    nvsx: Command, monkeypatch: pytest.MonkeyPatch, kind: str, actions: list[str]
) -> None:
    """As the target's kind takes it, with the receipt shown."""
    target = Pager("there", kind)
    monkeypatch.setattr(
        "nvsx.commands.notify.notify_command.make_targets", lambda *_: {"there": target}
    )
    said = nvsx("notify", "test", "there")
    assert said.code == 0
    assert [o.action for o in target.orders] == actions
    assert all(o.title.startswith("[TEST]") for o in target.orders)
    assert len({o.key for o in target.orders}) == 1
    assert said.out.splitlines() == [f"there ({kind}): {action} · r1" for action in actions]
    assert target.closed


def test_a_target_that_refuses_the_test_is_named_with_the_vendors_reason(
    nvsx: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1; the others are tried all the same."""
    targets = {"a": Pager("a", "pagerduty", broken=True), "b": Pager("b", "slack")}
    monkeypatch.setattr("nvsx.commands.notify.notify_command.make_targets", lambda *_: targets)
    said = nvsx("notify", "test")
    assert said.code == 1
    assert "a (pagerduty): NOT REACHED: 401 invalid key: set another one" in said.err
    assert "b (slack): post" in said.out


def test_a_target_that_nobody_has_named_cannot_be_tested(nvsx: Command) -> None:
    """The names there are."""
    said = nvsx("notify", "test", "onkall")
    assert said.code == 2
    assert "the targets: pagerduty" in said.err
