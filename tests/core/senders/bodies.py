"""The constructed samples as requests, and the set-up of the source each belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import Headers, RawRequest
from nvsx.core.senders.registry import SENDERS, decode
from nvsx.core.senders.sender import SourceSetup
from nvsx.core.senders.signatures import SCHEMES
from nvsx.core.senders.sources import Source
from nvsx.nvsentinel import decoding
from nvsx.project import cel

FOLDER = Path(__file__).with_name("samples")
NOW = 1_795_144_500.0  # 2026-11-20T03:15:00Z, a minute after the faults of the samples
NODE = "gb200-r07-n03"
CLUSTER = "prod-us-west-2"
JSON = {"Content-Type": "application/json"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def raw(name: str) -> bytes:
    """A sample's bytes."""
    return (FOLDER / f"{name}.json").read_bytes()


def body(name: str) -> Any:
    """A sample as data, to be changed at will."""
    return json.loads(raw(name))


def encoded(value: object) -> bytes:
    """A value as the JSON a sender writes."""
    return json.dumps(value, ensure_ascii=False).encode()


def setup(
    kind: str, *, name: str = "", scheme: str | None = None, **settings: object
) -> SourceSetup:
    """A source of this kind, with settings as they are in nvsx.yaml."""
    source = Source.model_validate(settings)
    return SourceSetup(
        name=name or kind,
        sender=SENDERS[kind],
        rules=source.rules(),
        events=source.events,
        default=source.default,
        scheme=SCHEMES[scheme] if scheme else None,
        read_health_event=decoding.decode_cloudevent,
        compute=cel.value,
    )


def read(value: object, to: SourceSetup, headers: Mapping[str, str] = JSON) -> list[TriggerEvent]:
    """What the decoder makes of a body: bytes as they are, anything else as JSON."""
    content = value if isinstance(value, bytes) else encoded(value)
    return decode(RawRequest(body=content, headers=Headers(headers), received=NOW), to)


def one(value: object, to: SourceSetup, headers: Mapping[str, str] = JSON) -> TriggerEvent:
    """The only event of a body."""
    (event,) = read(value, to, headers)
    return event
