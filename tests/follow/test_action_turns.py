"""Who may act on a node: one action at a time, the heavier fault first."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fakes.fake_scripts import Behaviour, FakeScripts
from tests.fakes.virtual_clock import VirtualClock
from tests.follow.harness import Story, runbook
from tests.patience import patience

from nvsx.core.errors import StoreError
from nvsx.core.ports import ActionWish, ProcessIdentity
from nvsx.follow.action_turns import FileTurns

HOLDER = """
import asyncio, sys
from pathlib import Path
from nvsx.core.ports import ActionWish
from nvsx.follow.action_turns import FileTurns

class Clock:
    def now(self): return 0.0
    async def sleep(self, seconds): await asyncio.sleep(seconds)

async def say(run): pass

async def main():
    turns = FileTurns(Path(sys.argv[1]), "c", Clock())
    async with turns.take(ActionWish("n1", "r-other"), say):
        print("acting", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


class Actor:
    """Runs that act on nodes; `order` is who began and who ended, `waits` who waited for whom."""

    def __init__(self, folder: Path, clock: VirtualClock) -> None:
        self.turns = FileTurns(folder, "c", clock)
        self.clock = clock
        self.order: list[str] = []
        self.waits: list[tuple[str, str]] = []

    async def act(
        self,
        run_id: str,
        *,
        after: float = 0.0,
        lasts: float = 10.0,
        weight: int = 0,
        on: str = "n1",
    ) -> None:
        await self.clock.sleep(after)

        async def say(other: str) -> None:
            self.waits.append((run_id, other))

        async with self.turns.take(ActionWish(on, run_id, weight), say):
            self.order.append(f"{run_id} begins")
            await self.clock.sleep(lasts)
            self.order.append(f"{run_id} ends")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The state folder; no turn is left there."""
    yield tmp_path
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "turn"]
    assert left == []


async def test_of_those_that_wait_the_heavier_fault_goes_first(folder: Path) -> None:
    """The lighter ones after it, in the order in which they came; each says whom it waits for."""
    actor = Actor(folder, VirtualClock())
    await asyncio.gather(
        actor.act("r-1"),
        actor.act("r-2", after=2, weight=3),
        actor.act("r-3", after=3, weight=3),
        actor.act("r-4", after=4, weight=13),
    )
    runs = ("r-1", "r-4", "r-2", "r-3")
    assert actor.order == [f"{r} {what}" for r in runs for what in ("begins", "ends")]
    assert {w for w in actor.waits if w[1] == "r-1"} == {(r, "r-1") for r in ("r-2", "r-3", "r-4")}
    assert len(set(actor.waits)) == len(actor.waits)


async def test_actions_on_two_nodes_do_not_wait_for_each_other(folder: Path) -> None:
    """They exclude each other on a node alone."""
    actor = Actor(folder, VirtualClock())
    await asyncio.gather(actor.act("r-1"), actor.act("r-2", after=1, on="n2"))
    assert actor.order == ["r-1 begins", "r-2 begins", "r-1 ends", "r-2 ends"]
    assert actor.waits == []


async def test_whoever_gives_up_waiting_is_waited_for_no_more(folder: Path) -> None:
    """A cancelled run with the heaviest fault."""
    actor = Actor(folder, VirtualClock())
    heavy = asyncio.create_task(actor.act("r-2", after=1, weight=20))
    others = asyncio.gather(actor.act("r-1"), actor.act("r-3", after=2))
    await actor.clock.sleep(5)
    heavy.cancel()
    await others
    assert [o for o in actor.order if o.endswith("begins")] == ["r-1 begins", "r-3 begins"]


async def test_a_failing_action_gives_its_turn_back_and_its_error_on(folder: Path) -> None:
    """An error of the script's is none of the folder's."""
    actor = Actor(folder, VirtualClock())

    async def say(_other: str) -> None:
        return None

    with pytest.raises(FileNotFoundError, match="gone"):
        async with actor.turns.take(ActionWish("n1", "r-1"), say):
            raise FileNotFoundError("gone")
    await actor.act("r-2")
    assert actor.waits == []


def node_folder(state: Path) -> Path:
    """Where turns on the only node are kept."""
    (found,) = (state / "turns").iterdir()
    return found


async def test_the_ticket_of_a_dead_process_holds_nobody_back(folder: Path) -> None:
    """It is there, and nobody has it locked."""
    actor = Actor(folder, VirtualClock())
    await actor.act("r-1")
    (node_folder(folder) / "00-000000000000000-r-dead.ticket").touch()
    await actor.act("r-2")
    assert (actor.order[-1], actor.waits) == ("r-2 ends", [])


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A script that goes on though its nvsx is dead, in a process group of its own."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(("run_id", "waited"), [("r-2", True), ("r-dead", False)])
async def test_a_script_that_outlived_its_nvsx_is_waited_for(
    folder: Path, sleeper: subprocess.Popen[bytes], run_id: str, waited: bool
) -> None:
    """By every run but its own, which looks after it."""
    actor = Actor(folder, VirtualClock())
    await actor.act("r-1")
    started = psutil.Process(sleeper.pid).create_time()
    left = {"run": "r-dead", "pid": sleeper.pid, "started": started}
    (node_folder(folder) / "turn").write_text(json.dumps(left))
    task = asyncio.create_task(actor.act(run_id))
    await actor.clock.sleep(5)
    assert (actor.waits == [(run_id, "r-dead")]) is waited
    assert (f"{run_id} begins" in actor.order) is not waited
    sleeper.kill()
    sleeper.wait()
    await task
    assert actor.order[-1] == f"{run_id} ends"


async def test_while_an_action_runs_its_process_is_on_record(folder: Path) -> None:
    """And not any more when it has ended."""
    actor = Actor(folder, VirtualClock())

    async def say(_other: str) -> None:
        return None

    async with actor.turns.take(ActionWish("n1", "r-1"), say) as turn:
        turn.note_process(ProcessIdentity(4711, 5.5))
        kept = json.loads((node_folder(folder) / "turn").read_text())
    assert kept == {"run": "r-1", "pid": 4711, "started": 5.5}
    assert (node_folder(folder) / "turn").read_text() == ""


@pytest.mark.parametrize("end", ["ends", "is killed"])
async def test_another_process_s_action_is_waited_for(folder: Path, end: str) -> None:
    """Of the same state folder; one that is killed gives its turn back."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", HOLDER, str(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    async with asyncio.timeout(patience(20)):
        assert await holder.stdout.readline() == b"acting\n"
    waits: list[str] = []

    async def say(other: str) -> None:
        waits.append(other)
        if end == "ends":
            holder.stdin.close()  # type: ignore[union-attr]
        else:
            holder.kill()

    class Quick:
        def now(self) -> float:
            return 0.0

        async def sleep(self, _seconds: float) -> None:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(patience(20)):
        async with FileTurns(folder, "c", Quick()).take(ActionWish("n1", "r-1"), say):
            assert waits == ["r-other"]
        await holder.wait()
    for ticket in node_folder(folder).glob("*.ticket"):
        ticket.unlink()  # what a killed process leaves goes with the next one that waits


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """With its path and the next step."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be used"):
        await Actor(tmp_path, VirtualClock()).act("r-1")


async def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    """With its path and the next step."""
    (tmp_path / "turns").write_text("")
    with pytest.raises(StoreError, match="cannot be used") as error:
        await Actor(tmp_path, VirtualClock()).act("r-1")
    assert "state folder" in error.value.hint


ACTING: list[dict[str, Any]] = [
    {"id": "drain", "timeout": "30s", "action": {"script": "scripts/act.sh"}},
]


async def test_two_runs_on_one_node_never_act_at_once(folder: Path) -> None:
    """The second notes whom it waits for, and its waiting counts towards no limit of its stage."""
    first = Story(folder, runbook(ACTING))
    second = Story(folder, runbook(ACTING))
    first.scripts.on("act.sh", Behaviour(seconds=25))
    second.scripts.on("act.sh", Behaviour(seconds=25))
    second.clock = first.clock
    turns = FileTurns(folder, "c", first.clock)
    first.turns = second.turns = turns
    await first.begin()
    await first.clock.sleep(1)
    await second.begin()
    states = [await first.finish(), await second.finish()]
    assert [s.finish.status for s in states if s.finish] == ["passed", "passed"]
    assert _ran_apart(first.scripts, second.scripts)
    notes = [(n.code, n.text) for _, n in states[1].notes if n.code == "action-waits"]
    run = states[0].run_id
    text = f"the action waits: run {run} acts on {first.request.node} first, one at a time"
    assert notes == [("action-waits", text)]


def _ran_apart(*scripts: FakeScripts) -> bool:
    spans = sorted((c.begun, c.ended or 0.0) for s in scripts for c in s.calls)
    return len(spans) == 2 and spans[0][1] <= spans[1][0]
