"""PagerDuty, by its Events API v2.

The key of the page does the rest: a trigger on an open one is added to it and wakes nobody, a
resolve of none is dropped. So a repeat is harmless, whatever became of the try before.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret, show_last
from nvsx.notify.targets.http_target import HttpTarget
from nvsx.notify.targets.vendor_http import VendorHttp
from nvsx.notify.targets.wording import (
    fit_key,
    shorten,
    stamp,
    summarise,
    urls_in,
    word_as_of,
)

URL = "https://events.pagerduty.com/v2/enqueue"
SUMMARY = 1024
DEDUP_KEY = 255
TEXT = 8000
VALUE = 2000
"""Characters of the text and of one fact: with these an event stays far below its 512 KiB."""
_KEY = re.compile(r"[A-Za-z0-9]{32}")


class PagerDuty(HttpTarget):
    """`url` is the whole address of enqueue, or what stands before /v2/enqueue."""

    kind = "pagerduty"

    def __init__(self, name: str, key: TargetSecret, url: str | None = None) -> None:
        super().__init__(name, VendorHttp(name, [key]))
        self._key = key
        url = (url or URL).rstrip("/")
        self._url = url if urlsplit(url).path else url + "/v2/enqueue"

    async def deliver(self, order: Order) -> Receipt:
        key = self._key.read()
        dedup_key = fit_key(order.key or order.ref, DEDUP_KEY)
        if order.action in ("open page", "note page"):
            event: dict[str, Any] = {"event_action": "trigger", **_describe_page(order)}
        elif order.action == "close page":
            event = {"event_action": "resolve"}
        else:
            raise self.refuse_action(order, "pages")
        event = {"routing_key": key, "dedup_key": dedup_key, **event}
        answer = await self.http.request("POST", self._url, json_body=event)
        if not answer.is_ok:
            raise self.http.refuse(answer, order.action, _hint_of_key(key))
        said = answer.json if isinstance(answer.json, dict) else {}
        ref = str(said.get("dedup_key") or dedup_key)
        text = summarise(order) if order.action != "close page" else f"resolve {dedup_key}"
        return self.make_receipt(order, text, ref=ref, account=show_last(key))

    async def check(self) -> str:
        """There is no harmless call with a routing key, so the key is only looked at."""
        key = self._key.read()
        if not _KEY.fullmatch(key):
            said = f"{self.name}: the routing key in {self._key.place} is not 32 letters and digits"
            raise DeliveryRefused(said, _hint_of_key(""))
        answer = await self.http.request("GET", self._url)
        host = urlsplit(self._url).hostname
        return (
            f"{host} answers ({answer.status}) and the key {show_last(key)} has the form of one; "
            "whether it is known cannot be asked without a page"
        )


def _hint_of_key(key: str) -> str:
    if _KEY.fullmatch(key):
        return ""
    return "a routing key has 32 letters and digits: Integrations, Events API v2, Integration Key"


def _describe_page(order: Order) -> dict[str, Any]:
    payload = {
        "summary": shorten(summarise(order), SUMMARY),
        "source": order.node or order.cluster or "nvsx",
        "severity": order.severity,
        "timestamp": stamp(order.at),
        "custom_details": _describe_facts(order),
    }
    if order.cluster:
        payload["group"] = order.cluster
    return {"client": "nvsx", "payload": payload, "links": _make_links(order)}


def _describe_facts(order: Order) -> dict[str, str]:
    """Shown as a table, in this order."""
    details = {"text": shorten(order.text, TEXT)} if order.text else {}
    details |= {name: shorten(value, VALUE) for name, value in order.facts.rows}
    details |= {name: shorten(value, VALUE) for name, value in order.fields.items()}
    if order.incident:
        details["incident"] = order.incident
    if said := word_as_of(order):
        details["facts"] = said
    return details


def _make_links(order: Order) -> list[dict[str, str]]:
    return [{"href": url, "text": shorten(url, 80)} for url in urls_in(order)]
