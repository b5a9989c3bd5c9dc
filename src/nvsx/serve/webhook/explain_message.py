"""What a message would do, and why, offline: `nvsx explain --source S body.json`.

Pure: the message is decoded with the source's rules, each event is routed over the
runbooks, and every step is told. It looks at no secret, no cluster and no store, so it
cannot know of duplicates, silences, running incidents or the age limit; it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from nvsx.core.errors import UsageError
from nvsx.core.routing.route import (
    Evaluate,
    Explanation,
    RouteResult,
    TriggerFacts,
    no_expressions,
    route,
)
from nvsx.core.routing.trigger_event import NodeWord, TriggerEvent
from nvsx.core.runbook.schema import Runbook
from nvsx.core.senders.http_request import Headers, RawRequest, Refused
from nvsx.core.senders.message_fields import Compute, no_computation
from nvsx.core.senders.registry import decode
from nvsx.core.senders.sender import ReadHealthEvent, SourceSetup
from nvsx.core.senders.sources import Source
from nvsx.serve.webhook.channels import WEBHOOK, add_default_sources, set_up_source, set_up_webhook

NOT_SEEN = (
    "Not looked at here: the signature, earlier deliveries, silences, runs under way, the "
    "event's age, and which of its words for the node the cluster has."
)


class EventExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the message. `would` is fire, note (a recovery notice) or ignore."""

    would: str
    reason: str
    runbook: str = ""
    facts: TriggerFacts
    delivery: str = ""
    unseen: int = 0
    node_words: tuple[NodeWord, ...] = ()
    steps: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """The whole message. `refused` and `status` tell when the sender would be refused."""

    source: str
    kind: str
    status: int = 202
    refused: str = ""
    events: tuple[EventExplained, ...] = ()

    def text(self) -> str:
        """For a person."""
        return "\n".join(_tell_message(self))

    def json(self) -> dict[str, Any]:
        """For -o json."""
        return dict(msgspec.to_builtins(self))


def explain_offline(
    name: str,
    body: bytes,
    headers: Mapping[str, str],
    sources: Mapping[str, Source],
    runbooks: Iterable[Runbook],
    *,
    read_health_event: ReadHealthEvent,
    evaluate: Evaluate = no_expressions,
    compute: Compute = no_computation,
) -> Explained:
    """What the source called `name` would make of `body`.

    `headers` may be empty: a content type that fits the source is assumed then. `sources`
    are those of nvsx.yaml. Raises UsageError for a source that does not exist.
    """
    setup = _set_up_named_source(name, sources, read_health_event, compute)
    request = RawRequest(body=body, headers=_complete_headers(headers, body, setup))
    try:
        events = decode(request, setup)
    except Refused as exc:
        text = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
        return Explained(source=name, kind=setup.sender.name, status=exc.status, refused=text)
    books = list(runbooks)
    return Explained(
        source=name,
        kind=setup.sender.name,
        events=tuple(_explain_event(event, books, evaluate) for event in events),
    )


def _set_up_named_source(
    name: str, sources: Mapping[str, Source], read: ReadHealthEvent, compute: Compute
) -> SourceSetup:
    if name == WEBHOOK:
        return set_up_webhook(read)
    known = add_default_sources(sources)
    if name not in known:
        raise UsageError(f"there is no source '{name}'", f"known: webhook, {', '.join(known)}")
    return set_up_source(name, known[name], read, compute)


def _complete_headers(headers: Mapping[str, str], body: bytes, setup: SourceSetup) -> Headers:
    given = {key.lower(): value for key, value in headers.items()}
    if "content-type" not in given:
        given["content-type"] = setup.sender.assume_type(given, body)
    return Headers(given)


def _explain_event(
    event: TriggerEvent, runbooks: list[Runbook], evaluate: Evaluate
) -> EventExplained:
    would, reason, runbook = "ignore", event.refusal, ""
    result: RouteResult | None = None
    if not event.resolved and not event.runbook:
        result = route(event.facts, runbooks, evaluate)
    if event.refusal:
        pass
    elif event.resolved:
        would, reason = "note", "a recovery notice is a note on the run of its node, if any"
    elif event.runbook:
        word = event.runbook.removeprefix("#")
        found = [r for r in runbooks if word in (r.name, r.nickname)]
        would = "fire" if len(found) == 1 else "ignore"
        runbook = found[0].name if len(found) == 1 else ""
        reason = f"runbook {event.runbook} is named" if runbook else _why_no_runbook(word, found)
    elif result is not None:
        runbook = result.winner.name if result.winner else ""
        would, reason = ("fire" if runbook else "ignore"), result.reason
    return EventExplained(
        would=would,
        reason=reason,
        runbook=runbook,
        facts=event.facts,
        delivery=event.delivery,
        unseen=event.unseen,
        node_words=event.node_words,
        steps=event.steps,
        explanations=result.explanations if result else (),
    )


def _why_no_runbook(word: str, found: list[Runbook]) -> str:
    if found:
        return f"nickname {word} is shared by {', '.join(r.name for r in found)}"
    return f"there is no runbook '{word}'"


def _tell_message(explained: Explained) -> Iterator[str]:
    yield f"source {explained.source} ({explained.kind})"
    if explained.refused:
        yield f"refused with {explained.status}: {explained.refused}"
        return
    if not explained.events:
        yield "there is no event in it: nothing would happen"
    for number, event in enumerate(explained.events, 1):
        yield ""
        yield f"event {number} of {len(explained.events)}"
        yield from _tell_event(event)
    yield ""
    yield NOT_SEEN


def _tell_event(event: EventExplained) -> Iterator[str]:
    facts = event.facts
    said = {
        "node": facts.node or next((w.word for w in event.node_words), ""),
        "check": facts.check_name,
        "error code": ", ".join(facts.error_codes),
        "cluster": facts.cluster,
        "strategy": facts.processing_strategy,
        "state": "healthy" if facts.is_healthy else "fatal" if facts.is_fatal else "not fatal",
    }
    for key, value in said.items():
        yield f"  {key + ':':<12}{value or '-'}"
    if event.steps:
        yield "  how it was read"
        yield from (f"    {step}" for step in event.steps)
    for explanation in event.explanations:
        yield f"  runbook {explanation.runbook}"
        for rule in explanation.rules:
            yield f"    {'yes' if rule.matched else 'no '} {rule.rule}: {rule.reason}"
        if not explanation.rules:
            yield "    no  it has no triggers, tags or detect conditions to match"
    if event.unseen:
        yield f"  {event.unseen} more faults were cut off: a storm, the cluster would be listed"
    verdict = {"fire": f"would fire {event.runbook}", "note": "would fire nothing"}
    reason = event.reason.removeprefix(f"{event.runbook}: ")
    yield f"  → {verdict.get(event.would, 'would fire nothing')}: {reason}"
