"""What every test gets: an environment of its own, and markers that cannot hide in CI.

No test sees the developer's home, cluster, state folder, keys or webhooks. A test marked
`kubectl` or `server` is skipped with its reason where the program is missing; with CI=true
that skip is a failure, because CI installs everything.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.patience import FACTOR, patience

# How fast a busy machine makes examples says nothing about the code.
settings.register_profile("nvsx", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nvsx")

# Under nohup SIGHUP is ignored, here and in every child; tests send it and mean it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
MUST_RUN_IN_CI = ("kubectl", "server")

# Folders in which every test starts real programs.
OF_PROCESSES = ("e2e", "serve")

# Markers that `make test` leaves out, with the words it says so in.
APART = {
    "kubectl": "that need kubectl",
    "server": "that need a server or another program",
    "processes": "with real processes",
    "slow": "slow ones",
}
_left_out: Counter[str] = Counter()
_HERE = Path(__file__).parent

# Read before any test starts, for the suites that may be pointed at a real API server.
_REAL_KUBECONFIG = os.environ.get("KUBECONFIG")

# With those of the targets: nobody is told for real.
_PRIVATE_PREFIXES = tuple("NVSX_ XDG_ KUBE ANTHROPIC_ SLACK_ PAGERDUTY_ OPSGENIE_ JIRA_".split())
_PRIVATE_SUFFIXES = ("_TOKEN", "_KEY", "_SECRET", "_PASSWORD", "_WEBHOOK_URL")
_PRIVATE_NAMES = ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES")

_homes = itertools.count()


@pytest.fixture(scope="session")
def real_kubeconfig() -> str | None:
    """KUBECONFIG as the person who started pytest exported it; None when they did not."""
    return _REAL_KUBECONFIG


@pytest.fixture(scope="session")
def _homes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


# It asks for nothing of function scope (tmp_path, monkeypatch): hypothesis refuses those.
@pytest.fixture(autouse=True)
def _own_environment(_homes_folder: Path) -> Iterator[None]:
    home = _homes_folder / str(next(_homes))
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if (
                name.startswith(_PRIVATE_PREFIXES)
                or name.endswith(_PRIVATE_SUFFIXES)
                or name in _PRIVATE_NAMES
            ):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("NVSX_STATE_DIR", str(home / "state"))
        # A name that leads nowhere, since without one kubectl and nvsx look further.
        patch.setenv("KUBECONFIG", str(home / "no-kubeconfig"))
        # Else a suite that runs in a pod would take every cluster of a test for the pod's own.
        patch.setenv("NVSX_SERVICE_ACCOUNT_DIR", str(home / "no-service-account"))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts real programs in every test of its folder, and scale each test's limit."""
    for item in items:
        if FACTOR != 1 and (seconds := limit_of(item)):
            # First among the item's markers: pytest-timeout takes the closest one.
            item.add_marker(pytest.mark.timeout(patience(seconds)), append=False)
        if (
            item.path.is_relative_to(_HERE)
            and item.path.relative_to(_HERE).parts[0] in OF_PROCESSES
        ):
            item.add_marker("processes")


def limit_of(item: pytest.Item) -> float:
    """The seconds a test may take before the factor: its marker's, else those of pyproject.toml.
    A --timeout on the command line is meant as it is said, so it is left alone (0)."""
    if marker := item.get_closest_marker("timeout"):
        return float(marker.args[0])
    if item.config.getoption("timeout") is not None:
        return 0.0
    return float(item.config.getini("timeout"))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count what `make test` leaves out, by the first reason for it."""
    for item in items:
        if reasons := [name for name in APART if item.get_closest_marker(name)]:
            _left_out[reasons[0]] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist the workers collect, and each of them collects everything."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["left_out"] = dict(_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended."""
    _left_out.update(Counter(getattr(node, "workeroutput", {}).get("left_out", {})) - _left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and how to run it."""
    if _left_out:
        parts = ", ".join(f"{_left_out[name]} {APART[name]}" for name in APART if _left_out[name])
        terminalreporter.write_line(f"left out: {parts}. All of them: make test-all")


def missing_programs(item: pytest.Item) -> list[str]:
    """The programs this test's markers name and this machine lacks."""
    needed = ["kubectl"] if item.get_closest_marker("kubectl") else []
    for marker in item.iter_markers("server"):
        needed.extend(marker.args)
    # Debian keeps PostgreSQL's server programs off PATH.
    folders = [os.environ.get("PATH", ""), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return [n for n in needed if not shutil.which(n, path=os.pathsep.join(folders))]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are missing."""
    if missing := missing_programs(item):
        pytest.skip(f"needs {' and '.join(missing)}, not installed here")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, make a skip of a marked test a failure with the same reason."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        marks = [m for m in MUST_RUN_IN_CI if item.get_closest_marker(m)]
        if marks:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            report.outcome = "failed"
            report.longrepr = f"tests marked {' and '.join(marks)} must run in CI: {reason}"
    return report
