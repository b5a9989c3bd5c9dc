"""nvsx's own request, `POST /webhook` or signed at /hooks/<generic source>, and any JSON.

The own request names a runbook. It is read strictly: an unknown key is refused, because a
misspelt `dry_run` would otherwise be a real run. A generic source with rules takes any
JSON object instead, and finds node, runbook and the rest by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

import msgspec

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import (
    RawRequest,
    Refused,
    quote,
    require_json,
    unsupported_type,
    wrong_content,
)
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.life_cycle import AlertState, read_alert_state
from nvsx.core.senders.message_fields import Finder, is_node_name, is_runbook_name
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    add_meant_fault,
    bound_identity,
    digest_of,
    finish_event,
    split_codes,
    text_of,
)


class NamedRun(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /webhook`."""

    runbook: str
    target_node: str | None = None
    source: str | None = None
    payload: dict[str, Any] | None = None
    idempotency_key: str | None = None
    dry_run: bool = False
    labels: dict[str, str] = {}


def decode(request: RawRequest, setup: SourceSetup) -> list[TriggerEvent]:
    """One event. Raises Refused (404, 422) for names that cannot be a runbook or node."""
    if request.media_type.startswith("application/cloudevents"):
        raise unsupported_type("CloudEvents go to /hooks/nvsentinel")
    require_json(request)
    body = parse_json_object(request.body)
    if any(setup.rules.values()) or setup.sender.rules:
        parts = _split_items(body, setup.sender.per_item)
        return [read_alert(part, request, setup) for part in parts]
    return [_make_named_run(body, request, setup)]


