"""Slack: an incoming webhook, and the five methods of the Web API that nvsx uses."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import Field
from tests.fakes.vendors.vendor_stand_in import RequestShape, VendorStandIn, WrongRequest

BOT = "U0BOT"
#: `<` only begins a link, a mention or a date, and `&` only an entity.
_UNESCAPED = re.compile(r"<(?!https?://|mailto:|[!@#])|&(?!amp;|lt;|gt;)")


class SlackText(RequestShape):
    type: Literal["plain_text", "mrkdwn"]
    text: Annotated[str, Field(min_length=1, max_length=3000)]
    emoji: bool | None = None
    verbatim: bool | None = None


class HeaderText(RequestShape):
    type: Literal["plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=150)]
    emoji: bool | None = None


class FieldText(RequestShape):
    type: Literal["plain_text", "mrkdwn"]
    text: Annotated[str, Field(min_length=1, max_length=2000)]
    verbatim: bool | None = None


class HeaderBlock(RequestShape):
    type: Literal["header"]
    text: HeaderText
    block_id: str | None = None


class SectionBlock(RequestShape):
    type: Literal["section"]
    text: SlackText | None = None
    fields: Annotated[list[FieldText], Field(min_length=1, max_length=10)] | None = None
    expand: bool | None = None
    block_id: str | None = None


class ContextBlock(RequestShape):
    type: Literal["context"]
    elements: Annotated[list[SlackText], Field(min_length=1, max_length=10)]
    block_id: str | None = None


class DividerBlock(RequestShape):
    type: Literal["divider"]
    block_id: str | None = None


Block = Annotated[
    HeaderBlock | SectionBlock | ContextBlock | DividerBlock, Field(discriminator="type")
]
Blocks = Annotated[list[Block], Field(max_length=50)]
Words = Annotated[str, Field(min_length=1, max_length=40_000)]


class HookRequest(RequestShape):
    text: Words
    blocks: Blocks | None = None
    unfurl_links: bool | None = None
    unfurl_media: bool | None = None


class MessageMetadata(RequestShape):
    event_type: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,255}$")]
    event_payload: dict[str, str | int | float | bool]


class PostRequest(RequestShape):
    channel: Annotated[str, Field(min_length=1)]
    text: Words
    blocks: Blocks | None = None
    thread_ts: str | None = None
    reply_broadcast: bool | None = None
    metadata: MessageMetadata | None = None
    unfurl_links: bool | None = None
    unfurl_media: bool | None = None


class UpdateRequest(RequestShape):
    channel: Annotated[str, Field(pattern=r"^[CGD]")]  # an id: a name is not taken here
    ts: str
    text: Words
    blocks: Blocks | None = None
    metadata: MessageMetadata | None = None


@dataclass
class SlackMessage:
    """A message in the channel, or a reply."""

    ts: str
    channel: str
    text: str
    blocks: list[Any]
    thread_ts: str = ""
    broadcast: bool = False
    metadata: dict[str, Any] | None = None
    deleted: bool = False

    def as_dict(self, *, metadata: bool) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": "message",
            "bot_id": "B0BOT",
            "user": BOT,
            "ts": self.ts,
            "text": self.text,
            "blocks": self.blocks,
        }
        if self.thread_ts:
            found["thread_ts"] = self.thread_ts
        if self.deleted:
            found |= {"subtype": "tombstone", "text": "This message was deleted.", "blocks": []}
        elif metadata and self.metadata:
            found["metadata"] = self.metadata
        return found


def plain_words(text: str, blocks: list[Any]) -> str:
    """What a person reads: the blocks, one line each; `text` where there are none."""
    lines = []
    for block in blocks:
        parts = [block["text"]] if block.get("text") else []
        parts += [*block.get("fields", ()), *block.get("elements", ())]
        lines += [part["text"] for part in parts]
    return "\n".join(lines) or text


@dataclass
class SlackStandIn(VendorStandIn):
    """One workspace with one channel, #gpu-ops (C0GPUOPS), and a bot that is its member."""

    token: str = "xoxb-1234567890-abcdefghijklmnop"
    hook_path: str = "/services/T0TEAM/B0BOT/abcdefghijklmnopqrstuvwx"
    channels: dict[str, str] = field(default_factory=lambda: {"#gpu-ops": "C0GPUOPS"})
    scopes: set[str] = field(default_factory=lambda: {"chat:write", "channels:history"})
    messages: list[SlackMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers = itertools.count(1)

    @property
    def webhook_url(self) -> str:
        return self.url + self.hook_path

    @property
    def api_url(self) -> str:
        return self.url + "/api/"

    @property
    def in_channel(self) -> list[SlackMessage]:
        """What shows without opening a thread."""
        return [m for m in self.messages if not m.thread_ts or m.broadcast]

    def replies_to(self, ts: str) -> list[SlackMessage]:
        return [m for m in self.messages if m.thread_ts == ts]

    def delete_message(self, ts: str) -> None:
        """A person deletes it. Of a first message with replies a tombstone is left."""
        for message in self.messages:
            if message.ts == ts:
                message.deleted = True
        if not self.replies_to(ts):
            self.messages = [m for m in self.messages if m.ts != ts]

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        if request.path.startswith("/services/"):
            return self._take_hook(request, body)
        method = request.path.removeprefix("/api/")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        answers = {
            "auth.test": self._test_auth,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.replies": self._list_replies,
            "conversations.history": self._list_history,
            "conversations.info": self._tell_channel,
        }
        if method not in answers:
            return web.json_response({"ok": False, "error": "unknown_method"})
        return answers[method](_read_arguments(request, body))

    # --- the incoming webhook -------------------------------------------------------------

    def _take_hook(self, request: web.Request, body: bytes) -> web.Response:
        if request.path != self.hook_path:
            raise WrongRequest("invalid_token", 403)
        if json.loads(body) == {}:
            return web.Response(status=400, text="no_text")
        asked = self.parse(HookRequest, body)
        self.count_message()
        self._keep("C0GPUOPS", asked.text, json.loads(body).get("blocks") or [])
        return web.Response(text="ok")

    def _keep(self, channel: str, text: str, blocks: list[Any], **more: Any) -> SlackMessage:
        words = plain_words(text, blocks)
        for part in (text, *(t for t in words.splitlines())):
            if found := _UNESCAPED.search(part):
                raise WrongRequest(f"unescaped {found[0]} in {part!r}")
        stamp = f"{int(self.clock())}.{next(self._numbers):06}"
        message = SlackMessage(stamp, channel, text, blocks, **more)
        self.messages.append(message)
        self.show(message.thread_ts or channel, words)
        if "<!channel>" in words or "<!here>" in words:
            self.wake(channel, text)
        return message

    # --- the Web API ----------------------------------------------------------------------

    def _test_auth(self, _arguments: dict[str, Any]) -> web.Response:
        return web.json_response(
            {
                "ok": True,
                "url": "https://acme.slack.com/",
                "team": "Acme",
                "user": "nvsx",
                "team_id": "T0TEAM",
                "user_id": BOT,
                "bot_id": "B0BOT",
            }
        )

    def _post(self, arguments: dict[str, Any]) -> web.Response:
        asked = self.parse(PostRequest, json.dumps(arguments).encode())
        channel = self.channels.get(asked.channel, asked.channel)
        if channel not in self.channels.values():
            return web.json_response({"ok": False, "error": "channel_not_found"})
        self.count_message()
        message = self._keep(
            channel,
            asked.text,
            arguments.get("blocks") or [],
            thread_ts=asked.thread_ts or "",
            broadcast=bool(asked.reply_broadcast),
            metadata=arguments.get("metadata"),
        )
        shown = message.as_dict(metadata=True)
        return web.json_response(
            {"ok": True, "channel": channel, "ts": message.ts, "message": shown}
        )

    def _update(self, arguments: dict[str, Any]) -> web.Response:
        asked = self.parse(UpdateRequest, json.dumps(arguments).encode())
        found = next((m for m in self.messages if m.ts == asked.ts), None)
        if found is None:
            return web.json_response({"ok": False, "error": "message_not_found"})
        found.text, found.blocks = asked.text, arguments.get("blocks") or []
        return web.json_response(
            {"ok": True, "channel": asked.channel, "ts": asked.ts, "text": asked.text}
        )

    def _refuse_scope(self) -> web.Response | None:
        if "channels:history" in self.scopes:
            return None
        provided = ",".join(sorted(self.scopes))
        return web.json_response(
            {
                "ok": False,
                "error": "missing_scope",
                "needed": "channels:history",
                "provided": provided,
            }
        )

    def _list_replies(self, arguments: dict[str, Any]) -> web.Response:
        if refusal := self._refuse_scope():
            return refusal
        ts = arguments["ts"]
        found = [m for m in self.messages if m.ts == ts] + self.replies_to(ts)
        if not any(m.ts == ts for m in found):
            return web.json_response({"ok": False, "error": "thread_not_found"})
        return self._page_of(found, arguments)

    def _list_history(self, arguments: dict[str, Any]) -> web.Response:
        if refusal := self._refuse_scope():
            return refusal
        if arguments["channel"] not in self.channels.values():
            return web.json_response({"ok": False, "error": "channel_not_found"})
        since = float(arguments.get("oldest", 0))
        found = [m for m in reversed(self.in_channel) if float(m.ts) >= since]
        return self._page_of(found, arguments)

    def _page_of(self, found: list[SlackMessage], arguments: dict[str, Any]) -> web.Response:
        metadata = str(arguments.get("include_all_metadata", "")).lower() in ("1", "true")
        start = int(arguments.get("cursor") or 0)
        end = start + int(arguments.get("limit", 100))
        answer: dict[str, Any] = {
            "ok": True,
            "messages": [m.as_dict(metadata=metadata) for m in found[start:end]],
            "has_more": end < len(found),
        }
        if end < len(found):
            answer["response_metadata"] = {"next_cursor": str(end)}
        return web.json_response(answer)

    def _tell_channel(self, arguments: dict[str, Any]) -> web.Response:
        if arguments["channel"] not in self.channels.values():
            return web.json_response({"ok": False, "error": "channel_not_found"})
        return web.json_response({"ok": True, "channel": {"id": arguments["channel"]}})

    def word_error(self, text: str, status: int) -> web.Response:
        if status == 429:
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429)
        return web.Response(status=status, text=text)


def _read_arguments(request: web.Request, body: bytes) -> dict[str, Any]:
    """Arguments come as JSON, as a form, or in the query."""
    if request.content_type == "application/json" and body:
        found: dict[str, Any] = json.loads(body)
        return found
    found = {**dict(request.query), **dict(parse_qsl(body.decode()))}
    for name in ("blocks", "metadata"):
        if name in found:
            found[name] = json.loads(found[name])
    return found
