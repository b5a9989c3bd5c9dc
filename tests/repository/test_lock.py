"""The lock in requirements/ is whole, names no index, and is what is installed."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).parents[2]
FOLDER = REPO / "requirements"
FILES = sorted(path.stem for path in FOLDER.glob("*.txt"))
PYPROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]


@dataclass(frozen=True)
class Locked:
    """One package of a lock file: `name==version ; marker`, and the hashes of its archives."""

    requirement: Requirement
    hashes: frozenset[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (pin,) = self.requirement.specifier
        assert pin.operator == "==", self.requirement
        return pin.version

    def is_for_this_machine(self) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate()


@cache
def locked(file: str) -> dict[str, Locked]:
    """The packages of a lock file by name."""
    text = (FOLDER / f"{file}.txt").read_text().replace("\\\n", "")
    found: dict[str, Locked] = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *hashes = line.split(" --hash=sha256:")
            entry = Locked(Requirement(requirement.strip()), frozenset(h.strip() for h in hashes))
            assert entry.name not in found, f"{entry.name} is locked twice in {file}.txt"
            found[entry.name] = entry
    return found


def test_there_is_a_lock_for_each_extra() -> None:
    """The launcher finds a file by the extra's name, beside what nvsx and its build need."""
    assert sorted(["base", "build", *EXTRAS]) == FILES


@pytest.mark.parametrize("file", FILES)
def test_no_lock_names_an_index(file: str) -> None:
    """A lock works with whatever index a machine is set up for: no address, no path, no option."""
    text = (FOLDER / f"{file}.txt").read_text()
    assert re.findall(r"\S*://\S*|^ *-(?!-hash=)\S*|\S+ @ \S+|#.*/.*", text, re.MULTILINE) == []


@pytest.mark.parametrize("file", FILES)
def test_every_locked_package_has_hashes(file: str) -> None:
    """pip and uv refuse a whole file for one package without a hash."""
    assert locked(file)
    wrong = [e.name for e in locked(file).values() if not e.hashes]
    assert wrong == []
    assert all(re.fullmatch("[0-9a-f]{64}", h) for e in locked(file).values() for h in e.hashes)


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_cut_from_one_lock(file: str) -> None:
    """Files that are installed together have no two versions of a package."""
    whole = locked("dev")
    for name, entry in locked(file).items():
        assert (entry.version, entry.hashes) == (whole[name].version, whole[name].hashes)


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_the_lock_is_as_new_as_pyproject(extra: str) -> None:
    """Each dependency is locked within its bounds; if not, `make lock` was forgotten."""
    asked = EXTRAS[extra] if extra else PROJECT["dependencies"]
    have = {**locked("base"), **locked(extra or "base")}
    for requirement in map(Requirement, asked):
        if requirement.name != PROJECT["name"]:
            entry = have[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(entry.version), f"{requirement}: run make lock"


def test_the_build_tool_is_locked() -> None:
    """nvsx is built without a network, so what builds it is locked within its bounds too."""
    for requirement in map(Requirement, PYPROJECT["build-system"]["requires"]):
        entry = locked("build")[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(entry.version), f"{requirement}: run make lock"


def test_what_is_installed_is_what_is_locked() -> None:
    """Today's, tomorrow's and a colleague's tests run on the same versions."""
    entries = {**locked("base"), **locked("build"), **locked("dev")}.values()
    wanted = {e.name: e.version for e in entries if e.is_for_this_machine()}
    assert {name: version(name) for name in wanted} == wanted


def test_the_image_installs_what_is_locked() -> None:
    """Each installation in the Containerfile checks hashes, or takes no dependency at all."""
    text = (REPO / "deploy" / "Containerfile").read_text().replace("\\\n", " ")
    commands = re.findall(r"/bin/pip [^&\n]+", text)
    assert len(commands) == 4
    for command in commands:
        assert "--require-hashes -r /requirements/" in command or "--no-deps" in command
