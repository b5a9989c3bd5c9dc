"""The senders nvsx knows, and the one way in to their decoders, for the server and for `explain`.

What nvsx.yaml takes as a kind or a signature, `explain --source` and the tables of
docs/webhooks.md are made from these values. Decoders are pure: no clock, no I/O, no routing, no
authentication; they raise only Refused. What is authentic but starts no run becomes an event
with a `refusal`, since most senders drop a 4xx for good, PagerDuty switches a subscription off
after three of them, and NVSentinel's exporter repeats one until it has blocked everything
behind it.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    presets,
    sns,
)
from nvsx.core.senders.http_request import RawRequest
from nvsx.core.senders.message_fields import PATIENCE
from nvsx.core.senders.sender import Sender, SourceSetup

SENDERS: Mapping[str, Sender] = {
    sender.name: sender
    for sender in (
        cloudevents.NVSENTINEL,
        alertmanager.ALERTMANAGER,
        alertmanager.GRAFANA,
        pagerduty.PAGERDUTY,
        opsgenie.OPSGENIE,
        opsgenie.JSM,
        jira.JSM_AUTOMATION,
        jira.JIRA,
        *presets.PRESETS,
        sns.SNS,
        generic.GENERIC,
    )
}


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """The events in `request`, sent to the source that `setup` describes. May be empty.

    Raises Refused: 400 not JSON or not CloudEvents, 415 wrong content type, 422 JSON that
    this kind of sender never sends, and for the generic sender a bad node name.
    """
    one_message = msgspec.structs.replace(setup, search_time=SearchTime(PATIENCE))
    return setup.sender.decode(request, one_message)
