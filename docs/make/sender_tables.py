"""The tables of senders and signatures in docs/webhooks.md, made from the registry.

What is between a comment `<!-- generated: NAME -->` and `<!-- end -->` is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from nvsx.core.senders.registry import SENDERS
from nvsx.core.senders.sender import Sender
from nvsx.core.senders.signatures import SCHEMES

PAGE = "docs/webhooks.md"

_GENERATED = re.compile(r"(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def make(root: Path) -> dict[str, bytes]:
    """The page with its tables made current."""
    return {PAGE: renew_tables((root / PAGE).read_text("utf-8")).encode()}


def list_senders() -> Iterator[str]:
    """A line for each sender; neighbours with the same words share one."""
    yield "| kind | starts a run | recovery notice | recognised again by | repeated for |"
    yield "|---|---|---|---|---|"
    for words, group in groupby(SENDERS.values(), _words_of):
        kinds = ", ".join(f"`{sender.name}`" for sender in group)
        yield _row(kinds, *words)


def _words_of(sender: Sender) -> tuple[str, ...]:
    repeated = f"{sender.horizon / 3600:g} h"
    return (sender.starts, sender.recovers, sender.known_by, repeated)


def list_signatures() -> Iterator[str]:
    """A line for each signature."""
    yield "| `signature` | proof | default of |"
    yield "|---|---|---|"
    for scheme in SCHEMES.values():
        users = (sender.name for sender in SENDERS.values() if sender.scheme == scheme.name)
        yield _row(f"`{scheme.name}`", scheme.proof, ", ".join(users))


def _row(*cells: str) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


TABLES: Mapping[str, Callable[[], Iterator[str]]] = {
    "senders": list_senders,
    "signatures": list_signatures,
}


def renew_tables(text: str) -> str:
    """`text` with each generated part made anew."""

    def renew_table(found: re.Match[str]) -> str:
        lines = "\n".join(TABLES[found[2]]())
        return f"{found[1]}{lines}\n{found[3]}"

    return _GENERATED.sub(renew_table, text)
