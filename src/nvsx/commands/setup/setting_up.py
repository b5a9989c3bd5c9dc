"""`nvsx setup` put together: the look at the cluster, the starters that ship, the folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nvsx.cluster.gateway import Gateway
from nvsx.commands.doctor import checkup, survey
from nvsx.commands.doctor.checkup import CLUSTER, NODES, NVSENTINEL
from nvsx.commands.doctor.doctor_checks import CHECKS
from nvsx.commands.doctor.doctor_facts import ChosenCluster, ClusterSeen, ProjectSeen, Survey
from nvsx.commands.doctor.surveyed_cluster import survey_cluster
from nvsx.commands.setup import setup_project
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.runbook.schema import Runbook
from nvsx.project import loader, locate
from nvsx.project.home import Home

_GIT_SECONDS = 10
_SHOWN = (CLUSTER, NVSENTINEL, NODES)


@dataclass(frozen=True, slots=True)
class ClusterLook:
    """What was seen of a cluster, and doctor's view of it."""

    survey: Survey
    report: checkup.CheckupReport

    @property
    def learned(self) -> setup_project.Learned:
        return setup_project.Learned.of(
            self.survey.target.context, self.survey.cluster.installation
        )


def target_of(home: Home, gateway: Gateway | None = None) -> tuple[ChosenCluster, Gateway | None]:
    """The context that would be looked at. Contacts no cluster."""
    return survey.choose_target(home, gateway)


async def look(home: Home, target: ChosenCluster, gateway: Gateway | None) -> ClusterLook:
    """Look at the cluster, or at none. NVSentinel is looked for in every namespace, unless
    NVSX_NAMESPACE says where it is."""
    namespace = home.env.get("NVSX_NAMESPACE", "")
    cluster = await survey_cluster(gateway, namespace, "auto") if gateway else ClusterSeen()
    seen = Survey(survey.survey_machine(home), target, cluster, ProjectSeen(root="", kind=""))
    report = checkup.examine(seen, [c for c in CHECKS if c.group in _SHOWN])
    return ClusterLook(seen, report)


def starters() -> list[Runbook]:
    """The runbooks that ship, by name."""
    catalog = loader.discover(locate.packaged_root())
    return [e.runbook for e in catalog if isinstance(e, LoadedRunbook)]


def default_folder(home: Home, cwd: Path) -> Path:
    """The named project, else the project around, a repository's top or an empty folder,
    else a folder of its own beneath."""
    named = home.project_flag or home.env.get("NVSX_PROJECT_ROOT")
    if named:
        return (cwd / Path(named).expanduser()).absolute()
    around = next((f for f in (cwd, *cwd.parents) if locate.is_project(f)), None)
    if around is not None:
        return around
    if (cwd / ".git").exists() or not any(cwd.iterdir()):
        return cwd
    return cwd / "nvsx-runbooks"


def plan_project(
    root: Path, chosen: list[str], learned: setup_project.Learned
) -> setup_project.ProjectPlan:
    """The files of the project at `root`, compared with what is there."""
    return setup_project.plan(
        root, locate.packaged_root(), chosen, learned, is_project=locate.is_project(root)
    )


def ignored(root: Path, files: Sequence[str]) -> list[str]:
    """Those of `files` that git would leave out of a commit; none without git."""
    git = shutil.which("git")
    existing = next(f for f in (root, *root.parents) if f.is_dir())
    if git is None or not in_repository(root):
        return []
    names = "\0".join(str(root / f) for f in files)
    try:
        done = subprocess.run(
            (git, "-C", str(existing), "check-ignore", "--stdin", "-z"),
            input=names,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(Path(p).relative_to(root)) for p in done.stdout.split("\0") if p]


def in_repository(folder: Path) -> bool:
    return any((f / ".git").exists() for f in (folder, *folder.parents))
