# ruff: noqa: E501 - one mistake a line: the table is read by its columns
import os
from pathlib import Path

import pytest

from nvsx.core.errors import InvalidRunbook, UsageError
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.core.watches.event_watches import PodEventWatch
from nvsx.core.watches.kinds import KINDS
from nvsx.core.watches.node_watches import NodeConditionWatch, TaintWatch
from nvsx.project import loader

HEAD = "apiVersion: nvsx/v1\nkind: Runbook\nmetadata:\n  name: fault\n"  # four lines
LEAST = HEAD + "stages: [{id: detect}]\n"


def put(root: Path, text: str | bytes, name: str = "fault") -> Path:
    """Write runbooks/<name>.yaml."""
    path = root / "runbooks" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(root: Path, text: str | bytes) -> list[str]:
    """What is wrong with a runbook, each as `line:column: message (hint)`."""
    with pytest.raises(InvalidRunbook) as caught:
        loader.load_runbook(put(root, text), root)
    found = [str(p) for p in caught.value.problems]
    assert all(p.startswith("runbooks/fault.yaml:") for p in found)
    return [p.removeprefix("runbooks/fault.yaml:") for p in found]


def stage(text: str) -> str:
    """A runbook whose only stage, from line 6 column 5 on, has these lines."""
    lines = text.splitlines()
    return HEAD + "stages:\n  - " + "\n    ".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # the file as a whole
        (LEAST.replace("v1", "v99"), "1:13: apiVersion 'nvsx/v99' is not supported (this nvsx reads nvsx/v1)"),
        (LEAST.replace("apiVersion: nvsx/v1\n", ""), "1:1: 'apiVersion' is missing (write apiVersion: nvsx/v1)"),
        (LEAST.replace("kind: Runbook", "kind: Pod"), "2:7: kind: unknown value 'Pod' (use Runbook)"),
        ("- a\n", "1:1: the file: a mapping of keys to values is expected"),
        (LEAST + "narraton: {}\n", "6:1: unknown key 'narraton' (did you mean narration?)"),
        (LEAST.replace("name: fault", "name: other"), "4:9: name 'other' differs from the file's, 'fault' (rename the file to other.yaml or the runbook)"),
        (LEAST.replace("name: fault", "name: ../evil"), "4:9: '../evil' is not a name (lower-case letters, digits, dots and dashes, at most 63)"),
        (LEAST.replace("name: fault", "name: fault\n  titel: x"), "5:3: unknown key 'titel' (did you mean title?)"),
        # stages
        (HEAD + "stages: []\n", "5:9: stages is empty (write at least one)"),
        (HEAD + "stages:\n", "5:1: stages: a list is expected"),
        (HEAD, "1:1: 'stages' is missing"),
        (HEAD + "stages: [{id: detect}, {id: detect}]\n", "5:29: stage 'detect' is there twice"),
        (HEAD + "stages: [{id: recover}, {id: drain}]\n", "5:30: stage 'drain' comes before 'recover', not after"),
        (stage("id: detekt"), "6:9: unknown stage 'detekt' (did you mean detect?)"),
        (stage("title: x"), "6:5: 'id' is missing"),
        (stage("id: detect\nwacth: []"), "7:5: unknown key 'wacth' (did you mean watch?)"),
        (stage("id: detect\non_failure: x"), "7:5: unknown key 'on_failure' (did you mean onFailure?)"),
        (stage("id: detect\ntimeout: 30"), "7:14: '30' has no unit: write 30s, 30m or 30h"),
        (stage("id: detect\ntimeout:"), "7:5: the value is empty: write a duration, or \"none\" for no limit"),
        (stage("id: detect\nonTimeout: stop"), "7:16: onTimeout: unknown value 'stop' (use fail, continue)"),
        (stage("id: detect\nhookRetries: many"), "7:18: hookRetries: a whole number is expected"),
        # watches
        (stage("id: detect\nwatch: [{kind: nod}]"), f"7:20: unknown watch kind 'nod' (did you mean node? kinds: {', '.join(KINDS)})"),
        (stage("id: detect\nwatch:\n  - kind: taint\n    value: x"), "8:9: a taint watch needs 'key'"),
        (stage("id: detect\nwatch:\n  - kind: taint\n    key: x\n    errorCode: 1"), "10:9: key 'errorCode' has no meaning for a taint watch (it takes absent, for, since, key, value, effect)"),
        (stage("id: detect\nwatch:\n  - anyOf:\n      - {kind: crd, resorce: x, resource: y}"), "9:25: key 'resorce' has no meaning for a crd watch (did you mean resource?)"),
        (stage("id: detect\nwatch:\n  - anyOf: []"), "8:16: anyOf is empty (write at least one)"),
        (stage("id: detect\nwatch:\n  - kind: crd\n    resource: x\n    condition: {typ: y, type: z}"), "10:21: unknown key 'typ' (did you mean type?)"),
        (stage("id: detect\nwatch:\n  - kind: log\n    pod: x\n    pattern: '('"), "10:18: the pattern does not compile: missing ) at position 1"),
        (stage("id: detect\nwatch:\n  - kind: health-event\n    filter: {a: {$gtt: 1}}"), "9:17: filter operator $gtt is not supported (did you mean $gt?)"),
        # paths
        (stage("id: detect\nhook: ../../x.sh"), "7:11: '../../x.sh' leaves the project"),
        (stage("id: detect\nhook: /bin/sh"), "7:11: '/bin/sh' is absolute: paths stay inside the project"),
        (stage("id: inject\naction:\n  script: ../x.sh"), "8:15: '../x.sh' leaves the project"),
        (LEAST + "onFailure: hooks/a/../../../../x.sh\n", "6:12: 'hooks/a/../../../../x.sh' leaves the project"),
        # the rest
        (LEAST + 'narration: {detect: "{{elapsd}}"}\n', "6:21: unknown narration token {{elapsd}} (did you mean elapsed?)"),
        (LEAST + "narration: {detekt: x}\n", "6:13: unknown stage 'detekt' (did you mean detect?)"),
        (LEAST + "triggers: [{fatal: any}]\n", "6:12: a trigger needs at least one of check, errorCode, agent, componentClass, recommendedAction, labels, when"),
        (LEAST + "triggers: [{check: x, fatal: maybe}]\n", "6:30: fatal: 'maybe' is not true, false or any"),
        (LEAST + "triggers: [{check: x, strategy: STORE}]\n", "6:33: strategy: unknown value 'STORE' (did you mean STORE_ONLY?)"),
        (LEAST + "triggers:\n  - when: event.isFatal &&\n", "7:11: when: Syntax error: mismatched input '<EOF>' expecting"),
        (LEAST + "triggers: [{when: foo == 1}]\n", "6:19: when: undeclared reference to 'foo' at character 1"),
        (LEAST + "triggers: [{when: '1 + 1'}]\n", "6:19: when: the expression is int, not true or false"),
        (LEAST + "prerequisites: [{name: x}]\n", "6:17: a prerequisite has exactly one of check, deployment, daemonset, crd (this has none)"),
        (LEAST + "drill: {}\n", "6:8: 'fault' is missing"),
        # YAML itself
        (LEAST + "kind: Runbook\n", "6:1: key 'kind' is there twice (first on line 2)"),
        (HEAD + "stages:\n\t- id: detect\n", "6:1: not valid YAML: found character that cannot start any token (indent with spaces, not tabs)"),
        (LEAST + "onFailure: a: b\n", "6:13: not valid YAML: mapping values are not allowed in this context (put text with a colon in quotes, or check the indentation)"),
        (LEAST + "---\na: 1\n", "6:1: a second YAML document begins (one document in one file)"),
        (LEAST.encode() + b"# caf\xe9\n", "6:6: byte 0xe9 is not UTF-8 (save as UTF-8)"),
        (LEAST + "# \x07\n", "6:3: character U+0007 is not allowed in YAML"),
        (LEAST + "onFailure: *x\n", "6:12: nothing is called &x (put text that begins with * in quotes)"),
        (LEAST + "onFailure: !secret x\n", "6:12: tag !secret is not supported (write plain text)"),
        (LEAST + "drill:\n  <<: {fault: x}\n", "7:3: merge keys (<<) are not part of YAML 1.2 (write it out)"),
        ("", "1:1: the file is empty"),
        ("a: " + "[" * 100 + "]" * 100, "1:44: nested deeper than 40 levels"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_at_its_place(tmp_path: Path, text: str | bytes, found: str) -> None:
    """One mistake is one finding, with the line, the column and the word that was meant."""
    (only,) = problems(tmp_path, text)
    assert only.startswith(found)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """A file with mistakes everywhere is described whole, in the order of its lines."""
    text = """\
apiVersion: nvsx/v99
metadata: {name: other}
stages:
  - {id: recover, timeout: 30}
  - {id: detect, watch: [{kind: nod}], hook: /x}
narration: {drain: "{{x}}"}
extra: 1
"""
    lines = [p.split(": ", 1)[0] for p in problems(tmp_path, text)]
    assert lines == ["1:1", "1:13", "2:18", "4:28", "5:10", "5:33", "5:46", "6:20", "7:1"]


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    """A few lines of aliases to aliases do not become gigabytes."""
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 12):
        refs = ", ".join([f"*a{n - 1}"] * 10)
        layers.append(f"a{n}: &a{n} [{refs}]")
    (only,) = problems(tmp_path, LEAST + "\n".join(layers) + "\n")
    assert "aliases expand to more than 20000 values" in only


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    """A structure that contains itself has no end."""
    (only,) = problems(tmp_path, LEAST + "drill: &d [*d]\n")
    assert "nested deeper than 40 levels" in only


