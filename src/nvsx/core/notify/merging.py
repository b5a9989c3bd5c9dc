"""Several messages that wait for one target, as one: all of their words in order, facts once.

    03:12 "gpu-7: drain began" waits (Slack is down) · 03:20 "drained" waits · 03:31 Slack is back
    one post, "drained", with: 03:12Z gpu-7: drain began / 03:20Z drained

A digest (`Message.digest`) is merged over incidents: what began and ended while nvsx was down, and
what it found open on its first day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from nvsx.core.notify.message import Message, Severity
from nvsx.core.notify.outbox import Delivery
from nvsx.core.notify.told_ledger import highest_severity


def tell_minute(at: float) -> str:
    """`03:12Z`: minutes are what a person at night reads."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M}Z"


def group_deliveries(
    deliveries: Iterable[Delivery], people_needed: Mapping[str, bool]
) -> dict[tuple[str, str, str], list[Delivery]]:
    """What is judged together: by (target, digest, subject), in the order of numbers.

    `people_needed` tells by incident id whether it needs people: a storm's member that does pages
    for itself, whatever it was when the message was asked for.
    """
    groups: dict[tuple[str, str, str], list[Delivery]] = {}
    for delivery in sorted(deliveries, key=lambda d: d.number):
        message = delivery.message
        if message.digest:
            key = (delivery.target, message.digest, "")
        else:
            key = (delivery.target, "", find_subject(message, people_needed))
        groups.setdefault(key, []).append(delivery)
    return groups


def find_subject(message: Message, people_needed: Mapping[str, bool]) -> str:
    """Whose page, thread and ticket a message goes to, as things are now."""
    if message.kind == "page" and people_needed.get(message.incident, False):
        return message.incident
    return message.subject


def merge_titles(messages: Sequence[Message]) -> str:
    """The newest of those that are for everybody, else the newest: it is the nearest to now."""
    told = [m for m in messages if m.broadcast] or list(messages)
    return mark_title(told[-1])


def mark_title(message: Message) -> str:
    """`[DRILL] Late: gpu-7 fell off the bus`; words without a title begin with their first line."""
    mark = "[TEST] " if message.by == "test" else message.mark
    late = "Late: " if message.late else ""
    return f"{mark}{late}{message.title or message.text.strip().partition(chr(10))[0]}"


def merge_texts(messages: Sequence[Message]) -> str:
    """One message's text as it is; of several each with its time and title. What was said twice
    (a page and a ticket of one hook, both posts by now) stands there once."""
    told: dict[tuple[str, ...], Message] = {}
    for message in messages:
        told.setdefault((mark_title(message), *_tell_words(message)), message)
    if len(told) == 1:
        return "\n".join(_tell_words(messages[0]))
    lines: list[str] = []
    for (title, *words), message in told.items():
        lines.append(f"{tell_minute(message.asked)} {title}")
        lines += [f"  {line}" for line in words]
    return "\n".join(lines)


ADOPTED, WHILE_AWAY = "adopted", "while-away"
"""Digests: what nvsx found open on its first day, and what began and ended while it was down."""
DIGEST_LINES = 30
"""Nodes of a digest that are named; `nvsx incidents list` has all."""


def merge_digest(messages: Sequence[Message]) -> tuple[str, str]:
    """Title and text of one post over many incidents; a line for each.

    125 quarantines on install day: "125 nodes were out of service already when nvsx first looked;
    nobody was paged", and 30 lines.
    """
    lines = list(dict.fromkeys(m.title for m in messages))
    count = len(lines)
    shown = lines[:DIGEST_LINES]
    if count > DIGEST_LINES:
        shown.append(f"and {count - DIGEST_LINES} more: nvsx incidents list")
    kind, mark = messages[0].digest.partition("/")[0], messages[0].mark
    if kind == ADOPTED:
        one = "1 incident was" if count == 1 else f"{count} incidents were"
        title = f"{one} open already when nvsx first looked here; nobody is paged"
        shown.append("page for one of them: nvsx incidents adopt NODE")
    else:
        one = "1 incident" if count == 1 else f"{count} incidents"
        title = f"{one} began and ended while nvsx was not watching"
    return f"{mark}{title}", "\n".join(shown)


def _tell_words(message: Message) -> list[str]:
    words = message.text.strip().splitlines()
    if not message.title:
        words = words[1:]
    if message.wanted:
        words.append(f'(asked for target "{message.wanted}", which nvsx.yaml does not have)')
    return words


def merge_severity(messages: Sequence[Message]) -> Severity:
    return highest_severity(m.severity for m in messages)


def merge_fields(messages: Sequence[Message]) -> dict[str, str]:
    """Of a name that was given twice the newest value."""
    return {name: value for m in messages for name, value in m.fields.items()}