def _split_items(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The body once for each item of its list, with that item alone in it."""
    items = body.get(key) if key else None
    if not isinstance(items, list) or len(items) < 2:
        return [body]
    return [{**body, key: [item]} for item in items]


def _make_named_run(body: dict[str, Any], request: RawRequest, setup: SourceSetup) -> TriggerEvent:
    asked = _convert_body(body)
    node = asked.target_node or ""
    if node and not is_node_name(node):
        raise wrong_content(
            f"target_node {quote(node)} is no node name", "DNS-1123: lower case, - and ."
        )
    if not is_runbook_name(asked.runbook):
        raise Refused(404, f"there is no runbook {quote(asked.runbook)}")
    for name in ("source", "idempotency_key"):
        said = getattr(asked, name) or ""
        if len(said) > 255 or not said.isprintable():
            raise wrong_content(f"{name} is longer than 255 characters, or has control characters")
    key = asked.idempotency_key or ""
    return TriggerEvent(
        source=setup.name,
        delivery=_identify_delivery(request, setup, key),
        facts=TriggerFacts(
            node=node,
            is_fatal=True,
            labels=asked.labels,
            source=asked.source or setup.name,
        ),
        received=request.received,
        runbook=asked.runbook,
        idempotency_key=key or _header_key(request),
        payload=body,
        dry_run=asked.dry_run,
        horizon=setup.sender.horizon,
        steps=(f"runbook: {asked.runbook} was asked for",),
    )


def _convert_body(body: Mapping[str, Any]) -> NamedRun:
    try:
        return msgspec.convert(body, NamedRun)
    except msgspec.ValidationError as exc:
        known = ", ".join(get_type_hints(NamedRun))
        raise wrong_content(_shorten_message(str(exc)), f"known keys: {known}") from None


def _shorten_message(message: str) -> str:
    """msgspec's message, shortened where it repeats the sender's text."""
    return quote(message, 200)[1:-1].replace("Object ", "the body ")


def _header_key(request: RawRequest) -> str:
    key = request.headers.get("idempotency-key").strip('"')
    if len(key) > 255 or not (key.isascii() and key.isprintable()):
        raise wrong_content("Idempotency-Key is more than 255 characters, or not plain ASCII")
    return key


def _identify_delivery(
    request: RawRequest,
    setup: SourceSetup,
    key: str = "",
    state: AlertState | None = None,
    node: str = "",
) -> str:
    """What a repeated request has in common with the first, and a forged one has not.

    The sender's own identity of the alert counts with the state and the time of it: without a
    time the next fault of the same alert would be taken for a repeat; and with the node, since one
    alert may be about several. Headers count only where
    nothing signs the body alone: whoever replays a signed body could change them at will.
    """
    if key:
        return bound_identity(f"key:{key}")
    if setup.scheme and setup.scheme.identity:
        identity = request.headers.get(setup.scheme.identity)
        return bound_identity(f"{identity} {node}" if setup.sender.per_item else identity)
    lasting = setup.sender.one_key_per_episode and not setup.rules.get("key")
    if state is not None and state.key and (lasting or state.time is not None):
        phase = "resolved" if state.resolved else state.between or "firing"
        return digest_of("alert", state.key, phase, None if lasting else state.time, node)
    if setup.scheme and setup.scheme.over_body:
        return digest_of("body", request.body.hex(), *([node] if setup.sender.per_item else ()))
    identity = _header_key(request) or request.headers.get("x-github-delivery")
    if identity and setup.sender.per_item:
        identity = f"{identity} {node}"
    return bound_identity(f"id:{identity}") if identity else ""


#: Where bodies usually have the values of an alert's life. A number says nothing by itself.
_STATES = ("status", "state", "alert_status", "alert_state", "current_state", "alert_transition")
_SEVERITIES = ("severity", "priority", "level", "alert_severity", "urgency")
_TIMES = ("startsAt", "started_at", "starts_at", "timestamp", "time", "created_at", "date")
_KEYS = ("fingerprint", "dedup_key", "alert_id", "incident_id")
#: Texts for people: what they say is read where no rule finds it.
_TEXTS = (
    "title subject alert_subject summary short_description name alert_name rule_name ruleName"
    " event_name entity_display_name state_message message description details text body"
    " condition_name Subject AlarmName AlarmDescription"
).split()
_MOST_TEXTS = 12


def read_alert(body: Mapping[str, Any], request: RawRequest, setup: SourceSetup) -> TriggerEvent:
    """The event in a JSON object, by the rules of its source and of its kind of sender."""
    finder: Finder = setup.make_finder(body)
    texts = _read_texts(body)
    own = setup.sender.rules
    state = read_alert_state(
        finder,
        state=() if "resolved" in own else _words_at(body, _STATES),
        severity=() if "severity" in own else _words_at(body, _SEVERITIES),
        time=() if "time" in own else tuple((name, body.get(name)) for name in _TIMES),
        key=() if "key" in own else tuple((name, body.get(name)) for name in _KEYS),
    )
    facts = TriggerFacts(
        node=finder.find_node(texts=texts if own else ()),
        check_name=finder.find("check"),
        error_codes=split_codes(finder.find("errorCode")),
        cluster=finder.find("cluster"),
        is_fatal=not state.resolved and state.serious,
        is_healthy=state.resolved,
        message=texts[0] if texts else "",
        source=setup.name,
        generated_at=state.time,
    )
    return finish_event(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=_identify_delivery(
                request,
                setup,
                state=state,
                node=facts.node or next((w.word for w in finder.node_words), ""),
            ),
            facts=add_meant_fault(facts, finder, texts),
            payload=dict(body),
            runbook=finder.find("runbook"),
            resolved=state.resolved,
            alert=state.key,
            alert_since=None if state.resolved else state.time,
            standing=state.stated and not state.resolved,
            refusal=f"state {quote(state.between)} starts no run" if state.between else "",
        ),
        finder,
        setup,
    )


def _words_at(body: Mapping[str, Any], names: Iterable[str]) -> tuple[tuple[str, object], ...]:
    found = ((name, body.get(name)) for name in names)
    return tuple((n, v) for n, v in found if isinstance(v, str) and re.search("[a-zA-Z]", v))


def _read_texts(body: Mapping[str, Any]) -> list[str]:
    """Its texts for people, one level down as well: GCP's are in `incident`."""
    inner = [value for value in body.values() if isinstance(value, Mapping)][:8]
    found = [text_of(part.get(name)) for part in (body, *inner) for name in _TEXTS]
    return [text for text in found if text][:_MOST_TEXTS]


GENERIC = Sender(
    name="generic",
    decode=decode,
    scheme="github",
    horizon=24 * 3600.0,  # who sends is not known; a day is generous
    reads_answers=True,
    starts="every message",
    known_by="`idempotency_key`, else the signed body",
)
