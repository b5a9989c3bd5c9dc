"""The samples through the whole way in: server, decoder, routing over the starter runbooks,
and the decision about the incident. Only the cluster and the store are fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.core.senders.bodies import BATCH, CLUSTER, JSON, NODE, NOW, STRUCTURED, body, raw
from tests.core.senders.test_samples import TITLE
from tests.fakes import fake_observer as build
from tests.fakes.fake_inbox import FakeInbox
from tests.fakes.fake_journal import FakeJournal
from tests.fakes.fake_observer import FakeObserver
from tests.webhook.serving import Daemon, StillClock, serving

from nvsx.core.errors import UsageError
from nvsx.core.incident.tolerances import IncidentLimits
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches.snapshot import Node, Snapshot
from nvsx.project import cel, loader
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.intake import Identity, TriggerIntake
from nvsx.serve.limits import Limits

ROOT = Path(__file__).resolve().parents[2]
XID = {"check": {"cel": "'SysLogsXIDError'"}}
#: What docs/webhooks.md tells operators to write: which check their system's alerts mean.
MAPPED: dict[str, dict[str, Any]] = dict.fromkeys(
    ("alertmanager", "grafana", "opsgenie", "jsm"), XID
) | {"pagerduty": {"node": TITLE, **XID}}


def now(sample: str) -> Any:
    """The sample as of this test's time: those of Opsgenie's kind are a year older."""
    message = body(sample)
    if "createdAt" in message.get("alert", {}):
        message["alert"]["createdAt"] = int((NOW - 60) * 1000)
    return message


class Starters:
    """The runbooks that ship."""

    def __init__(self) -> None:
        found = loader.discover(ROOT)
        self._books = [e.runbook for e in found if isinstance(e, LoadedRunbook)]

    def runbooks(self) -> list[Runbook]:
        return self._books

    def find(self, wanted: str) -> Runbook:
        for runbook in self._books:
            if wanted in (runbook.name, runbook.nickname):
                return runbook
        raise UsageError(f"there is no runbook '{wanted}'")


@asynccontextmanager
async def whole(
    sources: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    clock: StillClock | None = None,
    nodes: Sequence[Node] = (),
) -> AsyncIterator[tuple[Daemon, FakeInbox]]:
    """A server before a real intake, on a cluster with these nodes, or with the samples'."""
    clock = clock or StillClock()
    observer = FakeObserver(cluster="uid-1")
    ours = [build.node(name) for name in (NODE, "gb200-r07-n01", "gb200-r07-n02")]
    for node in nodes or ours:
        observer.set(Snapshot(at=clock.now(), node_name=node.name, node=node))
    journal = FakeJournal(clock)
    inbox = FakeInbox(journal)
    keeper = IncidentKeeper(
        incidents=journal.shared.incidents,
        observer=observer,
        clock=clock,
        cluster="uid-1",
        limits=IncidentLimits(),
    )
    intake = TriggerIntake(
        inbox=inbox,
        keeper=keeper,
        observer=observer,
        clock=clock,
        identity=Identity(uid="uid-1", names=(CLUSTER,)),
        shelf=Starters(),
        evaluate=cel.evaluate,
        limits=Limits(),
        started=lambda _: None,
    )
    async with serving(sources, before=intake, clock=clock) as daemon:
        yield daemon, inbox
    await keeper.end()


@pytest.mark.parametrize(
    ("sample", "source"),
    [
        ("alertmanager/fault", "alertmanager"),
        ("grafana/fault", "grafana"),
        ("pagerduty/fault", "pagerduty"),
        ("opsgenie/fault", "opsgenie"),
        ("jsm/fault", "jsm"),
    ],
)
@pytest.mark.parametrize("settings", [None, MAPPED])
async def test_a_monitoring_systems_fault_fires_by_what_it_means(
    sample: str, source: str, settings: dict[str, dict[str, Any]] | None
) -> None:
    """Whatever its alert is called, Xid 79 fires gpu-off-bus, with the check named in nvsx.yaml
    and without; its repeat is that run again."""
    async with whole(settings) as (daemon, _):
        first = await daemon.post(f"/hooks/{source}", now(sample), JSON)
        again = await daemon.post(f"/hooks/{source}", now(sample), JSON)
    assert (first.status, first.body["status"], first.body["runbook"]) == (
        202,
        "fired",
        "gpu-off-bus",
    )
    assert (again.status, again.body["status"], again.body["run_id"]) == (
        202,
        "duplicate",
        first.body["run_id"],
    )


