"""Tokens that a conversion took, and about what they cost.

Prices are data (`prices.json`) with the date they were taken, since they change without nvsx.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

_MILLION = 1_000_000


@functools.cache
def _read_price_list() -> dict[str, Any]:
    file = resources.files("nvsx.convert") / "prices.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


@dataclass(slots=True)
class Usage:
    """Tokens of all requests so far."""

    model: str
    fresh: int = 0
    written: int = 0
    read: int = 0
    out: int = 0
    requests: int = 0

    def add(self, usage: Any) -> None:
        self.requests += 1
        self.fresh += usage.input_tokens or 0
        self.written += usage.cache_creation_input_tokens or 0
        self.read += usage.cache_read_input_tokens or 0
        self.out += usage.output_tokens or 0

    @property
    def cost(self) -> float | None:
        """US dollars at the listed prices; None for a model that is not listed."""
        price = _read_price_list()["models"].get(re.sub(r"-\d{8}$", "", self.model))
        if price is None:
            return None
        amounts = (
            (self.fresh, "input"),
            (self.written, "cacheWrite"),
            (self.read, "cacheRead"),
            (self.out, "output"),
        )
        return float(sum(tokens * price[kind] for tokens, kind in amounts) / _MILLION)

    def __str__(self) -> str:
        """Requests, tokens in and out, and about what they cost where that is known."""
        total = self.fresh + self.written + self.read
        asked = f"{self.requests} request{'s' if self.requests != 1 else ''}"
        tokens = f"{total:,} tokens in ({self.read:,} cached), {self.out:,} out"
        cost = (
            f", about ${self.cost:.2f} by the list of {_read_price_list()['taken']}"
            if self.cost
            else ""
        )
        return f"{self.model}: {asked}, {tokens}{cost}"
