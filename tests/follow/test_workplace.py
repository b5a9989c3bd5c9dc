"""What opening a workplace leaves behind, and which account scripts get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.e2e.live import pass_for_real

from nvsentinel_sandbox.host import Sandbox
from nvsx.core.errors import ClusterError, UsageError
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Script
from nvsx.follow.processes.local_scripts import LocalScripts
from nvsx.follow.workplace import open_workplace
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.workloads import Fact
from nvsx.project.home import Home
from nvsx.store import open_store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A project and a state folder of the test's own."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "nvsx.yaml").write_text("apiVersion: nvsx/v1\nkind: Project\n")
    monkeypatch.setenv("NVSX_STATE_DIR", str(tmp_path / "state"))
    return Home(str(project))


async def _dead_process(state: Path, *, unfinished: bool) -> Path:
    """The folder of a process that was killed, with or without a run in its hands."""
    journal = open_store(state)
    if unfinished:
        await journal.create(NewRun(runbook="t", cluster="c", node="n"))
    folder = state / "scratch" / journal.owner
    folder.mkdir(parents=True)
    (folder / "kubeconfig").write_text("users: [token]")
    journal.close()
    if unfinished:  # a killed process leaves its file
        (state / "owners" / f"{folder.name}.lock").touch()
    return folder


async def test_credentials_of_killed_processes_do_not_pile_up(home: Home, tmp_path: Path) -> None:
    """A killed process leaves a kubeconfig: the next start removes it, unless a run of that
    process is unfinished and a script of it may still need it."""
    over = await _dead_process(home.state_dir, unfinished=False)
    going_on = await _dead_process(home.state_dir, unfinished=True)
    sandbox = Sandbox(state_dir=tmp_path / "sandbox", speed=10)
    await sandbox.start()
    try:
        async with open_workplace(home, sandbox) as workplace:
            assert workplace.scratch.stat().st_mode & 0o777 == 0o700
            assert (over.exists(), going_on.exists()) == (False, True)
        assert not workplace.scratch.exists()
    finally:
        await sandbox.stop()


@pytest.mark.parametrize(("said", "namespace"), [("", ""), ("gpu-health", "gpu-health")])
async def test_only_a_namespace_that_was_said_is_taken_for_granted(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, namespace: str
) -> None:
    """Without a word of the project's NVSentinel is looked for; with one, only there."""
    if said:
        monkeypatch.setenv("NVSX_NAMESPACE", said)
    asked: list[str] = []

    async def inspect(_read: object, where: str) -> Installation:
        asked.append(where)
        return Installation(namespace=where, found=Fact(False, "no"))

    monkeypatch.setattr("nvsx.nvsentinel.observer.inspect_installation", inspect)
    sandbox = Sandbox(state_dir=tmp_path / "sandbox", speed=10)
    await sandbox.start()
    try:
        async with open_workplace(home, sandbox):
            assert asked == [namespace]
    finally:
        await sandbox.stop()


async def test_world_that_cannot_be_opened_leaves_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a cluster: an error, and neither a folder nor an owner's file stays."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError):
        async with open_workplace(home):
            pass
    assert list((home.state_dir / "scratch").iterdir()) == []
    assert list((home.state_dir / "owners").iterdir()) == []


