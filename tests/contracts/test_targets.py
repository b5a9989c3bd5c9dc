"""What every kind of target does, shown on stand-ins that check requests as the vendors do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.fakes.vendors import (
    AppriseStandIn,
    JiraStandIn,
    OpsgenieStandIn,
    PagerDutyStandIn,
    SlackStandIn,
    VendorStandIn,
    WebhookStandIn,
    fails,
    hangs_after_accept,
    redirects,
    refuses,
    resets,
    resets_after_accept,
    too_many,
)

from nvsx.core.masking import Masker
from nvsx.core.notify.notify_settings import NotifySettings
from nvsx.core.notify.order import FactsBlock, Order, OrderAction
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused, MessageTarget
from nvsx.notify.targets import apprise_target, jira_target, opsgenie_target, vendor_http
from nvsx.notify.targets.target_registry import make_targets
from nvsx.notify.targets.webhook_event import WebhookEvent

ACTIONS = get_args(OrderAction)
KEY = "nvsx/6f1e/gpu-7/GpuXidError/1764299520"


@dataclass
class Bench:
    """One kind with its stand-in. `told` counts what people found, `takes` the actions it takes."""

    vendor: Any
    settings: dict[str, Any]
    secrets: dict[str, str]
    takes: tuple[str, ...]
    told: Callable[[], int]
    opens: OrderAction
    tells_status: bool = True
    made: list[MessageTarget] = field(default_factory=list)

    def make(self, root: Path, **changed: str) -> MessageTarget:
        """The target, with its secrets in files of `root`."""
        for name, value in {**self.secrets, **changed}.items():
            (root / name).write_text(value)
        settings = NotifySettings.model_validate({"targets": {"oncall": self.settings}})
        target = make_targets(settings, {}, root)["oncall"]
        self.made.append(target)
        return target


def check_event(body: dict[str, Any]) -> None:
    """The body is the published event."""
    msgspec.convert(body, WebhookEvent)


def make_bench(kind: str, vendor: Any) -> Bench:
    """How each kind is set up, and what people are told by."""
    chat = ACTIONS
    pages = ("open page", "note page", "close page")
    tickets = ("open ticket", "comment ticket", "close ticket")
    if kind == "slack webhook":
        settings = {"kind": "slack", "webhook_url_file": "hook"}
        secrets = {"hook": vendor.webhook_url}
        return Bench(vendor, settings, secrets, chat, lambda: len(vendor.messages), "post")
    if kind == "slack bot":
        settings = {"kind": "slack", "bot_token_file": "token", "channel": "C0GPUOPS"}
        settings["url"] = vendor.api_url
        secrets = {"token": vendor.token}
        return Bench(vendor, settings, secrets, chat, lambda: len(vendor.messages), "post")
    if kind == "pagerduty":
        settings = {"kind": "pagerduty", "routing_key_file": "key", "url": vendor.url}
        secrets = {"key": vendor.key}
        return Bench(vendor, settings, secrets, pages, lambda: len(vendor.woken), "open page")
    if kind == "opsgenie":
        settings = {"kind": "opsgenie", "api_key_file": "key", "url": vendor.url}
        secrets = {"key": vendor.key}
        return Bench(vendor, settings, secrets, pages, lambda: len(vendor.woken), "open page")
    if kind.startswith("jira"):
        settings = {"kind": "jira", "url": vendor.url, "project": "INFRA", "token_file": "token"}
        secrets = {"token": vendor.token}
        if kind == "jira cloud":
            settings["user_file"] = "user"
            secrets["user"] = vendor.user
        return Bench(vendor, settings, secrets, tickets, lambda: len(vendor.issues), "open ticket")
    if kind == "webhook":
        settings = {"kind": "webhook", "url": vendor.hook_url, "secret_file": "secret"}
        secrets = {"secret": vendor.secret}
        return Bench(vendor, settings, secrets, chat, lambda: len(vendor.events), "post")
    settings = {"kind": "apprise", "url_file": "url"}
    secrets = {"url": vendor.apprise_url + "?rto=1"}
    told = lambda: len(vendor.bodies)  # noqa: E731 - as the others
    return Bench(vendor, settings, secrets, chat, told, "post", tells_status=False)


VENDORS: dict[str, Callable[[], VendorStandIn]] = {
    "slack webhook": SlackStandIn,
    "slack bot": SlackStandIn,
    "pagerduty": PagerDutyStandIn,
    "opsgenie": OpsgenieStandIn,
    "jira cloud": JiraStandIn,
    "jira server": lambda: JiraStandIn(cloud=False),
    "webhook": lambda: WebhookStandIn(check_body=check_event),
    "apprise": AppriseStandIn,
}


@asynccontextmanager
async def opened_bench(kind: str) -> AsyncIterator[Bench]:
    """A bench whose stand-in runs."""
    async with VENDORS[kind]() as vendor:
        bench = make_bench(kind, vendor)
        yield bench
        for target in bench.made:
            await target.close()


@pytest.fixture(params=list(VENDORS))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Every kind in turn."""
    async with opened_bench(request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hang ends after a second, and nobody waits for a vendor's own pace."""
    for module in (vendor_http, apprise_target):
        monkeypatch.setattr(module, "WHOLE", 1.0)
    monkeypatch.setattr(opsgenie_target, "ASKED_AFTER", (0.0, 0.0))
    monkeypatch.setattr(jira_target, "SEARCH_LAG", 0.0)


def order(action: OrderAction, **changed: Any) -> Order:
    """An order as the judge makes one."""
    values: dict[str, Any] = {
        "delivery": 17,
        "identity": "nvsx-0123456789abcdef0123456789abcdef",
        "action": action,
        "key": KEY,
        "title": "gpu-7: GPU fell off the bus, people are needed",
        "text": "The reset failed twice.\nDrain it by hand: https://runbooks.example.com/gpu",
        "severity": "critical",
        "facts": FactsBlock(
            headline="gpu-7 · XID 79 · cordoned · decide whether to drain",
            rows=(("Cluster", "prod-us-west-2"), ("Attempt", "2 of 3"), ("Jobs hit", "4")),
            as_of=1764299520.0,
        ),
        "incident": "01JD5TQX",
        "node": "gpu-7",
        "cluster": "prod-us-west-2",
        "at": 1764299521.0,
    }
    return Order(**{**values, **changed})


async def open_first(bench: Bench, target: MessageTarget, action: OrderAction) -> str:
    """Open what `action` goes on with, and give its ref."""
    if action in ("note page", "close page"):
        return (await target.deliver(order("open page", delivery=1, identity="first"))).ref
    if action in ("comment ticket", "close ticket"):
        return (await target.deliver(order("open ticket", delivery=1, identity="first"))).ref
    return ""


def assert_tells_no_secret(bench: Bench, *texts: str) -> None:
    """No secret of the target is in any of the texts, in any form."""
    hidden = [v for name, v in bench.secrets.items() if name != "user"]
    for text in texts:
        assert not Masker(extra=hidden).hides(text), text


# --- what it does -------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_is_done_with_a_receipt_or_refused_with_a_hint(
    bench: Bench, tmp_path: Path, action: OrderAction
) -> None:
    """What a kind takes is accepted by its vendor, in the published format; what it does not take
    is refused without a request, and the message says what to do."""
    target = bench.make(tmp_path)
    if action not in bench.takes:
        with pytest.raises(DeliveryRefused, match="oncall: .* takes .*: no " + action):
            await target.deliver(order(action))
        assert bench.vendor.taken == 0
        return
    ref = await open_first(bench, target, action)
    receipt = await target.deliver(order(action, ref=ref))
    assert bench.vendor.wrong == []
    assert (receipt.target, receipt.action, receipt.t) == ("oncall", action, 1764299521.0)
    assert receipt.kind == bench.settings["kind"]
    assert receipt.text
    assert receipt.account
    assert receipt.repeat is False
    assert_tells_no_secret(bench, *msgspec.json.encode(receipt).decode().splitlines())


