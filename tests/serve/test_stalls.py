"""What stops the event loop of a real `nvsx serve`: patterns do not, and the rest is ended."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.patience import patience
from tests.serve.conftest import until

from nvsx.core.journal import entries as j

if TYPE_CHECKING:
    from tests.serve.conftest import Daemon, Site

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(150)]

#: What RE2 cannot read, and what any other matcher needs years for over HOSTILE.
KILLER = "(?=a)(a|aa)+$"
HOSTILE = "a" * 3000 + "!"


#: The ways a tenant's, a sender's or NVSentinel's text meets a pattern of a run.
WATCHES: dict[str, dict[str, Any]] = {
    "log": {"kind": "log", "namespace": "ml", "selector": "app=train", "pattern": KILLER},
    "annotation": {"kind": "node-annotation", "key": "hostile", "pattern": KILLER},
}


def only(site: Site, watch: dict[str, Any]) -> None:
    """One runbook that waits so for XID 79, beside the one for heat."""
    for path in (site.project / "runbooks").glob("*.yaml"):
        if path.stem != "thermal-throttle":
            path.unlink()
    body = {
        "apiVersion": "nvsx/v1",
        "kind": "Runbook",
        "metadata": {"name": "slow"},
        "triggers": [{"check": "SysLogsXIDError", "errorCode": ["79"]}],
        "stages": [{"id": "detect", "watch": [watch], "timeout": "10m"}],
    }
    (site.project / "runbooks/slow.yaml").write_text(yaml.safe_dump(body))


async def _probe(site: Site, port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(patience(10)):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])


@pytest.mark.parametrize("kind", sorted(WATCHES))
async def test_a_killing_pattern_ends_its_run_and_no_other(site: Site, kind: str) -> None:
    """The stage whose pattern is too slow fails and names it, before and after a restart; the
    probe answers and another node's fault is served."""
    only(site, WATCHES[kind])
    store = site.sandbox.store
    nodes = [n["name"] for n in site.sandbox.status()["nodes"]]
    for name in nodes[:2]:
        store.update("nodes", name, lambda o: _annotate(o, "hostile", HOSTILE))
    for turn in (0, 1):
        daemon = await site.serve("--mode", "watch,webhook", "--port", "0")
        await site.sandbox.inject("xid-79", nodes[turn])
        for pod in store.list("pods", namespace="ml") if kind == "log" else ():
            store.append_log("ml", pod["metadata"]["name"], "train", HOSTILE)
        await site.sandbox.inject("thermal", nodes[2 + turn])
        rows = await site.finished(2 * turn + 2)
        slow = [r for r in rows if r.runbook == "slow"]
        assert len(slow) == turn + 1
        assert [r.node for r in rows if r.runbook == "thermal-throttle"] == nodes[2 : 3 + turn]
        ends = [e for e in await site.entries(slow[-1].run_id) if isinstance(e, j.StageEnd)]
        assert [e.status for e in ends if e.stage == "detect"] == ["fail"]
        assert f"pattern /{KILLER}/ takes too long" in ends[0].reason
        port = re.search(r"127\.0\.0\.1:(\d+)", daemon.output)
        assert port is not None
        assert await _probe(site, int(port[1])) == 200
        await daemon.kill()


def _annotate(node: dict[str, Any], key: str, value: str) -> None:
    node["metadata"].setdefault("annotations", {})[key] = value


async def _inject_lasting_fault(site: Site) -> None:
    """A fault whose drain does not begin before it is told to."""
    site.steps.hold("drain_pickup")
    await site.has_served_before()
    await site.sandbox.inject("xid-79")


async def _stalled(site: Site, how: str) -> Daemon:
    """A daemon in which a run stalled the loop, once it has ended."""
    daemon = await site.serve("--mode", "watch", ready=False, program=("tests.serve.stalling", how))

    async def ended() -> bool | None:
        return True if daemon.process.returncode is not None else None

    await until(ended, 60)
    await daemon.kill()
    return daemon


@pytest.mark.parametrize(
    ("how", "code", "within"),
    [("match", 70, "stall"), ("wait", 70, "_sleep_in_c"), ("held", -signal.SIGPROF, "_work_in_c")],
)
async def test_a_stalled_loop_is_ended_and_says_where(
    site: Site, how: str, code: int, within: str
) -> None:
    """Whatever holds the loop, the process ends, and a file has the functions it stood in."""
    await _inject_lasting_fault(site)
    daemon = await _stalled(site, how)
    assert daemon.process.returncode == code
    [dump] = (site.state / "stalls").glob("stall-*.txt")
    assert f"in {within}" in dump.read_text()
    assert dump.stat().st_mode & 0o777 == 0o600
    if code == 70:
        [row] = await site.rows()
        assert f"stands still for 1 s in run {row.run_id}" in daemon.output
        assert "ends with exit code 70" in daemon.output
        [line] = (site.state / "stalls/runs.jsonl").read_text().splitlines()
        assert json.loads(line)["run_id"] == row.run_id


async def test_a_run_that_stalled_twice_is_set_aside_until_a_person_takes_it_up(
    site: Site,
) -> None:
    """It is resumed after the first stall, which its record tells; after the second it is not,
    and the log and `runs list` name the command that takes it up, which works."""
    site.quick_hooks()
    await _inject_lasting_fault(site)
    await _stalled(site, "match")
    [row] = await site.rows()
    await _stalled(site, "match")
    notes = [e for e in await site.entries(row.run_id) if isinstance(e, j.NoteMade)]
    assert [n.code for n in notes if n.code == "stalled"] == ["stalled"]
    daemon = await site.serve("--mode", "watch")
    command = f"nvsx run {row.runbook} --resume {row.run_id}"
    assert f"run {row.run_id} on {row.node} is set aside" in daemon.output
    assert command in daemon.output
    code, listed = await site.nvsx("runs", "list")
    assert code == 0
    assert "set aside" in listed
    assert command in listed
    assert (await site.rows())[0].finished is None
    site.steps.go("drain_pickup")
    code, said = await site.nvsx(*command.split()[1:])
    assert code == 0, said
    assert await daemon.stop() == 0


async def test_a_process_that_was_stopped_did_not_stall(site: Site) -> None:
    """Ctrl-Z, `docker pause`: for longer than any wait of the watchdog's, and it goes on."""
    site.quick_hooks()
    daemon = await site.serve("--mode", "watch", program=("tests.serve.stalling", "never"))
    daemon.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(8)  # the kernel's clocks go on meanwhile, and none of them is ours
    daemon.process.send_signal(signal.SIGCONT)
    await site.sandbox.inject("xid-79")
    await site.finished(1)
    assert daemon.process.returncode is None
    assert "stands still" not in daemon.output
