"""`nvsx list`, `show`, `lint`, `schema` and `run --dry-run`: runbooks as files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.commands.conftest import Command

from nvsx.screens.text_tables import print_lines, print_table

HEAD = "apiVersion: nvsx/v1\nkind: Runbook\nmetadata:\n  name: t\n"
LEAST = HEAD + "stages:\n  - id: detect\n"


def _put(project: Path, text: str | bytes, name: str = "t") -> None:
    raw = text.encode() if isinstance(text, str) else text
    (project / "runbooks" / f"{name}.yaml").write_bytes(raw)


def _hook(project: Path, mode: int = 0o755) -> None:
    hook = project / "runbooks" / "hooks" / "t" / "on-detect.sh"
    hook.write_text("#!/bin/sh\necho hello\n")
    hook.chmod(mode)


# One of each kind of mistake; the loader's own table has every one of each kind.
MISTAKES: dict[str, tuple[str | bytes, str, str]] = {
    "unknown key": (LEAST + "    on_failure: x\n", "7:5", "did you mean onFailure?"),
    "duplicate stage": (LEAST + "  - id: detect\n", "7:9", "detect"),
    "unknown stage": (HEAD + "stages: [{id: detekt}]\n", "5:15", "did you mean detect?"),
    "misordered stages": (HEAD + "stages: [{id: drain}, {id: detect}]\n", "5:28", "detect"),
    "empty stages": (HEAD + "stages: []\n", "5:9", "stages is empty"),
    "unknown watch kind": (LEAST + "    watch: [{kind: nod}]\n", "7:20", "did you mean node?"),
    "missing field": (LEAST + "    watch: [{kind: taint}]\n", "7:13", "needs 'key'"),
    "meaningless key": (
        LEAST + "    watch: [{kind: taint, key: x, errorCode: 1}]\n",
        "7:35",
        "no meaning for a taint watch",
    ),
    "path outside": (LEAST + "    hook: ../../x.sh\n", "7:11", "leaves the project"),
    "absolute path": (LEAST + "    hook: /bin/sh\n", "7:11", "is absolute"),
    "narration token": (LEAST + 'narration: {detect: "{{x}}"}\n', "7:21", "{{x}}"),
    "apiVersion": (LEAST.replace("v1", "v99", 1), "1:13", "this nvsx reads nvsx/v1"),
    "not YAML": (HEAD + "stages:\n\t- id: detect\n", "6:1", "not valid YAML"),
    "not UTF-8": (LEAST.encode() + b"# caf\xe9\n", "7:6", "is not UTF-8"),
    "name differs": (LEAST.replace("name: t", "name: other"), "4:9", "differs from the file's"),
    "CEL": (LEAST + "triggers: [{when: foo == 1}]\n", "7:19", "undeclared reference"),
    "aliases that explode": (
        LEAST
        + "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        "",
        "aliases expand to more than",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
@pytest.mark.parametrize("command", [("show", "t"), ("run", "t", "--dry-run"), ("run", "t")])
def test_each_kind_of_mistake_is_placed(
    nvsx: Command, project: Path, kind: str, command: tuple[str, ...]
) -> None:
    """A wrong file: exit 2 from show, dry run and run, with file:line:column and the reason."""
    text, place, words = MISTAKES[kind]
    _put(project, text)
    said = nvsx(*command)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith(f"nvsx: runbooks/t.yaml:{place}")
    assert words in said.err


@pytest.mark.parametrize("kind", MISTAKES)
def test_lint_tells_the_same(nvsx: Command, project: Path, kind: str) -> None:
    """lint exits 1 with the same finding, in words and as JSON with its place as numbers."""
    text, place, words = MISTAKES[kind]
    _put(project, text)
    said = nvsx("lint")
    assert said.code == 1
    assert f"runbooks/t.yaml:{place}" in said.out
    assert words in said.out
    (first, *_) = json.loads(nvsx("lint", "-o", "json").out)
    assert first["severity"] == "error"
    if place:
        assert f"{first['line']}:{first['column']}" == place


GAPS = "of 50 fatal faults of NVSentinel fire no runbook"


def test_lint_counts_the_faults_that_fire_nothing(nvsx: Command, project: Path) -> None:
    """One warning says how many faults nobody hears of; with names, and with a catch-all, none."""
    catch = "triggers: [{default: true}]\nstages: [{id: detect}]\n"
    _put(project, HEAD + catch.replace("default: true", 'check: SysLogsXIDError, errorCode: "79"'))
    said = nvsx("lint")
    assert said.code == 0
    assert f"warning: 49 {GAPS}: SysLogsXIDError 154, " in said.out
    assert "triggers: [{default: true}]" in said.out
    assert GAPS not in nvsx("lint", "t").out
    _put(project, HEAD.replace("name: t", "name: rest") + catch, "rest")
    # Planned maintenance is left to a runbook that names it.
    assert "warning: 1 of 50 fatal faults of NVSentinel fires no runbook: CSPM" in nvsx("lint").out


def test_two_catch_alls_are_a_lint_error(nvsx: Command, project: Path) -> None:
    """Each is told of the other: as it is, neither would fire."""
    for name in ("a", "b"):
        text = HEAD.replace("name: t", f"name: {name}")
        _put(project, text + "triggers: [{default: true}]\nstages: [{id: detect}]\n", name)
    said = nvsx("lint")
    assert said.code == 1
    assert "fits b equally well" in said.out
    assert "fits a equally well" in said.out


def test_the_coverage_table_has_a_row_for_each_fault(nvsx: Command, project: Path) -> None:
    """`doctor --coverage` needs no cluster; every fault has its runbook or nobody, as text and as
    JSON, and what leaves only an Event is no gap."""
    _put(project, HEAD + "triggers: [{check: GpuMemWatch}]\nstages: [{id: detect}]\n")
    said = nvsx("doctor", "--coverage")
    assert said.code == 0
    rows = [line.split(maxsplit=3) for line in said.out.splitlines()]
    assert ["GpuMemWatch", "DCGM_FR_ROW_REMAP_FAILURE", "CONTACT_SUPPORT", "t"] in rows
    assert ["SysLogsXIDError", "79", "RESTART_BM", "nobody"] in rows
    assert ["SysLogsXIDError", "31", "NONE", "nobody: it is only an Event"] in rows
    found = json.loads(nvsx("doctor", "--coverage", "-o", "json").out)
    assert len(found) == len(rows) - 3  # without head, empty line and sentence
    gaps = {(f["check"], f["error_code"]): f["gap"] for f in found}
    assert gaps["SysLogsXIDError", "79"]
    assert not gaps["SysLogsXIDError", "31"]
    assert not gaps["GpuMemWatch", "DCGM_FR_ROW_REMAP_FAILURE"]


def test_list_shows_broken_files_too(nvsx: Command, project: Path) -> None:
    """list has a row for each file; a broken one says why, and does not hide the others."""
    _put(project, LEAST)
    _put(project, HEAD.replace("name: t", "name: broken") + "stages: []\n", "broken")
    said = nvsx("list")
    assert said.code == 0
    rows = {line.split()[0]: line for line in said.out.splitlines()}
    assert set(rows) == {"NAME", "t", "broken"}
    assert "stages is empty" in rows["broken"]
    good, bad = sorted(json.loads(nvsx("list", "-o", "json").out), key=lambda r: "problems" in r)
    assert good["name"] == "t"
    assert good["stages"] == ["detect"]
    assert "stages is empty" in bad["problems"][0]


def test_list_of_nothing_says_how_to_begin(nvsx: Command, project: Path) -> None:
    """An empty project: where runbooks would be, and the command that makes one."""
    said = nvsx("list")
    assert said.code == 0
    assert str(project / "runbooks") in said.out
    assert "nvsx init" in said.out


@pytest.mark.parametrize("wanted", ["t", "#t", "rogue-moose", "#rogue-moose"])
def test_show_by_name_or_nickname(nvsx: Command, project: Path, wanted: str) -> None:
    """A runbook is found by name and by nickname, with or without the #."""
    _put(project, LEAST.replace("name: t", "name: t\n  nickname: rogue-moose"))
    said = nvsx("show", wanted)
    assert said.code == 0
    assert said.out.startswith("t (#rogue-moose): ")
    assert json.loads(nvsx("show", wanted, "-o", "json").out)["runbook"] == "t"


