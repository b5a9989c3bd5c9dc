from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.patience import patience

from nvsx.core.runbook import stage_order
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.watches.kinds import AnyOf, Watch
from nvsx.core.watches.node_watches import NodeFieldWatch, NvsentinelStateWatch
from nvsx.core.watches.resource_watch import CrdWatch
from nvsx.project.loader import load_runbook

ROOT = Path(__file__).resolve().parents[2]
STARTERS = {
    "gpu-off-bus": "xid-79",
    "ecc-double-bit": "xid-48",
    "nvlink-fault": "nvlink-down",
    "thermal-throttle": "thermal",
    "driver-hang": "dcgm-connectivity",
    "inforom-corrupt": "inforom",
    "gsp-hang": "xid-119",
    "row-remap-failure": "row-remap-failure",
    "nvswitch-fault": "sxid",
    "network-link-down": "ib-link-down",
    "node-not-ready": "node-not-ready",
    "preflight-failed": "preflight-nccl-loopback",
    "csp-maintenance": "csp-maintenance",
    "any-fault": "pcie-replays",
}
#: Those that follow a repair, or its refusal.
CHAINED = sorted(STARTERS.keys() - {"thermal-throttle", "csp-maintenance"})
#: Those that know which condition has to go; the catch-all is for any.
NAMED = sorted(STARTERS.keys() - {"thermal-throttle", "any-fault"})
SHELL = sorted([*ROOT.glob("runbooks/hooks/**/*.sh"), *ROOT.glob("scripts/*.sh")])


def load(name: str) -> LoadedRunbook:
    """The starter of that name."""
    return load_runbook(ROOT / "runbooks" / f"{name}.yaml", ROOT)


def watches_of(name: str, stage: str) -> tuple[Watch | AnyOf, ...]:
    """What a starter waits for in one stage."""
    return next(s.watch for s in load(name).runbook.stages if s.id == stage)


@pytest.mark.parametrize("name", STARTERS)
def test_every_starter_loads_and_is_short(name: str) -> None:
    """A starter is valid, names the fault that rehearses it, and keeps logic in hooks."""
    runbook = load(name).runbook
    assert runbook.drill is not None
    assert runbook.drill.fault == STARTERS[name]
    assert len((ROOT / "runbooks" / f"{name}.yaml").read_text().splitlines()) < 150


def test_every_runbook_that_ships_is_listed() -> None:
    """No starter escapes these tests."""
    assert {p.stem for p in (ROOT / "runbooks").glob("*.yaml")} == STARTERS.keys()


@pytest.mark.parametrize("name", STARTERS)
def test_every_hook_is_there_and_executable(name: str) -> None:
    """Each hook a starter names can be run, and no hook in its folder is forgotten."""
    runbook = load(name).runbook
    named = {runbook.on_failure, runbook.on_attempt} | {
        h for s in runbook.stages for h in (s.hook, s.on_overdue)
    }
    paths = {ROOT / "runbooks" / hook for hook in named if hook}
    assert all(os.access(p, os.X_OK) for p in paths)
    assert paths == set((ROOT / "runbooks" / "hooks" / name).iterdir())


def test_the_flagship_goes_through_seven_stages() -> None:
    """gpu-off-bus shows the whole chain, and answers to rogue-moose."""
    runbook = load("gpu-off-bus").runbook
    assert runbook.metadata.nickname == "rogue-moose"
    assert [s.id for s in runbook.stages] == [
        s for s in stage_order.STAGE_ORDER if s not in ("baseline", "inject")
    ]


def test_throttling_waits_for_nothing_that_never_comes() -> None:
    """Throttling has an Event and nothing else: no stage asks for cordon, taint or drain."""
    runbook = load("thermal-throttle").runbook
    assert [s.id for s in runbook.stages] == ["detect", "recover", "postmortem"]
    assert runbook.prerequisites == ()
    assert [t.fatal for t in runbook.triggers or ()] == ["any"]
    seen = {w.kind for s in runbook.stages for w in s.watches if not w.absent}
    assert seen == {"node-event", "node-condition"}
    (detect,) = watches_of("thermal-throttle", "detect")
    assert isinstance(detect, AnyOf)
    assert {w.kind for w in detect.any_of} == seen


@pytest.mark.parametrize("name", CHAINED)
def test_a_repair_is_believed_only_when_it_finished(name: str) -> None:
    """Remediate waits for the outcome of a request, never for the label that one was made."""
    for item in watches_of(name, "remediate"):
        members = item.any_of if isinstance(item, AnyOf) else (item,)
        for w in members:
            if isinstance(w, NvsentinelStateWatch):
                assert w.state == ("remediation-failed",)
            else:
                assert isinstance(w, CrdWatch)
                assert w.resource == "maintenance"
                assert w.completed or w.absent


@pytest.mark.parametrize("name", NAMED)
def test_recovery_means_released_by_nvsentinel(name: str) -> None:
    """Recover waits for health, readiness and both marks gone, not for somebody's cordon."""
    found = [w for w in watches_of(name, "recover") if not isinstance(w, AnyOf)]
    assert {w.kind for w in found} == {"node-condition", "node", "node-annotation", "node-label"}
    assert not [w for w in found if isinstance(w, NodeFieldWatch) and w.field != "ready"]
    assert all(w.absent for w in found if w.kind != "node")


@pytest.mark.parametrize("name", STARTERS)
def test_no_stage_goes_on_after_a_timeout(name: str) -> None:
    """A starter that passes has seen every stage: none may be given up and called passed."""
    stages = load(name).runbook.stages
    assert {s.on_timeout for s in stages} == {"fail"}
    assert stages[-1].id == "postmortem"


@pytest.mark.parametrize("folder", sorted({p.parent for p in SHELL}), ids=lambda p: p.name)
def test_shell_is_clean(folder: Path) -> None:
    """shellcheck finds nothing in any hook, library or script."""
    program = shutil.which("shellcheck") or shutil.which(
        "shellcheck", path=str(ROOT / ".venv" / "bin")
    )
    if program is None:
        pytest.skip("shellcheck is not installed here")
    files = [p for p in SHELL if p.parent == folder]
    done = subprocess.run(
        [program, "-x", *files], capture_output=True, text=True, timeout=patience(50), check=False
    )
    assert done.returncode == 0, done.stdout
