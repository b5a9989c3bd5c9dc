# ruff: noqa: E501 - one case a line: the tables are read by their columns
import json
from pathlib import Path

import pytest

from nvsx.lint import linter
from nvsx.lint.findings import Finding
from nvsx.nvsentinel.names import VOCABULARY
from nvsx.project import cel, loader
from nvsx.project.kept_answers import KeptAnswers

HEAD = "apiVersion: nvsx/v1\nkind: Runbook\nmetadata: {{name: {name}, tags: [{tags}], nickname: n-{name}}}\n"
HOOK = "#!/usr/bin/env bash\nset -eu\necho hello\n"


class Project:
    """A project folder under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "runbooks" / "hooks").mkdir(parents=True)

    def runbook(self, body: str, name: str = "fault", tags: str = "") -> None:
        text = HEAD.format(name=name, tags=tags) + body
        (self.root / "runbooks" / f"{name}.yaml").write_text(text)

    def script(self, text: str, path: str = "runbooks/hooks/a.sh", mode: int = 0o755) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def lint(self, *names: str) -> list[Finding]:
        return linter.lint(loader.discover(self.root), VOCABULARY, names, cel.evaluate)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project; shellcheck is left out unless a test asks for it."""
    monkeypatch.setattr("nvsx.lint.shellcheck.find_shellcheck", lambda: None)
    return Project(tmp_path)


ROUTED = "triggers: [{check: SysLogsXIDError, errorCode: 79}]\n"


def rules(found: list[Finding]) -> list[str]:
    """The rule ids, in order."""
    return [f.rule for f in found]


@pytest.mark.parametrize(
    ("body", "tags", "rule", "says"),
    [
        # what NVSentinel never shows
        ("stages: [{id: detect, watch: [{kind: node-condition, type: GpuPcieWatch}]}]", "xid-79", "never-shown", "XID 79 shows as SysLogsXIDError"),
        (ROUTED + "stages: [{id: detect, watch: [{kind: node-condition, type: GpuPcieWatch}]}]", "", "never-shown", "XID 79 shows as SysLogsXIDError"),
        (ROUTED + "stages: [{id: quarantine, watch: [{kind: taint, key: nvidia.com/gpu-error}]}]", "", "never-shown", "no taint by default"),
        (ROUTED + "stages: [{id: drain, watch: [{kind: pod-event, reason: Evicted, namespace: default}]}]", "", "never-shown", "drain-succeeded"),
        (ROUTED + "stages: [{id: quarantine, watch: [{kind: node-annotation, key: nvsentinel.nvidia.com/quarantined}]}]", "", "never-shown", "quarantineHealthEvent"),
        (ROUTED + "stages: [{id: detect, watch: [{kind: mongo-event, collection: health_events}]}]", "", "never-shown", "HealthEvents"),
        (ROUTED + "stages: [{id: detect, watch: [{kind: mongo-event, filter: {isFatal: true}}]}]", "", "never-shown", "write healthevent.isfatal"),
        (ROUTED + "stages: [{id: detect, watch: [{kind: mongo-event, filter: {$or: [{checkName: x}]}}]}]", "", "never-shown", "write healthevent.checkname"),
        (ROUTED + "stages: [{id: detect, watch: [{kind: node-condition, type: GpuThermalWatch}]}]", "", "never-shown", "node-event"),
        (ROUTED + "stages: [{id: quarantine, watch: [{kind: taint, key: example.com/hot}]}]", "thermal", "never-shown", "thermal faults set no taint"),
        (ROUTED + "stages: [{id: detect, watch: [{kind: node-condition, type: GpuDriverWatch}]}]", "", "never-shown", "GpuDcgmConnectivityFailure"),
        (ROUTED + "prerequisites: [{daemonset: gpu-health-monitor}]\nstages: [{id: detect}]", "", "never-shown", "gpu-health-monitor-dcgm-3.x"),
        (ROUTED + "prerequisites: [{check: kubectl get ds gpu-health-monitor}]\nstages: [{id: detect}]", "", "never-shown", "gpu-health-monitor-dcgm-3.x"),
        # names
        (ROUTED + "stages: [{id: quarantine, watch: [{kind: nvsentinel-state, state: quarantine}]}]", "", "unknown-state", "did you mean quarantined?"),
        (ROUTED + "stages: [{id: detect, watch: [{kind: node-condition, type: SysLogXIDError}]}]", "", "unknown-check", "did you mean SysLogsXIDError?"),
        ("triggers: [{check: GpuXidError}]\nstages: [{id: detect}]", "", "unknown-check", "use SysLogsXIDError"),
        ("triggers: [{recommendedAction: REBOOT_BM}]\nstages: [{id: detect}]", "", "unknown-action", "did you mean RESTART_BM?"),
        ("triggers: [{when: 'event.checkNme == \"x\"'}]\nstages: [{id: detect}]", "", "unknown-event-key", "checkNme"),
        # repairs that never start
        ("triggers: [{check: GpuDcgmConnectivityFailure}]\nstages: [{id: remediate, watch: [{kind: crd, resource: maintenance}]}]", "", "no-resource", "CONTACT_SUPPORT"),
        ("triggers: [{check: SysLogsXIDError, errorCode: [74]}]\nstages: [{id: remediate, watch: [{kind: crd, resource: rebootnodes}]}]", "", "no-resource", "CONTACT_SUPPORT"),
        ("stages: [{id: remediate, watch: [{kind: crd, resource: rebootnodes}]}]", "xid-94", "no-resource", "NONE"),
        # keys without effect, or with a bad one
        (ROUTED + "stages: [{id: inject}]", "", "inject-without-drill", "tagged drill"),
        (ROUTED + "stages: [{id: detect, expect: done}]", "", "no-effect", "without an action"),
        (ROUTED + "stages: [{id: recover, onOverdue: hooks/a.sh}]", "", "no-effect", "no budget"),
        (ROUTED + "stages: [{id: remediate, timeout: 60s}]", "", "short-timeout", "25m"),
        # routing
        ("stages: [{id: detect}]", "infra, gpu", "routes-nothing", "no event fires"),
        ("stages: [{id: detect}]", "xid-79, xid, pcie", "tag-routes-nothing", "tags xid, pcie route nothing"),
    ],
)  # fmt: skip
def test_each_rule_finds_its_case(
    project: Project, body: str, tags: str, rule: str, says: str
) -> None:
    """A runbook with one mistake gets one finding, which says what to do."""
    project.script(HOOK)
    project.runbook(body + "\n", tags=tags)
    (found,) = project.lint()
    assert found.rule == rule
    assert says in str(found.problem)
    assert found.problem.line > 0


