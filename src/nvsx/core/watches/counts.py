"""How many of something: `3`, `>=1`, `0`.

Used by pod watches and by the expectations of prerequisites.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from nvsx.core.fields import Model

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class Count(Model):
    """A comparison with a number of objects: `>=1`, `0`."""

    op: Literal["==", "!=", ">=", "<=", ">", "<"] = "=="
    number: int = Field(ge=0)

    @classmethod
    def parse(cls, value: object) -> Count:
        if isinstance(value, Count):
            return value
        match = re.fullmatch(r"\s*(==|!=|>=|<=|>|<|=)?\s*(\d{1,6})\s*", str(value), re.ASCII)
        if isinstance(value, bool) or match is None:
            raise ValueError(f"'{value}' is not a count: write a number, or a comparison as >=1")
        op = match[1] or "=="
        return cls.model_validate({"op": "==" if op == "=" else op, "number": int(match[2])})

    def accepts(self, number: int) -> bool:
        return _COMPARE[self.op](number, self.number)

    def __str__(self) -> str:
        return f"{self.op}{self.number}" if self.op != "==" else f"{self.number}"


CountText = Annotated[
    Count,
    BeforeValidator(Count.parse),
    WithJsonSchema(
        {"type": ["integer", "string"], "pattern": r"^\s*(==|!=|>=|<=|>|<|=)?\s*\d{1,6}\s*$"}
    ),
]
