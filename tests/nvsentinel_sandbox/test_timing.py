"""The story's time: what happens when, at any speed, on any machine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.nvsentinel_sandbox.simulation import BEGAN, Simulation
from tests.patience import patience

from nvsentinel_sandbox.chain.simulator import Simulator
from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.scenario import Scenario, play
from nvsentinel_sandbox.story import Story
from nvsentinel_sandbox.world.timing import FASTEST, Pace

ROOT = Path(__file__).parents[2]
BUSY = Scenario.model_validate(
    {
        "apiVersion": "nvsx/v1",
        "kind": "Scenario",
        "metadata": {"name": "busy"},
        "steps": [
            {"at": "1s", "inject": "xid-79", "node": "gpu-node-a1", "variant": "three-checks"},
            {"at": "1s", "inject": "xid-48", "node": "gpu-node-a2"},
            {"at": "2s", "inject": "thermal", "node": "gpu-node-a3"},
            {"at": "9s", "inject": "xid-74", "node": "gpu-node-a4", "people": True},
        ],
    }
)


async def recorded(seed: int, speed: float = FASTEST, began: float | None = BEGAN) -> bytes:
    """Every change of every object, every line told and logged, of a scenario played out."""
    simulator = Simulator(nodes=12, seed=seed, speed=speed, dated_from=began)
    lines: list[str] = []

    def note(change: Change) -> None:
        kind, entry = change.type, change.entry
        if began:
            lines.append(f"{simulator._context.pace.now():.6g} {kind} {entry.encoded.decode()}")
        else:  # names of Events have the true time in them
            name = entry.key if entry.resource.plural != "events" else ""
            lines.append(f"{kind} {entry.resource.name} {name}")

    forget = simulator.store.subscribe(note)
    simulator.store.subscribe(Story(lines.append).hear)
    await play(BUSY, simulator, tell=lines.append, stop=lambda: None)
    while tasks := simulator._context._tasks:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    forget()
    if began:
        for pod in simulator.store.list("pods", namespace="nvsentinel"):
            name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
            read = simulator.store.logs.read("nvsentinel", name, container)
            lines.extend(f"{name} {line.at} {line.text}" for line in read)
    return "\n".join(lines).encode()


async def test_the_same_seed_is_the_same_story_to_the_byte() -> None:
    """Objects, Events, narration and logs of four incidents at once; another seed differs."""
    first = await recorded(5)
    assert first == await recorded(5)
    assert first != await recorded(6)
    assert b"remediation-failed" in first
    assert len(first) > 500_000


async def test_the_speed_changes_no_order() -> None:
    """Paced by the true time, the same happens in the same order."""
    assert await recorded(5, 120.0, None) == await recorded(5, FASTEST, None)


def test_another_process_tells_the_same_story(tmp_path: Path) -> None:
    """`sandbox start` with a scenario prints the same lines twice, but for the time of day."""
    scenario = tmp_path / "busy.yaml"
    steps = [{"at": "1s", "inject": "xid-79", "variant": "three-checks"},
             {"at": "1s", "inject": "xid-48", "node": "gpu-node-a2"},
             {"at": "2m", "stop": True}]  # fmt: skip
    head = {"apiVersion": "nvsx/v1", "kind": "Scenario", "metadata": {"name": "busy"}}
    scenario.write_text(json.dumps({**head, "steps": steps}))

    def told(hash_seed: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "nvsx", "sandbox", "start", "--seed", "7", "--speed", "1000",
             "--nodes", "12", "--scenario", str(scenario)],
            env={**os.environ, "NVSX_STATE_DIR": str(tmp_path), "PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, timeout=patience(60), check=True, cwd=ROOT,
        )  # fmt: skip
        return [line[10:] for line in done.stderr.splitlines() if line[2:3] == ":"]

    first = told("1")
    assert any("state remediation-failed" in line for line in first)
    assert first == told("2")


@pytest.mark.parametrize("speed", [1.0, FASTEST])
async def test_sleepers_wake_by_their_time_however_late(speed: float) -> None:
    """Three short sleeps of one task come before a longer one of another, on a blocked loop."""
    pace, order = Pace(speed), list[str]()

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await pace.wait(nap)
            order.append(f"{name} {pace.now():.2f}")

    naps = {"long": [0.1], "short": [0.03] * 3}
    tasks = [asyncio.create_task(sleeper(name, *found)) for name, found in naps.items()]
    await asyncio.sleep(0)
    _block(0.15)
    await asyncio.gather(*tasks)
    assert order == ["short 0.03", "short 0.06", "short 0.09", "long 0.10"]


async def test_what_a_wake_sets_off_comes_first() -> None:
    """Tasks that start tasks are done before the next sleeper wakes, though it is due."""
    pace, order = Pace(FASTEST), list[str]()

    async def at(seconds: float, then: Callable[[], None]) -> None:
        await pace.wait(seconds)
        then()

    async def chain(depth: int) -> None:
        order.append(f"chain {depth}")
        if depth < 5:
            await asyncio.create_task(chain(depth + 1))

    made: list[asyncio.Task[None]] = []
    first = at(1.0, lambda: made.append(asyncio.create_task(chain(1))))
    await asyncio.gather(first, at(1.000001, lambda: order.append("next")))
    assert order == [*(f"chain {n}" for n in range(1, 6)), "next"]


async def test_a_cancelled_sleeper_holds_nobody_up() -> None:
    """The time goes on to the next who still sleeps."""
    simulation = Simulation()
    pace = simulation.simulator._context.pace
    gone = asyncio.create_task(pace.wait(1.0))
    await asyncio.sleep(0)
    gone.cancel()
    await pace.wait(2.0)
    assert pace.now() == 2.0
    await simulation.simulator.stop()


def _block(seconds: float) -> None:
    """Keep the event loop from turning, as a busy machine does."""
    import time

    time.sleep(seconds)
