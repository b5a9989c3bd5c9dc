"""Slack: an incoming webhook, or a bot token, which has threads, edits and a look-up.

Whatever the order, Slack shows a message. What everybody is to read also renews the line of the
thread's first message that says how things stand. A webhook returns no id, so a message that may
have been posted can only be marked as a possible repeat. A bot finds it again by the mark in its
last block (`conversations.history`, where the app may read it).

    03:12:00  first message of the incident: posted in the channel, ref C0123/1764299520.000100
    03:14:10  killed after posting a reply; the next try finds its mark in the thread: no repeat
    03:20:00  the first message was deleted meanwhile: refused as gone, a new thread begins
"""

from __future__ import annotations

import re
from time import monotonic
from typing import Any
from urllib.parse import urlencode

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret, show_last
from nvsx.notify.targets.http_target import HttpTarget
from nvsx.notify.targets.slack_blocks import (
    add_news,
    is_marked,
    make_blocks,
    make_fallback,
    make_metadata,
    mark_of,
    read_text,
)
from nvsx.notify.targets.vendor_http import VendorHttp, read_wait

API = "https://slack.com/api"
#: Errors of Slack's own that pass.
_PASSING = frozenset(
    """
    ratelimited rate_limited internal_error fatal_error service_unavailable request_timeout
    team_added_to_org accesslimited
    """.split()
)
_GONE = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})
_HINTS = {
    "not_in_channel": "invite the app to the channel: /invite @its-name",
    "channel_not_found": "does the channel exist, and is the app its member? /invite @its-name",
    "is_archived": "the channel is archived: name another",
    "invalid_auth": "the bot token (xoxb-…) is not valid any more: install the app anew",
    "not_authed": "the bot token (xoxb-…) is not valid any more: install the app anew",
    "token_revoked": "the bot token (xoxb-…) is not valid any more: install the app anew",
    "account_inactive": "the bot token (xoxb-…) is not valid any more: install the app anew",
    "missing_scope": "give the app the scope chat:write, and install it anew",
}
_NOTHING_SAID = ("no_text", "invalid_payload", "no_payload", "missing_text_or_fallback")
_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{5,}")
THREAD_SEEN = 300.0
"""Seconds for which a thread that was there is not looked at again before a reply."""
LOOK_BACK = 25 * 3600.0
"""Seconds of history that are searched for a message: posts are tried for a day."""
PAGES = 5
"""Pages of 200 messages that are searched; a channel with more in a day has other troubles."""


class SlackWebhook(HttpTarget):
    """An incoming webhook: its URL is the secret."""

    kind = "slack"

    def __init__(self, name: str, url: TargetSecret) -> None:
        super().__init__(name, VendorHttp(name, [url]))
        self._url = url

    async def deliver(self, order: Order) -> Receipt:
        url = self._url.read()
        twice = order.unsure
        body = {
            "text": make_fallback(order, maybe_twice=twice),
            "blocks": make_blocks(order, maybe_twice=twice),
            "unfurl_links": False,
        }
        answer = await self.http.request("POST", url, json_body=body)
        if not answer.is_ok:
            hint = "is the webhook's URL right, and its app still installed?"
            raise self.http.refuse(answer, order.action, hint)
        return self.make_receipt(order, read_text(order), account=show_last(url), repeat=twice)

    async def check(self) -> str:
        """An empty message: Slack posts nothing, and says so only when it knows the webhook."""
        url = self._url.read()
        answer = await self.http.request("POST", url, json_body={})
        if answer.status == 400 and answer.text.strip() in _NOTHING_SAID:
            return f"the webhook {show_last(url)} takes messages (an empty one was refused as such)"
        raise self.http.refuse(answer, "the webhook", "is its URL right?")


