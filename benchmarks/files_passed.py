"""The files of nvsx that a PagerDuty body passes on its way to its hook.

    python benchmarks/files_passed.py [--list]

A real daemon on a sandbox gets a signed body over its socket. From the moment it is sent until
the process of the runbook's first hook is started, every module of nvsx in which a function is
entered counts once: what follows the cluster meanwhile too, so the figure varies by a few.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from nvsentinel_sandbox.host import Sandbox

ROOT = Path(__file__).resolve().parents[1]
NVSX = str(ROOT / "src" / "nvsx") + os.sep
SAMPLE = ROOT / "tests" / "core" / "senders" / "samples" / "pagerduty/fault.json"
SECRET = b"a-secret-of-the-benchmark"
SETTINGS = """\
apiVersion: nvsx/v1
kind: Project
serve:
  sources:
    pagerduty:
      secretEnv: BENCH_PAGERDUTY
      runbook: {cel: "'gpu-off-bus'"}
"""


class Trace:
    """Counts the modules entered between `begin` and the start of the hook's process."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.ended = threading.Event()
        self._running = False

    def install(self) -> None:
        """Before the daemon starts its threads, which would not be seen otherwise."""
        sys.addaudithook(self._heed)
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def begin(self) -> None:
        self._running = True

    def _profile(self, frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if self._running and event == "call" and code.co_filename.startswith(NVSX):
            name = code.co_filename.removeprefix(NVSX)
            self.first.setdefault(name, code.co_qualname)
            self.calls[name] += 1

    def _heed(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and "hooks/gpu-off-bus" in str(args[1]):
            self._running = False
            self.ended.set()


def send(url: str, node: str) -> dict[str, Any]:
    """Post the sample, about a node of the sandbox, signed as PagerDuty signs."""
    text = re.sub(r"nvsx/[^/]+/[^/]+/", f"nvsx/nvsx-sandbox/{node}/", SAMPLE.read_text())
    said = json.loads(text)
    said["event"]["occurred_at"] = None
    body = json.dumps(said).encode()
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-PagerDuty-Signature": f"v1={signature}"}
    request = urllib.request.Request(f"{url}/hooks/pagerduty", body, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return dict(json.load(answer))


async def follow_one_body(folder: Path, trace: Trace) -> None:
    """Serve, send, and wait for the hook."""
    from nvsx.project.home import Home
    from nvsx.screens.report.past_reports import ReportView
    from nvsx.serve.serve_options import ServeOptions
    from nvsx.serve.service_process import serve

    sandbox = Sandbox(state_dir=folder / "sandbox", speed=4.0, seed=5)
    await sandbox.start()
    os.environ |= {
        "KUBECONFIG": str(sandbox.kubeconfig),
        "NVSX_STATE_DIR": str(folder / "state"),
        "NVSX_PROJECT_ROOT": str(folder / "project"),
        "BENCH_PAGERDUTY": SECRET.decode(),
    }
    for name in ("runbooks", "scripts"):
        shutil.copytree(ROOT / name, folder / "project" / name)
    (folder / "project" / "nvsx.yaml").write_text(SETTINGS)
    said: asyncio.Queue[str] = asyncio.Queue()
    options = ServeOptions(modes=("webhook",), port=0)
    daemon = asyncio.create_task(serve(Home(), options, ReportView, said.put_nowait))
    url = ""
    while (line := await asyncio.wait_for(said.get(), 30)) != "ready":
        url = url or "".join(re.findall(r"webhooks at (http://[^/]+)/", line))
    trace.begin()
    answer = await asyncio.to_thread(send, url, sandbox.default_node)
    if answer["status"] != "fired":
        raise SystemExit(f"the body fired nothing: {answer}")
    if not await asyncio.to_thread(trace.ended.wait, 30):
        raise SystemExit("no hook was started")
    daemon.cancel()
    await asyncio.gather(daemon, return_exceptions=True)
    await sandbox.stop()


def main() -> None:
    trace = Trace()
    trace.install()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(follow_one_body(Path(folder), trace))
    by_package = Counter(Path(name).parts[0] for name in trace.first)
    if "--list" in sys.argv:
        for name, function in trace.first.items():
            print(f"{trace.calls[name]:7,}  {name}  {function}")
    print(f"{len(trace.first)} files: " + ", ".join(f"{n} {p}" for p, n in by_package.items()))


if __name__ == "__main__":
    main()
