"""How a run is put together, by hand and in the daemon alike."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nvsx.core.journal.run_rows import Lease
from nvsx.core.ports import Fault, View
from nvsx.core.routing.route import TriggerFacts, route
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.whereabouts import Whereabouts
from nvsx.follow.masked_artifacts import MaskedArtifacts
from nvsx.follow.run_context import RunContext
from nvsx.follow.run_request import Patience, RunRequest
from nvsx.follow.workplace import Workplace
from nvsx.project import cel
from nvsx.store.artifacts import file_artifacts

#: In the sandbox a drain of hours is played in seconds; budgets and `for` shrink alike.
SANDBOX_BUDGETS = 1 / 150
SANDBOX_HOLDS = 1 / 60
#: Real seconds: every watch comes from the same process, however fast its time runs.
SANDBOX_LAGGARDS = 10.0


def context_of(
    workplace: Workplace,
    loaded: LoadedRunbook,
    lease: Lease,
    request: RunRequest,
    *,
    views: Sequence[View] = (),
) -> RunContext:
    """The run in hand. On a sandbox it is a sandbox run, whoever asked for it and however."""
    request = placed_request(workplace.where, request)
    return RunContext(
        ports=workplace.ports(
            root=loaded.root,
            sandboxed=request.sandbox or request.drill,
            live_hooks=request.live_hooks,
        ),
        runbook=loaded.runbook,
        request=request,
        lease=lease,
        artifacts=MaskedArtifacts(
            file_artifacts(workplace.home.artifacts_dir / lease.run_id), workplace.home.masker
        ),
        masker=workplace.home.masker,
        clock_ahead=workplace.cluster.clock_ahead(),
        root=loaded.root,
        runbook_hash=loaded.source_text_hash,
        views=tuple(views),
        patience=patience(
            workplace.home.settings.hooks.timeout,
            speed=workplace.where.speed if workplace.where.sandbox else None,
        ),
    )


def placed_request(where: Whereabouts, request: RunRequest) -> RunRequest:
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


def patience(hook_timeout: float, *, speed: float | None = None) -> Patience:
    """How long to wait; `speed` is the sandbox's, None on a cluster."""
    if speed is None:
        return Patience(hook_timeout=hook_timeout)
    return Patience(
        hook_timeout=hook_timeout,
        laggards=SANDBOX_LAGGARDS,
        budget_scale=SANDBOX_BUDGETS / speed,
        hold_scale=SANDBOX_HOLDS / speed,
    )


def fires(loaded: LoadedRunbook, fault: Fault) -> bool:
    """Whether this runbook's own triggers match a fault."""
    return route(TriggerFacts.of(fault.event), [loaded.runbook], cel.evaluate).winner is not None
