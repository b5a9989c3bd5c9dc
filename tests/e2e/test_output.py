"""What a real run writes: JSONL on a pipe, text beside it, and readers that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from typing import Any

import pytest
from tests.e2e.live import HOOK, STAGES, Event, Live, until

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(240)]

#: Documented fields of each event, beside v, event, run_id, seq and t.
FIELDS = {
    "start": "runbook nickname target_node target_alias trigger",
    "prerequisite": "name ok detail",
    "stage_begin": "stage",
    "watch": "stage index kind verdict detail",
    "note": "stage text",
    "evidence": "path",
    "output": "stage source stream line",
    "hook_begin": "stage hook attempt",
    "hook_end": "stage hook exit_code attempt",
    "stage_end": "stage status elapsed_s reason",
    "finish": "ok status degraded total_s mttr_s reason",
}


def _check_lines(raw: bytes) -> list[Event]:
    """Every line is a JSON object with v, event, run_id, seq (gapless from 1) and t."""
    assert raw.endswith(b"\n")
    events: list[Event] = [json.loads(line) for line in raw.splitlines()]
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert {e["v"] for e in events} == {1}
    assert len({e["run_id"] for e in events}) == 1
    now = time.time()
    assert all(now - 120 < e["t"] < now + 1 for e in events)
    for event in events:
        assert set(FIELDS.get(event["event"], "").split()) <= event.keys(), event
    return events


async def test_jsonl_of_a_run_and_of_its_resume(live: Live) -> None:
    """Piped, stdout is valid JSONL without gaps, stderr is text; a resume first repeats the
    journal with `replayed: true`, then goes on with the next number."""
    prerequisites: list[dict[str, Any]] = [{"name": "always", "check": "echo 3", "expect": ">=2"}]
    book = live.project.chain(HOOK + "echo out\n", prerequisites=prerequisites)
    live.steps.hold("drain_pickup")
    run = await live.run(book)
    await run.until("watch", stage="detect")
    await live.inject()
    await run.until("note", stage="drain")
    await run.kill()
    first = _check_lines(run.raw)
    again = await live.resume(book, run.run_id)
    await again.until("resumed")
    live.steps.go("drain_pickup")
    assert await again.end() == 0
    events = _check_lines(again.raw)
    replayed = [e for e in events if e.get("replayed")]
    assert [e["seq"] for e in replayed] == list(range(1, len(replayed) + 1))
    assert [e | {"replayed": True} for e in first] == replayed[: len(first)]
    assert events[len(replayed)]["event"] == "resumed"
    assert {e["event"] for e in events} >= FIELDS.keys()
    assert events[-1]["event"] == "finish"
    assert "✓ drain passed" in again.err
    assert not again.err.startswith("{")


async def test_reader_that_leaves_does_not_end_the_run(live: Live) -> None:
    """`nvsx run … | head -1`: the run goes on to its end, its hooks all run, exit 0."""
    reading, writing = os.pipe()
    run = await live.run(live.project.chain(), stdout=writing)
    os.close(writing)
    first = await asyncio.to_thread(os.read, reading, 40)
    os.close(reading)
    assert first.startswith(b'{"v":1,"event":"start"')
    await live.inject()
    assert await run.end() == 0
    assert [e[1] for e in live.project.log("end")] == list(STAGES)


async def test_slow_reader_does_not_slow_the_run(live: Live) -> None:
    """Nobody reads stdout: a run that prints far more than a pipe holds ends all the same."""
    reading, writing = os.pipe()
    book = live.project.one_hook(HOOK + "seq -f 'line %.0f of a long text that fills it' 1 4000\n")
    run = await live.run(book, stdout=writing)
    os.close(writing)
    try:
        assert await run.end() == 0
        assert len(live.project.log("end")) == 1
        # What was written is whole lines, as far as the pipe took them.
        assert json.loads(os.read(reading, 65536).split(b"\n")[0])["event"] == "start"
    finally:
        os.close(reading)


async def test_plain_is_text_on_stdout(live: Live) -> None:
    """--plain on a pipe: readable text on stdout, no JSON, nothing on stderr."""
    run = await live.run(live.project.one_hook("echo hello"), "--plain")
    assert await run.end() == 0
    assert "✓ run passed" in run.out
    assert "hello" in run.out
    assert "{" not in run.out
    assert run.err == ""


async def test_nvsx_only_asks(live: Live) -> None:
    """Over a whole run nvsx asked the API server by GET only, with an account that could not
    have written; no hook needed more. It followed nothing twice, and asked for little."""
    live.read_only()
    run = await live.run(live.project.chain())
    await run.until("stage_begin", stage="detect")
    await live.inject()
    assert await run.end() == 0
    asked = [r for r in live.server.requests.latest if r.account == "nvsx-sandbox-viewer"]
    assert {r.method for r in asked} == {"GET"}
    assert {"list", "watch"} <= {r.verb for r in asked}
    watched = [r.path for r in asked if r.verb == "watch"]
    assert sorted(watched) == sorted(set(watched))
    # To know the cluster and follow the node, 28; for the evidence of a stage's end up to 4; and
    # while the incident is open NVSentinel's own workloads, 3 each half minute.
    assert len(asked) <= 28 + 4 * len(STAGES) + 3 * (run.finish["total_s"] // 30)
    # Whatever else asks (some systems put a dispatcher before kubectl) asks for little.
    assert {r.verb for r in asked if not r.user_agent.startswith("nvsx/")} <= {""}


async def test_context_reaches_a_hooks_kubectl(live: Live) -> None:
    """--context names a cluster that is not the current one: nvsx and the hook's kubectl both
    talk to it."""
    config = json.loads(live.sandbox.kubeconfig.read_text())
    dead = {"name": "dead", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "dead", "context": {"cluster": "dead", "user": "nvsx-sandbox"}}
    config["clusters"].append(dead)
    config["contexts"].append(context)
    config["current-context"] = "dead"
    both = live.folder / "both"
    both.write_text(json.dumps(config))
    book = live.project.one_hook("kubectl config get-contexts -o name; kubectl get node -o name")
    env = live.env(KUBECONFIG=str(both))
    run = await live.run(book, "--context", "nvsx-sandbox", env=env)
    assert await run.end() == 0
    lines = [e["line"] for e in run.of("output", stream="stdout")]
    assert lines[0] == "nvsx-sandbox"
    assert f"node/{live.node}" in lines
    assert "dead" not in lines


async def test_sandbox_in_another_process(live: Live) -> None:
    """`nvsx sandbox start` in one process, `nvsx run` and `nvsx sandbox inject` in others."""
    host = await live.nvsx("sandbox", "start", "--speed", "20", stderr=subprocess.DEVNULL)
    assert host.process.stdout is not None
    await until(lambda: host.raw, "the sandbox says where it is")
    kubeconfig = host.out.strip().removeprefix("export KUBECONFIG=")
    book = live.project.chain()
    run = await live.nvsx("run", book, env=live.env(KUBECONFIG=kubeconfig))
    await run.until("armed")
    told = await live.done("sandbox", "inject", "xid-79")
    assert await run.end() == 0
    assert run.of("target")[0]["target_node"] in told.out
    assert (await live.done("sandbox", "stop")).process.returncode == 0
    assert await host.end() == 0
    await live.nothing_left()
