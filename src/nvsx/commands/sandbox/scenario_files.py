"""Reads scenario files of the sandbox: every mistake with its line and column.

Called by `nvsx sandbox start --scenario`. Brings the project's YAML reader and the
sandbox's model together; it plays nothing.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from nvsentinel_sandbox.scenario import Scenario
from nvsentinel_sandbox.world.cluster_world import node_names
from nvsx.core.aliases import alias_of
from nvsx.core.errors import InvalidRunbook, Problem, UsageError
from nvsx.project import yaml_tree
from nvsx.project.yaml_findings import collect_problems


def load_scenario(path: Path) -> Scenario:
    """The scenario in a file.

    Raises UsageError when the file cannot be read, InvalidRunbook with all its problems.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    tree = yaml_tree.load(raw, str(path))
    try:
        found = Scenario.model_validate(
            tree.data, by_alias=True, by_name=False, context={"file": True}
        )
    except ValidationError as error:
        raise InvalidRunbook(
            str(path), collect_problems(Scenario, tree, error, str(path))
        ) from None
    known = _names_of_nodes(node_names(found.sandbox.nodes))
    problems = []
    for index, step in enumerate(found.steps):
        for key in ("node", "heal", "cordon", "uncordon"):
            name = getattr(step, key)
            if name is not None and name not in known:
                place = tree.positions.value(("steps", index, key))
                hint = f"a sandbox of {found.sandbox.nodes} has {', '.join(sorted(known)[:4])}, …"
                problems.append(Problem(f"there is no node '{name}'", str(path), *place, hint))
    if problems:
        raise InvalidRunbook(str(path), problems)
    return found


def _names_of_nodes(nodes: list[str]) -> set[str]:
    """What a step may call a node."""
    return {*nodes, *map(alias_of, nodes)}