class SlackBot(HttpTarget):
    """A bot token and a channel. `url` is what stands before the method's name."""

    kind = "slack"
    has_threads = True

    def __init__(self, name: str, token: TargetSecret, channel: str, url: str | None) -> None:
        super().__init__(name, VendorHttp(name, [token]))
        self._token = token
        self._channel = channel
        self._url = (url or API).rstrip("/")
        #: The channel's id: the history is not told for a name.
        self._channel_id = channel if _CHANNEL_ID.fullmatch(channel) else ""
        self._team: dict[str, Any] | None = None
        self._seen: dict[str, float] = {}

    async def deliver(self, order: Order) -> Receipt:
        channel, _, thread = order.ref.partition("/")
        twice = False
        if order.unsure:
            found = await self._find_posted(order, channel, thread)
            if isinstance(found, str):
                return await self._make_receipt(order, channel or self._channel_id, thread, found)
            twice = not found
        if thread:
            await self._require_thread(channel, thread)
        body = {
            "channel": channel or self._channel,
            "text": make_fallback(order, maybe_twice=twice),
            "blocks": make_blocks(order, maybe_twice=twice),
            "metadata": make_metadata(order),
            "unfurl_links": False,
        }
        if thread:
            body |= {"thread_ts": thread, "reply_broadcast": order.broadcast}
        said = await self._call_method("chat.postMessage", body)
        self._channel_id = channel_id = str(said["channel"])
        if thread and order.broadcast:
            await self._renew_first_message(channel_id, thread, order)
        return await self._make_receipt(order, channel_id, thread, str(said["ts"]), repeat=twice)

    async def _make_receipt(
        self, order: Order, channel: str, thread: str, ts: str, *, repeat: bool = False
    ) -> Receipt:
        """`ref` is the thread's first message, `link` that of this one."""
        team = await self._read_team()
        link = ""
        if team.get("url"):
            link = f"{team['url']}archives/{channel}/p{ts.replace('.', '')}"
            if thread:
                link += f"?thread_ts={thread}&cid={channel}"
        account = f"{team['user']}@{team['team']}" if team else show_last(self._token.read())
        ref = f"{channel}/{thread or ts}"
        text = read_text(order)
        return self.make_receipt(order, text, ref=ref, link=link, account=account, repeat=repeat)

    async def _read_team(self) -> dict[str, Any]:
        """Where and as whom we are; {} when Slack does not say: it is for links only."""
        if self._team is None:
            try:
                self._team = await self._call_method("auth.test", {})
            except (DeliveryDelayed, DeliveryRefused):
                return {}
        return self._team

    async def _require_thread(self, channel: str, thread: str) -> None:
        """Raises DeliveryRefused (gone) when its first message was deleted: Slack takes such a
        reply, and nobody ever sees it. With replies a tombstone is left in its place. Not looked at
        where the app may not read the channel."""
        if monotonic() - self._seen.get(thread, -THREAD_SEEN) < THREAD_SEEN:
            return
        asked = {"channel": channel, "ts": thread, "limit": 1}
        try:
            said = await self._call_method("conversations.replies", asked)
        except DeliveryRefused as exc:
            if exc.gone:
                raise
            said = {}
        if any(m.get("subtype") == "tombstone" for m in said.get("messages", ())[:1]):
            raise DeliveryRefused(f"{self.name}: the thread's first message was deleted", gone=True)
        self._seen[thread] = monotonic()

    async def _find_posted(self, order: Order, channel: str, thread: str) -> str | bool:
        """The time stamp of this very message; True when it is not there, False when that cannot
        be known: the app may not read the channel, or there is too much in it."""
        channel = channel or self._channel_id
        if not channel:
            return False
        mark = mark_of(order)
        method = "conversations.replies" if thread else "conversations.history"
        asked: dict[str, Any] = {"channel": channel, "limit": 200, "include_all_metadata": "true"}
        asked |= {"ts": thread} if thread else {"oldest": f"{order.at - LOOK_BACK:.6f}"}
        for _ in range(PAGES):
            try:
                said = await self._call_method(method, asked)
            except DeliveryRefused as exc:
                if exc.gone:
                    raise
                return False
            for message in said.get("messages", ()):
                if is_marked(message, mark):
                    return str(message["ts"])
            cursor = (said.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return True
            asked["cursor"] = cursor
        return False

    async def _renew_first_message(self, channel: str, thread: str, order: Order) -> None:
        """Who scrolls by sees at the first message how things stand. No more than a courtesy:
        the words were delivered, so what fails here fails silently."""
        try:
            asked = {"channel": channel, "ts": thread, "limit": 1}
            said = await self._call_method("conversations.replies", asked)
            changed = add_news(said["messages"][0], order)
            await self._call_method("chat.update", {"channel": channel, "ts": thread, **changed})
        except (DeliveryDelayed, DeliveryRefused, LookupError):
            return

    async def _call_method(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One method of the Web API. Raises DeliveryDelayed, DeliveryRefused."""
        headers = {"Authorization": f"Bearer {self._token.read()}"}
        url = f"{self._url}/{method}"
        if method.startswith("conversations."):  # those take no JSON
            answer = await self.http.request(
                "GET", f"{url}?{urlencode(arguments)}", headers=headers
            )
        else:
            answer = await self.http.request("POST", url, headers=headers, json_body=arguments)
        said = answer.json
        if not isinstance(said, dict) or "ok" not in said:
            raise self.http.refuse(answer, method)
        if said["ok"]:
            return said
        error = str(said.get("error"))
        details = [str(e) for e in (said.get("response_metadata") or {}).get("messages", ())]
        needed = f" (it needs {said['needed']})" if said.get("needed") else ""
        text = self.http.mask(
            f"{self.name}: Slack refused {method}: {error}{needed} {' '.join(details)}".strip()
        )
        if error in _PASSING:
            raise DeliveryDelayed(text, read_wait(answer.headers))
        raise DeliveryRefused(text, _HINTS.get(error, ""), gone=error in _GONE)

    async def check(self) -> str:
        """`auth.test`: proves the token. That it may post in the channel only a post would."""
        said = await self._call_method("auth.test", {})
        text = f"{said.get('user')} in {said.get('team')}; a post in {self._channel} was not tried"
        if not self._channel_id:
            text += " (with the channel's id instead of its name a message can be found again)"
        return text