def test_huge_files_are_refused(tmp_path: Path) -> None:
    """A runbook has a size limit, checked before the file is read."""
    (only,) = problems(tmp_path, LEAST + "#" * 300_000)
    assert only == "1:1: the file is larger than 256 KB"


def test_ordinary_aliases_work(tmp_path: Path) -> None:
    """Anchors and aliases are fine as long as they stay small."""
    text = HEAD + "stages:\n  - {id: drain, hook: &h hooks/a.sh}\n  - {id: recover, hook: *h}\n"
    loaded = loader.load_runbook(put(tmp_path, text), tmp_path)
    assert [h.path for h in loaded.runbook.hooks()] == ["hooks/a.sh", "hooks/a.sh"]


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    """A hook that is a link to outside is found when the runbook is loaded."""
    (tmp_path / "outside.sh").write_text("#!/bin/sh\n")
    root = tmp_path / "project"
    (root / "runbooks" / "hooks").mkdir(parents=True)
    (root / "runbooks" / "hooks" / "x.sh").symlink_to(tmp_path / "outside.sh")
    (only,) = problems(root, stage("id: detect\nhook: hooks/x.sh"))
    assert only == "7:11: 'runbooks/hooks/x.sh' leads out of the project through a link"


def test_a_linked_folder_out_of_the_project_is_refused(tmp_path: Path) -> None:
    """Neither does a linked folder help a script to be outside."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "scripts").symlink_to(tmp_path)
    (only,) = problems(root, stage("id: detect\naction: {script: scripts/x.sh}"))
    assert only == "7:22: 'scripts/x.sh' leads out of the project through a link"


def test_a_link_inside_the_project_is_fine(tmp_path: Path) -> None:
    """Links that stay inside, as mounted ConfigMaps use them, are no escape."""
    hooks = tmp_path / "runbooks" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "real.sh").write_text("#!/bin/sh\n")
    (hooks / "x.sh").symlink_to("real.sh")
    loaded = loader.load_runbook(put(tmp_path, stage("id: detect\nhook: hooks/x.sh")), tmp_path)
    (hook,) = loaded.runbook.hooks()
    assert loaded.hook_file(hook) == tmp_path / "runbooks" / "hooks" / "x.sh"


def test_positions_lead_back_to_the_file(tmp_path: Path) -> None:
    """A finding about any part of the model can be placed in the file."""
    loaded = loader.load_runbook(put(tmp_path, stage("id: detect\nhook: hooks/x.sh")), tmp_path)
    problem = loaded.problem("m", "stages", 0, "hook")
    assert str(problem) == "runbooks/fault.yaml:7:11: m"
    beyond = loaded.problem("m", "stages", 0, "watch", 3)
    assert (beyond.line, beyond.column) == (6, 5)


def test_an_early_file_loads(tmp_path: Path) -> None:
    """Files of early nvsx/v1 (no titles, no timeouts, taints, Evicted) keep loading."""
    text = (
        HEAD
        + """\
  tags: [infra, xid, gpu]
