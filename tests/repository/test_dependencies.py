"""What src imports is what pyproject.toml declares."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
EXTRAS = ("convert", "mongo", "notify", "postgres")


OURS = {"nvsx", "nvsentinel_sandbox"}


def names(requirements: Iterable[str]) -> set[str]:
    """The canonical distribution names of some requirements."""
    return {canonicalize_name(Requirement(r).name) for r in requirements}


def imported() -> dict[str, str]:
    """Distribution → one file that imports it, for every third-party import under src."""
    providers = packages_distributions()
    found: dict[str, str] = {}
    for path in sorted((REPO / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for module in modules:
                top = module.split(".")[0]
                if top not in sys.stdlib_module_names and top not in OURS:
                    distribution = providers.get(top, [top])[0]
                    found.setdefault(canonicalize_name(distribution), path.name)
    return found


def test_every_import_is_declared() -> None:
    """A library that is only there because another needs it may be gone in the next release."""
    # Each release of pydantic pins its pydantic-core: the two are one library.
    declared = names(PROJECT["dependencies"]) | {"pydantic-core"}
    for extra in EXTRAS:
        declared |= names(PROJECT["optional-dependencies"][extra])
    assert {d: f for d, f in imported().items() if d not in declared} == {}
