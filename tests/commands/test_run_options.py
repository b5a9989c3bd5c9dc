"""What a front end holds of its run."""

from __future__ import annotations

from typing import Any

import pytest

from nvsx.commands.run.run_options import Reins


class Runner:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []

    def cancel(self, by: str, reason: str, exit_code: int) -> None:
        self.asked.append((by, reason, exit_code))


@pytest.mark.parametrize(
    ("by", "asked"),
    [
        ("operator", ("operator", "cancelled", 130)),
        ("Ctrl-C", ("operator", "Ctrl-C", 130)),
        ("SIGTERM", ("operator", "SIGTERM", 143)),
    ],
)
def test_cancel_before_the_run_begins_is_not_lost(by: str, asked: tuple[str, str, int]) -> None:
    """A Ctrl-C while nvsx still connects cancels the run as soon as there is one."""
    reins, runner = Reins(), Runner()
    reins.cancel(by)
    taken: Any = runner
    reins.take(taken)
    assert runner.asked == [asked]


def test_nothing_asked_cancels_nothing() -> None:
    """Taking a run up asks nothing of it."""
    reins, runner = Reins(), Runner()
    taken: Any = runner
    reins.take(taken)
    assert runner.asked == []
