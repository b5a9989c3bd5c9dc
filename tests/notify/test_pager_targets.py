"""PagerDuty and Opsgenie: what wakes somebody, what does not, and what a person sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.vendors import OpsgenieStandIn, PagerDutyStandIn, fails

from nvsx.core.notify.order import FactsBlock, Order, OrderAction
from nvsx.core.notify.target_port import DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret
from nvsx.notify.targets import opsgenie_target
from nvsx.notify.targets.opsgenie_target import Opsgenie
from nvsx.notify.targets.pagerduty_target import PagerDuty


def order(action: OrderAction, **changed: Any) -> Order:
    """An order about the page of gpu-7."""
    values: dict[str, Any] = {
        "delivery": 1,
        "action": action,
        "key": "nvsx/6f1e/gpu-7/people",
        "title": "GPU fell off the bus",
        "text": "See https://runbooks.example.com/gpu.",
        "severity": "error",
        "facts": FactsBlock(headline="gpu-7 · XID 79 · cordoned", rows=(("Attempt", "1 of 3"),)),
        "node": "gpu-7",
        "cluster": "prod",
        "incident": "01JD5T",
        "at": 1764299520.0,
    }
    return Order(**{**values, **changed})


def make_pagerduty(
    vendor: PagerDutyStandIn, folder: Path, key: str = "", url: str = ""
) -> PagerDuty:
    """The target of this integration."""
    secret = TargetSecret("oncall", None, "KEY", folder, {"KEY": key or vendor.key})
    return PagerDuty("oncall", secret, url or vendor.url)


def make_opsgenie(vendor: OpsgenieStandIn, folder: Path, url: str = "") -> Opsgenie:
    """The target of this account."""
    secret = TargetSecret("oncall", None, "KEY", folder, {"KEY": vendor.key})
    return Opsgenie("oncall", secret, url or vendor.url)


async def test_a_note_wakes_nobody_and_may_raise_the_severity(tmp_path: Path) -> None:
    """A page, a note on it, its end: one person woken, once."""
    async with PagerDutyStandIn() as pagerduty:
        target = make_pagerduty(pagerduty, tmp_path)
        for action, severity in (("open page", "error"), ("note page", "critical")):
            await target.deliver(order(action, severity=severity))  # type: ignore[arg-type]
        assert [page.severity for page in pagerduty.open_pages] == ["critical"]
        await target.deliver(order("close page"))
        await target.close()
        assert (len(pagerduty.woken), pagerduty.open_pages, pagerduty.dropped) == (1, [], [])


async def test_a_pagers_screen_shows_title_and_headline_and_below_it_facts_and_links(
    tmp_path: Path,
) -> None:
    """The summary is one line; custom details are a table; addresses become links."""
    async with PagerDutyStandIn() as pagerduty:
        target = make_pagerduty(pagerduty, tmp_path)
        await target.deliver(order("open page"))
        await target.close()
        event = pagerduty.requests[0].json
    assert pagerduty.woken[0].text == "GPU fell off the bus · gpu-7 · XID 79 · cordoned"
    assert event["payload"]["custom_details"] == {
        "text": "See https://runbooks.example.com/gpu.",
        "Attempt": "1 of 3",
        "incident": "01JD5T",
    }
    assert event["links"][0]["href"] == "https://runbooks.example.com/gpu"
    assert (event["payload"]["source"], event["payload"]["group"]) == ("gpu-7", "prod")


@pytest.mark.parametrize("path", ["", "/v2/enqueue"])
async def test_the_events_address_may_be_whole_or_a_base(tmp_path: Path, path: str) -> None:
    """PAGERDUTY_EVENTS_URL has always been the whole of it."""
    async with PagerDutyStandIn() as pagerduty:
        target = make_pagerduty(pagerduty, tmp_path, url=pagerduty.url + path)
        await target.deliver(order("open page"))
        await target.close()
        assert pagerduty.requests[0].path == "/v2/enqueue"


async def test_receipts_tell_one_key_from_another(tmp_path: Path) -> None:
    """A resolve by another key closes nothing: the accounts of the two receipts differ."""
    other = "R" * 28 + "0THR"
    async with PagerDutyStandIn(other_keys=(other,)) as pagerduty:
        first = make_pagerduty(pagerduty, tmp_path)
        second = make_pagerduty(pagerduty, tmp_path, key=other)
        opened = await first.deliver(order("open page"))
        closed = await second.deliver(order("close page"))
        await first.close()
        await second.close()
        assert (opened.account, closed.account) == ("…BCDE", "…0THR")
        assert (len(pagerduty.open_pages), len(pagerduty.dropped)) == (1, 1)


async def test_opsgenie_asks_for_the_outcome_and_takes_202_at_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow, then failing to tell: the alert was taken all the same, and is not created twice."""
    monkeypatch.setattr(opsgenie_target, "ASKED_AFTER", (0.0, 0.0))
    async with OpsgenieStandIn(slow_requests=1) as opsgenie:
        target = make_opsgenie(opsgenie, tmp_path)
        await target.deliver(order("open page"))
        opsgenie.misbehave(fails(503), path="/requests/")
        receipt = await target.deliver(order("open page"))
        await target.close()
        assert receipt.ref == "nvsx/6f1e/gpu-7/people"
        assert (len(opsgenie.woken), opsgenie.alerts[0].count) == (1, 2)


async def test_a_note_on_an_alert_that_somebody_closed_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias names open alerts only, so a new page may be opened; a close of it is no failure."""
    monkeypatch.setattr(opsgenie_target, "ASKED_AFTER", (0.0,))
    async with OpsgenieStandIn() as opsgenie:
        target = make_opsgenie(opsgenie, tmp_path)
        await target.deliver(order("open page"))
        opsgenie.close_by_hand("nvsx/6f1e/gpu-7/people")
        with pytest.raises(DeliveryRefused, match="Alert does not exist") as caught:
            await target.deliver(order("note page"))
        receipt = await target.deliver(order("close page"))
        await target.close()
        assert caught.value.gone
        assert receipt.note == "there was no open alert: Alert does not exist"


async def test_an_opsgenie_note_that_may_be_there_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells whether a note was taken."""
    monkeypatch.setattr(opsgenie_target, "ASKED_AFTER", (0.0,))
    async with OpsgenieStandIn() as opsgenie:
        target = make_opsgenie(opsgenie, tmp_path)
        await target.deliver(order("open page"))
        receipt = await target.deliver(order("note page", unsure=True))
        await target.close()
        assert receipt.repeat
        assert "possibly a repeat" in opsgenie.alerts[0].notes[0]


async def test_jsm_operations_takes_the_same_below_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`url` up to /jsm/ops/integration."""
    monkeypatch.setattr(opsgenie_target, "ASKED_AFTER", (0.0,))
    async with OpsgenieStandIn() as opsgenie:
        target = make_opsgenie(opsgenie, tmp_path, f"{opsgenie.url}/jsm/ops/integration")
        await target.deliver(order("open page", severity="critical"))
        await target.close()
        assert [alert.priority for alert in opsgenie.open_alerts] == ["P1"]
        assert opsgenie.requests[0].path == "/jsm/ops/integration/v2/alerts"
