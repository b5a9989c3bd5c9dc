"""The daemon on a real store and a fake cluster: what it does when the cluster fails it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import FakeObserver
from tests.patience import patience

from nvsx.commands.serve_command import collect_modes
from nvsx.core.errors import ClusterError, UsageError
from nvsx.core.ports import Fault, Journal
from nvsx.core.routing.inbox import Silence
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.whereabouts import Whereabouts
from nvsx.project.home import Home
from nvsx.screens.report.past_reports import ReportView
from nvsx.serve import daemon as daemons
from nvsx.serve.serve_options import ServeOptions, modes_of
from nvsx.store import inbox_of, open_store


class Flaky(FakeObserver):
    """Its next `fails` lists of incidents fail; `listed` counts them all."""

    fails = 0
    listed = 0

    async def nodes_in_incident(self) -> Sequence[Fault]:
        self.listed += 1
        if self.fails:
            self.fails -= 1
            raise ClusterError("no answer")
        return await super().nodes_in_incident()


def _cut(number: int, now: float) -> TriggerEvent:
    """One of the alerts of a message that left 36 more out."""
    return TriggerEvent(
        source="alertmanager",
        delivery=f"d-{number}",
        facts=TriggerFacts(check_name="Other"),
        received=now,
        unseen=36,
    )


def _world(folder: Path, observer: FakeObserver, journal: Journal) -> Any:
    """A cluster that is a fake observer, a project without runbooks, a real store."""
    (folder / "runbooks").mkdir()
    return SimpleNamespace(
        home=Home(str(folder)),
        where=Whereabouts(cluster="uid-1", name="prod"),
        observer=observer,
        journal=journal,
        health_events=None,
    )


@pytest.mark.parametrize("modes", [(), ("wach",), ("watch", "wach")])
def test_modes_that_are_asked_for_are_those_or_none(tmp_path: Path, modes: tuple[str, ...]) -> None:
    """`--mode` with a wrong mode or an empty one is refused; what nvsx.yaml has is no answer."""
    with pytest.raises(UsageError, match="is not known"):
        modes_of(Home(str(tmp_path)), ServeOptions(modes=modes))


@pytest.mark.parametrize(
    ("given", "modes"),
    [
        (["watch", "webhook"], ("watch", "webhook")),
        (["watch,webhook"], ("watch", "webhook")),
        (["watch", " webhook, watch"], ("watch", "webhook")),
        ([""], ()),
    ],
)
def test_modes_collect(given: list[str], modes: tuple[str, ...]) -> None:
    """A second `--mode` adds to the first, as commas do; each mode is there once."""
    assert collect_modes(given) == modes


async def test_what_was_cut_off_is_looked_for_until_the_cluster_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred alerts of a cut message are one look; one that fails is made again."""
    monkeypatch.setattr("nvsx.serve.lookout.PAUSE", 0.01)
    observer, journal = Flaky(), open_store(tmp_path / "state")
    daemon = daemons.Daemon(_world(tmp_path, observer, journal), ("webhook",), ReportView)

    async def late() -> bool:
        return any(e.late for e in await inbox_of(journal).events(limit=1000))

    try:
        await daemon.begin()
        observer.incidents = [build.fault("n2", session_key="s-1")]
        observer.listed, observer.fails = 0, 2
        now = daemon.clock.now()
        await asyncio.gather(*(daemon.intake.offer(_cut(number, now)) for number in range(100)))

        async with asyncio.timeout(patience(10)):
            while not await late():  # noqa: ASYNC110 - what is awaited has no event of its own
                await asyncio.sleep(0.01)
        assert observer.listed < 50
    finally:
        await daemon.end(grace=0.0)
        journal.close()


@pytest.mark.parametrize(("ended", "again"), [(True, 1), (False, 0)])
async def test_what_a_short_silence_held_back_is_offered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ended: bool, again: int
) -> None:
    """Silenced and taken back between two looks at silences: a fault of that time comes again; one
    of a silence that goes on does not."""
    observer, journal = FakeObserver(), open_store(tmp_path / "state")
    monkeypatch.setattr("nvsx.serve.daemon.TICK", 3600.0)
    daemon = daemons.Daemon(_world(tmp_path, observer, journal), ("webhook",), ReportView)
    inbox = inbox_of(journal)
    try:
        await daemon.begin()
        now = daemon.clock.now()
        await inbox.silence(
            Silence(cluster="", node="n2", until=now + 600, reason="r", by="ann", created=now)
        )
        observer.incidents = [build.fault("n2", session_key="s-1")]
        await daemon.watch.adopt()
        if ended:
            assert await inbox.end_silence("n2", daemon.clock.now())
        await daemon._tidy_up()
        [event] = await inbox.events(limit=10)
        assert event.repeats == again
    finally:
        await daemon.end(grace=0.0)
        journal.close()
