"""The stand-ins take what the vendors publish, refuse what they would, and count as they do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fakes.vendors import (
    JiraStandIn,
    OpsgenieStandIn,
    PagerDutyStandIn,
    SlackStandIn,
    VendorStandIn,
    VendorThread,
    hangs_after_accept,
    resets,
    resets_after_accept,
    too_many,
)

SAMPLES = Path(__file__).parents[1] / "fakes" / "vendors" / "samples"


def sample(name: str) -> Any:
    """A request as the vendor's documentation has it."""
    return json.loads((SAMPLES / f"out-{name}.json").read_text())


async def send(
    vendor: VendorStandIn, path: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Status and body of the answer to a POST."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(vendor.url + path, json=body, headers=headers or {}) as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize("name", ["trigger", "acknowledge", "resolve"])
async def test_pagerduty_takes_the_published_events(name: str) -> None:
    """Each sample of an event is answered 202."""
    event = sample(f"pagerduty-events-v2-{name}")
    async with PagerDutyStandIn(key=event["routing_key"]) as pagerduty:
        assert (await send(pagerduty, "/v2/enqueue", event))[0] == 202
        assert pagerduty.wrong == []


async def test_pagerduty_takes_the_published_change() -> None:
    """A change event is taken at its own path, and wakes nobody."""
    event = sample("pagerduty-events-v2-change")
    async with PagerDutyStandIn(key=event["routing_key"]) as pagerduty:
        assert (await send(pagerduty, "/v2/change/enqueue", event))[0] == 202
        assert pagerduty.woken == []


async def test_pagerduty_wakes_once_for_one_open_key() -> None:
    """Two triggers, a resolve, a trigger: a person is woken twice."""
    event = sample("pagerduty-events-v2-trigger")
    end = sample("pagerduty-events-v2-resolve")
    async with PagerDutyStandIn(key=event["routing_key"]) as pagerduty:
        for body in (event, event, end, event):
            assert (await send(pagerduty, "/v2/enqueue", body))[0] == 202
        assert len(pagerduty.woken) == 2
        assert len(pagerduty.open_pages) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"routing_key": "short"},
        {"dedup_key": "k" * 256},
        {"event_action": "page"},
        {"payload": {"summary": "s" * 1025, "source": "x", "severity": "error"}},
        {"payload": {"summary": "s", "source": "x", "severity": "fatal"}},
        {"colour": "red"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_pagerduty_refuses_what_is_not_published(change: dict[str, Any]) -> None:
    """A wrong field is a 400 in PagerDuty's words, and kept as our mistake."""
    event = {**sample("pagerduty-events-v2-trigger"), **change}
    async with PagerDutyStandIn(key="R0000000000000000000000000000000") as pagerduty:
        status, text = await send(pagerduty, "/v2/enqueue", event)
        assert (status, json.loads(text)["status"]) == (400, "invalid event")
        assert len(pagerduty.wrong) == 1
        assert pagerduty.woken == []


async def test_slack_takes_the_published_message_and_refuses_raw_brackets() -> None:
    """The sample is answered `ok`; `<` that begins no link is not."""
    body = sample("slack-incoming-webhook")
    async with SlackStandIn() as slack:
        assert await send(slack, slack.hook_path, body) == (200, "ok")
        assert (await send(slack, slack.hook_path, {"text": "a < b"}))[0] == 400
        assert len(slack.messages) == 1


async def test_opsgenie_takes_the_published_requests_and_wakes_once_for_an_alias() -> None:
    """Two creates and a close: one alert, one person woken, nothing open."""
    create = sample("opsgenie-create-alert")
    async with OpsgenieStandIn() as opsgenie:
        headers = {"Authorization": f"GenieKey {opsgenie.key}"}
        for _ in range(2):
            assert (await send(opsgenie, "/v2/alerts", create, headers))[0] == 202
        alias = create["alias"].replace("/", "%2F")
        path = f"/v2/alerts/{alias}/close?identifierType=alias"
        close = sample("opsgenie-close-alert")
        assert (await send(opsgenie, path, close, headers))[0] == 202
        assert len(opsgenie.woken) == 1
        assert opsgenie.open_alerts == []
        assert opsgenie.alerts[0].count == 2


async def test_jira_takes_the_published_issue_and_comment_and_burns_numbers() -> None:
    """A refused create uses a number up, as Jira's does; the next issue has a higher one."""
    async with JiraStandIn(project="GPU") as jira:
        session_headers = {"Authorization": aiohttp.encode_basic_auth(jira.user, jira.token)}
        issue = sample("jira-create-issue")
        wrong = {"fields": {**issue["fields"], "labels": ["two words"]}}
        assert (await send(jira, "/rest/api/3/issue", wrong, session_headers))[0] == 400
        assert (await send(jira, "/rest/api/3/issue", issue, session_headers))[0] == 201
        assert list(jira.issues) == ["GPU-2"]
        path = "/rest/api/3/issue/GPU-2/comment"
        comment = sample("jira-add-comment")
        assert (await send(jira, path, comment, session_headers))[0] == 201
        assert len(jira.issues["GPU-2"].comments) == 1


async def test_more_than_the_limit_is_429_with_a_wait() -> None:
    """The third message within a minute of two is refused, and not taken."""
    event = sample("pagerduty-events-v2-trigger")
    async with PagerDutyStandIn(key=event["routing_key"], limit=(2, 60.0)) as pagerduty:
        found = [(await send(pagerduty, "/v2/enqueue", event))[0] for _ in range(3)]
        assert found == [202, 202, 429]
        assert pagerduty.most_within(60) == 2


async def test_a_misbehaviour_lasts_as_often_as_it_was_asked_for() -> None:
    """One 429, one reset before and one after the page was taken, then all is well."""
    event = sample("pagerduty-events-v2-trigger")
    async with PagerDutyStandIn(key=event["routing_key"]) as pagerduty:
        pagerduty.misbehave(too_many(retry_after=7))
        pagerduty.misbehave(resets())
        pagerduty.misbehave(resets_after_accept())
        assert (await send(pagerduty, "/v2/enqueue", event))[0] == 429
        for taken in (0, 1):
            with pytest.raises(aiohttp.ClientError):
                await send(pagerduty, "/v2/enqueue", event)
            assert pagerduty.taken == taken
        assert (await send(pagerduty, "/v2/enqueue", event))[0] == 202
        assert len(pagerduty.woken) == 1


async def test_down_refuses_connections_and_comes_up_at_its_port() -> None:
    """A request that hangs does not keep a vendor from going down."""
    event = sample("pagerduty-events-v2-trigger")
    async with PagerDutyStandIn(key=event["routing_key"]) as pagerduty:
        pagerduty.misbehave(hangs_after_accept())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send(pagerduty, "/v2/enqueue", event), 0.2)
        await pagerduty.go_down()
        with pytest.raises(aiohttp.ClientConnectionError):
            await send(pagerduty, "/v2/enqueue", event)
        await pagerduty.come_up()
        assert (await send(pagerduty, "/v2/enqueue", event))[0] == 202
        assert len(pagerduty.woken) == 1


def test_stand_ins_serve_a_test_that_blocks_its_loop() -> None:
    """In a thread they answer, and their lists can be read."""
    with VendorThread(PagerDutyStandIn(), SlackStandIn()) as thread:
        _, slack = thread.vendors
        assert thread.call(send(slack, slack.hook_path, {"text": "hello"})) == (200, "ok")
        assert slack.texts == ["hello"]
