"""Runs of starter runbooks on the embedded sandbox, in this process, faster than life."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.project.home import Home
from nvsx.serve import limits_of_settings

SPEED = 6.0
#: Seconds that a node must be well until its incident is over, where that is not the subject: 3 s
#: of each run in the sandbox, however fast that is.
BRIEFLY_QUIET = 0.5


def end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on incidents of sandboxes are over almost as soon as the node is well."""
    monkeypatch.setattr(limits_of_settings, "SANDBOX_LIMITS", IncidentLimits(quiet=BRIEFLY_QUIET))


class Seen:
    """A view that folds what it is shown."""

    def __init__(self) -> None:
        self.entries: list[j.Entry] = []

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        self.entries.append(entry)

    async def close(self) -> None:
        return None

    @property
    def state(self) -> RunState:
        return RunState.of(self.entries)


async def play(runbook: str, variant: str = "", **options: Any) -> RunState:
    """Run `runbook` on a sandbox; the folded state at its end."""
    seen = Seen()
    wanted = RunOptions(
        runbook=runbook,
        sandbox=True,
        variant=variant or None,
        **{"speed": SPEED, **options},
    )
    await run_by_hand(Home(), wanted, [seen])
    return seen.state


def said(state: RunState, pattern: str) -> bool:
    """Whether a note or a line of output matches."""
    texts = [n.text for _, n in state.notes] + [o.line for _, o in state.output]
    return any(re.search(pattern, text) for text in texts)
