"""Somebody's own receivers: of signed webhooks, and of what Apprise sends as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import Field
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.fakes.vendors.vendor_stand_in import RequestShape, VendorStandIn, WrongRequest


@dataclass
class WebhookStandIn(VendorStandIn):
    """Verifies as Standard Webhooks says, and takes an id once. `check_body` may refuse a body
    that is not as published (it raises ValueError). Secret "": unsigned."""

    secret: str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    check_body: Callable[[dict[str, Any]], None] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    repeats: int = 0
    ids: list[str] = field(default_factory=list)

    @property
    def hook_url(self) -> str:
        return self.url + "/nvsx"

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        if request.path != "/nvsx":
            raise WrongRequest("not found", 404)
        if request.method != "POST":
            raise WrongRequest("POST only", 405)
        if self.secret:
            try:
                Webhook(self.secret).verify(
                    body, {k.lower(): v for k, v in request.headers.items()}
                )
            except WebhookVerificationError as exc:
                raise WrongRequest(f"signature: {exc}", 401) from None
        event = json.loads(body)
        if self.check_body is not None:
            try:
                self.check_body(event)
            except ValueError as exc:
                raise WrongRequest(str(exc)) from None
        self.count_message()
        message_id = request.headers["webhook-id"]
        if message_id in self.ids:
            self.repeats += 1
        else:
            self.ids.append(message_id)
            self.events.append(event)
            self.show(str(event.get("type")), str(event.get("data", {}).get("title")))
        return web.Response(status=204)

    def word_error(self, text: str, status: int) -> web.Response:
        return web.json_response({"error": text}, status=status)


class AppriseBody(RequestShape):
    """What Apprise's json:// sends."""

    version: str
    title: str
    message: str
    attachments: list[Any] = Field(default_factory=list)
    type: str


@dataclass
class AppriseStandIn(VendorStandIn):
    """Where json:// of Apprise leads."""

    bodies: list[AppriseBody] = field(default_factory=list)

    @property
    def apprise_url(self) -> str:
        return f"json://operator:apprise-password@127.0.0.1:{self.port}/hook"

    async def handle(self, request: web.Request, body: bytes) -> web.Response:
        found = self.parse(AppriseBody, body)
        self.count_message()
        self.bodies.append(found)
        self.show("apprise", f"{found.title}\n{found.message}")
        return web.Response(text="ok")

    def word_error(self, text: str, status: int) -> web.Response:
        return web.Response(status=status, text=text)
