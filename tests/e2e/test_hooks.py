"""Hooks and actions that misbehave, and what they are given, in runs on a sandbox."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.live import HOOK, Project, running
from tests.e2e.sandboxed import Seen

from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.core.errors import UsageError
from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.project.home import Home

pytestmark = pytest.mark.timeout(240)

SECRET = "xoxb-0123456789-s3cret"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path / "project")


async def _run(project: Project, book: str, **options: Any) -> RunState:
    seen = Seen()
    wanted = RunOptions(runbook=book, sandbox=True, **{"speed": 12.0, **options})
    await run_by_hand(Home(str(project.root)), wanted, [seen])
    return seen.state


async def _hook(project: Project, text: str, **options: Any) -> tuple[j.Finish, RunState]:
    """The end of a run whose one hook has this text."""
    stage = {"hookTimeout": options.pop("hook_timeout", "20s")}
    state = await _run(project, project.one_hook(text, **stage), **options)
    assert state.finish is not None
    return state.finish, state


def _lines(state: RunState, stream: str = "stdout") -> list[str]:
    return [o.line for _, o in state.output if o.stream == stream]


def _everything(project: Project) -> str:
    """All that the run left on disk: artifacts and state."""
    folders = (project.root / "nvsx-artifacts", Path(os.environ["NVSX_STATE_DIR"]))
    files = [f for folder in folders for f in folder.rglob("*") if f.is_file()]
    assert files
    return "".join(f.read_bytes().decode("utf-8", "replace") for f in files)


# --- before anything runs -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"), [(None, "is not there"), (0o644, "is not executable; run: chmod +x")]
)
async def test_hook_that_cannot_run_stops_the_run_before_it_begins(
    project: Project, mode: int | None, words: str
) -> None:
    """A hook that is missing or not executable: exit 2, and nothing has run."""
    book = project.chain()
    bad = project.root / "runbooks" / "hooks" / "t" / "hook.sh"
    bad.unlink() if mode is None else bad.chmod(mode)
    with pytest.raises(UsageError) as caught:
        await _run(project, book)
    assert caught.value.exit_code == 2
    assert words in caught.value.message
    assert not project.log()


async def test_inject_needs_drill(project: Project) -> None:
    """A runbook that causes a fault is refused without --drill."""
    project.script("scripts/a.sh", 'touch "$NVSX_PROJECT_ROOT/ran"')
    book = project.runbook([{"id": "inject", "action": {"script": "scripts/a.sh"}}])
    with pytest.raises(UsageError, match="--drill"):
        await _run(project, book)
    assert not (project.root / "ran").exists()


# --- while they run -----------------------------------------------------------------------


async def test_hanging_hook_is_a_warning(project: Project) -> None:
    """A hook that hangs is stopped at its time limit; the run passes, degraded."""
    finish, state = await _hook(project, "sleep 600", hook_timeout="1s")
    assert (finish.status, finish.degraded, finish.exit_code) == ("passed", True, 0)
    assert state.stages[0].scripts[0].detail == "timed out after 1s"


async def test_strict_makes_a_failing_hook_a_failure(project: Project) -> None:
    """--strict: a hook's exit code 7 fails the run, and the reason names the hook."""
    finish, _ = await _hook(project, "exit 7", strict=True)
    assert (finish.status, finish.exit_code) == ("failed", 1)
    assert finish.reason == "preflight: hook hooks/t/hook.sh failed"


async def test_a_megabyte_of_output_is_bounded(project: Project) -> None:
    """A hook that prints three megabytes: its end is kept, what was cut is said, it passes."""
    flood = "head -c 3000000 /dev/zero | tr '\\0' 'x' | fold -w 100; echo; echo the end"
    finish, state = await _hook(project, flood)
    assert finish.ok
    lines = _lines(state)
    assert sum(map(len, lines)) < 1_200_000
    assert lines[-1] == "the end"
    assert any("bytes are not shown" in line for line in lines)


async def test_markup_and_control_codes_are_text(project: Project) -> None:
    """Square brackets stay as printed; colours, titles, cursor movements and bells go."""
    text = "printf '[/var/lib] [bold]x[/bold] \\033[31mred\\033[0m \\033]0;t\\007\\033[2Jok\\a\\n'"
    _, state = await _hook(project, text)
    assert _lines(state) == ["[/var/lib] [bold]x[/bold] red ok"]


async def test_secrets_are_masked_everywhere(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret a hook prints, plain, encoded or in a URL, is nowhere: not in the events, not
    in the journal, not in the artifacts."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", SECRET)
    text = 'echo "t=$SLACK_BOT_TOKEN"; echo "t=$SLACK_BOT_TOKEN" >&2; echo -n "$SLACK_BOT_TOKEN" | '
    text += "base64; echo https://user:hunter2hunter2@example.com/; env | grep -c SLACK"
    _, state = await _hook(project, text, live_hooks=True)
    assert _lines(state)[0] == "t=***"
    assert _lines(state)[-1] == "1"
    assert _lines(state, "stderr") == ["t=***"]
    shown = "\n".join(_lines(state)) + _everything(project)
    assert "hunter2hunter2" not in shown
    assert SECRET[:12] not in shown


