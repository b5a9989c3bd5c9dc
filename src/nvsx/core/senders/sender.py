"""A sender as one value, the set-up of a source of its kind, and what all decoders need: the
checks that every event passes last, and small readers of JSON that give an empty value for
what is not there or of another type.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.patterns import SearchTime
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.routing.trigger_facts import TriggerFacts
from nvsx.core.senders.http_request import RawRequest, quote
from nvsx.core.senders.message_fields import (
    Compute,
    Extract,
    Finder,
    is_node_name,
    is_runbook_name,
    no_computation,
)
from nvsx.core.senders.signatures import SignatureScheme
from nvsx.core.senders.usual_faults import XID_CHECK, find_meant_fault, find_xid


class HealthEventRead(Protocol):
    """What came of reading a health event: the event, or in `oddities` why there is none."""

    @property
    def event(self) -> HealthEvent | None: ...
    @property
    def oddities(self) -> tuple[str, ...]: ...


#: Reads a health event from the data of a CloudEvent. Never raises.
ReadHealthEvent = Callable[[object], HealthEventRead]


class SourceSetup(msgspec.Struct, frozen=True, kw_only=True):
    """One source, as its decoder sees it: its sender, and what nvsx.yaml says of it.

    `rules` find values, by the value's name; `events` replaces the sender's event types that
    may start a run. `scheme` is how its requests are signed, None when no secret is configured
    and the caller's token is all there is. `search_time` is for the patterns of one message,
    whatever the number of its events. `default`: its alerts may go to the catch-all.
    """

    name: str
    sender: Sender
    rules: Mapping[str, tuple[Extract, ...]] = {}
    events: tuple[str, ...] = ()
    default: bool = False
    scheme: SignatureScheme | None = None
    read_health_event: ReadHealthEvent
    compute: Compute = no_computation
    search_time: SearchTime | None = None

    def make_finder(self, document: Mapping[str, Any]) -> Finder:
        """What finds values in a message, by the rules first."""
        rules = self.rules
        return Finder(rules, document, self.compute, self.search_time, self.sender.rules)

    @property
    def reads_answers(self) -> bool:
        """Whether somebody reads what is answered: whoever posts nvsx's own request, but not a
        monitoring system whose bodies are read by rules."""
        return self.sender.reads_answers and not any(self.rules.values())

    def may_start(self, event_type: str) -> bool:
        """Whether a message of this type may start a run."""
        wanted = self.events or self.sender.event_types
        return event_type.casefold() in {name.casefold() for name in wanted}


def _assume_json(headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG001
    return "application/json"


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """All that nvsx knows of one kind of sender. Its decoder's module ends with it.

    `name` is the kind in nvsx.yaml, and the source that is there without a line in it.
    `scheme` is how it signs at best, used once a secret is configured. `horizon` is how long,
    in seconds, it may repeat a delivery. `event_types` are those of its types that start a run,
    for a sender that tells them apart. `reads_answers`: somebody reads what nvsx answers, so
    a runbook that does not exist is an error. `takes_access_tokens`: tokens of /oauth/token
    let it in. `sends_alerts`: what it sends is somebody's alert, not NVSentinel's own event.
    `assume_type` is the content type of a saved body, by the headers (in lower
    case) and the body.

    `rules` are where it usually has its values, as an operator would write them. `per_item` is a
    key with a list, each item of which is an alert of its own (an alert about three nodes).
    `one_key_per_episode`: its key is another one the next time, so that it needs no time beside it.

    `starts`, `recovers` and `known_by` are its words in docs/webhooks.md: what starts a run,
    what is a recovery notice, and what a repeated delivery is recognised by.
    """

    name: str
    decode: Callable[[RawRequest, SourceSetup], list[TriggerEvent]]
    scheme: str
    horizon: float
    event_types: tuple[str, ...] = ()
    reads_answers: bool = False
    takes_access_tokens: bool = False
    sends_alerts: bool = True
    rules: Mapping[str, tuple[Extract, ...]] = {}
    per_item: str = ""
    one_key_per_episode: bool = False
    assume_type: Callable[[Mapping[str, str], bytes], str] = _assume_json
    starts: str
    recovers: str = ""
    known_by: str


def finish_event(event: TriggerEvent, finder: Finder, setup: SourceSetup) -> TriggerEvent:
    """`event` with names checked, its horizon, and the steps that led to it.

    A node that Kubernetes cannot have and a text that cannot be a runbook's name are never
    passed on: they become the refusal, or have been found by nobody.
    """
    node, runbook, refusal = event.facts.node, event.runbook, event.refusal
    facts, health_event = event.facts, event.event
    rule = f"serve.sources.{setup.name}.node"
    if not node and not finder.node_words:
        health_event = None
        why = f"{quote(finder.rubbish)} is no node name" if finder.rubbish else "no node in it"
        refusal = refusal or f"{why}: say where with {rule} in nvsx.yaml"
    elif node and not is_node_name(node):
        refusal = refusal or f"{quote(node)} is no node name"
        facts, health_event = msgspec.structs.replace(facts, node=""), None
    if runbook and not is_runbook_name(runbook):
        refusal, runbook = refusal or f"{quote(runbook)} is no runbook's name", ""
    catch_all = setup.default or not setup.sender.sends_alerts
    return msgspec.structs.replace(
        event,
        facts=msgspec.structs.replace(facts, catch_all=catch_all, severity=finder.severity[:40]),
        event=health_event,
        horizon=setup.sender.horizon,
        runbook="" if event.resolved else runbook,
        refusal=refusal,
        node_words=tuple(finder.node_words),
        node_rule=rule,
        steps=tuple(finder.steps),
    )


def add_meant_fault(facts: TriggerFacts, finder: Finder, texts: Iterable[str]) -> TriggerFacts:
    """`facts` of an alert with what it means in NVSentinel's words, and with the Xid that its
    texts name where nothing else has a code. A check that the operator's rule found is meant as
    it stands."""
    if "check" in finder.by_rule:
        if not facts.error_codes and (code := next(filter(None, map(find_xid, texts)), "")):
            finder.steps.append(f"errorCode: its text names Xid {code}")
            return msgspec.structs.replace(facts, error_codes=(code,))
        return facts
    said = (facts.message, *texts)
    meant = find_meant_fault(facts.check_name, said, facts.labels, facts.error_codes)
    if not meant.check:
        return facts
    codes = facts.error_codes
    if meant.check == XID_CHECK and not codes:
        codes = (meant.code,)
    finder.steps.append(f"check: it means {meant.check} {meant.code}".rstrip())
    return msgspec.structs.replace(
        facts,
        error_codes=codes,
        meant_check=meant.check if meant.check != facts.check_name else "",
        meant_codes=(meant.code,) if meant.code else (),
    )


def digest_of(*parts: object) -> str:
    """A short, stable name for what a message says. Parts are JSON values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def bound_identity(identity: str) -> str:
    """A sender's own id as a delivery; a long or strange one by its hash."""
    plain = len(identity) <= 128 and identity.isascii() and identity.isprintable()
    return identity if plain else digest_of(identity)


def object_at(value: object, key: str) -> Mapping[str, Any]:
    """The object at `key`; an empty one where there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def text_of(value: object) -> str:
    """A text, or a whole number as text; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def texts_of(value: object) -> dict[str, str]:
    """The entries of an object whose values are texts or whole numbers."""
    if not isinstance(value, Mapping):
        return {}
    return {str(k): text_of(v) for k, v in value.items() if text_of(v)}


def find_xid_tag(tags: object) -> str:
    """The error code in a tag or label such as `xid-79`; "" when none has one."""
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and (found := re.fullmatch("xid-([0-9]{1,5})", tag.lower())):
            return found[1]
    return ""


def split_codes(found: str) -> tuple[str, ...]:
    """Error codes from one text; several are separated by commas."""
    return tuple(code for code in (part.strip() for part in found.split(",")) if code)