def test_shared_nickname_is_an_error_when_used(nvsx: Command, project: Path) -> None:
    """Two runbooks of one nickname: list is fine, using the nickname names both."""
    for name in ("t", "u"):
        text = LEAST.replace("name: t", f"name: {name}\n  nickname: rogue-moose")
        _put(project, text, name)
    assert nvsx("list").code == 0
    assert nvsx("show", "t").code == 0
    said = nvsx("show", "rogue-moose")
    assert said.code == 2
    assert "is shared by t, u" in said.err


def test_unknown_runbook_suggests_one(nvsx: Command, project: Path) -> None:
    """A name nothing has: exit 2 and the one probably meant."""
    _put(project, LEAST.replace("name: t", "name: gpu-off-bus"), "gpu-off-bus")
    said = nvsx("run", "gpu-off-buss")
    assert said.code == 2
    assert "did you mean gpu-off-bus?" in said.err


@pytest.mark.parametrize(("mode", "words"), [(None, "(missing)"), (0o644, "(not executable)")])
def test_dry_run_shows_hooks_that_cannot_run(
    nvsx: Command, project: Path, mode: int | None, words: str
) -> None:
    """A dry run prints the plan all the same, and says which hook is missing; run refuses."""
    _put(project, LEAST + "    hook: hooks/t/on-detect.sh\n")
    if mode:
        _hook(project, mode)
    said = nvsx("run", "t", "--dry-run")
    assert said.code == 0
    assert f"hooks/t/on-detect.sh {words}" in said.out
    plan = json.loads(nvsx("run", "t", "--dry-run", "-o", "json").out)
    assert plan["stages"][0]["hook"]["executable"] is False
    assert nvsx("run", "t").code == 2
    assert nvsx("lint").code == 1


