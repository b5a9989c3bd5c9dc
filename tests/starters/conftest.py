"""A loopback stand-in for Slack, PagerDuty, Opsgenie and Jira, and a way to run hooks."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.patience import patience

ROOT = Path(__file__).resolve().parents[2]
HOOKS = ROOT / "runbooks" / "hooks"
PAGERDUTY_KEY = "R0123456789abcdef0123456789abcde"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as strict UTF-8 JSON."""
        return json.loads(self.body.decode("utf-8"))


@dataclass
class Services:
    """What was asked for, in order; `answers` holds the coming ones by path prefix."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def to(self, prefix: str) -> list[Request]:
        return [r for r in self.requests if r.path.startswith(prefix)]

    def answer(self, path: str) -> tuple[int, str]:
        for prefix, waiting in self.answers.items():
            if path.startswith(prefix) and waiting:
                return waiting.pop(0)
        if path == "/rest/api/3/issue":
            return 201, '{"id":"10042","key":"GPU-42","self":"x"}'
        return (200, "ok") if path.startswith("/slack") else (202, "{}")

    @property
    def channels(self) -> dict[str, str]:
        """The variables that lead every channel here."""
        return {
            "SLACK_WEBHOOK_URL": f"{self.url}/slack/T0/B0/s3cret",
            "PAGERDUTY_ROUTING_KEY": PAGERDUTY_KEY,
            "PAGERDUTY_EVENTS_URL": f"{self.url}/v2/enqueue",
            "OPSGENIE_API_KEY": "opsgenie-s3cret",
            "OPSGENIE_API_URL": self.url,
            "JIRA_BASE_URL": f"{self.url}/",
            "JIRA_USER": "bot@example.com",
            "JIRA_API_TOKEN": 'jira"s3cret\\',
            "JIRA_PROJECT": "GPU",
        }


@pytest.fixture
def services() -> Iterator[Services]:
    """Every service, answering as it should until `answers` says otherwise."""
    state = Services()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            state.requests.append(Request(self.command, self.path, dict(self.headers), body))
            status, text = state.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Hook:
    """Runs hooks of one run, as nvsx would: same artifact folder, same facts."""

    artifacts: Path
    bin: Path

    @property
    def report(self) -> list[str]:
        path = self.artifacts / "report.txt"
        return path.read_text().splitlines() if path.exists() else []

    def run(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        runbook, _, script = name.partition("/")
        facts = {
            "NVSX_RUNBOOK": runbook,
            "NVSX_STAGE": script.removeprefix("on-"),
            "NVSX_TARGET_NODE": "gpu-07",
            "NVSX_TARGET_ALIAS": "brave-gazelle",
            "NVSX_CLUSTER": "prod",
            "NVSX_RUN_ID": "01JRUN",
            "NVSX_INCIDENT_KEY": "prod/gpu-07/68a5f2e7",
            "NVSX_INCIDENT_MS": "62000",
            "NVSX_ELAPSED_MS": "5000",
            "NVSX_IDEMPOTENCY_KEY": f"01JRUN:{script}",
            "NVSX_ATTEMPT": "1",
            "NVSX_ARTIFACT_DIR": str(self.artifacts),
            "NVSX_REPORT_FILE": str(self.artifacts / "report.txt"),
            "NVSX_IMPACT_FILE": str(self.artifacts / "impact.json"),
        }
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [HOOKS / f"{name}.sh"],
            env={**os.environ, "PATH": path, **facts, **variables},
            capture_output=True,
            text=True,
            timeout=patience(35),
            check=False,
        )

    def kubectl(self, script: str) -> None:
        """Put a kubectl with this bash body on the hook's PATH."""
        executable(self.bin / "kubectl", script)


def executable(path: Path, script: str) -> None:
    """Write `script`, a bash body, as a program."""
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    """Hooks without a reachable cluster."""
    made = Hook(tmp_path / "artifacts", tmp_path / "bin")
    made.artifacts.mkdir()
    made.bin.mkdir()
    made.kubectl("echo unreachable >&2; exit 1")
    return made


@pytest.fixture
def lib() -> Callable[..., str]:
    """Calls one function of the hook library and returns what it prints."""

    def call(function: str, *arguments: str, **variables: str) -> str:
        code = f'set -euo pipefail; source "{HOOKS}/lib/incident.sh"; "$@"'
        done = subprocess.run(
            ["bash", "-c", code, "bash", function, *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            timeout=patience(20),
            check=True,
        )
        return done.stdout.decode("utf-8")

    return call
