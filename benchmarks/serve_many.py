"""A burst of 5,000 events, a thousand runs in flight, and a restart with all of them.

    python benchmarks/serve_many.py [NODES]

A real `nvsx serve` on a cluster of a thousand nodes. Five events for each node come at once
over 64 connections, shuffled: its fault, the same again, the fault as another check sees it,
one that no runbook is for, and a recovery of something else. That has to be one run a node,
and every event kept. Then the daemon is killed with -9 and started again: once in quiet, and
once while more events arrive, whose sender tries until it is answered. At the end the fault
is written to all nodes: every hook has to begin exactly once.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon import Site, until
from run_cluster import Cluster, serving
from run_world import SCRIPT
from webhook_ingest import CONNECTIONS, connected

GOAL_S = 5.0
RUNBOOK = """\
apiVersion: nvsx/v1
kind: Runbook
metadata: {name: bench}
triggers:
  - {check: GpuPcieWatch}
  - {check: SysLogsGPUFallenOff}
stages:
  - id: detect
    watch: [{kind: node-condition, type: SysLogsXIDError, errorCode: "79"}]
    hook: hooks/bench/on-detect.sh
"""


def event(node: str, check: str, code: str, **more: Any) -> bytes:
    """A health event as NVSentinel's exporter sends it."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    health = {
        "version": 1,
        "agent": "syslog-health-monitor",
        "componentClass": "GPU",
        "checkName": check,
        "isFatal": True,
        "message": f"{check} {code}",
        "recommendedAction": "RESTART_BM",
        "errorCode": [code],
        "entitiesImpacted": [{"entityType": "PCI", "entityValue": "0000:17:00"}],
        "generatedTimestamp": now,
        "nodeName": node,
        "processingStrategy": "EXECUTE_REMEDIATION",
        **more,
    }
    cloud = {
        "specversion": "1.0",
        "type": "com.nvidia.nvsentinel.health.v1",
        "source": "nvsentinel://bench/healthevents",
        "id": os.urandom(8).hex(),
        "data": {"healthEvent": health},
    }
    return json.dumps(cloud).encode()


def mixed(nodes: list[str]) -> list[bytes]:
    """Five events a node, of four kinds, in an order that tells nothing. None of them proves
    what the runs wait for."""
    found = []
    for node in nodes:
        fault = event(node, "GpuPcieWatch", "DCGM_FR_PCI_REPLAY_RATE")
        found += [
            fault,
            fault,
            event(node, "SysLogsGPUFallenOff", ""),
            event(node, "SysLogsXIDError", "31", isFatal=False),
            event(node, "GpuThermalWatch", "", isFatal=False, isHealthy=True),
        ]
    random.Random(7).shuffle(found)  # noqa: S311 - an order, no secret
    return found


async def send_all(site: Site, bodies: list[bytes]) -> float:
    """Send them over all connections at once; seconds until the last answer."""
    todo, began, token = iter(bodies), time.monotonic(), site.token

    async def sender() -> None:
        async with connected(site.port, token) as send:
            for body in todo:
                await send(body)

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    return time.monotonic() - began


async def insist(site: Site, bodies: Iterator[bytes], stop: threading.Event) -> list[float]:
    """Send until told to stop, each until it is answered; how long each took, in seconds."""
    took = []
    while not stop.is_set():
        body, began = next(bodies), time.monotonic()
        while True:
            try:
                async with connected(site.port, site.token) as send:
                    await send(body)
                break
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.02)
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.005)
    return took


def restart(site: Site, runs: int, epoch: int) -> tuple[float, float]:
    """Kill it and start it: seconds until it is ready, and until all runs are taken up."""
    site.end()
    began = time.monotonic()
    site.start()
    until(site.ready)
    ready = time.monotonic() - began
    resumed = f"journal WHERE kind = 'resumed' AND body LIKE '%\"epoch\":{epoch}%'"
    until(lambda: site.count(resumed) == runs)
    until(lambda: site.metric("nvsx_runs_working") == runs)
    return ready, time.monotonic() - began


