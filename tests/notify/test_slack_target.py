"""Slack with a bot token: threads, edits and the look-up; both ways: what people read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.vendors import SlackStandIn, fails, hangs_after_accept, resets_after_accept

from nvsx.core.notify.order import FactsBlock, Order
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret
from nvsx.notify.targets import vendor_http
from nvsx.notify.targets.slack_target import SlackBot, SlackWebhook

FACTS = FactsBlock(
    headline="gpu-7 · XID 79 · draining · nothing to do",
    rows=(("Since", "03:12 UTC"), ("Attempt", "1 of 3")),
    as_of=1764299520.0,
)


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandIn]:
    """A workspace."""
    async with SlackStandIn() as running:
        yield running


@pytest.fixture
async def bot(slack: SlackStandIn, tmp_path: Path) -> AsyncIterator[SlackBot]:
    """The bot, with the channel by its id."""
    made = make_bot(slack, tmp_path)
    yield made
    await made.close()


def make_bot(slack: SlackStandIn, folder: Path, channel: str = "C0GPUOPS") -> SlackBot:
    """A bot of this workspace, as a new process would make it."""
    token = TargetSecret("gpu-ops", None, "BOT", folder, {"BOT": slack.token})
    return SlackBot("gpu-ops", token, channel, slack.api_url)


def order(number: int = 1, **changed: Any) -> Order:
    """A post about gpu-7."""
    values: dict[str, Any] = {
        "delivery": number,
        "identity": f"nvsx-{number:032}",
        "action": "post",
        "title": f"message {number}",
        "facts": FACTS,
        "incident": "01JD5T",
        "node": "gpu-7",
        "at": 1764299520.0 + number,
    }
    return Order(**{**values, **changed})


async def test_later_messages_are_replies_and_only_broadcast_ones_show_in_the_channel(
    slack: SlackStandIn, bot: SlackBot
) -> None:
    """The first opens the thread, the second stays in it, the third is for everybody."""
    first = await bot.deliver(order(1))
    second = await bot.deliver(order(2, ref=first.ref))
    await bot.deliver(order(3, ref=second.ref, broadcast=True))
    assert second.ref == first.ref
    assert [m.text.partition(" · ")[0] for m in slack.in_channel] == ["message 1", "message 3"]
    assert len(slack.replies_to(slack.messages[0].ts)) == 2


async def test_a_link_leads_to_the_message_itself(slack: SlackStandIn, bot: SlackBot) -> None:
    """The first message's permalink, and for a reply the one within its thread."""
    first = await bot.deliver(order(1))
    second = await bot.deliver(order(2, ref=first.ref))
    root, reply = (m.ts for m in slack.messages)
    base = "https://acme.slack.com/archives/C0GPUOPS/p"
    assert first.link == base + root.replace(".", "")
    assert second.link == f"{base}{reply.replace('.', '')}?thread_ts={root}&cid=C0GPUOPS"
    assert first.account == "nvsx@Acme"


async def test_what_everybody_reads_renews_the_first_message(
    slack: SlackStandIn, bot: SlackBot
) -> None:
    """Who scrolls by sees how things stand now, once, above the first words."""
    first = await bot.deliver(order(1))
    for number, state in ((2, "people are needed"), (3, "back in service")):
        facts = FactsBlock(headline=f"gpu-7 · {state}", as_of=1764300000.0)
        await bot.deliver(order(number, ref=first.ref, broadcast=True, facts=facts))
    root = slack.messages[0]
    lines = [str(block) for block in root.blocks]
    assert "*Now:* gpu-7 · back in service (as of 03:20 UTC)" in lines[0]
    assert "message 1" in lines[1]
    assert "people are needed" not in "".join(lines)
    assert slack.wrong == []


async def test_a_failed_edit_is_no_failed_message(slack: SlackStandIn, bot: SlackBot) -> None:
    """The words were delivered; the first message stays as it is."""
    first = await bot.deliver(order(1))
    slack.misbehave(fails(503), path="chat.update")
    await bot.deliver(order(2, ref=first.ref, broadcast=True))
    assert len(slack.messages) == 2


@pytest.mark.parametrize("replies", [0, 1], ids=["no trace", "a tombstone"])
async def test_a_thread_whose_first_message_was_deleted_is_gone(
    slack: SlackStandIn, bot: SlackBot, tmp_path: Path, replies: int
) -> None:
    """Slack would take the reply and show it to nobody: refused, so that a new thread begins."""
    first = await bot.deliver(order(1))
    for number in range(replies):
        await bot.deliver(order(10 + number, ref=first.ref))
    slack.delete_message(slack.messages[0].ts)
    later = make_bot(slack, tmp_path)
    with pytest.raises(DeliveryRefused) as caught:
        await later.deliver(order(2, ref=first.ref))
    await later.close()
    assert caught.value.gone
    assert not any("message 2" in text for text in slack.texts)


