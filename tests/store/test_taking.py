"""What taking events leaves in the database: under load, after kill -9, and over versions."""

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import FakeNodeFeed, FakeObserver
from tests.fakes.virtual_clock import EPOCH

from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.journal.entries import Finish
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Fault
from nvsx.core.routing.inbox import Decision, Draft, Taken
from nvsx.core.routing.route import Explanation, RuleResult, TriggerFacts, no_expressions
from nvsx.core.routing.trigger_event import TriggerEvent
from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches.snapshot import Needs, Node
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.intake import Identity, TriggerIntake
from nvsx.serve.limits import Limits
from nvsx.store import inbox_of, incidents_of, migrations, open_store, sqlite_inbox
from nvsx.store.database import FILE
from nvsx.store.sqlite_journal import SqliteJournal

WHY = (Explanation("gpu-off-bus", (RuleResult("triggers[0]", False, "check is X, not Y"),)),)
IGNORED = Decision(outcome="ignored", reason="no runbook matches")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    """An open store in the test's folder."""
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def draft(*keys: str, at: float = 100.0, why: tuple[Explanation, ...] = WHY) -> Draft:
    """An event that came `at`."""
    facts = TriggerFacts(node="n1", check_name="X")
    return Draft(
        received=at, source="webhook", keys=keys, facts=facts, cluster="c", explanations=why
    )


def rows(folder: Path, query: str) -> list[Any]:
    """What is in the database."""
    db = sqlite3.connect(folder / FILE)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


# --- explanations -------------------------------------------------------------------------


async def test_one_explanation_serves_all_events_it_is_the_same_for(
    store: SqliteJournal, tmp_path: Path
) -> None:
    """Three events of two kinds keep two explanations, each event shows its own; prune drops them
    with the last event that has them."""
    other = (Explanation("thermal", (RuleResult("tag x", True, "it is", (1,)),)),)
    box = inbox_of(store)
    for at, why in ((100.0, WHY), (200.0, other), (300.0, WHY)):
        await box.take(draft(at=at, why=why), lambda _: IGNORED)
    shown = [event.explanations for event in await box.events()]
    assert shown == [WHY, other, WHY]
    assert rows(tmp_path, "SELECT COUNT(*) FROM explanations") == [(2,)]
    assert await box.prune(250.0) == 2
    assert [event.explanations for event in await box.events()] == [WHY]
    assert rows(tmp_path, "SELECT COUNT(*) FROM explanations") == [(1,)]


