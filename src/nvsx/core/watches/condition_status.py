"""The status of a condition, as a runbook may write it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema


def _read_status(value: object) -> object:
    """YAML reads an unquoted True as a boolean; a condition's status can mean only this."""
    return {True: "True", False: "False"}[value] if isinstance(value, bool) else value


ConditionStatus = Annotated[
    Literal["True", "False", "Unknown"],
    BeforeValidator(_read_status),
    WithJsonSchema({"enum": ["True", "False", "Unknown", True, False]}),
]
