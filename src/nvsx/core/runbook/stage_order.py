"""The stages of a runbook, in their order, and how long each may take. Without the models."""

from __future__ import annotations

from typing import Literal, get_args

StageId = Literal[
    "preflight",
    "baseline",
    "inject",
    "detect",
    "quarantine",
    "drain",
    "remediate",
    "recover",
    "postmortem",
]


STAGE_ORDER: tuple[StageId, ...] = get_args(StageId)


#: Hard limits in seconds; None waits as long as it takes.
DEFAULT_TIMEOUTS: dict[StageId, float | None] = {
    "preflight": 120.0,
    "baseline": 300.0,
    "inject": 600.0,
    "detect": None,
    "quarantine": 900.0,
    "drain": None,
    "remediate": 2700.0,
    "recover": 2700.0,
    "postmortem": 600.0,
}


DEFAULT_BUDGETS: dict[StageId, float] = {"drain": 3600.0}


DEFAULT_HOOK_TIMEOUT = 30.0
