"""Gathers what doctor and setup judge: this machine, the project, the cluster.

Only GETs reach the cluster, and nothing is sent to people. Whatever cannot be had becomes part of
the survey, with its reason: `survey` raises nothing for a broken cluster, project or kubectl.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from nvsx import __version__
from nvsx.cluster import kubeconfig
from nvsx.cluster.gateway import Gateway, InClusterGateway
from nvsx.cluster.kubectl_proxy import ProxyGateway
from nvsx.commands.doctor.doctor_facts import (
    ChosenCluster,
    ClusterSeen,
    Lint,
    Machine,
    ProjectSeen,
    Survey,
    TriedRight,
    Trouble,
)
from nvsx.commands.doctor.surveyed_cluster import survey_cluster
from nvsx.commands.doctor.surveyed_targets import survey_targets
from nvsx.core.errors import ClusterError, InvalidRunbook, NvsxError, UsageError
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.follow.processes.kubectl_guard import install_guard
from nvsx.follow.surroundings import (
    refuse_stale_kubeconfig,
    runs_in_pod,
    uses_service_account,
)
from nvsx.lint import linter, script_file
from nvsx.lint.coverage import Coverage, find_coverage
from nvsx.nvsentinel.names import VOCABULARY
from nvsx.nvsentinel.reportable_faults import REPORTABLE_FAULTS
from nvsx.project import cel, loader, settings
from nvsx.project.home import Home

_SECONDS = 10
_EXTRAS = {
    "convert": "anthropic",
    "mongo": "pymongo",
    "notify": "apprise",
    "postgres": "psycopg",
}
_SCRIPT_RULES = (
    "hook-",
    "script-",
    "no-interpreter",
    "cluster-write",
    "message-",
    "unknown-target",
)


def trouble(error: NvsxError) -> Trouble:
    return Trouble(error.message, error.hint)


async def survey(home: Home, gateway: Gateway | None = None) -> Survey:
    """Look at everything once. `gateway` stands in for the one the options lead to."""
    machine, project = await asyncio.gather(
        asyncio.to_thread(survey_machine, home), asyncio.to_thread(survey_project, home)
    )
    target, chosen = await asyncio.to_thread(choose_target, home, gateway)
    unset = project.trouble or project.settings_trouble
    namespace = "" if unset else home.nvsentinel_namespace
    cluster, telling = await asyncio.gather(
        survey_cluster(chosen, namespace, project.store_uri) if chosen else _see_no_cluster(),
        survey_targets(home),
    )
    return Survey(machine, target, cluster, project, telling)


async def _see_no_cluster() -> ClusterSeen:
    return ClusterSeen()


# --- this machine -------------------------------------------------------------------------


def survey_machine(home: Home) -> Machine:
    path = shutil.which("kubectl") or ""
    version, kubectl_trouble = _version_of_kubectl(path)
    state, state_trouble = _try_state_folder(home)
    return Machine(
        python=platform.python_version(),
        nvsx=__version__,
        extras={name: _is_importable(module) for name, module in _EXTRAS.items()},
        kubectl=version,
        kubectl_path=path,
        kubectl_trouble=kubectl_trouble,
        in_pod=runs_in_pod(home.env),
        state=state,
        state_trouble=state_trouble,
        convert_key=bool(home.env.get("ANTHROPIC_API_KEY")),
    )


def _is_importable(module: str) -> bool:
    with suppress(ImportError, ValueError):
        return importlib.util.find_spec(module) is not None
    return False


def _version_of_kubectl(path: str) -> tuple[str, Trouble | None]:
    """Its version. Asked without a server: that is another check."""
    if not path:
        return "", trouble(kubeconfig.kubectl_is_missing())
    hint = f"does `{path} version --client` work?"
    try:
        done = subprocess.run(
            (path, "version", "--client", "-o", "json"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout)["clientVersion"]["gitVersion"]
    except subprocess.TimeoutExpired:
        return "", Trouble(f"{path} did not tell its version in {_SECONDS}s", hint)
    except (OSError, ValueError, LookupError, TypeError):
        return "", Trouble(f"{path} does not tell its version", hint)
    return str(found), None


def _try_state_folder(home: Home) -> tuple[str, Trouble | None]:
    """The state folder, and whether a file can be made there."""
    try:
        folder = home.state_dir
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
    except NvsxError as error:
        return "", trouble(error)
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}"
        return "", Trouble(message, "set NVSX_STATE_DIR to a folder you can write to")
    return str(folder), None


# --- which cluster ------------------------------------------------------------------------


def choose_target(home: Home, gateway: Gateway | None) -> tuple[ChosenCluster, Gateway | None]:
    """The context that is meant, and the way to it; None when there is none."""
    if gateway is not None:
        return ChosenCluster(context=gateway.name), gateway
    if uses_service_account(home.env, home.context):
        return ChosenCluster(), InClusterGateway(home.env)
    try:
        refuse_stale_kubeconfig(home.env, home.context)
        context = kubeconfig.find_context(home.context)
        known = kubeconfig.list_contexts()
    except (ClusterError, UsageError) as error:
        return ChosenCluster(trouble=trouble(error)), None
    others = tuple(c.name for c in known if c.name != context.name)
    target = ChosenCluster(context.name, _address_without_secrets(context.server), others=others)
    return target, ProxyGateway(context.name)


def _address_without_secrets(server: str) -> str:
    """A server's address without user-info, path and query: they can hold a token."""
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


