"""What a run is asked to do, and the limits of its patience."""

from __future__ import annotations

from typing import Any

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.journal import entries as j
from nvsx.core.runbook.stage_order import DEFAULT_HOOK_TIMEOUT
from nvsx.core.whereabouts import Whereabouts

SANDBOX_BUDGETS = 1 / 150
SANDBOX_HOLDS = 1 / 60
"""In the sandbox a drain of hours is played in seconds; budgets and `for` shrink alike."""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One wish for a run: by hand, or from a trigger.

    `node` is "" when the run shall wait for the first fault its triggers match. `trigger`
    names the source (cli, webhook, poll, watch, pagerduty, …), `event` is the health event
    that fired it and `payload` what the source sent. `fresh` refuses to take a session that
    ended before the run began for its own (drills, `--sandbox`). `live_hooks` lets a sandbox
    run or drill page people. `by_hand` decides what an
    unmet prerequisite means (by hand it ends the run, in the daemon it degrades), and whether a
    failed stage ends the run. `incident` is the incident it was fired for, where that is known.
    """

    node: str = ""
    trigger: str = "cli"
    event: HealthEvent | None = None
    payload: dict[str, Any] | None = None
    cluster: str = ""
    context: str = ""
    project: str = ""
    sandbox: bool = False
    drill: bool = False
    live_hooks: bool = False
    strict: bool = False
    late: bool = False
    fresh: bool = False
    by_hand: bool = True
    dwell: bool = False
    incident: str = ""


def request_of(start: j.Start) -> RunRequest:
    """The request a run was begun with, as its journal tells it; it counts as by hand."""
    event = msgspec.convert(start.trigger_event, HealthEvent) if start.trigger_event else None
    return RunRequest(
        node=start.target_node,
        trigger=start.trigger,
        event=event,
        cluster=start.cluster,
        context=start.context,
        project=start.project,
        sandbox=start.sandbox,
        drill=start.drill,
        live_hooks=start.live_hooks,
        strict=start.strict,
        late=start.late,
        fresh=start.drill,
        incident=start.incident,
    )


def place_request(where: Whereabouts, request: RunRequest) -> RunRequest:
    """The request as it counts where we are.

    What was recorded of a run only adds to it. A run that began on a sandbox stays a sandbox
    run wherever it goes on, and a request from before it was asked where we are becomes one:

    | began on | goes on on | is      |
    |----------|------------|---------|
    | sandbox  | sandbox    | sandbox |
    | sandbox  | real       | sandbox |
    | real     | sandbox    | sandbox |
    | real     | real       | real    |
    """
    return msgspec.structs.replace(request, sandbox=request.sandbox or where.sandbox)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the engine waits before it speaks or gives up on a side task. Seconds.

    `hook_timeout` is for hooks of stages that say none. `late_window` is how long before a run an
    incident may have ended that is still the run's: who answers a page often finds the node
    released. `budget_scale` and `hold_scale` shrink stage budgets and the `for` of watches where
    time runs faster than life (the sandbox).
    """

    why_after: float = 3.0
    why_every: float = 15.0
    why_limit: float = 10.0
    prerequisite: float = 30.0
    evidence: float = 20.0
    hook_timeout: float = DEFAULT_HOOK_TIMEOUT
    retry_pause: float = 1.0
    late_window: float = 2 * 3600.0
    budget_scale: float = 1.0
    hold_scale: float = 1.0


def patience_at(hook_timeout: float, *, speed: float | None = None) -> Patience:
    """How long a run waits; `speed` is the sandbox's, None on a cluster."""
    if speed is None:
        return Patience(hook_timeout=hook_timeout)
    return Patience(
        hook_timeout=hook_timeout,
        budget_scale=SANDBOX_BUDGETS / speed,
        hold_scale=SANDBOX_HOLDS / speed,
    )
