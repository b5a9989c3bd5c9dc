"""Opsgenie's alerts, and those of JSM operations, which takes the same requests.

The alias does what a key does: a create on an open one counts up and wakes nobody. Requests are
taken at once (202) and done later, so the outcome is asked for. Of a note that may have been taken
nothing can be known: it says so.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote, urlsplit

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret, show_last
from nvsx.notify.targets.http_target import HttpTarget
from nvsx.notify.targets.vendor_http import HttpAnswer, VendorHttp
from nvsx.notify.targets.wording import (
    MAYBE_TWICE,
    fit_key,
    plain_body,
    shorten,
    summarise,
    title_of,
)

URL = "https://api.opsgenie.com"
MESSAGE, DESCRIPTION, NOTE, ALIAS, ENTITY = 130, 15_000, 25_000, 512, 512
DETAIL = 500
PRIORITIES = {"critical": "P1", "error": "P2", "warning": "P3"}
ASKED_AFTER = (0.2, 0.5, 1.0, 2.0)
"""Seconds between questions for the outcome: it is there within a second as a rule, and what is
not known then counts as taken, since that is what 202 promises."""
NO_REQUEST = "00000000-0000-0000-0000-000000000000"


class Opsgenie(HttpTarget):
    """`url` is what stands before /v2/alerts."""

    kind = "opsgenie"

    def __init__(self, name: str, key: TargetSecret, url: str | None = None) -> None:
        super().__init__(name, VendorHttp(name, [key]))
        self._key = key
        self._url = (url or URL).rstrip("/").removesuffix("/v2/alerts")

    async def deliver(self, order: Order) -> Receipt:
        key = self._key.read()
        alias = fit_key(order.key or order.ref, ALIAS)
        repeat = False
        if order.action == "open page":
            text = shorten(summarise(order), MESSAGE)
            body = _describe_alert(order, alias, text)
            answer = await self._ask_opsgenie("POST", "", key, body)
        elif order.action in ("note page", "close page"):
            repeat = order.unsure and order.action != "close page"
            text = _word_note(order, repeat=repeat)
            what = "close" if order.action == "close page" else "notes"
            path = f"/{quote(alias, safe='')}/{what}?identifierType=alias"
            body = {"user": "nvsx", "source": "nvsx", "note": text}
            answer = await self._ask_opsgenie("POST", path, key, body)
        else:
            raise self.refuse_action(order, "pages")
        if not answer.is_ok:
            raise self.http.refuse(answer, order.action)
        outcome = await self._await_outcome(answer, key)
        return self._judge_outcome(order, alias, outcome, text, repeat=repeat, key=key)

    def _judge_outcome(
        self,
        order: Order,
        alias: str,
        outcome: dict[str, Any],
        text: str,
        *,
        repeat: bool,
        key: str,
    ) -> Receipt:
        note = ""
        if outcome.get("isSuccess") is False:
            note = str(outcome.get("status") or "no reason given")
            if order.action != "close page":
                # An alias names open alerts only: somebody closed this one.
                said = f"{self.name}: {order.action}: {note}"
                raise DeliveryRefused(self.http.mask(said), gone=order.action != "open page")
            note = f"there was no open alert: {note}"
        link = ""
        if (alert := outcome.get("alertId")) and urlsplit(self._url).hostname == "api.opsgenie.com":
            link = f"https://app.opsgenie.com/alert/detail/{alert}"
        account = show_last(key)
        return self.make_receipt(
            order, text, ref=alias, link=link, account=account, repeat=repeat, note=note
        )

    async def _await_outcome(self, answer: HttpAnswer, key: str) -> dict[str, Any]:
        """What became of a request; empty while that is not known."""
        said = answer.json if isinstance(answer.json, dict) else {}
        request = said.get("requestId")
        for seconds in ASKED_AFTER if request else ():
            await asyncio.sleep(seconds)
            try:
                found = await self._ask_opsgenie("GET", f"/requests/{quote(str(request))}", key)
            except DeliveryDelayed:  # the request itself was taken
                return {}
            if found.is_ok and isinstance(outcome := found.json.get("data"), dict):
                return outcome
        return {}

    async def _ask_opsgenie(self, method: str, path: str, key: str, body: Any = None) -> HttpAnswer:
        headers = {"Authorization": f"GenieKey {key}"}
        url = f"{self._url}/v2/alerts{path}"
        return await self.http.request(method, url, headers=headers, json_body=body)

    async def check(self) -> str:
        """Asks for a request that never was: a key that is not known is refused before that."""
        key = self._key.read()
        answer = await self._ask_opsgenie("GET", f"/requests/{NO_REQUEST}", key)
        if answer.status not in (200, 404):
            raise self.http.refuse(answer, "the key")
        return f"{urlsplit(self._url).hostname} knows the key {show_last(key)}"


def _describe_alert(order: Order, alias: str, message: str) -> dict[str, Any]:
    details = {name: shorten(value, DETAIL) for name, value in order.facts.rows}
    details |= {name: shorten(value, DETAIL) for name, value in order.fields.items()}
    if order.incident:
        details["incident"] = order.incident
    if order.cluster:
        details["cluster"] = order.cluster
    return {
        "message": message,
        "alias": alias,
        "description": plain_body(order, DESCRIPTION),
        "tags": ["nvsx"],
        "details": details,
        "entity": shorten(order.node or order.cluster, ENTITY),
        "source": "nvsx",
        "user": "nvsx",
        "priority": PRIORITIES[order.severity],
    }


def _word_note(order: Order, *, repeat: bool) -> str:
    title = f"{title_of(order)} {MAYBE_TWICE}" if repeat else title_of(order)
    return shorten(f"{title}\n{plain_body(order, NOTE)}".strip(), NOTE)
