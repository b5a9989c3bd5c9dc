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
from nvsx.core.senders.echo import find_echo
from nvsx.core.senders.http_request import (
    RawRequest,
    Refused,
    unsupported_type,
    wrong_content,
)
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.message_fields import PATIENCE
from nvsx.core.senders.recognising import recognise_sender
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
    try:
        events = setup.sender.decode(request, one_message)
    except Refused as exc:
        if exc.status == 415 and "x-amz-sns-message-type" in request.headers:
            raise unsupported_type("AWS SNS sends text/plain: `kind: sns` takes that") from None
        if exc.status == 422 and (other := _recognise_other(request, setup)):
            hint = f"it looks like a message of {other}: have it sent to /hooks/{other}"
            raise wrong_content(exc.message, hint) from None
        raise
    return [_refuse_echo(event) for event in events]


def _refuse_echo(event: TriggerEvent) -> TriggerEvent:
    """What nvsx itself has told somebody is no news, whatever it looks like on its way back."""
    echo = find_echo(event.payload)
    return msgspec.structs.replace(event, refusal=echo, runbook="") if echo else event


def _recognise_other(request: RawRequest, setup: SourceSetup) -> str:
    """The kind of sender whose message came to another's address; "" for none."""
    try:
        kind = recognise_sender(parse_json_object(request.body))
    except Refused:
        return ""
    return kind if kind != setup.sender.name else ""