async def test_words_and_facts_reach_people(bench: Bench, tmp_path: Path) -> None:
    """Title, text, headline and each fact are in what was sent."""
    await bench.make(tmp_path).deliver(order(bench.opens))
    sent = max((seen.body for seen in bench.vendor.requests), key=len).decode()
    for words in ("GPU fell off the bus", "The reset failed twice", "decide whether to drain"):
        assert words in sent
    for fact in ("prod-us-west-2", "2 of 3", "Jobs hit"):
        assert fact in sent


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "word " * 20_000, "title": "t" * 3000},
        {"text": "<!channel> & a < b > c {code} [x|y] *bold* \x00 \u2028 🔥" * 3000},
        {"title": "two\nlines", "text": "\n\n\n", "facts": FactsBlock()},
        {"title": "", "text": "", "facts": FactsBlock(), "incident": "", "node": "", "cluster": ""},
        {
            "facts": FactsBlock(
                headline="h" * 5000, rows=tuple((f"n{i}", "v" * 900) for i in range(80))
            )
        },
        {"key": "k " * 400, "identity": ""},
        {"fields": {"priority": "High"}},
    ],
    ids=["long", "awkward", "blank lines", "empty", "many facts", "long key", "fields"],
)
async def test_whatever_the_words_the_vendor_takes_them(
    bench: Bench, tmp_path: Path, changed: dict[str, Any]
) -> None:
    """Limits are kept by shortening, characters by escaping: no message is refused for its form."""
    target = bench.make(tmp_path)
    for action in bench.takes:
        ref = await open_first(bench, target, action)  # type: ignore[arg-type]
        await target.deliver(order(action, ref=ref, delivery=2, **changed))  # type: ignore[arg-type]
    assert bench.vendor.wrong == []


