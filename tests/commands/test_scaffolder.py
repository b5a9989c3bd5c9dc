"""What `nvsx init` writes, for every fault, alone and beside the starter runbooks."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.e2e.sandboxed import end_soon, play

from nvsx.commands.init.scaffolder import SCHEMA_FILE, FaultSigns, KnownFault, scaffold
from nvsx.commands.init.scaffolding import begin, known_faults
from nvsx.core.errors import Conflict, UsageError
from nvsx.core.routing.route import route
from nvsx.lint import linter
from nvsx.nvsentinel.names import VOCABULARY
from nvsx.project import cel, loader, new_files
from nvsx.project.home import Home
from nvsx.project.new_files import NewFile

REPO = Path(__file__).parents[2]
SPEED = 20.0
SPEED_OF_MARKS = 5.0
"""Where people take the only mark away, and no chain follows: it must be there long enough, a
second, to be seen on a busy machine."""
OVER_IN_DRAIN = ("csp-maintenance",)
"""The provider is done before the jobs are: NVSentinel releases the node unrepaired."""
SHOWN = sorted(name for name, fault in known_faults().items() if fault.shown)


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    """A project with nothing in it."""
    (tmp_path / "nvsx.yaml").touch()
    return Home(project_flag=str(tmp_path))


@pytest.fixture
def starters(tmp_path: Path) -> Home:
    """A project with the runbooks that ship."""
    for name in ("runbooks", "scripts"):
        shutil.copytree(REPO / name, tmp_path / name)
    return Home(project_flag=str(tmp_path))


def findings(home: Home) -> list[str]:
    """Everything lint says, warnings too."""
    catalog = loader.discover(home.project.root)
    found = linter.lint(catalog, VOCABULARY, (), cel.evaluate, shellcheck=False)
    return [str(f.problem) for f in found]


def tree(root: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("fault", SHOWN)
def test_every_fault_lints_clean_alone(empty: Home, fault: str) -> None:
    """A runbook begun from any fault has no error and no warning, and fires on that fault."""
    begin(empty, "my-fault", fault=fault)
    assert findings(empty) == []
    book = loader.find(empty.project.root, "my-fault").runbook
    for report in known_faults()[fault].shown:
        winner = route(report.facts(), [book], cel.evaluate).winner
        assert winner is not None or known_faults()[fault].end != "event"
    assert book.drill is not None
    assert book.drill.fault == fault


@pytest.mark.parametrize("fault", SHOWN)
def test_every_fault_lints_clean_beside_the_starters(starters: Home, fault: str) -> None:
    """Beside the starters too: no ties, no shared nicknames; what they fire on stays theirs."""
    before = loader.discover(starters.project.root)
    begin(starters, "my-fault", fault=fault)
    assert findings(starters) == []
    books = [e.runbook for e in loader.discover(starters.project.root)]  # type: ignore[union-attr]
    old = [e.runbook for e in before]  # type: ignore[union-attr]
    for report in known_faults()[fault].shown:
        was = route(report.facts(), old, cel.evaluate).winner
        now = route(report.facts(), books, cel.evaluate).winner
        if was is not None:
            assert now is not None
            assert now.name == was.name


def test_two_from_the_same_fault_do_not_tie(empty: Home) -> None:
    """A second runbook from one fault waits to be run by hand, and says whose the fault is."""
    begin(empty, "one")
    assert begin(empty, "two").made.parked_by == ("one",)
    assert findings(empty) == []


def test_files_modes_and_schema(empty: Home) -> None:
    """The hooks are executable, and the schema the YAML names is there and is JSON."""
    begun = begin(empty, "my-fault", title='A "quoted": title', summary="{{odd}} # summary")
    root = empty.project.root
    hooks = sorted((root / "runbooks" / "hooks" / "my-fault").iterdir())
    assert [h.name for h in hooks] == ["on-recover.sh", "on-remediate.sh", "preflight.sh"]
    assert all(os.access(h, os.X_OK) for h in hooks)
    head = (root / "runbooks" / "my-fault.yaml").read_text().splitlines()[0]
    assert head == "# yaml-language-server: $schema=./.runbook.schema.json"
    assert json.loads((root / SCHEMA_FILE).read_text())["type"] == "object"
    assert SCHEMA_FILE in begun.written
    loaded = loader.find(root, "my-fault").runbook
    assert loaded.metadata.title == 'A "quoted": title'
    assert loaded.metadata.summary == "{{odd}} # summary"


def test_shellcheck_is_content(empty: Home) -> None:
    """The stubs have nothing shellcheck would say something about."""
    if linter.find_shellcheck() is None:
        pytest.skip("shellcheck is not installed here")
    begin(empty, "my-fault")
    begin(empty, "warm", fault="thermal")
    catalog = loader.discover(empty.project.root)
    assert linter.lint(catalog, VOCABULARY, (), cel.evaluate) == []


def test_it_never_overwrites(empty: Home) -> None:
    """A runbook that exists, or hooks alone, refuse a new one of that name; nothing changes."""
    begin(empty, "my-fault")
    root = empty.project.root
    before = tree(root)
    with pytest.raises(Conflict):
        begin(empty, "my-fault", fault="xid-48")
    (root / "runbooks" / "my-fault.yaml").unlink()
    with pytest.raises(Conflict, match="hooks/my-fault exists"):
        begin(empty, "my-fault")
    del before["runbooks/my-fault.yaml"]
    assert tree(root) == before


@pytest.mark.parametrize(
    ("slug", "hint"),
    [
        ("My Fault", "try my-fault"),
        ("../escape", "try escape"),
        ("GPU_off", "try gpu_off"),
        ("-x-", "try x"),
        ("é", "such as"),
        ("", "such as"),
        ("a" * 80, "try " + "a" * 63),
        ("lib", "another name"),
    ],
)
def test_bad_names_are_explained(empty: Home, slug: str, hint: str) -> None:
    """A name that cannot be is refused with one that can; nothing is written."""
    with pytest.raises(UsageError) as caught:
        begin(empty, slug)
    assert hint in caught.value.hint
    assert list(tree(empty.project.root)) == ["nvsx.yaml"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("xid79", "did you mean xid-79"),
        ("gibberish", "nvsx sandbox faults"),
        ("thermal-margin", "health-event"),
    ],
)
def test_faults_that_cannot_be_started_from(empty: Home, fault: str, words: str) -> None:
    """An unknown fault gets the nearest, and one that shows nowhere says so."""
    with pytest.raises(UsageError) as caught:
        begin(empty, "my-fault", fault=fault)
    assert words in caught.value.hint


def test_a_bare_number_is_an_xid(empty: Home) -> None:
    """`--fault 48` means xid-48."""
    assert begin(empty, "ours", fault="48").made.fault.name == "xid-48"


def test_what_nobody_quarantines_for_waits_for_no_quarantine() -> None:
    """The analyzer's faults end with their condition: no chain is waited for."""
    report = FaultSigns(
        "MultipleRemediations", (), "CONTACT_SUPPORT", fatal=True, quarantined=False
    )
    made = scaffold("again", KnownFault("multiple", "Repaired again and again", (report,)))
    text = made.files[0].text
    assert made.fault.end == "condition"
    assert "nvsentinel-state" not in text
    assert "hooks/again/on-detect.sh" in text


