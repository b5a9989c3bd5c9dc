"""What an operator does with a daemon: send webhooks, look, cancel, note, silence, explain."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.serve.conftest import until

if TYPE_CHECKING:
    from tests.serve.conftest import Daemon, Site

    from nvsx.core.journal.fold import RunState

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(150)]


def url_of(daemon: Daemon) -> str:
    """Where it takes webhooks."""
    found = re.search(r"webhooks at (http://\S+)/webhook", daemon.output)
    assert found
    return found[1]


async def post(url: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    """POST /webhook; the status and the answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/webhook", json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def get(url: str) -> tuple[int, str]:
    """GET; the status and the body."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_webhook_fires_and_people_follow_note_and_cancel(site: Site) -> None:
    """From the keyboard a webhook fires; the run is listed, noted on, cancelled, explained."""
    daemon = await site.serve("--mode", "webhook", "--port", "0")
    url, node = url_of(daemon), site.sandbox.default_node
    body = {"runbook": "gpu-off-bus", "target_node": node, "source": "pagerduty"}
    status, fired = await post(url, body)
    again, attached = await post(url, body)
    assert (status, fired["status"]) == (202, "fired")
    assert (again, attached["status"], attached["run_id"]) == (202, "attached", fired["run_id"])
    run_id = fired["run_id"]
    _, listed = await site.nvsx("runs", "list", "-o", "json")
    assert [(r["run_id"], r["node"], r["trigger"]) for r in json.loads(listed)] == [
        (run_id, node, "pagerduty")
    ]
    assert (await site.nvsx("runs", "note", run_id, "vendor", "called"))[0] == 0

    async def noted() -> bool | None:
        notes = (await site.run_state(run_id)).notes
        return any(n.text == "vendor called" and n.author for _, n in notes) or None

    await until(noted)
    assert (await site.nvsx("runs", "cancel", run_id, "--reason", "false alarm"))[0] == 0
    code, followed = await site.nvsx("attach", run_id)
    assert code == 0
    assert "false alarm" in followed
    assert (await site.finished())[0].status == "cancelled"
    _, explained = await site.nvsx("explain", fired["event_id"])
    assert explained.startswith(f"{fired['event_id']}: fired")
    assert await daemon.stop() == 0


async def test_probes_tell_and_metrics_count_without_nodes(site: Site) -> None:
    """/healthz and /readyz answer 200; /metrics counts by source, with no node in a label."""
    daemon = await site.serve("--mode", "webhook,watch", "--port", "0")
    url, node = url_of(daemon), site.sandbox.default_node
    await post(url, {"runbook": "gpu-off-bus", "target_node": node})
    assert (await get(f"{url}/healthz"))[0] == 200
    assert (await get(f"{url}/readyz"))[0] == 200
    _, metrics = await get(f"{url}/metrics")
    assert 'nvsx_events_total{outcome="fired",source="webhook"} 1.0' in metrics
    assert "nvsx_runs_working 1.0" in metrics
    assert node not in metrics


async def test_probes_are_there_without_webhooks(site: Site) -> None:
    """In watch mode the three probes answer, there is no /webhook, and no token is made; an
    address that is taken costs the probes and not the daemon, unless it was asked for."""
    first = await site.serve("--mode", "watch", "--port", "0")
    [url] = re.findall(r"probes at (http://\S+)/healthz", first.output)
    assert [(await get(url + p))[0] for p in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    async with aiohttp.ClientSession() as session, session.post(f"{url}/webhook", json={}) as said:
        assert said.status == 404
    assert not (site.state / "webhook-token").exists()
    assert await first.stop() == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site.env["NVSX_SERVE_PORT"] = str(port)
        second = await site.serve("--mode", "watch")
        assert f"cannot listen on 127.0.0.1:{port}" in second.output
        assert await second.stop() == 0
        third = await site.serve("--mode", "watch", "--port", str(port), ready=False)
        assert await third.process.wait() == 3


async def test_a_post_for_a_node_that_has_recovered_proves_nothing_by_old_marks(site: Site) -> None:
    """XID 79, rebooted and over; then the same runbook is posted for the node: a new incident,
    whose run waits for a fault to be shown and fires no hook."""
    site.quick_hooks()
    await site.has_served_before()
    daemon = await site.serve("--mode", "watch,webhook", "--port", "0")
    node = await site.sandbox.inject("xid-79")
    await site.finished()
    _, fired = await post(url_of(daemon), {"runbook": "gpu-off-bus", "target_node": node})
    assert fired["status"] == "fired"

    async def waits_or_has_ended() -> RunState | None:
        state = await site.run_state(fired["run_id"])
        waits = [n for _, n in state.notes if n.stage == "detect" and n.code]
        return state if waits or state.finish is not None else None

    state = await until(waits_or_has_ended, within=40)
    assert (state.finish, state.current and state.current.id) == (None, "detect")
    assert [i.how for i in await site.incidents()] == ["recovered", ""]
    assert fired["run_id"] not in (site.project / "fired").read_text()
    assert await daemon.stop() == 0


async def test_callers_from_elsewhere_need_the_token_and_no_log_has_it(site: Site) -> None:
    """A request with a foreign Host is refused without the token and read with it: no such node."""
    daemon = await site.serve("--mode", "webhook", "--port", "0")
    url = url_of(daemon)
    token = (site.state / "webhook-token").read_text(encoding="utf-8").strip()
    body = {"runbook": "gpu-off-bus", "target_node": "nobody"}
    refused, _ = await post(url, body, Host="evil.example")
    taken, _ = await post(url, body, Host="evil.example", Authorization=f"Bearer {token}")
    assert (refused, taken) == (401, 404)
    assert await daemon.stop() == 0
    assert token not in daemon.output


async def test_a_locked_store_is_a_503_and_no_crash(site: Site) -> None:
    """While another process holds the database's lock senders get 503, which is counted, and
    the daemon is not ready and says why; afterwards they get 202."""
    daemon = await site.serve("--mode", "webhook", "--port", "0")
    url, node = url_of(daemon), site.sandbox.default_node
    body = {"runbook": "gpu-off-bus", "target_node": node}
    lock = sqlite3.connect(site.state / "nvsx.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    busy, answer = await post(url, body)
    ready, why = await get(f"{url}/readyz")
    _, metrics = await get(f"{url}/metrics")
    lock.execute("ROLLBACK")
    lock.close()

    async def taken() -> str | None:
        status, told = await post(url, body)
        return told["status"] if status == 202 else None

    assert (busy, answer["status"], ready) == (503, "unavailable", 503)
    assert "store" in json.loads(why)["problems"]
    assert 'nvsx_events_total{outcome="unavailable",source="webhook"} 1.0' in metrics
    assert 'nvsx_webhook_requests_total{outcome="unavailable",source="webhook"} 1.0' in metrics
    assert await until(taken) in ("fired", "attached")
    assert len(await site.rows()) == 1
    assert await daemon.stop() == 0


async def test_silenced_node_fires_nothing(site: Site) -> None:
    """A silence by alias holds for its node: its fault is ignored, with the reason."""
    node = site.sandbox.default_node
    code, told = await site.nvsx("silence", node, "--for", "2h", "--reason", "riser swap")
    assert (code, "riser swap" in told) == (0, True)
    await site.serve("--mode", "watch")
    await site.sandbox.inject("xid-79", node)

    async def ignored() -> str | None:
        events = await site.events()
        return events[0].reason if events else None

    assert "riser swap" in await until(ignored)
    assert await site.rows() == []
    assert (await site.nvsx("silence", node, "--end"))[0] == 0


async def test_faults_a_sender_cut_off_are_found_in_the_cluster(site: Site) -> None:
    """A message that leaves out alerts has the open incident it did not name adopted, once."""
    daemon = await site.serve("--mode", "webhook", "--port", "0")
    site.steps.hold("drain_pickup")
    node = await site.sandbox.inject("xid-79", variant="drain-waits")

    async def quarantined() -> bool | None:
        found = next(n for n in site.sandbox.status()["nodes"] if n["name"] == node)
        return True if found["state"] else None

    await until(quarantined)
    alert = {"status": "firing", "labels": {"alertname": "Other"}, "startsAt": _now()}
    message = {"version": "4", "status": "firing", "alerts": [alert], "truncatedAlerts": 36}
    token = (site.state / "webhook-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{url_of(daemon)}/hooks/alertmanager"

    async def send(body: dict[str, Any]) -> int:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url, json=body) as answer,
        ):
            return answer.status

    assert await send({**message, "truncatedAlerts": 0}) == 202
    assert await site.rows() == []
    assert [await send(message) for _ in range(3)] == [202] * 3

    async def adopted() -> list[Any] | None:
        return await site.rows() or None

    [row] = await until(adopted)

    async def started() -> Any:
        return (await site.run_state(row.run_id)).start

    start = await until(started)
    assert (row.runbook, row.node) == ("gpu-off-bus", node)
    assert start.late
    await daemon.said("so the cluster was listed; runs that began: 1")


async def test_state_of_a_newer_version_is_refused(site: Site) -> None:
    """A database that a newer nvsx has migrated is left alone, with a clear message."""
    await site.rows()
    with sqlite3.connect(site.state / "nvsx.db") as db:
        db.execute("INSERT INTO migrations (version, name, applied) VALUES (99, 'later', 0)")
    daemon = await site.serve("--mode", "watch", ready=False)
    assert await daemon.process.wait() == 1
    await daemon.kill()
    assert "written by a newer nvsx" in daemon.output
    assert "Traceback" not in daemon.output


async def test_a_run_nobody_works_is_dropped_by_cancel(site: Site) -> None:
    """A run whose daemon was killed is interrupted; cancel drops it and frees its node."""
    daemon = await site.serve("--mode", "webhook", "--port", "0")
    body = {"runbook": "gpu-off-bus", "target_node": site.sandbox.default_node}
    _, fired = await post(url_of(daemon), body)
    await daemon.kill()
    _, listed = await site.nvsx("runs", "list")
    assert "interrupted" in listed
    code, told = await site.nvsx("runs", "cancel", fired["run_id"])
    assert (code, "dropped" in told) == (0, True)
    assert (await site.nvsx("runs", "cancel", fired["run_id"]))[0] == 2
