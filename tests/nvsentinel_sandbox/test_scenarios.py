"""Scenario files: mistakes are found with line and column, steps happen at their times."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.nvsentinel_sandbox.simulation import STATE, Object, Simulation

from nvsentinel_sandbox.scenario import Scenario, play
from nvsx.commands.sandbox.scenario_files import load_scenario
from nvsx.core.aliases import alias_of
from nvsx.core.errors import InvalidRunbook, UsageError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenarios").glob("*.yaml"))
HEAD = "apiVersion: nvsx/v1\nkind: Scenario\nmetadata: {name: t}\nsteps:\n"


def written(folder: Path, steps: str) -> Path:
    """A scenario file with these steps, the first on line 5."""
    path = folder / "t.yaml"
    path.write_text(HEAD + steps)
    return path


@pytest.mark.parametrize(
    ("steps", "line", "column", "words"),
    [
        ("- {at: 5s, inject: xid-999}", 5, 20, "there is no fault 'xid-999'"),
        ("- {at: 5s, inject: xid79}", 5, 20, "did you mean xid-79?"),
        ("- {at: 5, inject: xid-79}", 5, 8, "5s"),
        ("- {at: 5s, injekt: xid-79}", 5, 12, "injekt"),
        ("- {at: 5s, heal: gpu-node-z9}", 5, 18, "there is no node 'gpu-node-z9'"),
        ("- {at: 5s}", 5, 3, "a step does one of"),
        ("- {at: 5s, heal: gpu-node-a1, stop: true}", 5, 3, "heal and stop"),
        ("- {at: 5s, heal: gpu-node-a1, people: true}", 5, 3, "people goes with inject"),
        ("- {at: 9s, stop: true}\n- {at: 5s, stop: true}", 5, 1, "steps go by time"),
        ("- {at: 5s, inject: xid-79, variant: dry-run}", 5, 37, "concerns the installation"),
    ],
)
def test_mistakes_have_a_place(
    steps: str, line: int, column: int, words: str, tmp_path: Path
) -> None:
    """Each mistake is told at its line and column, in words that help."""
    with pytest.raises(InvalidRunbook) as raised:
        load_scenario(written(tmp_path, steps))
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (line, column), problem
    assert words in problem.message + problem.hint


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A usage error with the path."""
    with pytest.raises(UsageError, match=r"no\.yaml cannot be read"):
        load_scenario(tmp_path / "no.yaml")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_shared_examples_are_valid(path: Path) -> None:
    """Every example loads, and is called as its file."""
    assert load_scenario(path).metadata.name == path.stem


def test_there_are_examples() -> None:
    """The folder is not empty."""
    assert EXAMPLES


async def test_steps_happen_in_order_at_their_times(tmp_path: Path) -> None:
    """An injection by alias, an uncordon by a person and an end, each told when it happens."""
    simulation = Simulation("drain-waits", alias_of=alias_of)
    alias = alias_of(simulation.name)
    steps = f"- {{at: 3s, inject: xid-79, node: {alias}}}\n- {{at: 9s, uncordon: {alias}}}\n"
    scenario = load_scenario(written(tmp_path, steps + "- {at: 12s, stop: true}\n"))
    said: list[str] = []
    ended = asyncio.Event()
    simulator = simulation.simulator
    pace = simulator._context.pace

    def tell(line: str) -> None:
        said.append(f"{pace.now():g} {line}")

    await play(scenario, simulator, tell=tell, stop=ended.set)
    assert ended.is_set()
    assert said == [
        f"3 scenario, 3s: xid-79 on {simulation.name}",
        f"9 scenario, 9s: someone uncordons {alias}",
        "12 scenario, 12s: the sandbox ends",
    ]
    await simulation.until(lambda: "quarantinedNodeUncordonedManually" in simulation.annotations)
    await simulator.stop()


async def test_a_step_that_cannot_be_taken_does_not_end_the_scenario() -> None:
    """A heal of a node that is not there is told, and the next step is taken."""
    simulation = Simulation()
    raw = {
        "apiVersion": "nvsx/v1",
        "kind": "Scenario",
        "metadata": {"name": "t"},
        "steps": [{"at": "0s", "heal": "gpu-node-z9"}, {"at": "0s", "stop": True}],
    }
    said: list[str] = []
    await play(
        Scenario.model_validate(raw), simulation.simulator, tell=said.append, stop=lambda: None
    )
    assert "not done: the sandbox has no GPU node" in said[0]
    assert said[1].endswith("the sandbox ends")
    await simulation.simulator.stop()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
async def test_shared_examples_play_to_a_good_end(path: Path) -> None:
    """Every step is taken, each node it names fails and is released, and all end healthy."""
    scenario = load_scenario(path)
    setting = scenario.sandbox
    simulation = Simulation(setting.variant, nodes=setting.nodes, seed=setting.seed)
    said: list[str] = []
    await play(scenario, simulation.simulator, tell=said.append, stop=lambda: None)
    await simulation.settled()
    assert len(said) == len(scenario.steps)
    assert not [line for line in said if "not done" in line]
    hit = {simulation.simulator.find_node(s.node) for s in scenario.steps if s.inject and s.node}
    cordoned = {o["metadata"]["name"] for o in simulation.seen("nodes") if is_cordoned(o)}
    assert cordoned == hit
    for node in simulation.store.list("nodes"):
        assert not is_cordoned(node)
        assert STATE not in node["metadata"]["labels"]
        assert "True" not in {
            c["status"] for c in node["status"]["conditions"] if "NotHealthy" in c.get("reason", "")
        }
    await simulation.simulator.stop()


def is_cordoned(node: Object) -> bool:
    """Whether the scheduler leaves it alone."""
    return bool(node["spec"].get("unschedulable"))