def test_there_are_faults_to_begin_from() -> None:
    """The tests for every fault below have faults."""
    assert len(SHOWN) > 20


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", *SHOWN])
async def test_every_fault_runs_in_the_sandbox_unchanged(
    empty: Home, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Whatever fault it began from, and without one, what init wrote passes, not degraded,
    with its three hooks run; where the repair is never seen, without the one about it."""
    monkeypatch.chdir(empty.project.root)
    end_soon(monkeypatch)
    begin(empty, "my-fault", fault=fault or None)
    known = known_faults().get(fault)
    fleeting = known is not None and known.end in ("condition", "event")
    state = await play("my-fault", speed=SPEED_OF_MARKS if fleeting else SPEED)
    finish = state.finish
    assert finish is not None
    assert (finish.exit_code, finish.degraded) == (0, False)
    hooks = [script for stage in state.stages for script in stage.scripts]
    assert len(hooks) == (2 if fault in OVER_IN_DRAIN else 3)


# --- writing ------------------------------------------------------------------------------


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    """When one file cannot be placed, those before it are taken back, folders too."""
    root = tmp_path / "new"
    files = [NewFile("a/one", "1"), NewFile("a", "a folder is there by now")]
    with pytest.raises((Conflict, UsageError), match="nothing was written"):
        new_files.write(root, files)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_stops_everything(tmp_path: Path) -> None:
    """One file that exists, or a dangling link in its place: none is written."""
    (tmp_path / "two").symlink_to("nowhere")
    with pytest.raises(Conflict, match="two already"):
        new_files.write(tmp_path, [NewFile("one", "1"), NewFile("two", "2")])
    assert [p.name for p in tmp_path.iterdir()] == ["two"]