# --- what goes wrong ----------------------------------------------------------------------


async def test_too_many_is_delayed_as_long_as_the_vendor_says(bench: Bench, tmp_path: Path) -> None:
    """429 with Retry-After 7: seven seconds, and it was not taken."""
    bench.vendor.misbehave(too_many(retry_after=7))
    with pytest.raises(DeliveryDelayed) as caught:
        await bench.make(tmp_path).deliver(order(bench.opens))
    assert caught.value.after == (7.0 if bench.tells_status else 0.0)
    assert caught.value.unsure is False
    assert bench.told() == 0
    assert_tells_no_secret(bench, str(caught.value))


@pytest.mark.parametrize(
    ("status", "unsure"), [(500, False), (502, True), (503, False), (504, True)]
)
async def test_a_vendor_in_trouble_is_asked_again(
    bench: Bench, tmp_path: Path, status: int, unsure: bool
) -> None:
    """5xx is delayed; where a gateway answered for it, the vendor may have taken the message."""
    bench.vendor.misbehave(fails(status))
    with pytest.raises(DeliveryDelayed) as caught:
        await bench.make(tmp_path).deliver(order(bench.opens))
    assert caught.value.unsure is (unsure and bench.tells_status)
    assert str(status) in str(caught.value)


async def test_what_is_down_is_delayed_and_delivered_later(bench: Bench, tmp_path: Path) -> None:
    """No connection: nothing was sent, so nothing can be there twice."""
    target = bench.make(tmp_path)
    await bench.vendor.go_down()
    with pytest.raises(DeliveryDelayed) as caught:
        await target.deliver(order(bench.opens))
    assert caught.value.unsure is (not bench.tells_status)
    assert_tells_no_secret(bench, str(caught.value))
    await bench.vendor.come_up()
    await target.deliver(order(bench.opens))
    assert bench.told() == 1


@pytest.mark.parametrize("how", [resets(), resets_after_accept(), hangs_after_accept()], ids=str)
async def test_a_lost_answer_is_unsure_and_the_next_try_says_so_or_repeats_nothing(
    bench: Bench, tmp_path: Path, how: Any
) -> None:
    """Where the vendor keeps a key, or can be asked, people are told once; where nothing can be
    known, the second message says that it may be a repeat."""
    target = bench.make(tmp_path)
    path = {"open ticket": "/issue"}.get(bench.opens, "")
    path = "chat.postMessage" if bench.settings.get("bot_token_file") else path
    bench.vendor.misbehave(how, path=path)
    with pytest.raises(DeliveryDelayed) as caught:
        await target.deliver(order(bench.opens))
    assert caught.value.unsure is True
    assert_tells_no_secret(bench, str(caught.value))
    receipt = await target.deliver(order(bench.opens, unsure=True))
    blind = bench.settings["kind"] == "apprise" or "webhook_url_file" in bench.settings
    assert receipt.repeat is blind
    assert bench.told() == (2 if blind and "accept" in how.how else 1)
    assert ("possibly a repeat" in bench.vendor.texts[-1]) is blind


async def test_a_refusal_has_the_vendors_own_reason(bench: Bench, tmp_path: Path) -> None:
    """400 is not tried again, and says why in the vendor's words."""
    bench.vendor.misbehave(refuses(400))
    with pytest.raises(DeliveryRefused) as caught:
        await bench.make(tmp_path).deliver(order(bench.opens))
    assert ("asked to fail by the test" if bench.tells_status else "400") in str(caught.value)


