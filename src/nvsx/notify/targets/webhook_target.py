"""Any address: a JSON POST, signed as Standard Webhooks where a secret is given.

`webhook-id` is the delivery's, the same in each try: a receiver that keeps the ids it has seen is
told once, whatever is lost on the way.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from time import time
from urllib.parse import urlsplit

import msgspec

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret, show_last
from nvsx.notify.targets.http_target import HttpTarget
from nvsx.notify.targets.vendor_http import VendorHttp
from nvsx.notify.targets.webhook_event import make_event
from nvsx.notify.targets.wording import fit_key, identify, plain_body, title_of

PREFIX = "whsec_"
RECEIPT = 20_000


class Webhook(HttpTarget):
    kind = "webhook"

    def __init__(self, name: str, url: str, secret: TargetSecret | None) -> None:
        super().__init__(name, VendorHttp(name, [secret] if secret else []))
        self._url = url
        self._secret = secret

    async def deliver(self, order: Order) -> Receipt:
        body = msgspec.json.encode(make_event(order))
        message_id = _make_id(order)
        headers = {"Content-Type": "application/json", **self._sign_body(message_id, body)}
        answer = await self.http.request("POST", self._url, headers=headers, body=body)
        if not answer.is_ok:
            raise self.http.refuse(answer, order.action)
        return self.make_receipt(
            order,
            f"{title_of(order)}\n{plain_body(order, RECEIPT)}".strip(),
            ref=message_id,
            account=show_last(self._secret.read()) if self._secret else "unsigned",
        )

    def _sign_body(self, message_id: str, body: bytes) -> dict[str, str]:
        """The three headers of Standard Webhooks; without a secret the first two."""
        # The receiver refuses what is older than five minutes by its own clock, so this is now,
        # and not the time of the order.
        at = str(int(time()))
        headers = {"webhook-id": message_id, "webhook-timestamp": at}
        if self._secret is not None:
            signed = hmac.digest(
                self._read_key(self._secret), f"{message_id}.{at}.".encode() + body, "sha256"
            )
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        return headers

    def _read_key(self, secret: TargetSecret) -> bytes:
        text = secret.read().removeprefix(PREFIX)
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not key:
            said = f"{self.name}: the secret in {secret.place} is not whsec_ with base64"
            raise DeliveryRefused(said, 'make one: echo "whsec_$(openssl rand -base64 24)"')
        return key

    async def check(self) -> str:
        """A POST would be an event, so the address is only asked whether it is there."""
        if self._secret is not None:
            self._read_key(self._secret)
        answer = await self.http.request("HEAD", self._url)
        signed = f"signed with {self._secret.place}" if self._secret else "not signed"
        host = urlsplit(self._url).hostname
        return f"{host} answers ({answer.status}); events are {signed}, none was sent"


def _make_id(order: Order) -> str:
    """The receiver's key against repeats. It is signed before a ".", so it has none itself."""
    return fit_key(identify(order), 200).replace(".", "-")
