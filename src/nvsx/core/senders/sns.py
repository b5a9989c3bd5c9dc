"""AWS SNS: a CloudWatch alarm, or any message, as text within a notification.

SNS sends `text/plain` whose body is JSON, and cannot add a header: its address carries the
credentials (`https://user:password@…`, signature basic). The alarm is JSON once more, inside
`Message`; rules find it as `alarm`, and the text as it came as `Message`.
Source: https://docs.aws.amazon.com/sns/latest/dg/sns-http-https-endpoint-as-subscriber.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.routing.trigger_facts import TriggerFacts
from nvsx.core.senders.generic import read_alert
from nvsx.core.senders.http_request import (
    RawRequest,
    Refused,
    is_json,
    quote,
    unsupported_type,
    wrong_content,
)
from nvsx.core.senders.json_body import parse_json, parse_json_object
from nvsx.core.senders.message_fields import Extract
from nvsx.core.senders.sender import Sender, SourceSetup, bound_identity, digest_of, text_of
from nvsx.core.senders.shipped_rules import XID_PATTERN, list_rules, take_cel, take_path

NOTIFICATION = "Notification"
CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")

_AWS_URL = re.compile(r"https://sns\.[a-z0-9-]{3,30}\.amazonaws\.com(?:\.cn)?/[^\s@\\]*\Z")


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """Always one event, from a notification or a request to confirm the subscription."""
    if request.media_type != "text/plain" and not is_json(request.media_type):
        raise unsupported_type("SNS sends text/plain; charset=UTF-8")
    body = parse_json_object(request.body)
    kind = text_of(body.get("Type"))
    if kind in CONFIRMATIONS:
        return [_make_confirmation(body, kind, request, setup)]
    if kind != NOTIFICATION:
        raise wrong_content(
            f"Type {quote(kind)} is not one of SNS", "raw message delivery has to be off"
        )
    document = {**body, "alarm": _read_message(body)}
    event = read_alert(document, request, setup)
    identity = bound_identity(text_of(body.get("MessageId"))) or event.delivery
    return [msgspec.structs.replace(event, delivery=identity, payload=document)]


def _read_message(body: dict[str, Any]) -> Any:
    """The JSON within `Message`; an empty object for a text that is none."""
    try:
        inner = parse_json(text_of(body.get("Message")).encode())
    except (Refused, UnicodeError):
        return {}
    return inner if isinstance(inner, dict) else {}


def _make_confirmation(
    body: dict[str, Any], kind: str, request: RawRequest, setup: SourceSetup
) -> TriggerEvent:
    """A request that a person has to answer: nvsx opens no address that a message brings. The
    address is told only where it is AWS's own, since whoever opens another one is led astray."""
    topic = quote(text_of(body.get("TopicArn")), 200)
    url = text_of(body.get("SubscribeURL"))
    if kind != CONFIRMATIONS[0]:
        refusal, step = f"topic {topic} has unsubscribed this address", ""
    elif not _AWS_URL.match(url):
        refusal = f"a request to confirm topic {topic}, whose SubscribeURL is not AWS's own"
        step = f"confirm: {quote(url, 200)} is not at sns.<region>.amazonaws.com: do not open it"
    else:
        refusal = (
            f"confirm the subscription to topic {topic}: open its SubscribeURL, which "
            "`nvsx explain <event>` shows, or confirm it in the AWS console"
        )
        step = f"confirm: SubscribeURL is {quote(url, 2000)[1:-1]}"
    return TriggerEvent(
        source=setup.name,
        received=request.received,
        delivery=digest_of("sns", kind, body.get("TopicArn"), body.get("Token")),
        facts=TriggerFacts(source=setup.name, message=f"{kind} of {topic}"),
        payload={key: body[key] for key in ("Type", "TopicArn") if key in body},
        refusal=refusal,
        steps=(step,) if step else (),
    )


def _take_dimension(name: str) -> Extract:
    return take_cel(f"body.alarm.Trigger.Dimensions.filter(d, d.name == '{name}')[0].value")


SNS = Sender(
    name="sns",
    decode=decode,
    scheme="basic",
    horizon=3600.0,  # 50 tries over about an hour, unless the topic's policy says otherwise
    assume_type=lambda _headers, _body: "text/plain",
    rules=list_rules(
        node=(
            *map(_take_dimension, ("NodeName", "node", "Hostname", "InstanceId", "host")),
            "alarm.node",
            "alarm.host",
        ),
        errorCode=(
            _take_dimension("xid"),
            take_path("alarm.AlarmName", XID_PATTERN),
            take_path("alarm.AlarmDescription", XID_PATTERN),
            take_path("Subject", XID_PATTERN),
        ),
        check=("alarm.AlarmName", "Subject"),
        resolved=("alarm.NewStateValue", "alarm.status", "alarm.state"),
        severity=("alarm.severity", "MessageAttributes.severity.Value"),
        time=("alarm.StateChangeTime", "Timestamp"),
        key=("alarm.AlarmArn", "alarm.AlarmName"),
    ),
    starts="an alarm, or any other message",
    recovers="state OK",
    known_by="`MessageId`",
)