@pytest.mark.parametrize(
    ("sample", "source", "headers"),
    [
        ("nvsentinel/recovered", "nvsentinel", STRUCTURED),
        ("alertmanager/resolved", "alertmanager", JSON),
        ("pagerduty/resolved", "pagerduty", JSON),
        ("opsgenie/closed", "opsgenie", JSON),
    ],
)
async def test_a_recovery_is_a_note_on_the_run_and_nothing_without_one(
    sample: str, source: str, headers: dict[str, str]
) -> None:
    """Before any run it is ignored; on the run of its node it is noted, whoever fired that."""
    async with whole(MAPPED) as (daemon, _):
        early = await daemon.post(f"/hooks/{source}", raw(sample), headers)
        fault = await daemon.post("/hooks/nvsentinel", raw("nvsentinel/fault"), STRUCTURED)
        noted = await daemon.post(f"/hooks/{source}", raw(sample), headers)
    assert (early.status, early.body["status"]) == (202, "ignored")
    assert (fault.body["status"], fault.body["runbook"]) == ("fired", "gpu-off-bus")
    assert (noted.status, noted.body["status"], noted.body["run_id"]) == (
        202,
        "noted",
        fault.body["run_id"],
    )


@pytest.mark.parametrize(
    ("sample", "source"),
    [("pagerduty/fault", "pagerduty"), ("opsgenie/fault", "opsgenie"), ("jsm/fault", "jsm")],
)
async def test_our_own_page_that_comes_back_opens_no_incident(sample: str, source: str) -> None:
    """The pager is wired both ways: what nvsx paged is answered with why it starts nothing."""
    echo = now(sample)
    for place, name in (("event", "incident_key"), ("alert", "alias")):
        holder = echo.get(place, {})
        holder.get("data", holder)[name] = "nvsx/inc-4f1b9c2d7e8a1b3c5d6f/watch"
    async with whole(MAPPED) as (daemon, inbox):
        reply = await daemon.post(f"/hooks/{source}", echo, JSON)
        kept = await inbox.events()
    assert (reply.status, reply.body["status"]) == (202, "ignored")
    assert reply.body["reason"].startswith("nvsx itself opened 'nvsx/inc-4f1b")
    assert [e.run_id for e in kept] == [""]


async def test_all_senders_of_one_fault_give_one_run() -> None:
    """Exporter (structured, then binary by a gateway), Alertmanager, Grafana, PagerDuty and
    Opsgenie report one fault: the first fires, the rest join it or are its repeats."""
    wrapped = body("nvsentinel/binary")
    async with whole(MAPPED) as (daemon, _):
        answers = [
            await daemon.post(path, content, headers)
            for path, content, headers in (
                ("/hooks/nvsentinel", raw("nvsentinel/fault"), STRUCTURED),
                ("/hooks/nvsentinel", wrapped["body"], wrapped["headers"]),
                ("/hooks/alertmanager", raw("alertmanager/fault"), JSON),
                ("/hooks/grafana", raw("grafana/fault"), JSON),
                ("/hooks/pagerduty", raw("pagerduty/fault"), JSON),
                ("/hooks/opsgenie", now("opsgenie/fault"), JSON),
            )
        ]
    assert [a.body["status"] for a in answers] == ["fired", "duplicate", *["attached"] * 4]
    assert len({a.body["run_id"] for a in answers}) == 1


async def test_a_group_of_mixed_states_is_taken_alert_by_alert() -> None:
    """A firing group with one alert that is over fires for the one and closes nothing else."""
    group = body("alertmanager/fault")
    fault = group["alerts"][0]
    other = {**fault["labels"], "node": "gb200-r07-n01"}
    over = {**fault, "labels": other, "status": "resolved", "fingerprint": "b"}
    async with whole(MAPPED) as (daemon, _):
        reply = await daemon.post("/hooks/alertmanager", {**group, "alerts": [over, fault]}, JSON)
    assert [e["status"] for e in reply.body["events"]] == ["ignored", "fired"]
    assert "recovery notice" in reply.body["events"][0]["reason"]


