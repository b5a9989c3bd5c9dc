"""`make mutants`: change the code in a small way, run its tests, and see that they notice.

    python -m tests.mutants --seed 1 --count 300

draws that many changes from the modules in tables.toml. Each runs in a process forked from this
one, in which pytest and the libraries are loaded already and nvsx is not: the changed source is
what that process imports, whether the change is in a function or in a constant. The files on
disk stay as they are.

A change that a test notices is killed. One that no test can notice is equivalent, and explained
in tables.toml by the text of its line. Exit 1 when fewer than 90 % of the others are killed, or
when an explanation is wrong; exit 2 when the tests fail without any change.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import CodeType, ModuleType

# What every test needs of others, so that a fork has it for nothing.
import hypothesis
import msgspec  # noqa: F401
import pydantic  # noqa: F401
import pytest
from tests.mutants.mutations import Mutant, find_mutants, list_sites, make_mutant

TABLES = Path(__file__).with_name("tables.toml")
WANTED = 90  # percent
TEST_SECONDS = 20  # the slowest test takes 3; a changed loop may never end
MEMORY = 4 << 30  # nor may a list that grows in it
RUN_SECONDS = 300  # where not even pytest-timeout can stop it

# Exit codes of pytest for a changed module that cannot be imported: in a test file, in a conftest.
BROKEN = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)

# Always the same examples, none remembered, and no time spent on making a failure small.
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


class ChangedSource(importlib.abc.MetaPathFinder):
    """Imports one module from a changed text of its file."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = _ChangedLoader(self.name, str(self.path))
        loader.changed = self.source
        return importlib.util.spec_from_file_location(self.name, self.path, loader=loader)


class _ChangedLoader(importlib.machinery.SourceFileLoader):
    changed = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.changed, self.get_filename(fullname), "exec", dont_inherit=True)


def run_tests(file: str, source: str, tests: tuple[str, ...], scratch: Path) -> None:
    """In a process of its own, which leaves with pytest's exit code."""
    out = os.open(scratch / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.path.insert(0, str(Path("src").resolve()))
    name = ".".join(Path(file).with_suffix("").parts[1:]).removesuffix(".__init__")
    sys.meta_path.insert(0, ChangedSource(name, Path(file).resolve(), source))
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}"]
    # A library that is loaded already is not read anew by pytest, which would warn.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["--hypothesis-profile=mutants", f"--basetemp={scratch / 'tmp'}"]
    os._exit(pytest.main([*options, *tests]))


@dataclass(frozen=True)
class Tables:
    """tables.toml: which tests decide about a file, and which changes no test can notice."""

    modules: dict[str, tuple[str, ...]]
    explained: dict[tuple[str, str, str, str], str]

    @classmethod
    def load(cls, path: Path, root: Path) -> Tables:
        data = tomllib.loads(path.read_text())
        modules: dict[str, tuple[str, ...]] = {}
        # A folder stands for its files, but for those that have a line of their own.
        for name, tests in sorted(data["modules"].items(), key=lambda entry: len(entry[0])):
            place = root / name
            files = [place] if place.is_file() else sorted(place.rglob("*.py"))
            missing = [test for test in tests if not (root / test).exists()]
            if not files or missing:
                raise SystemExit(f"{path}: there is no {', '.join([*missing] or [name])}")
            modules |= {str(file.relative_to(root)): tuple(tests) for file in files}
        entries = data.get("explained", [])
        explained = {
            tuple(e[k] for k in ("file", "function", "before", "after")): e["reason"]
            for e in entries
        }
        return cls(modules, explained)

    def find_stale(self, root: Path) -> list[tuple[str, str, str, str]]:
        """Explanations of a change that cannot be made any more: the line reads otherwise."""
        return [
            key
            for key in self.explained
            if not any(m.key == key for m in find_mutants(key[0], key[1], key[2], root))
        ]


@dataclass
class Score:
    killed: list[Mutant] = field(default_factory=list)
    survived: list[Mutant] = field(default_factory=list)
    broken: list[Mutant] = field(default_factory=list)

    def counted(self) -> int:
        return len(self.killed) + len(self.survived)


