"""A daemon whose disk is really full: a small file system of its own, and a file that fills it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.patience import patience
from tests.serve.conftest import until
from tests.serve.test_operating import get, post, url_of

if TYPE_CHECKING:
    from tests.serve.conftest import Site

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(150)]


def small_disk(folder: Path) -> list[str]:
    """The words that run a command for which `folder` is a file system of 8 MB."""
    folder.mkdir()
    script = 'mount --make-rprivate / && mount -t tmpfs -o size=8m,mode=700 tmpfs "$0" && exec "$@"'
    words = [shutil.which("unshare") or "unshare", "-m", "sh", "-c", script, str(folder)]
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True, timeout=patience(10))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    return words


def fill(path: Path) -> None:
    """Write to a file until there is no room at all."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    assert os.statvfs(path.parent).f_bavail == 0


async def test_a_full_disk_is_a_503_and_no_crash(site: Site) -> None:
    """Without room senders get a 503 that says why and is counted; with room the same is taken."""
    daemon = await site.serve("--mode", "webhook", "--port", "0", within=small_disk(site.state))
    url, node = url_of(daemon), site.sandbox.default_node
    filler = Path(f"/proc/{daemon.process.pid}/root{site.state}/filler")
    body = {"runbook": "gpu-off-bus", "target_node": node}
    status, fired = await post(url, body)
    assert (status, fired["status"]) == (202, "fired")
    fill(filler)

    async def answered(wanted: int) -> dict[str, Any] | None:
        status, told = await post(url, body)
        assert status in (202, 503)
        return told if status == wanted else None

    told = await until(lambda: answered(503))
    ready, why = await get(f"{url}/readyz")
    alive, _ = await get(f"{url}/healthz")
    _, metrics = await get(f"{url}/metrics")
    filler.unlink()
    taken = await until(lambda: answered(202))

    assert told["reason"] == (
        "it cannot be stored now: the disk is full; what was stored before is safe"
    )
    assert (ready, alive) == (503, 200)
    assert "the disk is full" in why
    assert 'nvsx_webhook_requests_total{outcome="unavailable",source="webhook"}' in metrics
    assert (taken["status"], taken["run_id"]) == ("attached", fired["run_id"])
    assert await daemon.stop() == 0
    assert "Traceback" not in daemon.output