async def test_a_wrong_secret_is_refused_and_shown_to_nobody(bench: Bench, tmp_path: Path) -> None:
    """What the vendor does not know is refused, with a hint; the secret is in no text."""
    if not bench.tells_status:
        pytest.skip("what Apprise's URL leads to asks for no password here")
    wrong = dict.fromkeys(bench.secrets, "whsec_d3Jvbmctd3Jvbmctd3Jvbmc=")
    if "hook" in wrong:
        wrong = {"hook": bench.vendor.url + "/services/T0/B0/wrongwrongwrongwrongwrong"}
    if "key" in wrong:
        wrong = {"key": "W" * 32}
    bench.secrets = wrong
    with pytest.raises(DeliveryRefused) as caught:
        await bench.make(tmp_path).deliver(order(bench.opens))
    assert caught.value.hint or "routing key" in str(caught.value)
    assert_tells_no_secret(bench, str(caught.value), repr(caught.value))


async def test_nothing_of_it_is_logged(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Libraries log addresses with the secrets in them: no line leaves, failed or delivered."""
    caplog.set_level("DEBUG")
    target = bench.make(tmp_path)
    bench.vendor.misbehave(fails(503))
    with pytest.raises(DeliveryDelayed):
        await target.deliver(order(bench.opens))
    await target.deliver(order(bench.opens))
    assert_tells_no_secret(bench, caplog.text)
    assert [r.name for r in caplog.records if r.levelname != "DEBUG"] == []


async def test_a_redirect_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    """Secrets go to the address that was written down, and nowhere else."""
    async with WebhookStandIn() as other:
        bench.vendor.misbehave(redirects(other.url + "/elsewhere"), times=None)
        with pytest.raises((DeliveryRefused, DeliveryDelayed)):
            await bench.make(tmp_path).deliver(order(bench.opens))
        assert other.requests == []
    bench.vendor.behave()
    bench.vendor.misbehave(redirects("http://[nowhere"), times=None)
    with pytest.raises((DeliveryRefused, DeliveryDelayed)):
        await bench.make(tmp_path).deliver(order(bench.opens))


# --- secrets ------------------------------------------------------------------------------


async def test_a_rotated_secret_is_used_by_the_next_message(bench: Bench, tmp_path: Path) -> None:
    """The file changes while the target lives: no restart."""
    first, *_ = [name for name in bench.secrets if name != "user"]
    wrong = {first: "json://127.0.0.1:9/" if first == "url" else "W" * 32}
    if first == "hook":
        wrong = {first: bench.vendor.url + "/services/T0/B0/wrongwrongwrongwrongwrong"}
    target = bench.make(tmp_path, **wrong)
    with pytest.raises((DeliveryRefused, DeliveryDelayed)):
        await target.deliver(order(bench.opens))
    (tmp_path / first).write_text(bench.secrets[first])
    await target.deliver(order(bench.opens))
    assert bench.told() == 1


async def test_a_missing_secret_is_waited_for_and_its_place_named(
    bench: Bench, tmp_path: Path
) -> None:
    """A Secret that is mounted later is found; until then the message says which file."""
    target = bench.make(tmp_path)
    for name in bench.secrets:
        (tmp_path / name).unlink()
    with pytest.raises(DeliveryDelayed, match=f"oncall: secret file {tmp_path}"):
        await target.deliver(order(bench.opens))
    bench.make(tmp_path)
    await target.deliver(order(bench.opens))
    assert bench.told() == 1


async def test_a_check_harms_nobody_and_tells_what_it_proved(bench: Bench, tmp_path: Path) -> None:
    """Nothing is posted, opened or rung; the line has no secret in it."""
    proved = await bench.make(tmp_path).check()
    assert proved
    assert "\n" not in proved
    assert (bench.vendor.read, bench.vendor.woken, bench.vendor.taken) == ([], [], 0)
    assert bench.vendor.wrong == []
    assert_tells_no_secret(bench, proved)


async def test_a_check_of_what_is_down_says_so(bench: Bench, tmp_path: Path) -> None:
    """Doctor shows it as a failure with the host."""
    if not bench.tells_status:
        pytest.skip("Apprise is not asked anything")
    await bench.vendor.go_down()
    with pytest.raises(DeliveryDelayed, match=r"127\.0\.0\.1 cannot be reached"):
        await bench.make(tmp_path).check()