def beside_events(site: Site, runs: int, epoch: int, node: str) -> tuple[float, float, list[float]]:
    """As `restart`, while events arrive that no runbook is for; and how long each took."""
    stop, took = threading.Event(), list[float]()

    def bodies() -> Iterator[bytes]:
        for number in range(1_000_000):
            yield event(node, "SysLogsXIDError", f"{1000 + number}", isFatal=False)

    def work() -> None:
        took.extend(asyncio.run(insist(site, bodies(), stop)))

    sender = threading.Thread(target=work)
    sender.start()
    try:
        time.sleep(1.0)
        times = restart(site, runs, epoch)
    finally:
        stop.set()
        sender.join()
    return (*times, took)


def hooks_begun(folder: Path) -> Counter[str]:
    """Node → how often its hook began."""
    starts = folder / "starts"
    lines = starts.read_text().splitlines() if starts.exists() else []
    return Counter(line.split()[0] for line in lines)


def require(right: bool, what: str) -> None:
    """What is not true ends the benchmark."""
    if not right:
        raise SystemExit(f"WRONG: {what}")
    print(f"  {what}")


def main(count: int) -> int:
    """The figures; 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder / "cluster", count) as cluster:
            site = Site(folder, cluster, {"bench": RUNBOOK})
            hook = site.project / "runbooks" / "hooks" / "bench" / "on-detect.sh"
            hook.parent.mkdir(parents=True)
            hook.write_text(SCRIPT)
            hook.chmod(0o755)
            try:
                return measured(site, cluster, folder)
            finally:
                site.end()


def measured(site: Site, cluster: Cluster, folder: Path) -> int:
    """See main."""
    nodes = cluster.nodes
    site.start()
    until(site.ready)
    bodies = mixed(nodes)
    took = asyncio.run(send_all(site, bodies))
    print(f"{len(bodies)} events at once: {took:.1f} s, {len(bodies) / took:.0f}/s", end="")
    print(f", load {os.getloadavg()[0]:.1f}")
    kept = site.sql("SELECT SUM(1 + repeats) FROM events")[0][0]
    require(kept == len(bodies), f"all {kept} events are kept")
    each = site.sql("SELECT COUNT(*), COUNT(DISTINCT node) FROM runs")[0]
    require(each == (len(nodes), len(nodes)), f"{each[0]} runs, one a node")
    until(lambda: site.metric("nvsx_runs_working") == len(nodes))
    time.sleep(5.0)
    used = site.processor()
    time.sleep(10.0)
    idle = (site.processor() - used) / 10
    print(f"{len(nodes)} runs in flight: {site.memory():.0f} MB, {idle:.1%} of a core")
    ready, quiet = restart(site, len(nodes), 2)
    print(f"restart after kill -9: ready {ready:.1f} s, all runs at work again {quiet:.1f} s")
    time.sleep(5.0)
    ready, busy, answers = beside_events(site, len(nodes), 3, nodes[0])
    print(f"the same while events arrive: ready {ready:.1f} s, all {busy:.1f} s", end="")
    print(f", load {os.getloadavg()[0]:.1f}")
    taken, slowest = len(answers), max(answers)
    print(f"slowest answer {slowest:.1f} s, median {statistics.median(answers) * 1000:.0f} ms")
    noted = site.count(
        "events WHERE reason = 'no runbook matches' AND body LIKE '%SysLogsXIDError 1%'"
    )
    require(noted >= taken, f"{taken} events answered meanwhile, all are kept")
    asyncio.run(cluster.broken(*nodes))
    until(lambda: site.count("runs WHERE finished IS NOT NULL") == len(nodes))
    passed = site.count("runs WHERE status = 'passed' AND NOT degraded")
    begun = hooks_begun(folder)
    require(passed == len(nodes), f"{passed} runs passed after the release")
    require(begun == dict.fromkeys(nodes, 1), f"{sum(begun.values())} hooks began, one a node")
    met = quiet < GOAL_S
    print(f"goal: all at work again < {GOAL_S:g} s in quiet: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