prerequisites:
  - {name: gpu monitor, check: kubectl get ds -n nvsentinel, expect: gpu-health-monitor}
stages:
  - id: preflight
  - id: detect
    watch:
      - {kind: node-condition, type: GpuPcieWatch, status: "True"}
    hook: hooks/fault/on-detect.sh
  - id: quarantine
    watch:
      - {kind: taint, key: nvidia.com/gpu-error, effect: NoSchedule}
      - {kind: node, field: spec.unschedulable, expect: "true"}
  - id: drain
    watch:
      - {kind: pod-event, reason: Evicted, namespace: default}
  - id: recover
    watch:
      - {kind: mongo-event, collection: HealthEvents, filter: '{"isFatal": true}'}
  - id: postmortem
    action: {script: scripts/collect-metrics.sh}
"""
    )
    stages = loader.load_runbook(put(tmp_path, text), tmp_path).runbook.stages
    assert isinstance(stages[1].watches[0], NodeConditionWatch)
    assert isinstance(stages[2].watches[0], TaintWatch)
    assert isinstance(stages[3].watches[0], PodEventWatch)


def test_discovery_is_by_name_and_keeps_broken_files(tmp_path: Path) -> None:
    """Every runbook of the folder is listed in order; a broken one does not hide the others."""
    for name in ("b", "a"):
        put(tmp_path, LEAST.replace("fault", name), name)
    put(tmp_path, "kind: [", "broken")
    put(tmp_path, "x", ".hidden")
    (tmp_path / "runbooks" / "README.md").write_text("not a runbook")
    found = loader.discover(tmp_path)
    assert [(e.name, type(e)) for e in found] == [
        ("a", LoadedRunbook),
        ("b", LoadedRunbook),
        ("broken", BrokenRunbook),
    ]


def test_no_folder_means_no_runbooks(tmp_path: Path) -> None:
    """An empty project has no runbooks, and that is no error."""
    assert loader.discover(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_broken_not_fatal(tmp_path: Path) -> None:
    """A file without read permission is reported like any other broken one."""
    put(tmp_path, LEAST).chmod(0)
    (entry,) = loader.discover(tmp_path)
    assert isinstance(entry, BrokenRunbook)
    assert "cannot be read" in str(entry.error)


def nicknamed(root: Path, name: str, nickname: str) -> None:
    """A runbook with a nickname."""
    put(root, LEAST.replace("name: fault", f"name: {name}\n  nickname: {nickname}"), name)


@pytest.mark.parametrize("wanted", ["one", "#one", "rogue-moose", "#rogue-moose"])
def test_found_by_name_or_nickname(tmp_path: Path, wanted: str) -> None:
    """A name or a nickname, with or without the hash, finds the runbook."""
    nicknamed(tmp_path, "one", "rogue-moose")
    nicknamed(tmp_path, "two", "sleepy-panda")
    assert loader.find(tmp_path, wanted).name == "one"


def test_a_shared_nickname_is_an_error_only_when_used(tmp_path: Path) -> None:
    """Two runbooks may share a nickname until somebody calls it."""
    nicknamed(tmp_path, "one", "rogue-moose")
    nicknamed(tmp_path, "two", "rogue-moose")
    assert loader.find(tmp_path, "two").name == "two"
    with pytest.raises(UsageError, match="shared by one, two"):
        loader.find(tmp_path, "rogue-moose")


def test_a_name_goes_before_a_nickname(tmp_path: Path) -> None:
    """A runbook's name is never taken away by another one's nickname."""
    nicknamed(tmp_path, "one", "two")
    nicknamed(tmp_path, "two", "three")
    assert loader.find(tmp_path, "two").name == "two"


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    """A typing slip is answered with what was probably meant."""
    nicknamed(tmp_path, "gpu-off-bus", "rogue-moose")
    with pytest.raises(UsageError, match="did you mean gpu-off-bus"):
        loader.find(tmp_path, "gpu-of-bus")


@pytest.mark.parametrize("wanted", ["../evil", "/etc/passwd", "runbooks/one", "one.yaml", "", "#"])
def test_a_name_is_never_a_path(tmp_path: Path, wanted: str) -> None:
    """What looks like a path is simply unknown, even where a file of that name exists."""
    root = tmp_path / "project"
    root.mkdir()
    nicknamed(root, "one", "rogue-moose")
    (tmp_path / "evil.yaml").write_text(LEAST.replace("fault", "evil"))
    with pytest.raises(UsageError, match="there is no runbook"):
        loader.find(root, wanted)


def test_a_broken_runbook_says_why_when_asked_for(tmp_path: Path) -> None:
    """Asking for a file with mistakes shows them."""
    put(tmp_path, HEAD + "stages: []\n")
    with pytest.raises(InvalidRunbook, match="5:9: stages is empty"):
        loader.find(tmp_path, "fault")
