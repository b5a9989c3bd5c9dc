"""What a front end says to a run by hand, and what it holds of it.

Apart from `byhand` so that a deck can draw its first frame before the cluster, the journal
and everything else a run needs has been imported.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nvsx.core.errors import UsageError
from nvsx.core.journal.entries import StagePlan, Start
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.watches.kinds import describe
from nvsx.core.watches.snapshot import Snapshot
from nvsx.follow import plan
from nvsx.project import loader
from nvsx.project.home import Home

if TYPE_CHECKING:
    from nvsx.follow.runner import Runner

SIGNALS = (
    (signal.SIGINT, 130, "Ctrl-C"),
    (signal.SIGTERM, 143, "SIGTERM"),
    (signal.SIGHUP, 129, "SIGHUP"),
)
"""Signal, exit code, and the word for it."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `nvsx run`, as parsed."""

    runbook: str
    target_node: str | None = None
    sandbox: bool = False
    variant: str | None = None
    drill: bool = False
    live_hooks: bool = False
    strict: bool = False
    resume: str | None = None
    dwell: bool = False
    speed: float = 1.0


def check(home: Home, options: RunOptions) -> LoadedRunbook:
    """The runbook, ready to run. Raises UsageError and InvalidRunbook before anything runs."""
    if options.sandbox and options.resume:
        raise UsageError(
            "a run on the sandbox cannot be resumed: its cluster ended with its process",
            f"start a new one: nvsx run {options.runbook} --sandbox",
        )
    loaded = loader.find(home.project.root, options.runbook)
    missing = plan.Plan(loaded).find_unusable_files()
    if missing:
        raise UsageError(
            f"{loaded.name} cannot run: {'; '.join(missing)}", f"see `nvsx lint {loaded.name}`"
        )
    if loaded.runbook.stage("inject") and not options.drill:
        raise UsageError(
            f"{loaded.name} causes a fault (stage inject)", "run it with --drill if you mean it"
        )
    return loaded


def opening(loaded: LoadedRunbook, options: RunOptions) -> Start:
    """What is known of a run before it has begun, for a deck to show meanwhile."""
    meta = loaded.runbook.metadata
    return Start(
        runbook=meta.name,
        nickname=meta.nickname,
        title=meta.title,
        sandbox=options.sandbox,
        drill=options.drill,
        strict=options.strict,
        stages=tuple(
            StagePlan(id=s.id, title=s.title, watches=tuple(describe(w) for w in s.watch))
            for s in loaded.runbook.stages
        ),
    )


class Reins:
    """What a front end that owns the terminal, and so the signals, holds of its run."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._asked = ""

    def take(self, runner: Runner) -> None:
        """The run has begun; what was asked while it was being prepared is asked of it now."""
        self._runner = runner
        if self._asked:
            self.cancel(self._asked)

    def cancel(self, by: str) -> None:
        """Ask the run to end: by `operator`, or by the name of a signal."""
        self._asked = self._asked or by
        if self._runner is not None:
            code = next((c for _, c, word in SIGNALS if word == by), 130)
            self._runner.cancel("operator", "cancelled" if by == "operator" else by, code)

    def snapshot(self) -> Snapshot | None:
        """The node as it is seen now; None before it is followed."""
        feed = self._runner.run.feed if self._runner is not None else None
        return feed.current if feed is not None else None
