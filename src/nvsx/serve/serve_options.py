"""What `nvsx serve` was asked for on its command line, before nvsx.yaml fills in the rest."""

from __future__ import annotations

from dataclasses import dataclass

from nvsx.core.errors import UsageError
from nvsx.project.home import Home


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `nvsx serve`; None stands for what nvsx.yaml says."""

    modes: tuple[str, ...] | None = None
    host: str | None = None
    port: int | None = None
    poll_interval: float | None = None
    require_auth: bool | None = None
    live_hooks: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None


def modes_of(home: Home, options: ServeOptions) -> tuple[str, ...]:
    """The modes to serve in. Raises UsageError for one that is not known, or not there yet."""
    asked = home.settings.serve.modes if options.modes is None else options.modes
    modes = tuple(dict.fromkeys(asked))
    unknown = [m for m in modes if m not in ("webhook", "poll", "watch")]
    if unknown or not modes:
        raise UsageError(
            f"mode {', '.join(unknown) or 'nothing'} is not known", "use webhook, poll or watch"
        )
    if "poll" in modes and home.settings.health_events.uri == "none":
        raise UsageError(
            "poll mode reads NVSentinel's store, and healthEvents.uri is none",
            "use --mode watch: it needs no database and sees the same faults",
        )
    return modes
