"""Pruning, moving and saving the history."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from tests.commands.conftest import Command
from tests.screens import incidents

from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.notify.message import Message
from nvsx.core.notify.outbox import Addressed, AddressedTarget, DeliveryChange
from nvsx.serve.history_keeping import DailyPrune
from nvsx.store import open_store, outbox_of

DAY = 86_400.0
TABLES = "runs journal run_lengths run_words claims".split()


def _run(age: float, node: str = "n1", *, status: j.RunStatus | None = "passed") -> str:
    """A run of so many days ago in the state folder; without a status it goes on."""

    async def work() -> str:
        at = time.time() - age * DAY
        journal = open_store(Path(os.environ["NVSX_STATE_DIR"]), lambda: at)
        lease = await journal.create(NewRun(runbook="gpu-off-bus", cluster="c", node=node))
        story = [e.body for e in incidents.repaired().entries]
        told: list[j.RunEvent] = [b for b in story if not isinstance(b, j.Finish | j.Start)]
        start = j.Start(runbook="gpu-off-bus", nickname="x", target_node=node, cluster="c")
        end = [j.Finish(ok=status == "passed", status=status)] if status else []
        await journal.append(lease, [start, *told, *end])
        journal.close()
        return lease.run_id

    return asyncio.run(work())


def _rows() -> dict[str, list[Any]]:
    with sqlite3.connect(Path(os.environ["NVSX_STATE_DIR"]) / "nvsx.db") as db:
        return {t: db.execute(f"SELECT * FROM {t} ORDER BY 1, 2, 3").fetchall() for t in TABLES}


def _ids() -> set[str]:
    return {row[0] for row in _rows()["runs"]}


def test_prune_deletes_what_is_old_and_nothing_else(nvsx: Command) -> None:
    """A young run, an unfinished one and a node's failed last one stay; no row of a deleted run
    does. The default age is history.keep."""
    gone = {_run(500), _run(450, "n2", status="failed")}
    kept = {_run(3), _run(401, "n2", status="failed"), _run(500, "n3", status=None)}
    assert nvsx("history", "prune", "--yes").out == "deleted 2 runs\n"
    assert _ids() == kept
    for table in ("journal", "run_lengths", "run_words"):
        assert {row[0] for row in _rows()[table]} == kept, table
        assert not {row[0] for row in _rows()[table]} & gone


def test_prune_asks_before_it_deletes(nvsx: Command) -> None:
    """A dry run says what would go; without a terminal and --yes it is refused."""
    run = _run(40)
    said = nvsx("history", "prune", "--older-than", "30d", "--dry-run")
    assert (said.code, run in said.out) == (0, True)
    said = nvsx("history", "prune", "--older-than", "30d")
    assert (said.code, "--yes" in said.err) == (2, True)
    assert nvsx("history", "prune", "--older-than", "1h", "--yes").code == 2
    assert _ids() == {run}


def test_artifacts_go_only_when_asked(nvsx: Command, project: Path) -> None:
    """The folder of a pruned run stays; with --artifacts it goes, and no other one."""
    from nvsx.project.home import Home

    first, second, young = _run(60), _run(50), _run(2)
    folder = Home(str(project)).artifacts_dir
    for run in (first, second, young):
        (folder / run).mkdir(parents=True)
        (folder / run / "report.md").write_text("x")
    nvsx("history", "prune", "--older-than", "55d", "--yes")
    assert (folder / first).is_dir()
    nvsx("history", "prune", "--older-than", "45d", "--yes", "--artifacts")
    assert sorted(p.name for p in folder.iterdir()) == sorted([first, young])


def test_prune_forgets_messages_that_were_settled_long_ago(nvsx: Command) -> None:
    """One that waits stays, however old it is."""

    async def accept() -> None:
        journal = open_store(Path(os.environ["NVSX_STATE_DIR"]))
        target = AddressedTarget(name="oncall", kind="pagerduty")
        calls = [Message(call=call, kind="page") for call in ("settled", "waiting", "newest")]
        at = time.time() - 500 * DAY
        outbox = outbox_of(journal)
        await outbox.accept([Addressed(message=m, targets=(target,)) for m in calls], at)
        await outbox.settle([DeliveryChange(number=1, state="dropped", reason="over")], at)
        journal.close()

    _run(500)
    asyncio.run(accept())
    nvsx("history", "prune", "--yes")
    with sqlite3.connect(Path(os.environ["NVSX_STATE_DIR"]) / "nvsx.db") as db:
        calls = [row[0] for row in db.execute("SELECT call FROM outbox_messages ORDER BY 1")]
    assert calls == ["newest", "waiting"]


def test_a_daemon_prunes_once_a_day() -> None:
    """By history.keep, never younger than a day; not again before a day has passed."""
    old, _ = _run(10), _run(0.5)

    async def work() -> list[set[str]]:
        journal = open_store(Path(os.environ["NVSX_STATE_DIR"]))
        daily, seen, now = DailyPrune(journal, 0.0), [], time.time()
        for at in (now, now + DAY - 1, now + DAY):
            await daily.prune_if_due(at)
            seen.append({row.run_id for row in await journal.runs()})
        journal.close()
        return seen

    first, same, last = asyncio.run(work())
    assert old not in first
    assert first == same != last


def test_a_backup_is_the_state_of_one_moment(nvsx: Command, tmp_path: Path) -> None:
    """Taken while another holds the write lock: private, whole, alone; never over a file."""
    run = _run(2)
    holder = sqlite3.connect(Path(os.environ["NVSX_STATE_DIR"]) / "nvsx.db", isolation_level=None)
    file = tmp_path / "b" / "copy.db"
    file.parent.mkdir()
    assert nvsx("history").code == 0  # the state is current: opening it needs no lock
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("UPDATE runs SET runbook = 'half done'")
    try:
        assert nvsx("history", "backup", str(file)).code == 0
    finally:
        holder.close()
    assert [p.name for p in file.parent.iterdir()] == ["copy.db"]
    assert file.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(file) as copy:
        assert copy.execute("SELECT run_id, runbook FROM runs").fetchall() == [(run, "gpu-off-bus")]
    assert nvsx("history", "backup", str(file)).code == 2
    assert nvsx("history", "backup", str(tmp_path / "none" / "x.db")).code == 2


def test_a_backup_moves_the_history_to_another_machine(
    nvsx: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put in the place of another state folder's database, it shows the same runs and reports."""
    run = _run(2)
    file = tmp_path / "copy.db"
    assert nvsx("history", "backup", str(file)).code == 0
    before = (nvsx("history", "-o", "json").out, nvsx("report", run, "-o", "json").out)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    file.rename(other / "nvsx.db")
    monkeypatch.setenv("NVSX_STATE_DIR", str(other))
    assert (nvsx("history", "-o", "json").out, nvsx("report", run, "-o", "json").out) == before
    assert run in before[0]
