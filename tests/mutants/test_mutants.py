from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.mutants.__main__ import TABLES, Score, Tables, report
from tests.mutants.mutations import Mutant, find_mutants, list_sites, make_mutant

REPO = Path(__file__).parents[2]

SOURCE = """
LIMIT = 60

def is_late(age: float | None) -> bool:
    return age is not None and age > LIMIT

def is_far(way: float) -> bool:
    return way > LIMIT
"""
GUARDED = [(None, False), (60, False), (61, True)]

TESTS = f"""
import pytest
from planted.limits import is_far, is_late

@pytest.mark.parametrize(("age", "late"), {GUARDED})
def test_late(age, late):
    assert is_late(age) is late

def test_far():
    assert is_far(1000) and not is_far(0)
"""

MODULES = '[modules]\n"src/planted" = ["tests"]\n'
SURVIVOR = ("src/planted/limits.py", "is_far", "return way > LIMIT", "return way >= LIMIT")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A project with a function that its tests guard on both sides, and one they do not."""
    for name, text in {
        "pytest.ini": "[pytest]\n",
        "src/planted/limits.py": SOURCE,
        "tests/test_limits.py": TESTS,
        "tables.toml": MODULES,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def explain(planted: Path, key: tuple[str, str, str, str]) -> None:
    """Add an explanation to the tables of the planted project."""
    pairs = zip(("file", "function", "before", "after"), key, strict=True)
    lines = [f'{name} = "{value}"' for name, value in pairs]
    with (planted / "tables.toml").open("a") as tables:
        tables.write("\n".join(["[[explained]]", *lines, 'reason = "because"', ""]))


def run(planted: Path) -> subprocess.CompletedProcess[str]:
    """`make mutants` on the planted project, with more tries than it has mutants."""
    command = [sys.executable, "-m", "tests.mutants", "--root", str(planted), "--jobs", "2"]
    return subprocess.run(
        [*command, "--tables", str(planted / "tables.toml")],
        cwd=REPO,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def mutants_of(source: str) -> list[Mutant]:
    """Every change of a text."""
    found = (make_mutant(site, source) for site in list_sites("a.py", source))
    return [mutant for mutant in found if mutant]


def test_a_planted_survivor_is_found_and_the_others_are_killed(planted: Path) -> None:
    """Of six changes one survives: the limit that only one function's tests stand at."""
    done = run(planted)
    assert done.stdout.splitlines()[1:3] == [
        "src/planted/limits.py:8 is_far",
        "    - return way > LIMIT",
    ]
    assert done.stdout.count("survived") == 1
    assert "83.3 % killed: 5 of 6." in done.stdout
    assert done.returncode == 1, done.stderr


def test_an_explained_survivor_does_not_count(planted: Path) -> None:
    """What no test can notice lowers no share."""
    explain(planted, SURVIVOR)
    done = run(planted)
    assert "survived" not in done.stdout
    assert "100.0 % killed: 5 of 5. Not counted: 1 equivalent" in done.stdout
    assert done.returncode == 0, done.stderr


def test_tests_that_fail_without_a_change_show_nothing(planted: Path) -> None:
    """Else every change would count as killed."""
    (planted / "tests" / "test_limits.py").write_text("def test_it():\n    assert 1 == 2\n")
    done = run(planted)
    assert done.returncode == 2
    assert "the tests of src/planted/limits.py fail without any change" in done.stderr


@pytest.mark.parametrize(("killed", "code"), [(9, 0), (8, 1)])
def test_nine_of_ten_have_to_be_killed(killed: int, code: int) -> None:
    """90 % is enough, and less is not."""
    mutants = [Mutant("a.py", n, "f", str(n), "", "") for n in range(10)]
    score = Score(killed=mutants[:killed], survived=mutants[killed:])
    assert report(score, Tables({}, {}), []) == code


def test_an_explained_change_that_a_test_kills_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The explanation says that no test can notice it."""
    mutant = Mutant("a.py", 1, "f", "a > 1", "a >= 1", "")
    assert report(Score(killed=[mutant]), Tables({}, {mutant.key: "because"}), []) == 1
    assert "explained as equivalent, and killed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "stale"),
    [
        (lambda text: "# A line above.\n" + text, False),
        (lambda text: text.replace("way > LIMIT", "way > LIMIT + 1"), True),
        (lambda text: text.replace("is_far", "is_distant"), True),
    ],
)
def test_an_explanation_outlives_a_move_and_no_change(
    planted: Path, edit: Callable[[str], str], stale: bool
) -> None:
    """It is matched by the text of its line and the name of its function."""
    explain(planted, SURVIVOR)
    path = planted / "src" / "planted" / "limits.py"
    path.write_text(edit(path.read_text()))
    tables = Tables.load(planted / "tables.toml", planted)
    assert tables.find_stale(planted) == ([SURVIVOR] if stale else [])


def test_a_table_that_names_what_is_gone_is_refused(planted: Path) -> None:
    """A module or a test file that moved would silently leave the sample."""
    (planted / "tables.toml").write_text('[modules]\n"src/planted" = ["tests/test_gone.py"]\n')
    with pytest.raises(SystemExit, match=r"there is no tests/test_gone\.py"):
        Tables.load(planted / "tables.toml", planted)


def test_the_tables_are_true_today() -> None:
    """Each file in them exists, and each explanation is of a line that is there."""
    assert Tables.load(TABLES, REPO).find_stale(REPO) == []


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("a = b in c", {"a = b not in c"}),
        ("a = b not in c", {"a = b in c"}),
        ("a = [b for b in c if b.d]", {"a = [b for b in c if not (b.d)]"}),
        ("a = min(b, c)", {"a = max(b, c)"}),
        ("a = all(b)", {"a = any(b)"}),
        ("a = 3", {"a = 4", "a = 2"}),
        ("a = b < c", {"a = b <= c"}),
        ("a = b == c", {"a = b != c"}),
        ("a = b.min", set()),
        ("a: int | None = b", set()),
        ("a = zip(b, c, strict=True)", set()),
        ("@dataclass(frozen=True)\nclass A: pass", set()),
        ("a: Annotated[int, Field(ge=1)]", {f"a: Annotated[int, Field(ge= {n})]" for n in (0, 2)}),
    ],
)
def test_what_is_changed(source: str, after: set[str]) -> None:
    """Limits, opposites, firsts and lasts; not what only a type checker reads."""
    assert {mutant.after for mutant in mutants_of(source + "\n")} == after


def test_a_mutant_says_where_it_is() -> None:
    """By the innermost function or class, and the line that changed."""
    source = "class A:\n    def f(self):\n        return 1\n"
    first = mutants_of(source)[0]
    assert (first.function, first.line, first.before, first.after) == (
        "A.f",
        3,
        "return 1",
        "return 2",
    )


def test_a_line_that_begins_alike_is_told_apart(tmp_path: Path) -> None:
    """Only mutants of the very line are found."""
    (tmp_path / "a.py").write_text("def f(a):\n    return a > 1\n\ndef g(a):\n    return a > 2\n")
    found = {m.after for m in find_mutants("a.py", "g", "return a > 2", tmp_path)}
    assert found == {"return a >= 2", "return a > 3", "return a > 1"}