@pytest.mark.parametrize(
    "body",
    [
        "stages: [{id: detect, watch: [{kind: node-condition, type: [GpuPcieWatch, SysLogsXIDError]}]}]",
        "stages: [{id: detect, watch: [{anyOf: [{kind: taint, key: nvidia.com/gpu-error}, {kind: nvsentinel-state, state: quarantined}]}]}]",
        "stages: [{id: recover, watch: [{kind: taint, key: nvidia.com/gpu-error, absent: true}]}]",
        "stages: [{id: recover, watch: [{kind: node-condition, type: GpuPcieWatch, status: 'False'}]}]",
        "stages: [{id: detect, watch: [{kind: node-condition, type: [Ready, my-own-check]}]}]",
        "stages: [{id: detect, watch: [{kind: node-condition, type: GpuThermalWatch, errorCode: DCGM_FR_THERMAL_VIOLATIONS}]}]",
        "stages: [{id: drain, watch: [{kind: pod-event, reason: [Killing, Evicted]}]}]",
        "stages: [{id: detect, watch: [{kind: health-event, filter: {healthevent.isfatal: true}}]}]",
        "stages: [{id: remediate, watch: [{kind: crd, resource: maintenance}]}]",
        "prerequisites: [{daemonset: gpu-health-monitor-dcgm-4.x}]\nstages: [{id: detect}]",
    ],
)
def test_what_can_come_is_not_reported(project: Project, body: str) -> None:
    """Alternatives, negations and names of other tools are no findings."""
    project.runbook(ROUTED + body + "\n")
    assert project.lint() == []


def test_broken_files_are_findings(project: Project) -> None:
    """Schema errors are reported with rule `schema`, one for each problem."""
    project.runbook("stages: [{id: detekt}, {id: detect, x: 1}]\n")
    found = project.lint()
    assert [(f.rule, f.severity, f.problem.line) for f in found] == [("schema", "error", 4)] * 2


