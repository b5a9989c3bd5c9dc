"""Jira: one ticket for one incident, whatever is lost on the way, on Cloud and on Server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.vendors import JiraStandIn, fails, resets_after_accept

from nvsx.core.notify.order import FactsBlock, Order, OrderAction
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret
from nvsx.notify.targets import jira_target
from nvsx.notify.targets.jira_fields import write_body
from nvsx.notify.targets.jira_target import Jira


@pytest.fixture(params=[True, False], ids=["cloud", "server"])
async def jira(request: pytest.FixtureRequest) -> AsyncIterator[JiraStandIn]:
    """A Jira of either kind."""
    async with JiraStandIn(cloud=request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def _search_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look follows the first."""
    monkeypatch.setattr(jira_target, "SEARCH_LAG", 0.0)


@pytest.fixture
async def tickets(jira: JiraStandIn, tmp_path: Path) -> AsyncIterator[Jira]:
    """The target."""
    made = make_target(jira, tmp_path)
    yield made
    await made.close()


def make_target(jira: JiraStandIn, folder: Path, **more: Any) -> Jira:
    """A target of this Jira; on Server with a personal token."""
    env = {"USER_NAME": jira.user, "TOKEN": jira.token}
    return Jira(
        "tickets",
        jira.url + "/",
        user=TargetSecret("tickets", None, "USER_NAME", folder, env) if jira.cloud else None,
        token=TargetSecret("tickets", None, "TOKEN", folder, env),
        project="INFRA",
        **more,
    )


def order(action: OrderAction = "open ticket", number: int = 1, **changed: Any) -> Order:
    """An order about the incident of gpu-7."""
    values: dict[str, Any] = {
        "delivery": number,
        "identity": f"nvsx-{number:032}",
        "action": action,
        "key": "nvsx/6f1e/gpu-7/79",
        "title": f"words {number}",
        "text": "first line\nsecond line",
        "facts": FactsBlock(headline="gpu-7 · XID 79", rows=(("Since", "03:12"),), as_of=1.7e9),
        "incident": "01JD5T",
        "at": 1764299520.0,
    }
    return Order(**{**values, **changed})


async def test_a_ticket_has_the_words_the_facts_and_the_label(
    jira: JiraStandIn, tickets: Jira
) -> None:
    """Summary, description and label, and a link that a person can open."""
    receipt = await tickets.deliver(order())
    issue = jira.issues["INFRA-1"]
    assert (receipt.ref, receipt.link) == ("INFRA-1", f"{jira.url}/browse/INFRA-1")
    assert issue.summary == "words 1"
    for words in ("first line", "second line", "gpu-7 · XID 79", "Since: 03:12", "01JD5T"):
        assert words in issue.words
    assert issue.fields["labels"] == ["nvsx", "nvsx/6f1e/gpu-7/79"]


async def test_a_second_open_finds_the_ticket_by_its_label(
    jira: JiraStandIn, tickets: Jira
) -> None:
    """Opened twice, created once."""
    await tickets.deliver(order())
    receipt = await tickets.deliver(order())
    assert (receipt.ref, receipt.note) == ("INFRA-1", "was there already")
    assert list(jira.issues) == ["INFRA-1"]


async def test_a_lost_answer_creates_no_second_ticket_though_the_search_lags(
    jira: JiraStandIn, tickets: Jira
) -> None:
    """The first search after it sees nothing yet; the second does."""
    jira.misbehave(resets_after_accept(), path="/issue")
    with pytest.raises(DeliveryDelayed) as caught:
        await tickets.deliver(order())
    assert caught.value.unsure
    jira.search_lag = 1
    receipt = await tickets.deliver(order(unsure=True))
    assert receipt.ref == "INFRA-1"
    assert list(jira.issues) == ["INFRA-1"]


async def test_a_search_that_fails_is_no_licence_to_create(
    jira: JiraStandIn, tickets: Jira
) -> None:
    """Not knowing whether it is there, nothing is created."""
    jira.misbehave(fails(503), path="/search")
    with pytest.raises(DeliveryDelayed):
        await tickets.deliver(order())
    assert jira.number == 0


async def test_a_comment_that_may_be_there_is_looked_for(jira: JiraStandIn, tickets: Jira) -> None:
    """The answer to a comment is lost: the next try finds it by its last line."""
    ref = (await tickets.deliver(order())).ref
    jira.misbehave(resets_after_accept(), path="/comment")
    with pytest.raises(DeliveryDelayed):
        await tickets.deliver(order("comment ticket", 2, ref=ref))
    receipt = await tickets.deliver(order("comment ticket", 2, ref=ref, unsure=True))
    assert receipt.note == "was there already"
    await tickets.deliver(order("comment ticket", 3, ref=ref, unsure=True))
    assert [c.splitlines()[0] for c in jira.issues[ref].comments] == ["words 2", "words 3"]


async def test_a_close_comments_once_and_ends_in_done(jira: JiraStandIn, tickets: Jira) -> None:
    """The transition fails after the comment; the next try only moves the ticket."""
    ref = (await tickets.deliver(order())).ref
    jira.misbehave(fails(503), path="/transitions")
    with pytest.raises(DeliveryDelayed):
        await tickets.deliver(order("close ticket", 2, ref=ref))
    await tickets.deliver(order("close ticket", 2, ref=ref))
    assert (jira.issues[ref].status, len(jira.issues[ref].comments)) == ("Done", 1)


