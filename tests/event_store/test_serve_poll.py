"""`nvsx serve --mode poll` as a process of its own, on the sandbox and real databases."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from tests.core.senders.bodies import FOLDER
from tests.event_store.conftest import IGNORE_LOST_SOCKETS
from tests.event_store.stored import document
from tests.event_store.worlds import MongoWorld, PostgresWorld
from tests.serve.conftest import Site, site, until
from tests.serve.test_operating import url_of

from nvsx.core.routing.trigger_event import Outcome

__all__ = ["site"]  # the fixture, for the tests of this module

pytestmark = [
    IGNORE_LOST_SOCKETS,
    pytest.mark.kubectl,
    pytest.mark.slow,
    pytest.mark.timeout(150),
]

FAULT = FOLDER / "nvsentinel/fault.json"
Put = Callable[[dict[str, Any]], Awaitable[str]]


@pytest.fixture(
    params=[
        pytest.param("mongo", marks=pytest.mark.server("mongo-java-server")),
        pytest.param("postgres", marks=pytest.mark.server("postgres", "openssl")),
    ]
)
def store(request: pytest.FixtureRequest) -> tuple[str, Put]:
    """A database's URI, and what NVSentinel stores in it."""
    if request.param == "mongo":
        mongo: MongoWorld = request.getfixturevalue("mongo")
        return f"{mongo.target.uri}{mongo.target.database}", mongo.put
    postgres: PostgresWorld = request.getfixturevalue("postgres")
    return postgres.target.uri, postgres.put


def use(site: Site, uri: str) -> None:
    """Have the project read this store."""
    settings = {
        "apiVersion": "nvsx/v1",
        "kind": "Project",
        "healthEvents": {"uri": uri},
        "serve": {"pollInterval": "1s"},
    }
    (site.project / "nvsx.yaml").write_text(json.dumps(settings))


async def outcomes(site: Site, count: int) -> dict[str, tuple[Outcome, str]]:
    """Node → (outcome, runbook) of each event, once there are `count` of them."""

    async def look() -> dict[str, tuple[Outcome, str]] | None:
        events = await site.events()
        found = {e.facts.node: (e.outcome, e.runbook) for e in events}
        return found if len(found) >= count else None

    return await until(look, 30)


async def test_a_stored_fault_fires_its_runbook_and_others_nothing(
    site: Site, store: tuple[str, Put]
) -> None:
    """XID 79 fires gpu-off-bus; XID 31, STORE_ONLY and unknown nodes fire nothing, with the
    reason kept; what happened while nothing served is caught up, and nothing fires twice."""
    uri, put = store
    use(site, uri)
    nodes = [n["name"] for n in site.sandbox.status()["nodes"]]
    now = time.time()
    daemon = await site.serve("--mode", "poll")
    await put(document(at=now, node=nodes[0]))
    await put(document(at=now, node=nodes[1], errorcode=["31"], isfatal=False))
    await put(document("store_only", at=now, node=nodes[2]))
    await put(document(at=now, node="elsewhere"))
    assert await outcomes(site, 4) == {
        nodes[0]: ("fired", "gpu-off-bus"),
        nodes[1]: ("ignored", ""),
        nodes[2]: ("ignored", ""),
        "elsewhere": ("ignored", ""),
    }
    assert [(r.runbook, r.node, r.trigger) for r in await site.rows()] == [
        ("gpu-off-bus", nodes[0], "poll")
    ]
    await daemon.kill()
    await put(document(at=now, node=nodes[3]))
    await site.serve("--mode", "poll")
    found = await outcomes(site, 5)
    assert found[nodes[3]] == ("fired", "gpu-off-bus")
    assert sorted(r.node for r in await site.rows()) == sorted((nodes[0], nodes[3]))


async def test_one_fault_seen_in_all_modes_by_three_checks_is_one_run(
    site: Site, store: tuple[str, Put]
) -> None:
    """The cluster, NVSentinel's store and its exporter tell of the same XID 79, the cluster by
    three checks: one run, which all three sources are on record with."""
    uri, put = store
    use(site, uri)
    daemon = await site.serve("--mode", "watch,webhook,poll", "--port", "0")
    node = await site.sandbox.inject("xid-79", variant="three-checks")
    await put(document(at=time.time(), node=node))
    sent = json.loads(FAULT.read_text())
    now = datetime.now(UTC).isoformat()
    sent["source"] = "nvsentinel://nvsx-sandbox/healthevents"
    sent["data"]["metadata"]["cluster"] = "nvsx-sandbox"
    sent["data"]["healthEvent"] |= {"nodeName": node, "generatedTimestamp": now}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{url_of(daemon)}/hooks/nvsentinel",
            data=json.dumps(sent),
            headers={"Content-Type": "application/cloudevents+json"},
        ) as answer,
    ):
        assert answer.status == 202

    async def on_record() -> list[Any] | None:
        events = [e for e in await site.events() if e.facts.node == node]
        checks = {e.facts.check_name for e in events if e.source == "watch"}
        whole = {e.source for e in events} >= {"watch", "poll", "nvsentinel"} and len(checks) >= 3
        return events if whole else None

    events = await until(on_record, 60)
    [row] = await site.rows()
    assert [e.outcome for e in events].count("fired") == 1
    effects = [e for e in events if not e.run_id]
    assert all("the repair that is under way explains it" in e.reason for e in effects)
    assert {e.run_id for e in events if e not in effects} == {row.run_id}
    assert (row.runbook, row.node) == ("gpu-off-bus", node)
    assert await daemon.stop() == 0


async def test_a_database_that_is_away(site: Site) -> None:
    """The daemon starts all the same, says once why nothing is read, and shows no password."""
    use(site, "postgresql://oncall:s3cret-word@127.0.0.1:1/nvsentinel")
    daemon = await site.serve("--mode", "poll")
    await daemon.said("refused the connection")
    assert await daemon.stop() == 0
    assert daemon.output.count("refused the connection") == 1
    assert "s3cret-word" not in daemon.output
    assert "Traceback" not in daemon.output


async def test_a_run_by_hand_watches_the_store(site: Site, store: tuple[str, Put]) -> None:
    """A `health-event` watch of `nvsx run` holds by a document in NVSentinel's store."""
    uri, put = store
    use(site, uri)
    node = site.sandbox.status()["nodes"][0]["name"]
    runbook = {
        "apiVersion": "nvsx/v1",
        "kind": "Runbook",
        "metadata": {"name": "stored"},
        "stages": [
            {
                "id": "detect",
                "timeout": "20s",
                "watch": [
                    {
                        "kind": "health-event",
                        "check": "SysLogsXIDError",
                        "errorCode": "79",
                        "filter": {"healthevent.recommendedaction": {"$in": [15, 24]}},
                    }
                ],
            }
        ],
    }
    (site.project / "runbooks/stored.yaml").write_text(json.dumps(runbook))
    await put(document(at=time.time(), node=node))
    code, output = await site.nvsx("run", "stored", "--target-node", node, "--plain")
    assert code == 0, output
