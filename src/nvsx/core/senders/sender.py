"""What all decoders need: the source's set-up, the checks that every event passes last, and
small readers of JSON that give an empty value for what is not there or of another type.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.patterns import SearchTime
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.message_fields import Finder, is_node_name, is_runbook_name
from nvsx.core.senders.refusals import quoted
from nvsx.core.senders.sources import Compute, Kind, Scheme, Source, no_computation


class Read(Protocol):
    """What came of reading a health event: the event, or in `oddities` why there is none."""

    @property
    def event(self) -> HealthEvent | None: ...
    @property
    def oddities(self) -> tuple[str, ...]: ...


#: Reads a health event from the data of a CloudEvent. Never raises.
ReadHealthEvent = Callable[[object], Read]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """One source, as its decoder sees it. `scheme` is how its requests are signed, None
    when no secret is configured and the caller's token is all there is. `search_time` is for
    the patterns of one message, whatever the number of its events."""

    name: str
    kind: Kind
    source: Source = Source()
    scheme: Scheme | None = None
    read_health_event: ReadHealthEvent
    compute: Compute = no_computation
    search_time: SearchTime | None = None

    def finder(self, document: Mapping[str, Any]) -> Finder:
        return Finder(self.source.rules(), document, self.compute, self.search_time)

    def starts(self, event_type: str, usual: Sequence[str]) -> bool:
        """Whether a message of this type may start a run; `events` replaces what is usual."""
        wanted = self.source.events or usual
        return event_type.casefold() in {name.casefold() for name in wanted}


def finish(event: TriggerEvent, finder: Finder, setup: Setup) -> TriggerEvent:
    """`event` with names checked, and with the steps that led to it.

    A node that Kubernetes cannot have and a text that cannot be a runbook's name are never
    passed on: they become the refusal.
    """
    node, runbook, refusal = event.facts.node, event.runbook, event.refusal
    facts, health_event = event.facts, event.event
    if not node:
        health_event = None
        refusal = refusal or (
            f"no node in it: say where with serve.sources.{setup.name}.node in nvsx.yaml"
        )
    elif not is_node_name(node):
        refusal = refusal or f"{quoted(node)} is no node name"
        facts, health_event = msgspec.structs.replace(facts, node=""), None
    if runbook and not is_runbook_name(runbook):
        refusal, runbook = refusal or f"{quoted(runbook)} is no runbook's name", ""
    return msgspec.structs.replace(
        event,
        facts=facts,
        event=health_event,
        runbook="" if event.resolved else runbook,
        refusal=refusal,
        steps=tuple(finder.steps),
    )


def digest(*parts: object) -> str:
    """A short, stable name for what a message says. Parts are JSON values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def bounded(identity: str) -> str:
    """A sender's own id as a delivery; a long or strange one by its hash."""
    plain = len(identity) <= 128 and identity.isascii() and identity.isprintable()
    return identity if plain else digest(identity)


def section(value: object, key: str) -> Mapping[str, Any]:
    """The object at `key`; an empty one where there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def text(value: object) -> str:
    """A text, or a whole number as text; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def texts(value: object) -> dict[str, str]:
    """The entries of an object whose values are texts or whole numbers."""
    if not isinstance(value, Mapping):
        return {}
    return {str(k): text(v) for k, v in value.items() if text(v)}


def xid_tag(tags: object) -> str:
    """The error code in a tag or label such as `xid-79`; "" when none has one."""
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and (found := re.fullmatch("xid-([0-9]{1,5})", tag.lower())):
            return found[1]
    return ""


def codes(found: str) -> tuple[str, ...]:
    """Error codes from one text; several are separated by commas."""
    return tuple(code for code in (part.strip() for part in found.split(",")) if code)