def test_a_missing_hook_is_an_error(project: Project) -> None:
    """Every hook a runbook names must exist; so must its action scripts."""
    project.runbook(
        ROUTED + "stages: [{id: detect, hook: hooks/a.sh, action: {script: scripts/b.sh}}]\n"
        "onFailure: hooks/c.sh\n"
    )
    found = project.lint()
    assert rules(found) == ["hook-missing", "script-missing", "hook-missing"]
    assert {f.severity for f in found} == {"error"}


@pytest.mark.parametrize(
    ("text", "mode", "rule"),
    [
        (HOOK, 0o644, "hook-not-executable"),
        ("#!/bin/sh\n# nvsx:unreviewed\n", 0o644, "hook-unreviewed"),
        ("echo hello\n", 0o755, "no-interpreter"),
        ("#!/bin/sh\r\necho\r\n", 0o755, "no-interpreter"),
    ],
)
def test_a_hook_that_cannot_start_is_an_error(
    project: Project, text: str, mode: int, rule: str
) -> None:
    """Permission, review, first line and line ends are checked before three in the morning."""
    project.script(text, mode=mode)
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh}]\n")
    assert rules(project.lint()) == [rule]


def test_a_hook_that_writes_is_an_error(project: Project) -> None:
    """A hook's write is reported at its line; the same line in an action is allowed."""
    writing = HOOK + "kubectl cordon node\n"
    project.script(writing)
    project.script(writing, "scripts/b.sh")
    project.runbook(
        ROUTED + "stages: [{id: detect, hook: hooks/a.sh, action: {script: scripts/b.sh}}]\n"
    )
    (found,) = project.lint()
    assert (found.rule, found.problem.file, found.problem.line) == (
        "cluster-write",
        "runbooks/hooks/a.sh",
        4,
    )


@pytest.mark.parametrize(
    "first",
    [
        "#!/bin/bash -eu",
        "#! /bin/sh",
        "#!/usr/bin/env -S bash -eu",
        "#!/usr/bin/env -S LC_ALL=C bash",
        "#!/usr/bin/env zsh",
        "#!/bin/zsh -f",
    ],
)
def test_every_shell_is_known_by_its_first_line(project: Project, first: str) -> None:
    """Arguments, env and zsh do not hide a write."""
    project.script(f"{first}\nkubectl cordon node\n")
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh}]\n")
    assert rules(project.lint()) == ["cluster-write"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (HOOK + 'eval "$1"\n', 4, "what `eval` does: not checked"),
        (HOOK + "python3 -c 'import subprocess'\n", 4, "what `python3` does: not checked"),
        (HOOK + "if true; then\n", 4, "not checked"),
        ("#!/usr/bin/env python3\nimport subprocess\n", 5, "no shell script: not checked"),
    ],
)
def test_what_lint_cannot_read_is_said(project: Project, text: str, line: int, says: str) -> None:
    """A hook that was not all checked for writes is a warning, at its line or its name."""
    project.script(text)
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh}]\n")
    (found,) = project.lint()
    assert (found.severity, found.rule, found.problem.line) == ("warning", "not-checked", line)
    assert says in found.problem.message


def test_what_a_hook_sources_is_read_too(project: Project) -> None:
    """A write in a library beside the hooks is found, once for all that source it."""
    source = 'source "$(dirname "${BASH_SOURCE[0]}")/lib/x.sh"\n'
    project.script(HOOK + source)
    project.script(HOOK + source, "runbooks/hooks/b.sh")
    project.script("kubectl delete pod x\n", "runbooks/hooks/lib/x.sh", 0o644)
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh, onFailure: hooks/b.sh}]\n")
    (found,) = project.lint()
    assert (found.rule, found.problem.file) == ("cluster-write", "runbooks/hooks/lib/x.sh")


def test_a_prerequisite_that_writes_is_an_error(project: Project) -> None:
    """Prerequisites may only read."""
    project.runbook(
        ROUTED + "prerequisites: [{check: kubectl delete pod x}]\nstages: [{id: detect}]\n"
    )
    (found,) = project.lint()
    assert (found.rule, found.problem.line) == ("cluster-write", 5)