@pytest.mark.parametrize("in_thread", [False, True], ids=["first message", "reply"])
async def test_after_a_kill_the_message_is_found_and_not_repeated(
    slack: SlackStandIn, bot: SlackBot, tmp_path: Path, in_thread: bool
) -> None:
    """A new process finds the mark, in the channel or in the thread, and gives its receipt."""
    ref = (await bot.deliver(order(1))).ref if in_thread else ""
    slack.misbehave(resets_after_accept(), path="chat.postMessage")
    with pytest.raises(DeliveryDelayed):
        await bot.deliver(order(2, ref=ref))
    later = make_bot(slack, tmp_path)
    receipt = await later.deliver(order(2, ref=ref, unsure=True))
    await later.close()
    assert receipt.repeat is False
    assert receipt.ref == (ref or f"C0GPUOPS/{slack.messages[0].ts}")
    assert len(slack.messages) == (2 if in_thread else 1)


async def test_an_unsure_message_that_never_arrived_is_posted_without_a_mark(
    slack: SlackStandIn, bot: SlackBot
) -> None:
    """The look-up found nothing, so it is no repeat."""
    await bot.deliver(order(1))
    receipt = await bot.deliver(order(2, unsure=True))
    assert receipt.repeat is False
    assert len(slack.messages) == 2
    assert "possibly a repeat" not in slack.texts[-1]


async def test_the_look_up_goes_on_to_the_next_page(slack: SlackStandIn, bot: SlackBot) -> None:
    """250 messages were posted meanwhile: the one is on the second page."""
    await bot.deliver(order(1))
    for number in range(250):
        slack._keep("C0GPUOPS", f"chatter {number}", [])
    await bot.deliver(order(1, unsure=True))
    assert len(slack.messages) == 251


@pytest.mark.parametrize("why", ["no scope", "only the channel's name"])
async def test_where_it_cannot_be_known_the_message_says_possibly_a_repeat(
    slack: SlackStandIn, tmp_path: Path, why: str
) -> None:
    """The history is not told without the scope, nor for a name."""
    channel = "#gpu-ops" if why != "no scope" else "C0GPUOPS"
    if why == "no scope":
        slack.scopes.discard("channels:history")
    bot = make_bot(slack, tmp_path, channel)
    receipt = await bot.deliver(order(1, unsure=True))
    await bot.close()
    assert receipt.repeat is True
    assert "possibly a repeat" in slack.texts[0]


async def test_a_bot_that_may_not_read_still_replies(slack: SlackStandIn, bot: SlackBot) -> None:
    """Without the scope nobody can look whether the thread is there: it is taken to be."""
    slack.scopes.discard("channels:history")
    first = await bot.deliver(order(1))
    await bot.deliver(order(2, ref=first.ref))
    assert len(slack.replies_to(slack.messages[0].ts)) == 1


@pytest.mark.parametrize(
    ("error", "hint"), [("not_in_channel", "/invite"), ("token_revoked", "install the app anew")]
)
async def test_slacks_own_errors_come_with_the_next_step(
    slack: SlackStandIn, bot: SlackBot, error: str, hint: str
) -> None:
    """200 with ok=false is a refusal, in Slack's word and with what to do."""
    from tests.fakes.vendors import refuses

    slack.misbehave(refuses(200, f'{{"ok": false, "error": "{error}"}}'))
    with pytest.raises(DeliveryRefused, match=error) as caught:
        await bot.deliver(order(1))
    assert hint in caught.value.hint


async def test_a_webhook_that_may_have_posted_says_so(
    slack: SlackStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs after it posted; the second message is marked, and so is the receipt."""
    monkeypatch.setattr(vendor_http, "WHOLE", 0.5)
    url = TargetSecret("ops", None, "URL", tmp_path, {"URL": slack.webhook_url})
    hook = SlackWebhook("ops", url)
    slack.misbehave(hangs_after_accept())
    with pytest.raises(DeliveryDelayed) as caught:
        await hook.deliver(order(1))
    assert caught.value.unsure
    receipt = await hook.deliver(order(1, unsure=True))
    await hook.close()
    assert [("possibly a repeat" in text) for text in slack.texts] == [False, True]
    assert receipt.repeat


async def test_nobody_is_woken_by_words_that_look_like_a_mention(
    slack: SlackStandIn, bot: SlackBot
) -> None:
    """`<!channel>` in a log line is text."""
    await bot.deliver(order(1, title="<!channel> up", text="<!here> & <@U1>"))
    assert slack.woken == []
    assert "&lt;!channel&gt; up" in slack.texts[0]


async def test_what_a_person_reads(slack: SlackStandIn, bot: SlackBot) -> None:
    """Title, words, headline, facts, whose incident and as of when: nothing else, in this order."""
    await bot.deliver(order(1, title="GPU fell off the bus", text="Drain begins."))
    assert slack.texts[0].splitlines() == [
        "*GPU fell off the bus*",
        "Drain begins.",
        "gpu-7 · XID 79 · draining · nothing to do",
        "*Since:* 03:12 UTC",
        "*Attempt:* 1 of 3",
        "incident `01JD5T` · as of 03:12 UTC",
    ]