@pytest.mark.kubectl
async def test_missing_account_for_hooks_is_told_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`hooks.kubeconfig` that cannot be read is an error before anything runs; on a sandbox
    it does not count, however that was reached: it is an account of the real cluster."""
    (home.project.root / "nvsx.yaml").write_text(
        "apiVersion: nvsx/v1\nkind: Project\nhooks: {kubeconfig: reader.yaml}\n"
    )
    sandbox = Sandbox(state_dir=tmp_path / "sandbox", speed=10)
    await sandbox.start()
    monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig))
    try:
        for at in (sandbox, None):
            async with open_workplace(home, at) as workplace:
                assert workplace.hook_kubeconfig is None
        pass_for_real(sandbox)
        with pytest.raises(UsageError, match=r"reader\.yaml, which cannot be read"):
            async with open_workplace(home):
                pass
        (home.project.root / "reader.yaml").write_text("{}")
        async with open_workplace(home) as workplace:
            assert workplace.hook_kubeconfig == home.project.root / "reader.yaml"
    finally:
        await sandbox.stop()


@pytest.mark.parametrize(
    ("said", "told"), [("nvsentinel: {namespace: gpu-ops}\n", "gpu-ops"), ("", "")]
)
async def test_scripts_learn_the_namespace_the_project_names(
    home: Home, tmp_path: Path, said: str, told: str
) -> None:
    """`nvsentinel.namespace` reaches scripts as NVSENTINEL_NAMESPACE; a default does not."""
    settings = f"apiVersion: nvsx/v1\nkind: Project\n{said}"
    (home.project.root / "nvsx.yaml").write_text(settings)
    sandbox = Sandbox(state_dir=tmp_path / "sandbox", speed=10)
    await sandbox.start()
    lines: list[str] = []

    async def started(_: object) -> None:
        return None

    try:
        async with open_workplace(home, sandbox) as workplace:
            scripts = workplace.ports(root=home.project.root).scripts
            script = Script(kind="hook", command='echo "${NVSENTINEL_NAMESPACE:-}"')
            await scripts.run(script, lambda _, line: lines.append(line), started)
    finally:
        await sandbox.stop()
    assert lines == [told]


async def test_scripts_never_see_what_the_daemon_authenticates_with(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Variables that nvsx.yaml names as secrets of token, sources, token endpoint and store
    stay out of hooks and actions, whatever they are called; the team's own go in."""
    own = ("DOOR", "PD_SIGNING", "EXPORTER", "STORE", "NVSX_HEALTH_EVENTS_URI")
    for name in (*own, "SLACK_WEBHOOK_URL"):
        monkeypatch.setenv(name, f"mongodb://user:{name.lower()}-value@host/db")
    (home.project.root / "nvsx.yaml").write_text(
        """apiVersion: nvsx/v1
kind: Project
healthEvents: {uri: auto, credentials: {env: STORE}}
serve:
  token: {env: DOOR}
  oauth: {clientId: exporter, secretEnv: EXPORTER}
  sources:
    pagerduty: {secretEnv: PD_SIGNING}
"""
    )
    sandbox = Sandbox(state_dir=tmp_path / "sandbox", speed=10)
    await sandbox.start()
    lines: list[str] = []

    async def started(_: object) -> None:
        return None

    try:
        async with open_workplace(home, sandbox) as workplace:
            scripts = workplace.ports(root=home.project.root, live_hooks=True).scripts
            for kind in ("hook", "action"):
                script = Script(kind=kind, command="env | cut -d= -f1")
                await scripts.run(script, lambda _, line: lines.append(line), started)
    finally:
        await sandbox.stop()
    assert lines.count("SLACK_WEBHOOK_URL") == 2
    assert not set(own) & set(lines)


@pytest.mark.parametrize(
    ("kind", "account"), [("hook", "reader"), ("prerequisite", "reader"), ("action", "run")]
)
async def test_hooks_and_prerequisites_get_the_account_for_hooks(
    tmp_path: Path, kind: str, account: str
) -> None:
    """With an account for hooks, they and prerequisites get it; actions get the run's."""
    scripts = LocalScripts(
        tmp_path,
        {"PATH": os.environ["PATH"]},
        kubeconfig=tmp_path / "run",
        hook_kubeconfig=tmp_path / "reader",
    )
    said: list[str] = []

    async def started(_: object) -> None:
        return None

    script = Script(kind=kind, command='echo "$KUBECONFIG"')  # type: ignore[arg-type]
    await scripts.run(script, lambda _, line: said.append(line), started)
    assert said == [str(tmp_path / account)]
