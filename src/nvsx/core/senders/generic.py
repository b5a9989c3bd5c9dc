"""nvsx's own request, `POST /webhook` or signed at /hooks/<generic source>, and any JSON.

The own request names a runbook. It is read strictly: an unknown key is refused, because a
misspelt `dry_run` would otherwise be a real run. A generic source with rules takes any
JSON object instead, and finds node, runbook and the rest by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec

from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.senders.http_request import RawRequest, Refused, quote, require_json, wrong_content
from nvsx.core.senders.json_body import parse_json_object
from nvsx.core.senders.message_fields import Finder, is_node_name, is_runbook_name
from nvsx.core.senders.sender import (
    Sender,
    SourceSetup,
    bound_identity,
    digest_of,
    finish_event,
    split_codes,
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
    require_json(request)
    body = parse_json_object(request.body)
    if any(setup.rules.values()):
        return [_make_event_by_rules(body, request, setup)]
    return [_make_named_run(body, request, setup)]


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


def _identify_delivery(request: RawRequest, setup: SourceSetup, key: str = "") -> str:
    """What a repeated request has in common with the first, and a forged one has not.

    Headers count only where nothing signs the body alone: whoever replays a signed body
    could change them at will.
    """
    if key:
        return bound_identity(f"key:{key}")
    if setup.scheme and setup.scheme.identity:
        return bound_identity(request.headers.get(setup.scheme.identity))
    if setup.scheme and setup.scheme.over_body:
        return digest_of("body", request.body.hex())
    identity = _header_key(request) or request.headers.get("x-github-delivery")
    return bound_identity(f"id:{identity}") if identity else ""


def _make_event_by_rules(
    body: dict[str, Any], request: RawRequest, setup: SourceSetup
) -> TriggerEvent:
    finder: Finder = setup.make_finder(body)
    return finish_event(
        TriggerEvent(
            source=setup.name,
            received=request.received,
            delivery=_identify_delivery(request, setup),
            facts=TriggerFacts(
                node=finder.find_node(),
                check_name=finder.find("check"),
                error_codes=split_codes(finder.find("errorCode")),
                cluster=finder.find("cluster"),
                is_fatal=True,
                source=setup.name,
            ),
            payload=body,
            runbook=finder.find("runbook"),
        ),
        finder,
        setup,
    )


GENERIC = Sender(
    name="generic",
    decode=decode,
    scheme="github",
    horizon=24 * 3600.0,  # who sends is not known; a day is generous
    reads_answers=True,
    starts="every message",
    known_by="`idempotency_key`, else the signed body",
)
