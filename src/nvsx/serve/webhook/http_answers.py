"""From what the intake decided to what the sender is told: status, headers, JSON body.

Pure. Senders drop what gets a 4xx, and Alertmanager drops a 429 too: whatever is authentic
gets a 2xx, and whatever should come again a 503 with Retry-After. A failed authentication
is always answered with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nvsx.core.routing.trigger_event import Answer, Outcome
from nvsx.core.senders.http_request import Refused

RETRY_AFTER = 5
"""Seconds; a sender with its own pace keeps that."""

#: When a message had several events, the answer's status is the first of these that occurred.
_ORDER: tuple[Outcome, ...] = (
    "fired",
    "attached",
    "duplicate",
    "noted",
    "missed",
    "planned",
    "ignored",
)


class Reply(msgspec.Struct, frozen=True):
    """`outcome` is for metrics and the log; `close` ends the connection."""

    status: int
    body: Mapping[str, Any]
    outcome: str
    headers: Mapping[str, str] = {}
    close: bool = False


def reply_to_answers(answers: Sequence[Answer]) -> Reply:
    """200 for a plan, 202 for everything else that was taken."""
    if not answers:
        return Reply(202, {"status": "ignored", "reason": "there is no event in it"}, "ignored")
    first = min(answers, key=lambda a: _ORDER.index(a.outcome))
    body: dict[str, Any] = _tell_answer(first)
    if len(answers) > 1:
        body = {"status": first.outcome, "events": [_tell_answer(answer) for answer in answers]}
    return Reply(200 if first.outcome == "planned" else 202, body, first.outcome)


def _tell_answer(answer: Answer) -> dict[str, Any]:
    said = {
        "runbook": answer.runbook,
        "run_id": answer.run_id,
        "reason": answer.reason,
        "event_id": answer.event_id,
        "plan": dict(answer.plan),
    }
    return {"status": answer.outcome, **{key: value for key, value in said.items() if value}}


def reply_to_refusal(exc: Refused) -> Reply:
    """The refusal as JSON; for 401 without its reason."""
    if exc.status == 503:
        return ask_to_come_again(exc.message, close=True)
    if exc.status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
        return Reply(401, {"status": "unauthorized"}, "unauthorized", headers)
    body = {"status": "refused", "reason": exc.message}
    if exc.hint:
        body["hint"] = exc.hint
    return Reply(exc.status, body, "refused", close=exc.status == 413)


def ask_to_come_again(reason: str, *, close: bool = False) -> Reply:
    """503: the same request can succeed later."""
    return Reply(
        503,
        {"status": "unavailable", "reason": reason},
        "unavailable",
        {"Retry-After": str(RETRY_AFTER)},
        close,
    )
