"""doctor's verdicts on clusters of every kind, read through a gateway as from a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from nvsentinel_sandbox.host import Sandbox
from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsx.cluster.gateway import DirectGateway
from nvsx.commands.doctor.checkup import CheckOutcome, CheckupReport, examine
from nvsx.commands.doctor.doctor_checks import CHECKS
from nvsx.commands.doctor.doctor_facts import Survey
from nvsx.commands.doctor.survey import survey
from nvsx.nvsentinel import rbac
from nvsx.project.home import Home

NS = "nvsentinel"


class Clinic:
    """Examines one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.survey: Survey | None = None

    async def examine(self, home: Home | None = None) -> CheckupReport:
        gateway = DirectGateway(self.sandbox.url, self.sandbox.read_only_token)
        self.survey = await survey(home or Home(), gateway)
        return examine(self.survey, CHECKS)


@pytest.fixture
async def clinic(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Clinic]:
    """A sandbox of the variant and size the test is parametrised with."""
    variant, nodes = getattr(request, "param", ("", 4))
    sandbox = Sandbox(state_dir=tmp_path, nodes=nodes, variant=variant, seed=7)
    await sandbox.start()
    yield Clinic(sandbox)
    await sandbox.stop()


def said(report: CheckupReport, check: str) -> CheckOutcome:
    """What one check came to."""
    return next(f.outcome for f in report.findings if f.check.id == check)


def verdict(report: CheckupReport, check: str) -> str:
    """Its status."""
    return said(report, check).status


@pytest.mark.kubectl
async def test_a_full_installation_is_well(clinic: Clinic) -> None:
    """With the whole chain installed nothing about the cluster is wrong, and the exit is 0."""
    report = await clinic.examine()
    about = ("api", "rights", "modules", "chain", "dry-run", "breaker", "drain", "repair")
    assert {c: verdict(report, c) for c in about} == dict.fromkeys(about, "ok")
    assert report.exit_code == 0
    assert "v1.19.0" in said(report, "modules").evidence
    assert "fault-quarantine v1.19.0: 1 of 1 ready" in said(report, "modules").details
    assert "AllowCompletion waits for pods to end" in said(report, "drain").evidence
    assert "mongodb (ConfigMap mongodb-config)" in said(report, "datastore").evidence
    assert "not tried from outside the cluster" in said(report, "datastore").evidence
    assert said(report, "gpu-nodes").evidence.startswith("4 of 5 nodes: ")


@pytest.mark.kubectl
@pytest.mark.parametrize("clinic", [("monitor-only", 4)], indirect=True)
async def test_monitor_only_is_said_and_is_no_failure(clinic: Clinic) -> None:
    """Without fault-quarantine doctor warns, says what never comes, and exits with 0."""
    report = await clinic.examine()
    assert verdict(report, "chain") == "warning"
    assert "only monitors" in said(report, "chain").evidence
    assert "watch" in said(report, "chain").fix
    assert verdict(report, "breaker") == verdict(report, "dry-run") == "skipped"
    assert said(report, "datastore").evidence.startswith("none (")
    assert report.exit_code == 0


@pytest.mark.parametrize("clinic", [("breaker-tripped", 4)], indirect=True)
async def test_a_tripped_breaker_fails(clinic: Clinic) -> None:
    """A tripped breaker blocks quarantine and release, so the exit is 1."""
    report = await clinic.examine()
    assert verdict(report, "breaker") == "failed"
    assert '"status":"CLOSED"' in said(report, "breaker").fix
    assert report.exit_code == 1


@pytest.mark.parametrize("clinic", [("dry-run", 4)], indirect=True)
async def test_dry_run_is_named_with_its_modules(clinic: Clinic) -> None:
    """A dry run is a warning that names the modules running dry."""
    report = await clinic.examine()
    assert verdict(report, "dry-run") == "warning"
    assert "fault-quarantine, node-drainer, fault-remediation" in said(report, "dry-run").evidence


