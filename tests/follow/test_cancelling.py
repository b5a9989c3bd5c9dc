"""How far the cancelling of a run has come."""

from __future__ import annotations

from nvsx.core.journal.entries import CancelAsked
from nvsx.follow.cancelling import Cancellation

FIRST = CancelAsked(by="somebody", reason="first")
SECOND = CancelAsked(by="somebody", reason="second")


def test_work_goes_on_until_somebody_asks() -> None:
    """Nothing is stopped before an ask; the ask stops work."""
    cancellation = Cancellation()
    assert not cancellation.stops_work
    assert cancellation.ask(FIRST)
    assert cancellation.stops_work


async def test_the_first_ask_counts() -> None:
    """A second ask changes neither who asked nor the phase, and whoever waits is let go on."""
    cancellation = Cancellation()
    assert cancellation.ask(FIRST)
    assert not cancellation.ask(SECOND)
    assert cancellation.asked == FIRST
    await cancellation.wait()


def test_nothing_stops_postmortem() -> None:
    """An ask before postmortem stops no work in it, and a first one in it does not either."""
    for before, during in ((True, False), (False, True)):
        cancellation = Cancellation()
        if before:
            cancellation.ask(FIRST)
        cancellation.begin_postmortem()
        assert cancellation.ask(SECOND) is during
        assert not cancellation.stops_work