def test_shellcheck_looks_at_all_scripts_at_once(tmp_path: Path) -> None:
    """Where shellcheck is installed its findings are reported, by file and line."""
    if linter.find_shellcheck() is None:
        pytest.skip("shellcheck is not installed")
    project = Project(tmp_path)
    project.script(HOOK + 'rm "$unset_variable"/*\ncd /nowhere\n')
    project.script(HOOK + "if [ 1 -eq ]; then echo; fi\n", "scripts/b.sh")
    project.runbook(
        ROUTED + "stages: [{id: detect, hook: hooks/a.sh, action: {script: scripts/b.sh}}]\n"
    )
    found = project.lint()
    assert set(rules(found)) == {"shellcheck"}
    assert {f.problem.file for f in found} == {"runbooks/hooks/a.sh", "scripts/b.sh"}
    assert any(f.severity == "error" for f in found)


def test_shellcheck_knows_what_a_hook_sources(tmp_path: Path) -> None:
    """A variable that the library sets is none that nobody sets; one that is nowhere set is."""
    if linter.find_shellcheck() is None:
        pytest.skip("shellcheck is not installed")
    project = Project(tmp_path)
    project.script(
        "# shellcheck shell=bash\nteam=gpu\nexport team\n", "runbooks/hooks/lib/x.sh", 0o644
    )
    source = '# shellcheck source=lib/x.sh\nsource "$(dirname "${BASH_SOURCE[0]}")/lib/x.sh"\n'
    project.script(HOOK.replace("/bin/sh", "/bin/bash") + source + 'echo "$team $taem"\n')
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh}]\n")
    (found,) = project.lint()
    assert "SC2154: taem is referenced but not assigned" in found.problem.message


def lint_keeping(project: Project, state: Path) -> list[str]:
    """The findings' rules, with what earlier calls kept in `state`."""
    answers = KeptAnswers("answers.json", {"NVSX_STATE_DIR": str(state)})
    found = linter.lint(
        loader.discover(project.root), VOCABULARY, (), cel.evaluate, answers=answers
    )
    answers.save()
    return rules(found)


def test_a_script_that_changed_is_read_again(project: Project, tmp_path: Path) -> None:
    """A write that comes into a hook, or into its library, is found though both were read once;
    and it is gone when it is taken out."""
    state = tmp_path / "state"
    sourcing = HOOK + '. "$(dirname "$0")/lib/x.sh"\n'
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh}]\n")
    project.script(sourcing)
    project.script("true\n", "runbooks/hooks/lib/x.sh", 0o644)
    assert lint_keeping(project, state) == []
    project.script("kubectl delete pod x\n", "runbooks/hooks/lib/x.sh", 0o644)
    assert lint_keeping(project, state) == ["cluster-write"]
    project.script("true\n", "runbooks/hooks/lib/x.sh", 0o644)
    project.script(sourcing + "kubectl cordon n1\n")
    assert lint_keeping(project, state) == ["cluster-write"]
    project.script(sourcing)
    assert lint_keeping(project, state) == []