@pytest.mark.parametrize("clinic", [("", 2)], indirect=True)
async def test_two_gpu_nodes_are_warned_of_the_breaker(clinic: Clinic) -> None:
    """With two GPU nodes the first cordon is half of them, and doctor says so beforehand."""
    report = await clinic.examine()
    assert verdict(report, "breaker") == "warning"
    assert "2 GPU nodes" in said(report, "breaker").evidence


async def test_postgresql_is_recognised(clinic: Clinic) -> None:
    """The datastore is what the ConfigMap names, with the objects that are there for it."""
    store = clinic.sandbox.store
    store.delete("configmaps", "mongodb-config", namespace=NS)
    data = {"DATASTORE_PROVIDER": "postgresql"}
    store.create(
        "configmaps",
        {"metadata": {"name": "nvsentinel-datastore-config"}, "data": data},
        namespace=NS,
    )
    labels = {"app.kubernetes.io/name": "postgresql"}
    ports = [{"name": "tcp-postgresql", "port": 5432}]
    store.create(
        "services",
        {"metadata": {"name": "nvsentinel-postgresql", "labels": labels}, "spec": {"ports": ports}},
        namespace=NS,
    )
    evidence = said(await clinic.examine(), "datastore").evidence
    assert evidence.startswith("postgresql (ConfigMap nvsentinel-datastore-config)")
    assert "Service nvsentinel-postgresql" in evidence


async def test_a_datastore_that_does_not_answer_is_told_without_its_password(
    clinic: Clinic, tmp_path: Path
) -> None:
    """The configured address is tried; the finding names it and never the password."""
    (tmp_path / "nvsx.yaml").write_text(
        "healthEvents: {uri: 'mongodb://me:hunter2-secret@127.0.0.1:9/db'}\nserve: {modes: poll}\n"
    )
    report = await clinic.examine(Home(project_flag=str(tmp_path)))
    assert verdict(report, "datastore") == "failed"
    assert "127.0.0.1:9 does not answer" in said(report, "datastore").evidence
    assert "hunter2" not in str(report.as_dict())


WORST = ("nodes", "pods", "namespaces", "rebootnodes", "configmaps")