# --- the project --------------------------------------------------------------------------


def survey_project(home: Home) -> ProjectSeen:
    try:
        project = home.project
        catalog = loader.discover(project.root)
    except UsageError as error:
        return ProjectSeen(root="", kind="", trouble=trouble(error))
    books = [e for e in catalog if isinstance(e, LoadedRunbook)]
    scripts = {f.path for book in books for f in script_file.list_named_files(book)}
    targets = settings.find_target_names(project.root, home.env)
    found = linter.lint(catalog, VOCABULARY, (), cel.evaluate, shellcheck=False, targets=targets)
    findings = [
        Lint(f.runbook, f.severity, str(f.problem), f.rule.startswith(_SCRIPT_RULES)) for f in found
    ]
    seen = ProjectSeen(
        root=str(project.root),
        kind=project.kind,
        runbooks=len(catalog),
        hooks=len(scripts),
        findings=tuple(findings),
        coverage=tuple(coverage_of(catalog)),
        guard=_try_guard(),
    )
    return _with_settings(home, seen)


def coverage_of(catalog: Sequence[LoadedRunbook | BrokenRunbook]) -> list[Coverage]:
    """Which runbook of the project each fault of NVSentinel would fire."""
    books = [entry.runbook for entry in catalog if isinstance(entry, LoadedRunbook)]
    return find_coverage(books, REPORTABLE_FAULTS, cel.evaluate)


def _with_settings(home: Home, seen: ProjectSeen) -> ProjectSeen:
    try:
        settings = home.settings
    except (InvalidRunbook, UsageError) as error:
        return replace(seen, settings_trouble=trouble(error))
    return replace(
        seen,
        modes=settings.serve.modes,
        store_uri=settings.health_events.uri,
        kubectl_writes=settings.hooks.kubectl_writes,
    )


def _try_guard() -> TriedRight:
    """Try the guard on a write, with a stand-in behind it: no real kubectl is in reach."""
    with tempfile.TemporaryDirectory(prefix="nvsx-") as folder:
        guard = install_guard(Path(folder))
        behind = Path(folder) / "kubectl"
        behind.write_text("#!/bin/sh\necho passed\n", encoding="utf-8")
        behind.chmod(0o700)
        path = os.pathsep.join((str(guard), folder, "/usr/bin", "/bin"))
        try:
            done = subprocess.run(
                (str(guard / "kubectl"), "delete", "node", "doctor-tries-the-guard"),
                env={"PATH": path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return TriedRight("kubectl guard", "", None, detail=f"it cannot be run: {error}")
    passed = b"passed" in done.stdout
    return TriedRight("kubectl guard", "", passed, detail="tried with kubectl delete")
