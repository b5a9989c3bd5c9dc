"""Our own echo: what nvsx has told a pager, a ticket system or a webhook, coming back as news.

03:02 nvsx opens the page nvsx/inc-4f1b/watch at PagerDuty · 03:02 PagerDuty's webhook tells nvsx of
      a new incident with incident_key nvsx/inc-4f1b/watch: that is no fault, and opens nothing
03:40 nvsx closes it, and hears of that, too: that is nobody's word that the node is well
04:10 a person opens a ticket by hand, without nvsx's label: that may start what a runbook says

Whoever relays such a message keeps its key, alias or label, so these are looked for wherever they
are usual, whatever the kind of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nvsx.core.senders.http_request import quote
from nvsx.core.senders.sender import object_at, text_of, texts_of

KEY_PREFIX = "nvsx/"
"""Of pages and alerts: dedup keys, incident keys and aliases."""
LABEL_PREFIX = "nvsx-"
"""Of tickets. The bare label `nvsx` is a team's to give."""
TYPE_PREFIX = "nvsx."
"""Of the events that a webhook target is sent."""

_KEY_NAMES = ("incident_key", "dedup_key", "alert_key", "alias", "key")


def find_echo(payload: Mapping[str, Any]) -> str:
    """Why this message is nvsx's own, for people; "" when it is somebody else's."""
    # SNS wraps what it relays; its decoder puts the message within under `alarm`.
    return _find_own_mark(payload) or _find_own_mark(object_at(payload, "alarm"))


def _find_own_mark(payload: Mapping[str, Any]) -> str:
    for key in _list_keys(payload):
        if key.startswith(KEY_PREFIX):
            return f"nvsx itself opened {quote(key)}: its own echo starts and changes nothing"
    for label in _list_labels(payload):
        if label.startswith(LABEL_PREFIX):
            return f"nvsx's own label {quote(label)} is on it: its echo starts and changes nothing"
    kind = text_of(payload.get("type"))
    if kind.startswith(TYPE_PREFIX):
        return f"nvsx itself sends {quote(kind)}: its own echo starts and changes nothing"
    return ""


def _list_keys(payload: Mapping[str, Any]) -> Iterator[str]:
    event_data = object_at(object_at(payload, "event"), "data")
    for place in (
        payload,
        event_data,
        object_at(event_data, "incident"),
        object_at(payload, "alert"),
        object_at(payload, "incident"),
        object_at(payload, "data"),
    ):
        for name in _KEY_NAMES:
            yield text_of(place.get(name))
        for named in ("details", "labels", "custom_details"):
            yield from texts_of(place.get(named)).values()


def _list_labels(payload: Mapping[str, Any]) -> Iterator[str]:
    fields = object_at(object_at(payload, "issue"), "fields")
    for place, name in (
        (fields, "labels"),
        (object_at(payload, "alert"), "tags"),
        (payload, "labels"),
        (payload, "tags"),
    ):
        listed = place.get(name)
        yield from (text_of(each) for each in (listed if isinstance(listed, list) else ()))
