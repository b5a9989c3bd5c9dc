"""Decoders: from what a sender posts to TriggerEvents, one module a sender.

`decode(request, setup)` is the one way in, for the server and for `explain`. Decoders are
pure: no clock, no I/O, no routing, no authentication; they raise only Refused. What is
authentic but starts no run becomes an event with a `refusal`, since most senders drop a
4xx for good, PagerDuty switches a subscription off after three of them, and NVSentinel's
exporter repeats one until it has blocked everything behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from nvsx.core.patterns import SearchTime
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders import (
    alertmanager,
    cloudevents,
    generic,
    jira,
    opsgenie,
    pagerduty,
)
from nvsx.core.senders.http_request import RawRequest
from nvsx.core.senders.message_fields import PATIENCE
from nvsx.core.senders.sender import Setup
from nvsx.core.senders.sources import Kind


class Decoder(NamedTuple):
    """`horizon`: how long, in seconds, the sender may repeat a delivery."""

    decode: Callable[[RawRequest, Setup], list[TriggerEvent]]
    horizon: float


DECODERS: Mapping[Kind, Decoder] = {
    "nvsentinel": Decoder(cloudevents.decode, cloudevents.HORIZON),
    "alertmanager": Decoder(alertmanager.decode, alertmanager.HORIZON),
    "grafana": Decoder(alertmanager.decode, alertmanager.HORIZON),
    "pagerduty": Decoder(pagerduty.decode, pagerduty.HORIZON),
    "opsgenie": Decoder(opsgenie.decode, opsgenie.HORIZON),
    "jsm": Decoder(opsgenie.decode, opsgenie.HORIZON),
    "jsm-automation": Decoder(jira.decode_automation, jira.HORIZON),
    "jira": Decoder(jira.decode, jira.HORIZON),
    "generic": Decoder(generic.decode, generic.HORIZON),
}


def decode(request: RawRequest, setup: Setup) -> list[TriggerEvent]:
    """The events in `request`, sent to the source that `setup` describes. May be empty.

    Raises Refused: 400 not JSON or not CloudEvents, 415 wrong content type, 422 JSON that
    this kind of sender never sends, and for the generic sender a bad node name.
    """
    one_message = msgspec.structs.replace(setup, search_time=SearchTime(PATIENCE))
    return DECODERS[setup.kind].decode(request, one_message)