async def test_sandbox_run_can_page_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox run's hook sees no webhook, token or key; with --live-hooks it does."""
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/x")
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", "R" * 32)
    monkeypatch.setenv("CHANNEL", "#ops")
    text = 'echo "${SLACK_WEBHOOK_URL:+slack} ${PAGERDUTY_ROUTING_KEY:+pager} $CHANNEL"'
    _, dry = await _hook(project, text)
    _, live = await _hook(project, text, live_hooks=True)
    assert _lines(dry) == ["  #ops"]
    assert _lines(live) == ["slack pager #ops"]


async def test_what_a_hook_is_told(project: Project) -> None:
    """The documented variables are there, and KUBECONFIG is a private file of one context."""
    text = 'env -0 >"$NVSX_PROJECT_ROOT/env"; cp "$KUBECONFIG" "$NVSX_PROJECT_ROOT/kc"; '
    text += 'stat -c %a "$KUBECONFIG" || stat -f %Lp "$KUBECONFIG"; wc -c <"$NVSX_EVENT_FILE"'
    _, state = await _hook(project, text)
    pairs = (project.root / "env").read_text().split("\0")
    env = dict(p.split("=", 1) for p in pairs if "=" in p)
    told = """STAGE RUNBOOK TARGET_NODE ELAPSED_MS PROJECT_ROOT PLAYGROUND TARGET_ALIAS RUN_ID
        INCIDENT_KEY TRIGGER CLUSTER RUN_STATUS FAILED_STAGE REASON INCIDENT_MS MTTR_MS
        IDEMPOTENCY_KEY ATTEMPT EVENT_FILE REPORT_FILE ARTIFACT_DIR IMPACT_FILE SANDBOX"""
    assert {f"NVSX_{name}" for name in told.split()} <= env.keys()
    assert env["NVSX_STAGE"] == "preflight"
    assert env["NVSX_SANDBOX"] == "1"
    assert env["NVSX_PROJECT_ROOT"] == env["NVSX_PLAYGROUND"] == str(project.root)
    assert env["KUBECONFIG"] != os.environ["KUBECONFIG"]
    assert _lines(state)[0] == "600"
    assert "nvsx-sandbox" in (project.root / "kc").read_text()


@pytest.mark.kubectl
async def test_hook_writes_nothing_to_the_cluster(project: Project) -> None:
    """A hook's `kubectl delete` is refused with a clear message; its `kubectl get` works."""
    text = "kubectl get nodes -o name | wc -l\nkubectl delete node --all || echo refused $?"
    finish, state = await _hook(project, text)
    assert finish.ok
    count, refused = _lines(state)
    assert int(count) > 2
    assert refused.startswith("refused")
    assert any("nvsx" in line and "delete" in line for line in _lines(state, "stderr"))


@pytest.mark.kubectl
async def test_action_may_write(project: Project) -> None:
    """An action's kubectl is the real one."""
    project.script("scripts/a.sh", "kubectl label node --all touched=yes >/dev/null; echo done")
    book = project.runbook([{"id": "baseline", "action": {"script": "scripts/a.sh"}}])
    state = await _run(project, book)
    assert state.finish is not None
    assert state.finish.ok, state.finish.reason


async def test_action_that_ignores_term_is_killed_with_its_children(project: Project) -> None:
    """An action beyond its stage's limit that ignores TERM: its whole group is dead, the stage
    failed with that reason, the failure hook fired."""
    project.script(
        "scripts/a.sh",
        "trap '' TERM\n(trap '' TERM; while :; do sleep 1; done) &\n"
        'echo "$! $$" >"$NVSX_PROJECT_ROOT/pids"\nwhile :; do sleep 1; done',
    )
    project.script("runbooks/hooks/t/failed.sh", HOOK)
    book = project.runbook(
        [{"id": "baseline", "action": {"script": "scripts/a.sh"}, "timeout": "1s"}],
        onFailure="hooks/t/failed.sh",
    )
    state = await _run(project, book)
    assert state.finish is not None
    assert (state.finish.status, state.finish.exit_code) == ("failed", 1)
    assert "timed out" in state.finish.reason
    pids = [int(p) for p in (project.root / "pids").read_text().split()]
    assert len(pids) == 2
    assert not [p for p in pids if running(p)]
    assert [line[:2] for line in project.log("end")] == [["end", "baseline"]]


async def test_state_is_private(project: Project) -> None:
    """The state folder is 0700; the database in it, and the run's kubeconfig, are 0600."""
    await _hook(project, "true")
    state = Path(os.environ["NVSX_STATE_DIR"])
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for file in state.glob("nvsx.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
