"""The project's settings as the limits that a daemon keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nvsx.core.incident.tolerances import SANDBOX_LIMITS, IncidentLimits
from nvsx.serve.limits import Limits

if TYPE_CHECKING:
    from nvsx.project.settings import Settings


def limits_of(settings: Settings) -> Limits:
    """The engine's limits, as the project sets them."""
    limits = settings.limits
    throttle = limits.throttle
    return Limits(
        max_concurrent_runs=limits.max_concurrent_runs,
        max_event_age=limits.max_event_age,
        storm_nodes=limits.storm.nodes,
        storm_window=limits.storm.window,
        storm_domain=limits.storm.domain,
        throttle_runs=throttle.runs if throttle else None,
        throttle_window=throttle.window if throttle else 3600.0,
    )


def incident_limits_of(settings: Settings, *, sandbox: bool) -> IncidentLimits:
    """How long an incident waits: a lesson on the sandbox not as long as an outage."""
    waits = SANDBOX_LIMITS if sandbox else IncidentLimits()
    return msgspec.structs.replace(waits, unseen=settings.limits.unseen)