def test_scripts_that_did_not_change_are_not_read(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look tells the same findings without reading bash."""
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh}]\n")
    project.script(HOOK + "kubectl cordon n1\n")
    assert lint_keeping(project, tmp_path) == ["cluster-write"]
    monkeypatch.setattr("nvsx.lint.script_readings.judge_script", lambda _: pytest.fail("read"))
    assert lint_keeping(project, tmp_path) == ["cluster-write"]


@pytest.mark.parametrize("changed", ["hooks/a.sh", "hooks/lib/x.sh", "hooks/.shellcheckrc"])
def test_shellcheck_runs_again_when_what_it_reads_has_changed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """It is asked once about the same files, and again after any of them has changed."""
    asked: list[str] = []

    def ask(program: str, *_: object) -> list[object]:
        asked.append(program)
        return []

    program = tmp_path / "shellcheck"
    program.touch()
    monkeypatch.setattr("nvsx.lint.shellcheck.find_shellcheck", lambda: str(program))
    monkeypatch.setattr("nvsx.lint.shellcheck._ask_anew", ask)
    project.runbook(ROUTED + "stages: [{id: detect, hook: hooks/a.sh}]\n")
    project.script(HOOK)
    for times in (1, 1):
        lint_keeping(project, tmp_path)
        assert len(asked) == times
    project.script(HOOK + "true\n", f"runbooks/{changed}")
    lint_keeping(project, tmp_path)
    assert len(asked) == 2


def test_a_tie_is_an_error_in_both(project: Project) -> None:
    """Two runbooks for the same event would fire neither; lint says so in both."""
    project.runbook(ROUTED + "stages: [{id: detect}]\n", "one")
    project.runbook(ROUTED + "stages: [{id: detect}]\n", "two")
    found = project.lint()
    assert [(f.rule, f.runbook) for f in found] == [("routing-tie", "one"), ("routing-tie", "two")]
    assert [f.runbook for f in project.lint("two")] == ["two"]


def test_the_more_specific_runbook_is_no_tie(project: Project) -> None:
    """A runbook for one error code beside one for the check is not ambiguous."""
    project.runbook(ROUTED + "stages: [{id: detect}]\n", "one")
    project.runbook("triggers: [{check: SysLogsXIDError}]\nstages: [{id: detect}]\n", "two")
    assert project.lint() == []


def test_a_shared_nickname_is_a_warning(project: Project) -> None:
    """Two runbooks with one nickname cannot be called by it."""
    for name, code in (("one", 79), ("two", 48)):
        text = f"apiVersion: nvsx/v1\nkind: Runbook\nmetadata: {{name: {name}, nickname: same}}\n"
        text += f"triggers: [{{errorCode: {code}}}]\nstages: [{{id: detect}}]\n"
        (project.root / "runbooks" / f"{name}.yaml").write_text(text)
    assert rules(project.lint()) == ["shared-nickname", "shared-nickname"]


def test_findings_are_data(project: Project) -> None:
    """A finding survives JSON with its rule, severity and place."""
    project.runbook(ROUTED + "stages: [{id: inject}]\n")
    (found,) = project.lint()
    assert json.loads(json.dumps(found.as_dict())) == {
        "severity": "error",
        "rule": "inject-without-drill",
        "runbook": "fault",
        "file": "runbooks/fault.yaml",
        "line": 5,
        "column": 15,
        "message": "inject causes a fault, and the runbook is not tagged drill",
        "hint": "add drill to metadata.tags, or remove the stage",
    }


def shipped() -> list[str]:
    """The findings about the runbooks in this repository."""
    catalog = loader.discover(Path(__file__).parents[2])
    assert catalog
    return [str(f.problem) for f in linter.lint(catalog, VOCABULARY, (), cel.evaluate)]


@pytest.mark.usefixtures("project")
def test_the_shipped_runbooks_are_clean() -> None:
    """What nvsx ships passes its own lint."""
    assert shipped() == []


@pytest.mark.slow
def test_the_shipped_hooks_pass_shellcheck() -> None:
    """What nvsx ships passes shellcheck too."""
    if linter.find_shellcheck() is None:
        pytest.skip("shellcheck is not installed")
    assert shipped() == []


SLOW = "(?!x)(a+)+$"


@pytest.mark.parametrize(
    "watch",
    [
        f"{{kind: log, namespace: ml, pod: p, pattern: '{SLOW}'}}",
        f"{{kind: node-event, type: A, pattern: '{SLOW}'}}",
        f"{{kind: health-event, filter: {{$or: [{{healthevent.message: {{$regex: '{SLOW}'}}}}]}}}}",
        f"{{anyOf: [{{kind: node-label, key: k, pattern: '{SLOW}'}}]}}",
    ],
)
def test_a_slow_pattern_is_an_error_at_its_place(project: Project, watch: str) -> None:
    """The finding names the pattern and is at its line and column."""
    project.runbook(ROUTED + f"stages:\n  - id: detect\n    watch:\n      - {watch}\n")
    found = [f for f in project.lint() if f.rule == "slow-pattern"]
    assert [(f.severity, f.problem.line) for f in found] == [("error", 8)]
    assert f"pattern /{SLOW}/" in found[0].problem.message
    assert found[0].problem.column == watch.index(f"'{SLOW}'") + 9


def test_a_usual_pattern_is_not_slow(project: Project) -> None:
    """What would be slow for a matcher that goes back is none for RE2."""
    for pattern in ("(a+)+$", "(?i)nccl.*(timeout|error)", "[a-z]+[0-9]+[a-z]+$"):
        project.runbook(
            ROUTED
            + f"stages: [{{id: detect, watch: [{{kind: log, namespace: ml, pod: p, pattern: '{pattern}'}}]}}]"
        )
        assert "slow-pattern" not in rules(project.lint())
