"""Drills on a real cluster, beside daemons that would take them for real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.live import pass_for_real

from nvsentinel_sandbox.host import Sandbox
from nvsx.core.errors import Conflict, Forbidden
from nvsx.follow.one_daemon import find_serving_daemon, hold_daemon_lock
from nvsx.follow.rehearsal import refuse_watched_drill
from nvsx.follow.workplace import Workplace, open_workplace
from nvsx.project.home import Home


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A cluster that has not been told yet to pass for a real one."""
    made = Sandbox(state_dir=tmp_path / "sandbox", speed=10)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def real(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Workplace]:
    """nvsx on a real cluster."""
    pass_for_real(sandbox)
    async with open_workplace(Home(str(tmp_path)), sandbox) as workplace:
        yield workplace


def _run_daemon_pod(sandbox: Sandbox, phase: str) -> None:
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "nvsx-1",
            "namespace": "default",
            "labels": {"app.kubernetes.io/name": "nvsx"},
        },
        "spec": {"containers": [{"name": "nvsx", "image": "nvsx"}]},
        "status": {"phase": phase},
    }
    sandbox.store.create("pods", pod)


async def test_a_drill_nobody_watches_begins(real: Workplace) -> None:
    """No daemon of this folder, no pod of nvsx: nothing is refused."""
    await refuse_watched_drill(real, "gpu-node-a1")
    await refuse_watched_drill(real, "")


async def test_beside_a_daemon_with_its_store_a_drill_names_its_node(real: Workplace) -> None:
    """The fault joins the drill's run, which holds the node; without one it would be the
    daemon's, which pages."""
    with hold_daemon_lock(real.home.state_dir, real.where.cluster):
        await refuse_watched_drill(real, "gpu-node-a1")
        with pytest.raises(Conflict, match="page people") as refused:
            await refuse_watched_drill(real, "")
    assert "--target-node" in refused.value.hint
    await refuse_watched_drill(real, "")


@pytest.mark.parametrize(
    ("phase", "refused"), [("Running", True), ("Pending", True), ("Failed", False)]
)
async def test_a_daemon_with_another_store_forbids_a_drill(
    real: Workplace, sandbox: Sandbox, phase: str, refused: bool
) -> None:
    """A pod of nvsx that runs, or is about to, is named and stands in the way."""
    _run_daemon_pod(sandbox, phase)
    if not refused:
        await refuse_watched_drill(real, "gpu-node-a1")
        return
    with pytest.raises(Conflict, match="default/nvsx-1"):
        await refuse_watched_drill(real, "gpu-node-a1")


async def test_a_drill_is_refused_where_daemons_cannot_be_seen(
    real: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods that may not be listed may be a daemon's."""

    async def forbidden(*_: object) -> None:
        raise Forbidden("pods is forbidden")

    monkeypatch.setattr(real.cluster, "read", forbidden)
    with pytest.raises(Conflict, match="cannot be told: pods is forbidden"):
        await refuse_watched_drill(real, "gpu-node-a1")


async def test_on_a_sandbox_every_drill_begins(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nobody is paged there, whoever watches."""
    async with open_workplace(Home(str(tmp_path)), sandbox) as workplace:
        with hold_daemon_lock(workplace.home.state_dir, workplace.where.cluster):
            await refuse_watched_drill(workplace, "")


def test_a_killed_daemons_number_is_no_daemon(tmp_path: Path) -> None:
    """The lock decides, not what the file still says; another cluster's daemon does not count."""
    with hold_daemon_lock(tmp_path, "u-1"):
        assert find_serving_daemon(tmp_path, "u-1").isdigit()
        assert not find_serving_daemon(tmp_path, "u-2")
    assert (tmp_path / "serve-u-1.lock").read_text().isdigit()
    assert not find_serving_daemon(tmp_path, "u-1")