async def test_what_the_exporter_backfills_fires_nothing() -> None:
    """Events that lie weeks back are recorded as missed, 202, so that the exporter goes on."""
    clock = StillClock()
    clock.time += 20 * 86400
    async with whole(clock=clock) as (daemon, inbox):
        one = await daemon.post("/hooks/nvsentinel", raw("nvsentinel/fault"), STRUCTURED)
        batch = await daemon.post("/hooks/nvsentinel", raw("nvsentinel/batch"), BATCH)
        kept = await inbox.events()
    assert (one.status, one.body["status"]) == (202, "missed")
    assert {e["status"] for e in batch.body["events"]} <= {"missed", "ignored"}
    assert not any(e.run_id for e in kept)


async def test_people_and_dry_runs_start_nothing() -> None:
    """A moved Jira issue is ignored; the signed sample is a dry run, answered with its plan."""
    async with whole() as (daemon, inbox):
        jira = await daemon.post("/hooks/jira", raw("jira/moved"), JSON)
        plan = await daemon.post("/hooks/generic", raw("generic/fault"), JSON)
        kept = await inbox.events()
    assert (jira.status, jira.body["status"]) == (202, "ignored")
    assert (plan.status, plan.body["plan"]["would"]) == (200, "fired")
    assert plan.body["plan"]["target_node"] == NODE
    assert [e.source for e in kept] == ["jira"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"runbook": "gpu-off-bus", "target_node": "gb200-r07-n99"}, "has no node called"),
        ({"runbook": "no-such", "target_node": NODE}, "there is no runbook 'no-such'"),
    ],
)
async def test_a_scripts_unknown_name_is_404_and_on_record(
    asked: dict[str, str], says: str
) -> None:
    """A script shall stop at it; the event is stored and explained all the same."""
    async with whole() as (daemon, inbox):
        reply = await daemon.post("/webhook", asked)
        [stored] = await inbox.events()
    assert reply.status == 404
    assert says in reply.body["reason"]
    assert reply.body["hint"] == f"nvsx explain {stored.event_id}"
    assert (stored.outcome, stored.reason) == ("ignored", reply.body["reason"])


@pytest.mark.parametrize(
    ("sample", "path"),
    [
        ("alertmanager/fault", "alertmanager"),
        ("grafana/fault", "grafana"),
        ("pagerduty/fault", "pagerduty"),
        ("opsgenie/fault", "opsgenie"),
        ("jira/moved", "jira"),
        ("jsm-automation/fault", "jsm-automation"),
        ("datadog/fault", "datadog"),
        ("newrelic/fault", "newrelic"),
        ("zabbix/fault", "zabbix"),
        ("splunk-oncall/fault", "splunk-oncall"),
        ("servicenow/fault", "servicenow"),
        ("gcp/fault", "gcp"),
        ("grafana-legacy/fault", "grafana-legacy"),
        ("sns/fault", "sns"),
    ],
)
async def test_a_vendors_body_at_webhook_is_told_where_to_go(sample: str, path: str) -> None:
    """422, whose message it is, and the path that takes it; at another sender's path as well."""
    elsewhere = "opsgenie" if path in ("alertmanager", "grafana") else "alertmanager"
    async with whole() as (daemon, _):
        for wrong in ("/webhook", f"/hooks/{elsewhere}"):
            reply = await daemon.post(wrong, body(sample))
            assert reply.status == 422
            said = f"it looks like a message of {path}: have it sent to /hooks/{path}"
            assert reply.body["hint"] == said


async def test_sns_at_another_kind_of_source_is_told_its_kind() -> None:
    """It sends text/plain, which no other source takes."""
    sent = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
    async with whole({"topic": {"kind": "generic", "node": {"from": "a"}}}) as (daemon, _):
        reply = await daemon.post("/hooks/topic", raw("sns/fault"), sent)
    assert reply.status == 415
    assert "kind: sns" in reply.body["reason"]
