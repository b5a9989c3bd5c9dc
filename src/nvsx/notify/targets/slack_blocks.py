"""An order as a Slack message, short enough for a phone: title, text, headline, facts. Pure."""

from __future__ import annotations

import re
from typing import Any

from nvsx.core.notify.order import Order
from nvsx.notify.targets.wording import (
    MAYBE_TWICE,
    body_lines,
    fit_key,
    identify,
    shorten,
    summarise,
    title_of,
    word_as_of,
)

SECTION = 3000
"""Characters of one block's text, as Slack has them."""
TITLE = 250
TEXT = 2500
FALLBACK = 1000
"""What a phone's lock screen and a screen reader get; Slack takes more, nobody reads it."""
MARK = "nvsx_told"
NEWS = "nvsx_news"
MOST_BLOCKS = 50
BLOCK_ID = 255
_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape_text(text: str) -> str:
    """As Slack wants it: a `<` would begin a link, and `<!channel>` would wake everybody."""
    return re.sub("[&<>]", lambda found: _ENTITY[found[0]], text)


def fit_text(text: str, most: int) -> str:
    """`text` escaped, in at most `most` characters after that."""
    shown = escape_text(shorten(text, most))
    left = most
    while len(shown) > most:
        left = left * 9 // 10
        shown = escape_text(shorten(text, left))
    return shown


def make_fallback(order: Order, *, maybe_twice: bool = False) -> str:
    said = f"{_mark_page(order)}{summarise(order)}"
    return fit_text(f"{said} {MAYBE_TWICE}" if maybe_twice else said, FALLBACK)


def make_blocks(order: Order, *, maybe_twice: bool = False) -> list[dict[str, Any]]:
    """The message's blocks; none is empty, and none longer than Slack takes.

    The last one carries the delivery's mark, by which a message is found again.
    """
    title = f"{_mark_page(order)}{title_of(order)}"
    first = f"*{fit_text(title, TITLE)}*"
    if maybe_twice:
        first += f" {MAYBE_TWICE}"
    if text := order.text.strip():
        first += f"\n{fit_text(text, TEXT)}"
    blocks = [_make_section(first)]
    if order.facts.headline and order.facts.headline not in title:
        blocks.append(_make_section(fit_text(order.facts.headline, SECTION)))
    rows = [*order.facts.rows, *order.fields.items()]
    if rows:
        blocks.append(_make_section(_word_rows(rows)))
    about = [f"incident `{escape_text(order.incident)}`"] if order.incident else []
    about += [said] if (said := word_as_of(order)) else []
    foot = {"type": "mrkdwn", "text": shorten(" · ".join(about), SECTION) or "nvsx"}
    context = {"type": "context", "elements": [foot], "block_id": mark_of(order)}
    return [*blocks, context]


def _word_rows(rows: list[tuple[str, str]]) -> str:
    """As many rows as fit, whole ones: half a fact misleads."""
    lines: list[str] = []
    left = SECTION - 2
    for name, value in rows:
        line = f"*{fit_text(name, 80)}:* {fit_text(value, 500)}"
        if len(line) + 1 > left:
            return "\n".join([*lines, "…"])
        lines.append(line)
        left -= len(line) + 1
    return "\n".join(lines)


def _make_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _mark_page(order: Order) -> str:
    """A page in a channel looks like any message, so it says what it is."""
    return f"PAGE ({order.severity}): " if order.action in ("open page", "note page") else ""


def mark_of(order: Order) -> str:
    """By this a message is known again: as the id of its last block, and in its metadata."""
    return fit_key(identify(order), BLOCK_ID)


def make_metadata(order: Order) -> dict[str, Any]:
    """For other apps of the workspace: this message is nvsx's, about that key."""
    payload = {"mark": mark_of(order), "incident": order.incident, "key": order.key}
    return {"event_type": MARK, "event_payload": payload}


def is_marked(message: dict[str, Any], mark: str) -> bool:
    """Whether a message of the channel's history is that of `mark`."""
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    blocks = message.get("blocks") or []
    return payload.get("mark") == mark or any(b.get("block_id") == mark for b in blocks)


def add_news(message: dict[str, Any], order: Order) -> dict[str, Any]:
    """A thread's first message as it is, below a line that says how things stand now."""
    said = order.facts.headline or title_of(order)
    as_of = f" ({as_of})" if (as_of := word_as_of(order)) else ""
    line = f"*Now:* {fit_text(said, TITLE)}{as_of}"
    element = {"type": "mrkdwn", "text": line}
    news = {"type": "context", "elements": [element], "block_id": NEWS}
    blocks = [b for b in message.get("blocks") or () if b.get("block_id") != NEWS]
    return {"text": message.get("text") or line, "blocks": [news, *blocks][:MOST_BLOCKS]}


def read_text(order: Order) -> str:
    """The message as plain text, for the receipt."""
    return "\n".join([f"{_mark_page(order)}{title_of(order)}", *body_lines(order)]).strip()
