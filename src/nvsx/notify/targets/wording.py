"""Words of an order in the forms that several targets share. Pure."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from nvsx.core.notify.order import Order

MAYBE_TWICE = "(possibly a repeat)"
_URL = re.compile(r"https?://[^\s<>\"'|)\]]+")


def shorten(text: str, most: int) -> str:
    """`text` in at most `most` characters, ended at a word with "…".

    For example ("drain waits for approval", 12): "drain waits…"; a word that fills it all is cut.
    """
    if len(text) <= most:
        return text
    cut = text[: max(most - 1, 0)]
    if not text[len(cut)].isspace() and re.search(r"\s", cut):
        # Unless the last word is most of it: a long name says more than nothing.
        shorter = cut[: max(m.start() for m in re.finditer(r"\s", cut))]
        cut = shorter if len(shorter) >= most // 2 else cut
    return cut.rstrip(" \t\n,;:·-") + "…" if most > 0 else ""


def fit_key(key: str, most: int) -> str:
    """`key`, or where it is too long its beginning and a hash of it all."""
    if len(key) <= most:
        return key
    return f"{key[: most - 17]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def identify(order: Order) -> str:
    """What tells this delivery from all others, the same in each try."""
    return order.identity or f"nvsx-{order.incident or 'test'}-{order.delivery}"


def stamp(at: float) -> str:
    """2026-11-20T03:14:07Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def word_as_of(order: Order) -> str:
    """For example "as of 03:12 UTC"; nothing without facts."""
    if not order.facts.as_of:
        return ""
    return f"as of {datetime.fromtimestamp(order.facts.as_of, UTC):%H:%M} UTC"


def title_of(order: Order) -> str:
    """The order's first line: what is said, else the facts' headline. Never empty."""
    title = order.title or order.facts.headline or order.text.partition("\n")[0]
    return " ".join(title.split()) or f"nvsx: {order.action}"


def summarise(order: Order) -> str:
    """One line with everything that a phone's screen has room for: title, then headline."""
    title, headline = title_of(order), " ".join(order.facts.headline.split())
    return title if not headline or headline in title else f"{title} · {headline}"


def body_lines(order: Order) -> list[str]:
    """What follows the title, a line each: the text, the headline, the facts, their time."""
    lines = [line.rstrip() for line in order.text.splitlines()]
    headline = " ".join(order.facts.headline.split())
    if headline and headline not in title_of(order):
        lines.append(headline)
    lines += [f"{name}: {value}" for name, value in order.facts.rows]
    lines += [f"{name}: {value}" for name, value in order.fields.items()]
    about = [f"incident {order.incident}"] if order.incident else []
    about += [said] if (said := word_as_of(order)) else []
    return lines + ([" · ".join(about)] if about else [])


def plain_body(order: Order, most: int) -> str:
    return shorten("\n".join(body_lines(order)).strip(), most)


def urls_in(order: Order, most: int = 5) -> list[str]:
    """Addresses that the words name, for targets that show links beside them."""
    words = [order.text, order.title, *(value for _, value in order.facts.rows)]
    found = [url.rstrip(".,;:") for text in words for url in _URL.findall(text)]
    return list(dict.fromkeys(found))[:most]
