"""What people ask of runs from another terminal, and follow there."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest
from tests.serve.conftest import until
from tests.serve.test_operating import post, url_of

if TYPE_CHECKING:
    from tests.serve.conftest import Site

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_daemon_and_a_run_by_hand_are_asked_and_followed(site: Site) -> None:
    """In one state folder, a note and a cancel reach the daemon's run and the one by hand, and
    whoever follows either sees both and its end."""
    daemon = await site.serve("--mode", "webhook", "--port", "0")
    first, second = [node["name"] for node in site.sandbox.status()["nodes"]][:2]
    body = {"runbook": "gpu-off-bus", "target_node": first}
    _, fired = await post(url_of(daemon), body)
    hand = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nvsx", "run", "gpu-off-bus", "--target-node", second),
        env=site.env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:

        async def begun() -> list[str] | None:
            rows = await site.rows()
            states = [await site.run_state(row.run_id) for row in rows]
            return [r.run_id for r in rows] if len([s for s in states if s.current]) == 2 else None

        run_ids = await until(begun)
        assert fired["run_id"] in run_ids
        commands = [("runs", "follow", run_id) for run_id in run_ids]
        following = [asyncio.create_task(_followed(site, *each)) for each in commands]
        for ask in (("note", "{}", "vendor called"), ("cancel", "{}", "--reason", "false alarm")):
            told = [site.nvsx("runs", *(word.format(run_id) for word in ask)) for run_id in run_ids]
            assert [code for code, _ in await asyncio.gather(*told)] == [0, 0]
        for code, output in await asyncio.gather(*following):
            assert code == 0
            assert "vendor called" in output
            assert "false alarm" in output
        assert await hand.wait() == 1
    finally:
        if hand.returncode is None:
            hand.kill()
            await hand.wait()
    assert [row.status for row in await site.finished(2)] == ["cancelled", "cancelled"]
    assert await daemon.stop() == 0


async def _followed(site: Site, *args: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nvsx", *args),
        env=site.env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()