async def test_what_a_person_closed_stays_as_it_is(jira: JiraStandIn, tickets: Jira) -> None:
    """A close of a closed ticket comments and moves nothing; a comment does not open it."""
    ref = (await tickets.deliver(order())).ref
    jira.issues[ref].status = "Done"
    assert (await tickets.deliver(order("close ticket", 2, ref=ref))).note == "was closed already"
    await tickets.deliver(order("comment ticket", 3, ref=ref))
    assert (jira.issues[ref].status, len(jira.issues[ref].comments)) == ("Done", 2)


async def test_people_needed_anew_opens_it_again(jira: JiraStandIn, tickets: Jira) -> None:
    """Reopen moves a closed ticket back and comments it."""
    ref = (await tickets.deliver(order())).ref
    jira.issues[ref].status = "Done"
    receipt = await tickets.deliver(order("comment ticket", 2, ref=ref, reopen=True))
    assert (receipt.ref, receipt.note) == (ref, "open again")
    assert (jira.issues[ref].status, len(jira.issues[ref].comments)) == ("To Do", 1)


async def test_where_no_way_leads_back_a_linked_ticket_follows(
    jira: JiraStandIn, tickets: Jira
) -> None:
    """Done is the end of the workflow: a new ticket, linked, and the old one says so; the answer
    to the link is lost, and the next try creates no third."""
    ref = (await tickets.deliver(order())).ref
    jira.issues[ref].status, jira.from_done = "Done", ()
    jira.misbehave(resets_after_accept(), path="/issueLink")
    with pytest.raises(DeliveryDelayed):
        await tickets.deliver(order("comment ticket", 2, ref=ref, reopen=True))
    receipt = await tickets.deliver(order("comment ticket", 2, ref=ref, reopen=True, unsure=True))
    assert receipt.ref == "INFRA-2"
    assert list(jira.issues) == ["INFRA-1", "INFRA-2"]
    assert ("INFRA-1", "INFRA-2") in jira.links
    assert len(jira.issues[ref].comments) == 1


async def test_a_deleted_ticket_is_gone(jira: JiraStandIn, tickets: Jira) -> None:
    """404 on the ticket itself: a new one may be opened."""
    ref = (await tickets.deliver(order())).ref
    jira.delete_issue(ref)
    with pytest.raises(DeliveryRefused) as caught:
        await tickets.deliver(order("comment ticket", 2, ref=ref))
    assert caught.value.gone


async def test_fields_are_set_by_the_names_that_people_see(
    jira: JiraStandIn, tmp_path: Path
) -> None:
    """Components, a custom text, a choice and a number, each in its own form."""
    fields = {"component": ["gpu", "rack"], "Rack": "r07", "impact": "High", "labels": "team-a"}
    target = make_target(jira, tmp_path, fields=fields, issue_type="Incident")
    await target.deliver(order(fields={"GPUs": "8"}))
    await target.close()
    sent = jira.issues["INFRA-1"].fields
    assert sent["components"] == [{"name": "gpu"}, {"name": "rack"}]
    assert sent["customfield_10010"] == "r07"
    assert sent["customfield_10011"] == {"value": "High"}
    assert sent["customfield_10012"] == 8.0
    assert sent["labels"] == ["nvsx", "nvsx/6f1e/gpu-7/79", "team-a"]


async def test_a_field_that_jira_does_not_have_is_left_out_and_said(
    jira: JiraStandIn, tmp_path: Path
) -> None:
    """The ticket is worth more than the field; no issue number is burnt."""
    target = make_target(jira, tmp_path, fields={"Colour": "red", "Rack": "r07"})
    receipt = await target.deliver(order())
    await target.close()
    assert receipt.note == "without Colour: this Jira has no such field"
    assert (jira.number, jira.issues["INFRA-1"].fields["customfield_10010"]) == (1, "r07")


async def test_the_named_transition_is_taken_and_a_missing_one_tells_what_there_is(
    jira: JiraStandIn, tmp_path: Path
) -> None:
    """closeTransition by its name, in any case; a wrong one lists those that are offered."""
    named = make_target(jira, tmp_path, close_transition="move to done")
    ref = (await named.deliver(order())).ref
    await named.deliver(order("close ticket", 2, ref=ref))
    assert jira.issues[ref].status == "Done"
    jira.issues[ref].status = "To Do"
    wrong = make_target(jira, tmp_path, close_transition="Ship it")
    with pytest.raises(DeliveryRefused, match="Ship it") as caught:
        await wrong.deliver(order("close ticket", 3, ref=ref))
    assert "Move to In Progress, Move to Done" in caught.value.hint
    await named.close()
    await wrong.close()


@pytest.mark.parametrize("cloud", [True, False])
@pytest.mark.parametrize("size", [32_000, 33_000, 200_000])
def test_a_body_is_never_longer_than_jira_takes_and_keeps_its_mark(cloud: bool, size: int) -> None:
    """Text before the mark is shortened; the mark, by which it is found again, stays."""
    import json

    body = write_body(["x" * 50] * (size // 51) + ["message nvsx-1"], cloud=cloud, keep_last=True)
    written = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    assert len(written) <= 32_767
    assert "message nvsx-1" in written[-200:]