def test_dry_run_contacts_nothing(
    nvsx: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run opens no socket and starts no process, and leaves no state behind."""
    _put(project, LEAST + "    hook: hooks/t/on-detect.sh\n")
    _hook(project)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a dry run contacted something")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("subprocess.Popen.__init__", refuse)
    said = nvsx("run", "t", "--dry-run")
    assert said.code == 0, said.err
    assert "detect: Detect (no limit)" in said.out
    assert not Path(os.environ["NVSX_STATE_DIR"]).exists()


def test_schema_is_json_schema(nvsx: Command) -> None:
    """schema prints a JSON Schema that knows every stage and the fixed apiVersion."""
    schema = json.loads(nvsx("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "nvsx/v1" in json.dumps(schema)
    for stage in ("preflight", "postmortem"):
        assert f'"{stage}"' in json.dumps(schema)


@pytest.mark.parametrize(
    "args",
    [
        ("run",),
        ("run", "t", "--no-such"),
        ("nosuch",),
        ("list", "-o", "yaml"),
        ("run", "t", "--variant", "stale-cr"),
        ("--project", "/no/such/folder", "list"),
    ],
)
def test_wrong_calls_exit_2_with_a_next_step(
    nvsx: Command, project: Path, args: tuple[str, ...]
) -> None:
    """A wrong command line: exit 2, one message on stderr, nothing on stdout."""
    _put(project, LEAST)
    said = nvsx(*args)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("nvsx: ")


@pytest.mark.parametrize("where", ["front", "back", "equals"])
def test_global_options_go_anywhere(
    nvsx: Command, tmp_path: Path, project: Path, where: str
) -> None:
    """--project works before and after the command, and with an equals sign."""
    _put(project, LEAST)
    args = {
        "front": ("--project", str(project), "list"),
        "back": ("list", "--project", str(project)),
        "equals": ("list", f"--project={project}"),
    }[where]
    assert "\nt " in nvsx(*args).out


def test_tags_give_way_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns no line of the list is longer: tags are cut, then titles; in a pipe nothing."""
    monkeypatch.setenv("COLUMNS", "80")
    head = ("NAME", "NICKNAME", "TITLE", "TAGS", "ESTIMATE")
    rows = [("ecc-double-bit", "#copper-koala", "t" * 30, "infra, ecc, xid-48, xid-64", "30m")]
    print_table(head, rows, give_way=(3, 2))
    assert rows[0][3] in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(head, rows, give_way=(3, 2))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].endswith("infra,…  30m")
    assert rows[0][2] in lines[1]
    print_table(head, [("thermal-throttle", "#patient-gibbon", *rows[0][2:])], give_way=(3, 2))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].endswith("ESTIMATE")
    assert lines[1].endswith("t…  infra…  30m")


def test_a_plan_is_broken_at_spaces_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is longer than the terminal unless one word is, and the rest stands under its text;
    in a pipe a line is a line."""
    monkeypatch.setenv("COLUMNS", "60")
    long = "  waits   " + "any of many things; " * 6 + "x" * 70
    print_lines([long, "short"])
    assert capsys.readouterr().out == f"{long}\nshort\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_lines([long, "short"])
    first, *rest, word, last = capsys.readouterr().out.splitlines()
    assert first.startswith("  waits   any of many things;")
    assert all(line.startswith(" " * 10 + w) for line in rest for w in [line.strip()[:1]])
    assert max(map(len, [first, *rest])) <= 60
    assert (word, last) == (" " * 10 + "x" * 70, "short")