@pytest.mark.parametrize("clinic", [("monitor-only", 4)], indirect=True)
async def test_a_datastore_of_ones_own_is_tried(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URI in the environment counts also where the cluster names no store, and is tried."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("NVSX_HEALTH_EVENTS_URI", f"postgresql://me:pw-12345@127.0.0.1:{port}/x")
    try:
        report = await clinic.examine()
    finally:
        server.close()
    found = said(report, "datastore")
    assert found.status == "ok"
    assert f"127.0.0.1:{port} answers, credentials were not tried" in found.evidence
    assert "pw-12345" not in str(report.as_dict())


@pytest.mark.parametrize("resource", [r for r in rbac.RIGHTS if r.resource in WORST], ids=WORST)
async def test_each_refused_read_is_named(clinic: Clinic, resource: rbac.Right) -> None:
    """403 on one resource fails the rights check, which names it; the other checks still run."""
    inside = f"/namespaces/{NS}" if resource.inside else ""
    path = f"{resource.root}{inside}/{resource.resource}"
    clinic.sandbox.server.faults.refuse(403, path=path, times=-1)
    report = await clinic.examine()
    rights = said(report, "rights")
    assert rights.status == "failed"
    assert resource.resource in rights.evidence
    assert "print-rbac" in rights.fix
    assert report.exit_code == 1
    assert verdict(report, "api") == "ok"


async def test_a_forbidden_watch_is_found(clinic: Clinic) -> None:
    """Listing alone is not enough: a refused watch is a refused read."""
    clinic.sandbox.server.faults.refuse(403, path="/api/v1/events", verbs=("watch",), times=-1)
    assert "events" in said(await clinic.examine(), "rights").evidence


async def test_refused_logs_are_found(clinic: Clinic) -> None:
    """Reading a log is tried on a pod of NVSentinel's."""
    pod = clinic.sandbox.store.list("pods", namespace=NS)[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{NS}/pods/{pod}/log"
    clinic.sandbox.server.faults.refuse(403, path=path, times=-1)
    assert "pods/log" in said(await clinic.examine(), "rights").evidence


async def test_opted_out_nodes_are_named(clinic: Clinic) -> None:
    """A node NVSentinel is kept from is a warning with its label."""
    node = clinic.sandbox.default_node
    await clinic.sandbox.inject("xid-79", node, "opted-out")
    found = said(await clinic.examine(), "opted-out")
    assert found.status == "warning"
    assert f"{node} (k8saas.nvidia.com/ManagedByNVSentinel=false)" in found.evidence


@pytest.mark.parametrize("clinic", [("monitor-only", 4)], indirect=True)
async def test_a_fault_nobody_handles_is_an_incident(clinic: Clinic) -> None:
    """A fatal condition counts on a monitor-only installation too, and says nobody acts."""
    node = await clinic.sandbox.inject("xid-79")
    async for found in _until_seen(clinic):
        assert found.details[0].startswith(f"{node}: not handled, SysLogsXIDError 79")


async def _until_seen(clinic: Clinic) -> AsyncIterator[CheckOutcome]:
    """The incidents check once it sees one; the monitors need a moment."""
    for _ in range(20):
        found = said(await clinic.examine(), "incidents")
        if found.status == "warning":
            yield found
            return
    pytest.fail("the fault never showed")


@pytest.mark.parametrize("clinic", [("manual-mode", 4)], indirect=True)
async def test_manual_mode_is_told_and_only_gets_reach_the_cluster(clinic: Clinic) -> None:
    """A janitor in manual mode is a warning; and whatever doctor asks, it asks with GET."""
    report = await clinic.examine()
    assert verdict(report, "repair") == "warning"
    assert "manualMode true" in said(report, "repair").evidence
    assert clinic.sandbox.server.requests.methods() == {"GET"}


async def test_no_nvsentinel_fails_with_the_namespace_setting() -> None:
    """On a cluster without NVSentinel the modules check fails and the rest of it is skipped."""
    server = ApiServer(ObjectStore())
    await server.start()
    try:
        report = examine(await survey(Home(), DirectGateway(server.url, server.token)), CHECKS)
    finally:
        await server.stop()
    assert verdict(report, "modules") == "failed"
    assert "nvsx.yaml" in said(report, "modules").fix
    assert verdict(report, "chain") == verdict(report, "breaker") == "skipped"
    assert verdict(report, "gpu-nodes") == "warning"
    assert report.exit_code == 1


async def test_an_unreachable_cluster_is_3_and_the_rest_is_still_checked() -> None:
    """Nobody answering: exit 3, cluster checks skipped, machine and project checks done."""
    gateway = DirectGateway("http://127.0.0.1:9", "x", name="prod")
    report = examine(await survey(Home(), gateway), CHECKS)
    assert report.exit_code == 3
    assert verdict(report, "api") == "failed"
    assert "prod cannot be reached" in said(report, "api").evidence
    assert {verdict(report, c) for c in ("rights", "modules", "gpu-nodes")} == {"skipped"}
    assert verdict(report, "runbooks") == verdict(report, "guard") == "ok"


async def test_project_troubles_are_told(tmp_path: Path) -> None:
    """Broken runbooks, hooks that cannot start and a wrong nvsx.yaml each fail their check."""
    hooks = tmp_path / "runbooks" / "hooks" / "one"
    hooks.mkdir(parents=True)
    (hooks / "on-detect.sh").write_text("#!/bin/sh\n")
    (tmp_path / "runbooks" / "one.yaml").write_text(
        "apiVersion: nvsx/v1\nkind: Runbook\nmetadata: {name: one, tags: [xid-79]}\n"
        "stages: [{id: detect, hook: hooks/one/on-detect.sh, "
        "watch: [{kind: node-condition, type: SysLogsXIDError}]}]\n"
    )
    (tmp_path / "runbooks" / "two.yaml").write_text("apiVersion: nvsx/v1\nstages: 3\n")
    (tmp_path / "nvsx.yaml").write_text("serve: {ports: 8080}\n")
    home = Home(project_flag=str(tmp_path))
    report = examine(await survey(home, DirectGateway("http://127.0.0.1:9", "x")), CHECKS)
    assert "two" in said(report, "runbooks").evidence
    assert "not executable" in said(report, "hooks").details[0]
    assert "nvsx.yaml:1" in said(report, "settings").evidence
    assert {verdict(report, c) for c in ("runbooks", "hooks", "settings")} == {"failed"}


async def test_a_project_that_is_not_there_is_one_failure(clinic: Clinic, tmp_path: Path) -> None:
    """--project with a folder that does not exist: that check fails, the cluster's still run."""
    report = await clinic.examine(Home(project_flag=str(tmp_path / "nowhere")))
    assert verdict(report, "project") == "failed"
    assert {verdict(report, c) for c in ("settings", "runbooks", "hooks")} == {"skipped"}
    assert verdict(report, "modules") == "ok"
    assert report.exit_code == 1


async def test_the_convert_key_is_never_shown(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the key's presence is reported."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret-value")
    report = await clinic.examine()
    assert verdict(report, "convert-key") == "ok"
    assert "sk-very" not in str(report.as_dict())


async def test_missing_kubectl_is_told(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without kubectl on PATH the check fails with where to get it."""
    monkeypatch.setenv("PATH", "/nonexistent")
    report = await clinic.examine()
    assert verdict(report, "kubectl") == "failed"
    assert "kubernetes.io/docs/tasks/tools" in said(report, "kubectl").fix


@pytest.mark.kubectl
async def test_faults_that_fire_nothing_are_named(clinic: Clinic, tmp_path: Path) -> None:
    """Each fatal fault of an installed monitor without a runbook is named, those of a monitor that
    is not there are left out; with the starters, the catch-all among them, nothing is."""
    project = tmp_path / "project"
    (project / "runbooks").mkdir(parents=True)
    (project / "runbooks" / "one.yaml").write_text(
        "apiVersion: nvsx/v1\nkind: Runbook\nmetadata: {name: one}\n"
        "triggers: [{check: SysLogsXIDError}]\nstages: [{id: detect}]\n"
    )
    found = said(await clinic.examine(Home(str(project))), "coverage")
    assert found.status == "warning"
    assert "fire no runbook" in found.evidence
    assert "InfiniBandStateCheck: any other code" in found.details
    mem = "DCGM_FR_VOLATILE_DBE_DETECTED, DCGM_FR_PENDING_ROW_REMAP, DCGM_FR_ROW_REMAP_FAILURE"
    assert f"GpuMemWatch: {mem}" in found.details
    assert not any(line.startswith(("SysLogsXIDError", "NCCL")) for line in found.details)
    assert verdict(await clinic.examine(), "coverage") == "ok"


def test_every_check_has_a_name_of_its_own() -> None:
    """Ids are what scripts read: unique, in words joined by dashes."""
    ids = [c.id for c in CHECKS]
    assert len(set(ids)) == len(ids)
    assert all(i.replace("-", "").isalpha() and i.islower() for i in ids)


# --- the roles ----------------------------------------------------------------------------


def test_roles_only_read() -> None:
    """No verb but get, list and watch, no wildcard, and never a Secret."""
    documents = list(yaml.safe_load_all(rbac.render_manifest()))
    rules = [rule for d in documents for rule in d.get("rules", ())]
    assert {v for r in rules for v in r["verbs"]} == {"get", "list", "watch"}
    named = {n for r in rules for n in (*r["resources"], *r["apiGroups"])}
    assert not named & {"*", "secrets"}
    assert "pods/log" in named


def test_roles_are_the_rights_that_doctor_tries() -> None:
    """Every right of the list is granted with its verbs, in its scope, and nothing more."""
    documents = {d["kind"]: d for d in yaml.safe_load_all(rbac.render_manifest("sentinel", "ops"))}
    for kind, inside in (("ClusterRole", False), ("Role", True)):
        granted = {
            (g, n, tuple(r["verbs"]))
            for r in documents[kind]["rules"]
            for g in r["apiGroups"]
            for n in r["resources"]
        }
        wanted = {(r.group, r.resource, r.verbs) for r in rbac.RIGHTS if r.inside is inside}
        assert granted == wanted
    assert documents["Role"]["metadata"]["namespace"] == "sentinel"
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        assert documents[kind]["subjects"][0]["namespace"] == "ops"
