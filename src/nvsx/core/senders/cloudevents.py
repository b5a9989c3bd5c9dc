"""CloudEvents over HTTP (structured, binary, batch), as NVSentinel's event exporter uses them.

The exporter gives every export a new random id, repeats events after a restart, and sends
up to 30 days of old ones at its first start. So what is recognised is the content: cluster,
node, agent, check, health, time, codes and entities. A bad event is never answered with a
4xx, because the exporter would repeat it for ever and send nothing else.
Source: cloudevents/spec bindings/http-protocol-binding.md section 3; NVSentinel
event-exporter/pkg/transformer/cloudevents.go, sink/http.go.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import (
    Headers,
    RawRequest,
    Refused,
    is_json,
    quote,
    unsupported_type,
    wrong_content,
)
from nvsx.core.senders.instants import read_rfc3339
from nvsx.core.senders.json_body import parse_json, parse_json_object
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    digest_of,
    finish_event,
    object_at,
    text_of,
)

_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"

#: The second is what the exporter's first version sent.
TYPES = ("com.nvidia.nvsentinel.health.v1", "com.nvidia.nvsentinel.healthevents.v1")
_CLUSTER = re.compile(r"nvsentinel://([^/]+)/healthevents|nvsentinel/([^/]+)")
_REQUIRED = ("specversion", "type", "source", "id")


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """One event a CloudEvent, in any of the three content modes."""
    kind = request.media_type
    if kind == _STRUCTURED:
        envelopes: list[object] = [parse_json_object(request.body)]
    elif kind == _BATCH:
        batch = parse_json(request.body)
        if not isinstance(batch, list):
            raise Refused(400, "a batch of CloudEvents is a JSON array")
        envelopes = batch
    elif kind.startswith("application/cloudevents"):
        raise unsupported_type("of the formats of CloudEvents nvsx reads JSON")
    elif all(f"ce-{name}" in request.headers for name in _REQUIRED):
        envelopes = [_read_binary_mode(request, kind)]
    else:
        raise unsupported_type(
            f"send CloudEvents: Content-Type {_STRUCTURED}, or the headers ce-specversion, "
            "ce-type, ce-source and ce-id"
        )
    if len(envelopes) == 1 and kind != _BATCH:
        _require_attributes(envelopes[0])
    return [_make_event(envelope, request, setup) for envelope in envelopes]


def _read_binary_mode(request: RawRequest, kind: str) -> dict[str, Any]:
    if "ce-datacontenttype" in request.headers:
        raise Refused(400, "ce-datacontenttype must not be there: Content-Type says it")
    if not is_json(kind):
        raise unsupported_type("the data of the event has to be JSON")
    found: dict[str, Any] = {
        name.removeprefix("ce-"): read_attribute(request.headers, name)
        for name in request.headers.names()
        if name.startswith("ce-")
    }
    return {**found, "data": parse_json(request.body)}


def read_attribute(headers: Headers, name: str) -> str:
    """A context attribute in a header: unquoted, then one round of percent-decoding.

    Raises Refused (400) for encodings that are not UTF-8 (section 3.1.3.2).
    """
    value = headers.get(name)
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        raise Refused(400, f"header {name} is not percent-encoded UTF-8") from None


def _require_attributes(envelope: object) -> None:
    if not isinstance(envelope, Mapping):
        raise wrong_content("a CloudEvent is a JSON object")
    for name in _REQUIRED:
        if not text_of(envelope.get(name)):
            raise wrong_content(f"the CloudEvent has no {name}")


def _make_event(raw: object, request: RawRequest, setup: SourceSetup) -> TriggerEvent:
    envelope = raw if isinstance(raw, Mapping) else {}
    data = _data_of(envelope)
    refusal = _why_refused(envelope)
    read = None if refusal else setup.read_health_event(data)
    if read is not None and read.event is None:
        refusal = f"its data is no health event: {'; '.join(read.oddities)}"
    event = read.event if read else None
    finder = setup.make_finder(envelope)
    if read is not None:
        finder.steps += [f"health event: {odd}" for odd in read.oddities]
    named = _CLUSTER.fullmatch(text_of(envelope.get("source")))
    cluster = finder.find(
        "cluster",
        ("data.metadata.cluster", object_at(data, "metadata").get("cluster")),
        ("source", next((part for part in named.groups() if part), "") if named else ""),
    )
    facts = TriggerFacts(source=setup.name, cluster=cluster)
    if event is not None:
        facts = _facts_of(event, setup, cluster, finder.find("node", ("nodeName", event.node)))
        if facts.node != event.node:
            event = msgspec.structs.replace(event, node=facts.node)
    return finish_event(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=_identify_delivery(cluster, event, data, envelope),
            facts=facts,
            payload=dict(envelope),
            runbook=finder.find("runbook"),
            resolved=facts.is_healthy,
            refusal=refusal,
            event=event,
        ),
        finder,
        setup,
    )


def _data_of(envelope: Mapping[str, Any]) -> Any:
    if "data" in envelope or not isinstance(envelope.get("data_base64"), str):
        return envelope.get("data")
    try:
        return parse_json(base64.b64decode(envelope["data_base64"], validate=True))
    except (ValueError, Refused):
        return None


def _why_refused(envelope: Mapping[str, Any]) -> str:
    if text_of(envelope.get("specversion")) != "1.0":
        return f"CloudEvents {quote(envelope.get('specversion'))} is not supported; 1.0 is"
    if envelope.get("type") not in TYPES:
        return f"type {quote(envelope.get('type'))} is not a health event of NVSentinel"
    return ""


def _facts_of(event: HealthEvent, setup: SourceSetup, cluster: str, node: str) -> TriggerFacts:
    facts = TriggerFacts.of(event, source=setup.name, cluster=cluster)
    return msgspec.structs.replace(facts, node=node)


def _identify_delivery(
    cluster: str, event: HealthEvent | None, data: Any, envelope: Mapping[str, Any]
) -> str:
    if event is None:
        return digest_of("cloudevent", envelope.get("source"), envelope.get("id"))
    # The text is exact to the nanosecond, a float is not.
    written = object_at(data, "healthEvent").get("generatedTimestamp")
    when = written if read_rfc3339(written) is not None else event.generated_at
    return digest_of(
        "health-event",
        cluster,
        event.node,
        event.agent,
        event.check,
        event.healthy,
        when,
        sorted(event.error_codes),
        sorted(event.entities),
    )


def _assume_type(headers: Mapping[str, str], body: bytes) -> str:
    if "ce-type" in headers:
        return "application/json"
    try:
        return _BATCH if isinstance(parse_json(body), list) else _STRUCTURED
    except Refused:
        return _STRUCTURED


NVSENTINEL = Sender(
    name="nvsentinel",
    decode=decode,
    scheme="bearer",
    horizon=24 * 3600.0,  # 17 tries with growing pauses, then a restart that sends it again
    takes_access_tokens=True,
    sends_alerts=False,
    assume_type=_assume_type,
    starts="a health event",
    recovers="`isHealthy: true`",
    known_by="what it says; its id is new each time",
)
