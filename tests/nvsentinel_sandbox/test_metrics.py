"""The modules' metrics, read through the API server as a scraper behind its proxy would."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from tests.nvsentinel_sandbox.simulation import Simulation
from tests.patience import patience

from nvsentinel_sandbox.host import Sandbox

Scrape = Callable[[str], Awaitable[dict[str, float]]]
LINE = re.compile(r'([a-z_0-9]+)(\{[^{}"]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (\S+)')


def parsed(text: str) -> dict[str, float]:
    """Name with labels → value; every line must be one, or a type."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("# TYPE "):
            match = LINE.fullmatch(line)
            assert match, line
            found[match[1] + (match[2] or "")] = float(match[4])
    return found


def page(simulation: Simulation, module: str, node: str = "") -> dict[str, float]:
    """What a module's pod (on a node) serves as metrics."""
    on = f"spec.nodeName={node}" if node else ""
    (pod,) = simulation.store.list(
        "pods",
        namespace="nvsentinel",
        label_selector=f"app.kubernetes.io/name={module}",
        field_selector=on,
    )
    name = pod["metadata"]["name"]
    text = simulation.simulator.metrics.page("nvsentinel", name, "2112", "metrics")
    assert text is not None
    return parsed(text)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A started sandbox that waits for nothing."""
    made = Sandbox(state_dir=tmp_path, seed=7, speed=1000)
    await made.start()
    yield made
    await made.stop()


async def test_metrics_are_served_behind_the_pod_proxy(sandbox: Sandbox) -> None:
    """Every module's pod answers on its metrics port; other pods, ports and paths refuse."""
    headers = {"Authorization": f"Bearer {sandbox.read_only_token}"}
    pods = sandbox.store.list("pods", namespace="nvsentinel")
    async with asyncio.timeout(patience(30)), aiohttp.ClientSession(headers=headers) as session:

        async def ask(pod: str, rest: str) -> tuple[int, str]:
            url = f"{sandbox.url}/api/v1/namespaces/nvsentinel/pods/{pod}{rest}"
            async with session.get(url) as answer:
                return answer.status, await answer.text()

        for pod in pods:
            name, labels = pod["metadata"]["name"], pod["metadata"]["labels"]
            code, text = await ask(name, ":2112/proxy/metrics")
            if labels["app.kubernetes.io/name"] == "mongodb":
                assert code == 403
                continue
            assert code == 200, name
            assert parsed(text)["process_start_time_seconds"] > 1e9
            assert await ask(name, ":metrics/proxy/healthz") == (200, "ok")
        last = pods[0]["metadata"]["name"]
        assert (await ask(last, ":80/proxy/metrics"))[0] == 403
        assert (await ask(last, ":2112/proxy/secrets"))[0] == 403


async def test_a_repair_is_counted_by_every_module() -> None:
    """Events, quarantine, drain, request, reboot and the time to repair, as it goes on."""
    simulation = Simulation()
    name = simulation.name
    node = f'{{node="{name}"}}'
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.state == "draining")
    quarantine = page(simulation, "fault-quarantine")
    assert quarantine[f"fault_quarantine_current_quarantined_nodes{node}"] == 1
    assert quarantine["fault_quarantine_breaker_utilization"] == 0.25
    assert quarantine['fault_quarantine_breaker_state{state="TRIPPED"}'] == 0
    assert page(simulation, "node-drainer")["node_drainer_queue_depth"] == 1
    await simulation.until(lambda: simulation.recovered)
    await simulation.settled()
    quarantine = page(simulation, "fault-quarantine")
    assert f"fault_quarantine_current_quarantined_nodes{node}" not in quarantine
    times = "fault_quarantine_node_remediation_duration_seconds"
    restart = '{recommended_action="RESTART_BM"}'
    assert quarantine[f"{times}_count{restart}"] == 1
    assert 10 < quarantine[f"{times}_sum{restart}"] < 40
    made = page(simulation, "fault-remediation")
    assert made["fault_remediation_cr_generate_duration_seconds_count"] == 1
    janitor = page(simulation, "janitor")
    for status in ("started", "succeeded"):
        labels = f'{{action_type="rebootnode",status="{status}",node="{name}"}}'
        assert janitor[f"janitor_actions_count{labels}"] == 1
    assert page(simulation, "nvsentinel", name)[
        "platform_connector_health_events_received_total"
    ] == len(list(simulation.simulator.ledger.of(name)))
    xids = page(simulation, "syslog-health-monitor", name)
    assert xids[f'syslog_health_monitor_xid_errors{{node="{name}",err_code="79"}}'] == 1
    await simulation.simulator.stop()


async def test_trouble_is_counted() -> None:
    """A tripped breaker with its backlog, unsupported actions, a label that moves backwards."""
    simulation = Simulation("three-checks")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.recovered)
    gpu = page(simulation, "gpu-health-monitor", simulation.name)
    labels = '{event_type="GpuDcgmConnectivityFailure",gpu_id=""}'
    assert gpu[f"dcgm_health_active_events{labels}"] == 0
    found = page(simulation, "fault-remediation")
    unsupported = f'{{action="CONTACT_SUPPORT",node_name="{simulation.name}"}}'
    assert found[f"fault_remediation_unsupported_actions_total{unsupported}"] == 2
    moved = '{from="remediation-succeeded",to="draining"}'
    assert found[f"nvsentinel_state_transition_unexpected_total{moved}"] == 1
    simulation.simulator.reset_breaker()
    simulation.store.update(
        "configmaps", "circuit-breaker", lambda c: c["data"].update(status="TRIPPED"),
        namespace="nvsentinel",
    )  # fmt: skip
    simulation.simulator.inject("xid-48")
    await simulation.settled()
    quarantine = page(simulation, "fault-quarantine")
    assert quarantine['fault_quarantine_breaker_state{state="TRIPPED"}'] == 1
    assert quarantine["fault_quarantine_event_backlog_count"] == 2
    await simulation.simulator.stop()


async def test_a_cancelled_session_is_counted() -> None:
    """One node uncordoned by hand."""
    simulation = Simulation("manual-uncordon")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: "quarantinedNodeUncordonedManually" in simulation.annotations)
    found = page(simulation, "fault-quarantine")
    assert found["fault_quarantine_nodes_manually_uncordoned_total"] == 1
    await simulation.simulator.stop()


async def test_a_drain_with_a_limit_says_who_waits() -> None:
    """Until the limit the node is listed as waiting."""
    simulation = Simulation("delete-after-timeout")
    simulation.simulator.inject("xid-79")
    await simulation.until(lambda: simulation.state == "draining")
    found = page(simulation, "node-drainer")
    assert found[f'node_drainer_waiting_for_timeout{{node="{simulation.name}"}}'] == 1
    await simulation.simulator.stop()
