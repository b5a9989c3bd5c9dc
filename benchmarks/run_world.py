"""Runs in this process on the cluster of run_cluster.py, for the benchmarks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from run_cluster import Cluster

from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.follow.run_request import RunRequest
from nvsx.follow.runner import Runner
from nvsx.follow.workplace import Workplace, open_workplace
from nvsx.project import loader
from nvsx.project.home import Home
from nvsx.serve.run_door import open_own_keeper

RUNBOOK = """\
apiVersion: nvsx/v1
kind: Runbook
metadata: {name: bench}
stages:
  - id: detect
    watch: [{kind: node-condition, type: SysLogsXIDError, errorCode: "79"}]
    hook: hooks/bench/on-detect.sh
"""
#: Says when it began. The bare loops spawn the same script.
SCRIPT = """\
#!/bin/sh
echo "$NVSX_TARGET_NODE $(date +%s%N)" >>"$BENCH_STARTS"
"""


class Place:
    """A project and a state folder for one benchmark, and when its hooks began."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.script = self.project / "runbooks" / "hooks" / "bench" / "on-detect.sh"
        self.script.parent.mkdir(parents=True)
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        (self.project / "runbooks" / "bench.yaml").write_text(RUNBOOK)
        self._starts = folder / "starts"
        os.environ["NVSX_STATE_DIR"] = str(folder / "state")
        os.environ["BENCH_STARTS"] = str(self._starts)
        self.home = Home(str(self.project))
        self.loaded: LoadedRunbook = loader.find(self.project, "bench")

    def starts(self) -> dict[str, int]:
        """Node → wall-clock nanoseconds at which its hook began."""
        lines = self._starts.read_text().splitlines() if self._starts.exists() else []
        return {node: int(at) for node, at in (line.split() for line in lines)}

    @asynccontextmanager
    async def world(self, cluster: Cluster) -> AsyncIterator[Workplace]:
        """nvsx on the cluster, reading it as it reads a sandbox."""
        wanted: Any = cluster
        async with open_workplace(self.home, wanted) as world, open_own_keeper(world) as self.door:
            yield world

    async def runner(self, world: Workplace, node: str) -> Runner:
        """A run on `node`, ready to be worked."""
        new = NewRun(runbook="bench", cluster=world.where.cluster, node=node)
        lease = await world.journal.create(new)
        request = RunRequest(node=node, cluster=world.where.cluster)
        run, _ = world.assemble_run(self.loaded, lease, request, self.door)
        return Runner(run)


def waiting(runner: Runner) -> bool:
    """Whether the run watches for its condition, and has said so."""
    stage = runner.run.state.stage("detect")
    return stage is not None and any(v.kind == "pending" for v in stage.watches.values())


async def until(holds: Callable[[], bool], limit: float = 120.0) -> None:
    """Wait until something holds, looking every 20 ms."""
    async with asyncio.timeout(limit):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.02)


def passed(finish: j.Finish) -> None:
    """A benchmark of runs that fail would measure nothing."""
    if finish.status != "passed" or finish.degraded:
        raise SystemExit(f"a run ended {finish.status}: {finish.reason}")
