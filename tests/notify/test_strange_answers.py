"""A vendor, a proxy or a wrong address answers 200 with what no vendor answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fakes.vendors import OpsgenieStandIn, PagerDutyStandIn, SlackStandIn, refuses

from nvsx.core.notify.order import Order, OrderAction
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused, MessageTarget
from nvsx.notify.target_secrets import TargetSecret
from nvsx.notify.targets.jira_target import Jira
from nvsx.notify.targets.opsgenie_target import Opsgenie
from nvsx.notify.targets.pagerduty_target import PagerDuty
from nvsx.notify.targets.slack_target import SlackBot, SlackWebhook

SECRET = TargetSecret("there", None, "KEY", Path(), {"KEY": "hunter2-hunter2"})
TARGETS: dict[OrderAction, Callable[[str], MessageTarget]] = {
    "post": lambda url: SlackBot("there", SECRET, "#x", url),
    "open ticket": lambda url: Jira("there", url, user=None, token=SECRET, project="INFRA"),
    "open page": lambda url: Opsgenie("there", SECRET, url),
    "note page": lambda url: PagerDuty("there", SECRET, url),
}
"""By what they are asked to do."""
BODIES = (
    "null", "[1, 2]", '"x"', "{}", '{"ok": true}', '{"ok": true, "ts": {}, "channel": []}',
    '{"data": 1, "issues": [7], "requestId": {}}', "[" * 100_000, "\x00\x1b[31m", "<html>",
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("action", list(TARGETS))
@pytest.mark.parametrize("status", [200, 400])
async def test_whatever_answers_a_target_says_only_what_its_port_allows(
    action: OrderAction, body: str, status: int
) -> None:
    """A receipt, delayed, or refused; the check of `nvsx doctor` likewise."""
    async with OpsgenieStandIn() as vendor:
        vendor.misbehave(refuses(status, body), times=None)
        target = TARGETS[action](vendor.url)
        order = Order(delivery=1, action=action, key="k", title="t", incident="i-1", at=1.0)
        for asked in (target.deliver(order), target.check()):
            with suppress(DeliveryDelayed, DeliveryRefused):
                await asked
        await target.close()


async def test_an_answer_that_is_not_understood_is_tried_again() -> None:
    """A proxy's page passes; the message may be there, so the next try looks first."""
    async with OpsgenieStandIn() as vendor:
        vendor.misbehave(refuses(200, '{"ok": true}'), times=None)
        target = TARGETS["post"](vendor.url)
        with pytest.raises(DeliveryDelayed, match="no slack: see the target's url") as delayed:
            await target.deliver(Order(delivery=1, action="post", title="t", at=1.0))
        await target.close()
    assert delayed.value.unsure


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "{}", '{"status": "invalid"}'])
async def test_no_page_is_taken_for_delivered_by_somebody_else_than_the_pager(body: str) -> None:
    """A proxy's page for signing in is answered with 200: nobody's phone has rung."""
    async with PagerDutyStandIn() as vendor:
        vendor.misbehave(refuses(200, body))
        target = TARGETS["note page"](vendor.url)
        order = Order(delivery=1, action="open page", key="k", title="t", at=1.0)
        with pytest.raises(DeliveryDelayed, match="not as PagerDuty does"):
            await target.deliver(order)
        await target.close()


async def test_a_proxys_page_is_not_taken_for_slacks_ok() -> None:
    """A webhook's post is there when Slack says so."""
    async with SlackStandIn() as vendor:
        vendor.misbehave(refuses(200, "<html>Sign in</html>"))
        url = TargetSecret("there", None, "URL", Path(), {"URL": vendor.webhook_url})
        target = SlackWebhook("there", url)
        order = Order(delivery=1, action="post", title="t", at=1.0)
        with pytest.raises(DeliveryDelayed, match="a web page answers"):
            await target.deliver(order)
        assert (await target.deliver(order)).action == "post"
        await target.close()
