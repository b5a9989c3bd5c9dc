"""Stand-ins for the places where people are told, as real HTTP servers on this machine.

Each checks every request against what its vendor publishes, answers as the vendor does, keeps one
page for one key as the vendor does, and counts what a person would have been woken by:

    async with PagerDutyStandIn() as pagerduty, SlackStandIn() as slack:
        env["PAGERDUTY_ROUTING_KEY"] = pagerduty.key
        env["PAGERDUTY_EVENTS_URL"] = pagerduty.events_url
        env["SLACK_WEBHOOK_URL"] = slack.webhook_url
        ...
        assert [w.text for w in pagerduty.woken] == ["gpu-7: GPU fell off the bus"]
        assert slack.texts == ["..."]          # what a person would have read, in order
        assert not pagerduty.wrong             # requests that the vendor would not understand

They misbehave on command, for the next request or the next few, on all paths or on one:

    pagerduty.misbehave(too_many(retry_after=3))              # one 429, then well again
    slack.misbehave(fails(503), times=4)
    jira.misbehave(resets_after_accept(), path="/issue")      # taken, and the answer is lost
    slack.misbehave(hangs(), times=None)                      # until slack.behave()
    await pagerduty.go_down()                                 # refuses connections; come_up()

`limit=(120, 60)` makes one answer 429 when more than 120 messages come within 60 seconds.
`most_within(60)` is the largest number of messages that came within so many seconds.

A test that is not asynchronous, or whose loop is busy, runs them in a thread:

    with VendorThread(PagerDutyStandIn(), SlackStandIn()) as thread:
        pagerduty, slack = thread.vendors
        thread.call(pagerduty.go_down())

By hand: `python -m tests.fakes.vendors` starts all of them, prints the variables to export and
then what each is told.
"""

from tests.fakes.vendors.jira_stand_in import JiraStandIn
from tests.fakes.vendors.opsgenie_stand_in import OpsgenieStandIn
from tests.fakes.vendors.pagerduty_stand_in import PagerDutyStandIn
from tests.fakes.vendors.slack_stand_in import SlackStandIn
from tests.fakes.vendors.vendor_stand_in import (
    Misbehaviour,
    VendorStandIn,
    VendorThread,
    fails,
    hangs,
    hangs_after_accept,
    redirects,
    refuses,
    resets,
    resets_after_accept,
    too_many,
)
from tests.fakes.vendors.webhook_stand_in import AppriseStandIn, WebhookStandIn

__all__ = [
    "AppriseStandIn",
    "JiraStandIn",
    "Misbehaviour",
    "OpsgenieStandIn",
    "PagerDutyStandIn",
    "SlackStandIn",
    "VendorStandIn",
    "VendorThread",
    "WebhookStandIn",
    "fails",
    "hangs",
    "hangs_after_accept",
    "redirects",
    "refuses",
    "resets",
    "resets_after_accept",
    "too_many",
]
