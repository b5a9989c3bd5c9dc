"""All stand-ins by hand: prints what to export, and then what each is told."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.fakes.vendors import JiraStandIn, OpsgenieStandIn, PagerDutyStandIn, SlackStandIn


async def show_vendors() -> None:
    slack, pagerduty = SlackStandIn(), PagerDutyStandIn()
    opsgenie, jira = OpsgenieStandIn(), JiraStandIn()
    vendors = {"slack": slack, "pagerduty": pagerduty, "opsgenie": opsgenie, "jira": jira}
    async with AsyncExitStack() as stack:
        for vendor in vendors.values():
            await stack.enter_async_context(vendor)
        print(f"export SLACK_WEBHOOK_URL={slack.webhook_url}")
        print(f"export PAGERDUTY_ROUTING_KEY={pagerduty.key}")
        print(f"export PAGERDUTY_EVENTS_URL={pagerduty.events_url}")
        print(f"export OPSGENIE_API_KEY={opsgenie.key} OPSGENIE_API_URL={opsgenie.url}")
        print(f"export JIRA_BASE_URL={jira.url} JIRA_USER={jira.user}", end=" ")
        print(f"JIRA_API_TOKEN={jira.token} JIRA_PROJECT={jira.project}", flush=True)
        shown = dict.fromkeys(vendors, (0, 0, 0))
        while True:
            for name, vendor in vendors.items():
                read, woken, wrong = shown[name]
                for one in vendor.read[read:]:
                    print(f"{name:9} {one.where}: {one.text}", flush=True)
                for ring in vendor.woken[woken:]:
                    print(f"{name:9} WAKES SOMEBODY: {ring.text}", flush=True)
                for mistake in vendor.wrong[wrong:]:
                    print(f"{name:9} WRONG: {mistake}", flush=True)
                shown[name] = len(vendor.read), len(vendor.woken), len(vendor.wrong)
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(show_vendors())
