"""One factor scales the suite's real waits, and no test measures how long something took."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import patience

TESTS = Path(__file__).parents[1]
LIMITS = """
import pytest

def limit(request):
    marker = request.node.get_closest_marker("timeout")
    return marker and marker.args[0]

def test_unmarked(request):
    assert limit(request) == {unmarked}

@pytest.mark.timeout(20)
def test_marked(request):
    assert limit(request) == {marked}
"""


@pytest.mark.parametrize(
    ("factor", "words", "unmarked", "marked"),
    [
        ("3", [], 90, 60),
        ("3", ["--timeout=50"], None, 60),
        ("1", [], None, 20),
        ("", [], None, 20),
    ],
)
def test_the_factor_scales_a_tests_own_limit(
    tmp_path: Path, factor: str, words: list[str], unmarked: int | None, marked: int
) -> None:
    """The limit of pyproject.toml and a marker's are multiplied; one said by hand is not."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 30\n")
    (tmp_path / "test_limits.py").write_text(LIMITS.format(unmarked=unmarked, marked=marked))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-q", *words, str(tmp_path)],
        env={**os.environ, "NVSX_TEST_PATIENCE": factor},
        cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=patience(50),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_test_measures_how_long_something_took() -> None:
    """Elapsed real time is for the benchmarks: a busy machine is no fault of the code."""
    elapsed = re.compile(r"(monotonic|perf_counter)\(\) - ")
    found = [str(p) for p in TESTS.rglob("*.py") if elapsed.search(p.read_text())]
    assert found == []


def test_every_wait_of_asyncio_is_scaled() -> None:
    """Whole seconds given to asyncio as they are would not grow with the factor."""
    literal = re.compile(r"asyncio\.(timeout\(|wait_for\([\w.]+(\(.*\))?, )[1-9][\d.]*\)")
    virtual = TESTS / "fakes/test_virtual_clock.py"
    found = [str(p) for p in TESTS.rglob("*.py") if p != virtual and literal.search(p.read_text())]
    assert found == []
