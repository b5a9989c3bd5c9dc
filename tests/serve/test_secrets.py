"""Secrets a sender puts into webhooks, and nvsx's own, through a real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.serve.conftest import Site, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TEAM = "planted-team-token-1"
USER_INFO = "bot:userinfoplanted"
BEARER = "eyPlantedBearer0123456789"
FILE, ROTATED = "planted-file-secret-9", "planted-rotated-secret-9"

HOOK = """#!/usr/bin/env bash
cat "$SECRET_FILE" "$NVSX_STATE_DIR/webhook-token"
echo "$NVSX_REASON"
cat "$NVSX_EVENT_FILE" 2>/dev/null
"""


def _alert(node: str, told: str) -> dict[str, Any]:
    """An Alertmanager message with secrets in a label's value and name, annotation and URL."""
    return {
        "version": "4",
        "status": "firing",
        "receiver": f"r-{told}",
        "groupKey": f"g-{told}",
        "externalURL": f"https://{USER_INFO}@am.example",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "XID", "node": node, "secret": told, told: "x"},
                "annotations": {"summary": f"{told} Bearer {BEARER}"},
                "startsAt": "2026-11-22T10:00:00Z",
                "fingerprint": "f00",
                "generatorURL": f"https://{USER_INFO}@prom.example/{told}",
            }
        ],
    }


async def _posted(url: str, path: str, body: Any, secret: str) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(url + path, data=json.dumps(body), headers=headers) as answer,
    ):
        return answer.status, await answer.read()


def _planted(said: dict[str, bytes], secrets: list[str]) -> list[str]:
    return [f"{where}: {s}" for where, data in said.items() for s in secrets if s.encode() in data]


async def test_a_senders_secrets_and_nvsxs_own_are_nowhere(site: Site, tmp_path: Path) -> None:
    """What is posted with secrets in it fires a run, and none of them is in the answer, the
    state folder, the artifacts, the log, the metrics, or what explain, report and history say; nor
    is the token made at this very start, or a sender's secret that was rotated since."""
    site.quick_hooks()
    secret = tmp_path / "sender-secret"
    secret.write_text(FILE + "\n")
    (site.project / "nvsx.yaml").write_text(
        "apiVersion: nvsx/v1\nkind: Project\nserve:\n  sources:\n"
        f"    alertmanager: {{secretFile: {secret}}}\n"
    )
    for hook in (site.project / "runbooks/hooks/gpu-off-bus").glob("*.sh"):
        hook.write_text(HOOK)
    site.env |= {"TEAM_TOKEN": TEAM, "SECRET_FILE": str(secret)}
    daemon = await site.serve("--mode", "webhook", "--port", "0", "-o", "json")
    found = re.search(r"http://[\w.]+:\d+", daemon.output)
    assert found is not None
    url, node = found[0], site.sandbox.default_node
    own = (site.state / "webhook-token").read_text().strip()
    said: dict[str, bytes] = {}
    status, said["alert"] = await _posted(url, "/hooks/alertmanager", _alert(node, TEAM), FILE)
    assert status == 202, said["alert"]
    secret.write_text(ROTATED + "\n")
    body = _alert(node, f"{ROTATED} {own}")
    status, said["rotated"] = await _posted(url, "/hooks/alertmanager", body, ROTATED)
    assert status == 202, said["rotated"]
    told = f"{TEAM} {own} {ROTATED}"
    named = {
        "runbook": "gpu-off-bus",
        "target_node": node,
        "labels": {"team": told},
        "payload": {"deep": [{told: f"https://{USER_INFO}@x/ Bearer {BEARER}"}]},
        "idempotency_key": told,
    }
    status, said["named"] = await _posted(url, "/webhook", named, own)
    assert status == 202, said["named"]
    run_id = (await site.rows())[-1].run_id

    async def hooked() -> bool | None:
        lines = [e for e in await site.entries(run_id) if type(e).__name__ == "HookEnd"]
        return True if lines else None

    await site.sandbox.inject("xid-79", node, people=True)
    await until(hooked, 60)
    async with aiohttp.ClientSession() as client, client.get(f"{url}/metrics") as answer:
        said["metrics"] = await answer.read()
    message = tmp_path / "body.json"
    message.write_text(json.dumps(_alert(node, TEAM)))
    commands = (
        ("explain",),
        ("explain", "-o", "json"),
        ("explain", (await site.events())[-1].event_id),
        ("explain", "--source", "alertmanager", str(message)),
        ("explain", "--source", "alertmanager", str(message), "-o", "json"),
        ("report", run_id),
        ("report", run_id, "-o", "html"),
        ("history", "-o", "json"),
        ("runs", "show", run_id),
    )
    answers = await asyncio.gather(*(site.nvsx(*args) for args in commands))
    for args, (code, text) in zip(commands, answers, strict=True):
        assert code == 0, text
        said[" ".join(args)] = text.encode()
    assert await daemon.stop() == 0
    said["log"] = daemon.output.encode()
    for folder in (site.state, site.project / "nvsx-artifacts"):
        for file in folder.rglob("*"):
            if file.is_file() and file.name != "webhook-token":
                said[str(file)] = file.read_bytes()
    assert b"***" in said["report " + run_id]
    assert b"***" in said["explain -o json"]
    secrets = [TEAM, USER_INFO, BEARER, FILE, ROTATED, own]
    assert _planted(said, secrets) == []


async def test_the_token_is_shown_to_a_terminal(site: Site) -> None:
    """A person who starts the daemon at a terminal reads the header that callers need, at the
    first start and at the next."""
    for _ in range(2):
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nvsx", "serve", "--mode", "webhook", "--port", "0"),
            env=site.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        os.set_blocking(ours, False)
        shown = b""

        async def header() -> bytes | None:
            nonlocal shown
            try:
                shown += os.read(ours, 65536)  # noqa: B023 - called in this turn only
            except BlockingIOError:
                pass
            return shown if b"Authorization" in shown and b"ready" in shown else None

        try:
            await until(header, 60)
        finally:
            process.terminate()
            await process.wait()
            os.close(ours)
        token = (site.state / "webhook-token").read_text().strip()
        assert f"Authorization: Bearer {token}".encode() in shown