async def test_an_event_of_an_older_version_shows_its_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that were stored with their explanation inside keep showing it after migrating."""
    with monkeypatch.context() as older:
        older.setattr(migrations, "STEPS", migrations.STEPS[:3])
        open_store(tmp_path).close()
    taken = await _decided_elsewhere(tmp_path / "other")
    body = msgspec.json.encode(taken.event).decode()
    event_id = taken.event.event_id
    with sqlite3.connect(tmp_path / FILE) as db:
        values = (event_id, 100.0, "webhook", "c", "n1", "ignored", "", "", 0, 100.0, body)
        db.execute(f"INSERT INTO events VALUES ({','.join('?' * 11)})", values)
    db.close()
    store = open_store(tmp_path)
    assert (await inbox_of(store).event(event_id)).explanations == WHY
    store.close()


async def _decided_elsewhere(folder: Path) -> Taken:
    store = open_store(folder)
    try:
        return await inbox_of(store).take(draft(), lambda _: IGNORED)
    finally:
        store.close()


async def test_prune_goes_in_parts(store: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """More old events than go in one transaction go all the same, and all are counted."""
    monkeypatch.setattr(sqlite_inbox, "_FORGET_AT_ONCE", 2)
    box = inbox_of(store)
    for number in range(5):
        await box.take(draft(f"k{number}", at=100.0 + number), lambda _: IGNORED)
    await box.take(draft("new", at=900.0), lambda _: IGNORED)
    assert await box.prune(500.0) == 5
    assert [event.keys for event in await box.events()] == [("new",)]


async def test_flags_of_a_run_are_true_or_false(store: SqliteJournal) -> None:
    """What SQLite keeps as 0 and 1 comes back as a boolean, for output as JSON."""
    lease = await store.create(NewRun(runbook="r", cluster="c", node="n1", sandbox=True))
    await store.append(lease, [Finish(ok=True, status="passed", degraded=True)])
    row = await store.run(lease.run_id)
    assert (row.sandbox is True, row.degraded is True, row.drill is False) == (True, True, True)


# --- the whole way, from an event to the disk ---------------------------------------------------

BOOK = Runbook.model_validate(
    {
        "apiVersion": "nvsx/v1",
        "kind": "Runbook",
        "metadata": {"name": "gpu-off-bus"},
        "triggers": [{"check": "SysLogsXIDError", "errorCode": "79"}],
        "stages": [{"id": "detect"}],
    }
)


class Shelf:
    def runbooks(self) -> Sequence[Runbook]:
        return [BOOK]

    def find(self, wanted: str) -> Runbook:
        raise AssertionError(wanted)


class Nodes(FakeObserver):
    """A cluster that has every node, and no session."""

    async def node_names(self) -> Sequence[str]:
        return [f"n{number}" for number in range(1000)]

    async def nodes(self) -> Sequence[Node]:
        return [Node(name) for name in await self.node_names()]

    async def nodes_in_incident(self) -> Sequence[Fault]:
        return []

    async def follow(self, node: str, needs: Needs, session: Session | None = None) -> FakeNodeFeed:
        if node not in self.feeds:
            self.set(build.snapshot(of=build.node(node)))
        return await super().follow(node, needs, session)


class StillClock:
    """The time of the events, while real time goes on."""

    def now(self) -> float:
        return EPOCH

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def intake_on(store: SqliteJournal) -> TriggerIntake:
    """A real intake on a real store; nobody works the runs."""
    observer, clock = Nodes(), StillClock()
    keeper = IncidentKeeper(
        incidents=incidents_of(store),
        observer=observer,
        clock=clock,
        cluster="c",
        limits=IncidentLimits(),
    )
    return TriggerIntake(
        inbox=inbox_of(store),
        keeper=keeper,
        observer=observer,
        clock=clock,
        identity=Identity(uid="c"),
        shelf=Shelf(),
        evaluate=no_expressions,
        limits=Limits(),
        started=lambda _: None,
    )


def event(node: str, code: str, delivery: str, source: str = "webhook") -> TriggerEvent:
    """XID `code` on a node, as `source` tells it."""
    at = EPOCH
    fault = HealthEvent(check="SysLogsXIDError", node=node, error_codes=(code,), fatal=True)
    facts = msgspec.structs.replace(TriggerFacts.of(fault), generated_at=at)
    return TriggerEvent(source=source, delivery=delivery, facts=facts, received=at)


async def test_a_burst_is_kept_whole_and_fires_each_incident_once(
    store: SqliteJournal, tmp_path: Path
) -> None:
    """1,200 events of 100 nodes at once, many of them twice: 100 runs, every event counted."""
    told = [
        event(f"n{n}", code, f"{n}-{code}-{turn // 2}", source)
        for n in range(100)
        for source in ("webhook", "poll")
        for code in ("79", "31")
        for turn in range(3)
    ]
    random.Random(3).shuffle(told)
    intake = intake_on(store)
    answers = await asyncio.gather(*(intake.offer(e) for e in told))
    fired = [a for a in answers if a.outcome == "fired"]
    assert len(answers) == 1200
    assert len({a.run_id for a in fired}) == len(fired) == 100
    assert rows(tmp_path, "SELECT SUM(1 + repeats) FROM events") == [(1200,)]
    claimed = Counter(node for (node,) in rows(tmp_path, "SELECT node FROM claims"))
    assert claimed == {f"n{n}": 1 for n in range(100)}


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.store.test_taking import event, intake_on
from nvsx.store import open_store

async def main():
    intake = intake_on(open_store(Path(sys.argv[1])))
    numbers = iter(range(900))
    async def one():
        for number in numbers:
            answer = await intake.offer(event(f"n{number}", "79", str(number)))
            print(answer.event_id, answer.run_id, f"n{number}", flush=True)
    await asyncio.gather(*(one() for _ in range(16)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_loses_no_event_that_was_answered(tmp_path: Path, seed: int) -> None:
    """After kill -9 in the middle of taking events each one answered is there with its run, the
    run's request and its claim; and no run is there without its event."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(root)]
    last = random.Random(seed).randrange(20, 400)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(last)]
        child.kill()
        lines += [line for line in child.stdout.read().splitlines(keepends=True) if "\n" in line]
    answered = {tuple(line.split()) for line in lines}
    open_store(tmp_path).close()
    stored = rows(
        tmp_path,
        "SELECT e.event_id, r.run_id, c.node FROM events e JOIN runs r ON r.run_id = e.run_id "
        "JOIN claims c ON c.run_id = r.run_id JOIN requests q ON q.run_id = r.run_id",
    )
    assert len(answered) >= last
    assert answered <= set(stored)
    assert rows(tmp_path, "SELECT COUNT(*) FROM runs") == [(len(stored),)]
