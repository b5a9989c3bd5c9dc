"""`nvsx serve --mode watch` as a process of its own, through the real kubectl proxy."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.serve.conftest import until

from nvsx.core.journal import entries as j

if TYPE_CHECKING:
    from tests.serve.conftest import Site

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(150)]


async def test_three_checks_for_one_fault_are_one_run_and_others_fire_as_they_say(
    site: Site,
) -> None:
    """XID 79 seen by three checks fires gpu-off-bus once, beside it at most the runbook of a check
    that came before the reboot, all in one incident; XID 31 fires nothing, heat its runbook."""
    daemon = await site.serve("--mode", "watch")
    names = [n["name"] for n in site.sandbox.status()["nodes"]]
    await site.sandbox.inject("xid-79", names[0], "three-checks")
    await site.sandbox.inject("xid-31", names[1])
    await site.sandbox.inject("thermal", names[2])
    rows = await site.finished(2)
    fired = sorted((row.runbook, row.node) for row in rows if row.runbook != "driver-hang")
    assert fired == [("gpu-off-bus", names[0]), ("thermal-throttle", names[2])]
    incidents = await site.incidents()
    assert sorted(i.node for i in incidents) == [names[0], names[2]]
    assert sum(len(i.runs) for i in incidents) == len(rows)
    events = await site.events()
    ignored = [e for e in events if e.outcome == "ignored" and not e.runbook]
    assert [(e.facts.node, e.facts.error_codes) for e in ignored] == [(names[1], ("31",))]
    assert len({e.facts.check_name for e in events if e.facts.node == names[0]}) >= 3
    repaired = next(row for row in rows if row.runbook == "gpu-off-bus")
    assert repaired.mttr_s is not None
    assert await daemon.stop() == 0


async def test_a_fault_while_the_daemon_was_down_is_adopted_late_once(site: Site) -> None:
    """A session that opened while nothing served fires as late at the start, and only then."""
    await site.has_served_before()
    site.steps.hold("drain_pickup")
    node = await site.sandbox.inject("xid-79", variant="drain-waits")

    async def quarantined() -> bool | None:
        found = next(n for n in site.sandbox.status()["nodes"] if n["name"] == node)
        return True if found["state"] else None

    await until(quarantined)
    first = await site.serve("--mode", "watch")
    await first.said("1 open incidents had no run: adopted, late")
    await first.stop()
    site.steps.go("drain_pickup")
    second = await site.serve("--mode", "watch")
    [row] = await site.finished()
    start = (await site.run_state(row.run_id)).start
    assert start is not None
    assert start.late
    assert row.status == "passed"
    assert "adopted" not in second.output


async def test_killed_again_and_again_the_run_ends_and_no_finished_hook_repeats(
    site: Site,
) -> None:
    """Killed -9 five times at random moments, the run passes; every hook ended once."""
    site.quick_hooks()
    chance = random.Random(1)
    daemon = await site.serve("--mode", "watch")
    await site.sandbox.inject("xid-79", variant="drain-waits")
    await daemon.said("fired run")
    for _ in range(5):
        await asyncio.sleep(chance.uniform(0.0, 1.5))
        await daemon.kill()
        daemon = await site.serve("--mode", "watch")
    [row] = await site.finished()
    events = await site.entries(row.run_id)
    ended = Counter((e.stage, e.purpose) for e in events if isinstance(e, j.HookEnd))
    begun: dict[tuple[str, str], set[str]] = {}
    for event in events:
        if isinstance(event, j.HookBegin):
            begun.setdefault((event.stage, event.purpose), set()).add(event.idempotency_key)
    assert row.status == "passed"
    assert set(ended.values()) == {1}
    assert all(len(keys) == 1 for keys in begun.values())
    assert sum(isinstance(e, j.Resumed) for e in events) <= 5
    stages = [e.stage for e in events if isinstance(e, j.StageBegin)]
    assert len(stages) == len(set(stages))


async def test_with_an_empty_store_what_is_open_is_adopted_and_pages_nobody(site: Site) -> None:
    """On install day an open session is followed to its end, and no run fires for it."""
    site.steps.hold("drain_pickup")
    await site.sandbox.inject("xid-79", variant="drain-waits")

    async def quarantined() -> bool | None:
        return True if any(n["state"] for n in site.sandbox.status()["nodes"]) else None

    await until(quarantined)
    daemon = await site.serve("--mode", "watch")
    await daemon.said("nobody is paged for them")
    site.steps.go("drain_pickup")

    async def over() -> bool | None:
        found = await site.incidents()
        return True if found and found[0].how else None

    await until(over, 60.0)
    [incident] = await site.incidents()
    assert (incident.how, incident.attempts, incident.runs) == ("recovered", 1, ())
    assert await site.rows() == []


async def test_a_second_fault_on_a_node_has_a_run_of_its_own(site: Site) -> None:
    """A different fault on a node with an open run fires its runbook beside it, in one incident."""
    await site.serve("--mode", "watch")
    node = await site.sandbox.inject("xid-79", variant="drain-waits")

    async def fired() -> str | None:
        rows = await site.rows()
        return rows[0].run_id if rows else None

    await until(fired)
    await site.sandbox.inject("thermal", node)

    async def beside() -> bool | None:
        return True if len(await site.rows()) > 1 else None

    await until(beside)
    assert sorted(r.runbook for r in await site.rows()) == ["gpu-off-bus", "thermal-throttle"]
    assert len(await site.incidents()) == 1


async def test_log_as_json_lines_and_a_clean_stop(site: Site) -> None:
    """With -o json every line of the log is an object; SIGTERM ends it with exit code 0."""
    daemon = await site.serve("--mode", "watch", "-o", "json")
    code = await daemon.stop()
    lines = [json.loads(line) for line in daemon.output.splitlines()]
    assert code == 0
    assert all({"t", "level", "logger", "message"} <= line.keys() for line in lines)
    assert lines[-1]["message"] == "stopped"
    assert str(site.project) in daemon.output


async def test_one_daemon_a_cluster_and_state_folder(site: Site) -> None:
    """A second daemon on the same state is refused, with the first one's pid."""
    first = await site.serve("--mode", "watch")
    second = await site.serve("--mode", "watch", ready=False)
    code = await second.process.wait()
    await second.kill()
    assert code == 2
    assert f"pid {first.process.pid}" in second.output
    assert await first.stop() == 0
