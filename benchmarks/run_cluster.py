"""A cluster in a process of its own, for the benchmarks of runs: the sandbox, on command.

    python benchmarks/run_cluster.py FOLDER NODES

Takes one command a line and answers with one: `break NODE…` writes the condition of a
fault to these nodes and answers with the time of each write; `requests` answers with the
number of requests so far. Nothing of the simulated NVSentinel reacts: only the time until
nvsx does is measured.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

CHECK = "SysLogsXIDError"


@dataclass
class Cluster:
    """The other process, as bootstrap takes a sandbox: where it is and how to get in."""

    url: str
    read_only_token: str
    kubeconfig: Path
    nodes: list[str]
    process: subprocess.Popen[str]

    def ask(self, *words: str) -> Any:
        """Send a command and wait for its answer."""
        to, back = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)
        to.write(" ".join(words) + "\n")
        to.flush()
        return json.loads(back.readline())

    async def broken(self, *nodes: str) -> dict[str, int]:
        """Break nodes; wall-clock nanoseconds of each write."""
        return dict(await asyncio.to_thread(self.ask, "break", *nodes))


@contextmanager
def serving(folder: Path, count: int) -> Iterator[Cluster]:
    """Start it and, in the end, kill it."""
    command = [sys.executable, __file__, str(folder), str(count)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            found = json.loads(cast(IO[str], process.stdout).readline())
            found["kubeconfig"] = Path(found["kubeconfig"])
            yield Cluster(**found, process=process)
        finally:
            process.kill()


def fault(node: dict[str, Any]) -> None:
    """The condition NVSentinel writes for XID 79."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = node["status"]["conditions"]
    conditions[:] = [c for c in conditions if c["type"] != CHECK]
    conditions.append(
        {
            "type": CHECK,
            "status": "True",
            "reason": f"{CHECK}IsNotHealthy",
            "message": "ErrorCode:79 PCI:0000:17:00 Recommended Action=RESTART_BM;",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
    )


async def main(folder: Path, count: int) -> None:
    """Serve until killed."""
    from nvsentinel_sandbox.host import Sandbox

    sandbox = Sandbox(state_dir=folder, nodes=count, seed=1)
    await sandbox.start()
    server: Any = sandbox._server  # noqa: SLF001 - a benchmark looks inside
    nodes = [n["name"] for n in sandbox.status()["nodes"]]
    where = {
        "url": sandbox.url,
        "read_only_token": sandbox.read_only_token,
        "kubeconfig": str(sandbox.kubeconfig),
        "nodes": nodes,
    }
    print(json.dumps(where), flush=True)
    loop = asyncio.get_running_loop()
    while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        answer: Any
        if words[0] == "break":
            answer = {}
            for node in words[1:]:
                answer[node] = time.time_ns()
                sandbox.store.update("nodes", node, fault, subresource="status")
        else:
            answer = sum(server.requests.counts.values())
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