class Runs:
    """Runs of tests side by side, each in a process forked from this one."""

    def __init__(self, jobs: int, scratch: Path) -> None:
        self.jobs, self.scratch = jobs, scratch
        self._running: dict[ForkProcess, tuple[Mutant, Path, float]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._running)

    def is_full(self) -> bool:
        return len(self._running) >= self.jobs

    def start(self, mutant: Mutant, tests: tuple[str, ...]) -> None:
        self._count += 1
        folder = self.scratch / str(self._count)
        folder.mkdir()
        process = get_context("fork").Process(
            target=run_tests, args=(mutant.file, mutant.source, tests, folder)
        )
        process.start()
        self._running[process] = mutant, folder, time.monotonic() + RUN_SECONDS

    def wait_for_some(self) -> list[tuple[Mutant, int, str]]:
        """The runs that ended: their mutant, exit code and output."""
        wait([process.sentinel for process in self._running], timeout=1)
        ended = []
        for process, (mutant, folder, deadline) in list(self._running.items()):
            if process.is_alive() and time.monotonic() > deadline:
                process.kill()
                process.join()
            if not process.is_alive():
                del self._running[process]
                output = (folder / "output").read_text(errors="replace")
                shutil.rmtree(folder, ignore_errors=True)
                ended.append((mutant, process.exitcode or 0, output))
        return ended


def draw_mutants(files: Iterable[str], seed: int) -> Iterator[Mutant]:
    """Every mutant of these files, in an order that the seed decides."""
    sources = {file: Path(file).read_text() for file in sorted(files)}
    sites = [site for file, source in sources.items() for site in list_sites(file, source)]
    random.Random(seed).shuffle(sites)
    for site in sites:
        if mutant := make_mutant(site, sources[site.file]):
            yield mutant


def check_that_tests_pass(tables: Tables, files: list[str], runs: Runs) -> None:
    """Without a change: else every mutant would count as killed."""
    waiting = list({tables.modules[file]: file for file in files}.items())
    while waiting or len(runs):
        while waiting and not runs.is_full():
            tests, file = waiting.pop()
            runs.start(Mutant(file, 0, "", "", "", Path(file).read_text()), tests)
        for mutant, code, output in runs.wait_for_some():
            if code:
                sys.stderr.write(output)
                sys.stderr.write(f"the tests of {mutant.file} fail without any change\n")
                raise SystemExit(2)


def run_mutants(tables: Tables, mutants: Iterator[Mutant], count: int, runs: Runs) -> Score:
    """Run until so many can be counted: one that cannot be imported shows nothing."""
    score = Score()
    while True:
        while not runs.is_full() and score.counted() + len(runs) < count:
            if (mutant := next(mutants, None)) is None:
                break
            runs.start(mutant, tables.modules[mutant.file])
        if not len(runs):
            return score
        for mutant, code, _ in runs.wait_for_some():
            kind = "survived" if code == 0 else "broken" if code in BROKEN else "killed"
            getattr(score, kind).append(mutant)
            if kind == "survived" and mutant.key not in tables.explained:
                print(f"{score.counted()} of {count}: survived", mutant, sep="\n", flush=True)


def report(score: Score, tables: Tables, stale: list[tuple[str, str, str, str]]) -> int:
    """Print the shares, and what is wrong with the explanations; the exit code."""
    equivalent = [m for m in score.survived if m.key in tables.explained]
    wrong = [m for m in score.killed if m.key in tables.explained]
    for mutant in wrong:
        print(f"explained as equivalent, and killed:\n  {mutant}")
    for file, function, before, _ in stale:
        print(f"explained, and no longer there: {file} {function}: {before}")
    packages = Counter(Path(m.file).parent for m in [*score.killed, *score.survived])
    killed = Counter(Path(m.file).parent for m in score.killed)
    for package, total in sorted(packages.items()):
        print(f"{killed[package]:5} of {total:4}  {package}")
    able = score.counted() - len(equivalent)
    share = 100 * len(score.killed) / max(1, able)
    print(
        f"{share:.1f} % killed: {len(score.killed)} of {able}. Not counted: {len(equivalent)} "
        f"equivalent ones, explained, and {len(score.broken)} that cannot be imported"
    )
    return int(share < WANTED or bool(wrong or stale))


def main() -> int:
    """As the text of the module says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("only", nargs="*", help="files, in place of all in the tables")
    options = parser.parse_args()
    os.chdir(options.root)
    tables = Tables.load(options.tables, Path())
    files = options.only or list(tables.modules)
    with tempfile.TemporaryDirectory(prefix="nvsx-mutants-") as scratch:
        runs = Runs(options.jobs, Path(scratch))
        check_that_tests_pass(tables, files, runs)
        score = run_mutants(tables, draw_mutants(files, options.seed), options.count, runs)
    return report(score, tables, tables.find_stale(Path()))


if __name__ == "__main__":
    sys.exit(main())
