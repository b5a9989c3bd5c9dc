"""One incident, one run: what the intake answers, and what it starts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_scripts import Behaviour
from tests.serve.hall import CLUSTER, THERMAL, Hall, book

from nvsx.core.errors import StoreBusy, Unreachable, UsageError
from nvsx.core.incident.session import Session
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.routing.inbox import Silence
from nvsx.serve.limits import Limits


async def test_an_event_fires_its_runbook_and_is_explained() -> None:
    """A matching event makes a run on its node; the stored event says which rule matched."""
    hall = Hall("n1")
    await hall.begin()
    answer = await hall.offer("n1", delivery="d1")
    [row] = await hall.rows()
    event = await hall.inbox.event(answer.event_id)
    assert (answer.outcome, answer.run_id, answer.runbook) == ("fired", row.run_id, "gpu-off-bus")
    assert (row.node, row.trigger, row.cluster) == ("n1", "nvsentinel", CLUSTER)
    assert [e.runbook for e in event.explanations if e.best] == ["gpu-off-bus"]
    await hall.close()


async def test_a_repeated_delivery_is_a_duplicate_with_the_first_ones_run() -> None:
    """The same delivery, or the same idempotency key, gives the first one's run again."""
    hall = Hall("n1", "n2")
    await hall.begin()
    first = await hall.offer("n1", delivery="d1", idempotency_key="k")
    again = await hall.offer("n1", delivery="d1")
    keyed = await hall.offer("n2", delivery="d2", idempotency_key="k")
    assert [a.outcome for a in (first, again, keyed)] == ["fired", "duplicate", "duplicate"]
    assert {first.run_id, again.run_id, keyed.run_id} == {first.run_id}
    assert len(await hall.rows()) == 1
    await hall.close()


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"cluster": "staging"}, "ignored", "it is about cluster staging; this one has prod"),
        ({"node": "stranger"}, "ignored", "this cluster has no node stranger"),
        ({"node": ""}, "ignored", "it does not say which node it is about"),
        ({"error_codes": ("31",)}, "ignored", "no runbook matches"),
        ({"is_fatal": False}, "ignored", "no runbook matches"),
        ({"processing_strategy": "STORE_ONLY"}, "ignored", "no runbook matches"),
        ({"is_healthy": True}, "ignored", "a recovery notice, and no run is on n1"),
        ({"resolved": True}, "ignored", "a recovery notice, and no run is on n1"),
        ({"refusal": "a repeat"}, "ignored", "a repeat"),
        ({"generated_at": 1_800_000_000.0 - 1200}, "missed", "it is 20m old"),
    ],
)
async def test_what_fires_nothing_says_why(
    changes: dict[str, Any], outcome: str, reason: str
) -> None:
    """An event that fires nothing is answered and kept with its reason."""
    hall = Hall("n1")
    await hall.begin()
    answer = await hall.offer(**{"node": "n1"} | changes)
    assert answer.outcome == outcome
    assert reason in answer.reason
    assert (await hall.inbox.event(answer.event_id)).reason == answer.reason
    assert await hall.rows() == []
    await hall.close()


@pytest.mark.parametrize("named", ["", "prod", "PROD", CLUSTER])
async def test_events_of_this_cluster_by_any_of_its_names(named: str) -> None:
    """A cluster is known by its names, in any case, and by its uid; silence is fine too."""
    hall = Hall("n1")
    await hall.begin()
    assert (await hall.offer("n1", cluster=named)).outcome == "fired"
    await hall.close()


async def test_a_runbook_may_widen_what_fires_it() -> None:
    """A non-fatal thermal event fires the runbook whose trigger says `fatal: any`."""
    hall = Hall("n1")
    await hall.begin()
    answer = await hall.offer("n1", check_name="GpuThermalWatch", is_fatal=False, error_codes=())
    assert (answer.outcome, answer.runbook) == ("fired", "thermal-throttle")
    await hall.close()


async def test_all_sources_at_once_give_one_run_and_notes_of_the_rest() -> None:
    """Webhook, poll and watch report one fault in the same instant: one run, joins noted."""
    hall = Hall("n1")
    await hall.begin()
    hall.break_("n1")
    await asyncio.gather(
        hall.offer("n1", source="nvsentinel", delivery="a"),
        hall.offer("n1", source="poll", delivery="b"),
    )
    hall.break_("n1", "session-1")
    await hall.clock.sleep(3)
    [row] = await hall.rows()
    assert sorted(a.outcome for a in hall.answers) == ["attached"] * 3 + ["fired"]
    notes = await hall.notes(row.run_id)
    assert "watch also reports SysLogsXIDError 79 (session session-1)" in notes
    assert len([n for n in notes if "also reports" in n]) == 3
    await hall.close()


async def test_a_session_that_had_its_run_gets_no_second_one() -> None:
    """After the run has ended, later events of the same session join it; another fires."""
    hall = Hall("n1")
    await hall.begin(watch=False)
    lease = await hall.journal.create(NewRun(runbook="gpu-off-bus", cluster=CLUSTER, node="n1"))
    session = Session(key="s1", open=True)
    await hall.journal.append(lease, [j.SessionSeen(session=session)])
    await hall.journal.append(lease, [j.Finish(ok=False, status="failed")])
    await hall.clock.sleep(60)
    joined = await hall.offer("n1", session_key="s1")
    other = await hall.offer("n1", session_key="s2")
    assert (joined.outcome, joined.run_id) == ("attached", lease.run_id)
    assert other.outcome == "fired"
    await hall.close()


async def test_a_fault_without_session_stays_one_incident_while_it_is_there() -> None:
    """Monitor-only: repeats of an uncleared fault join its ended run; a cleared one fires."""
    only = book(stages=[{"id": "detect"}])
    hall = Hall("n1", books=(only,))
    await hall.begin(watch=False)
    first = await hall.offer("n1", delivery="a")
    await hall.until(first.run_id, j.Finish)
    await hall.clock.sleep(60)
    repeat = await hall.offer("n1", delivery="b")
    await hall.inbox.close_incidents(CLUSTER, ["n1"])
    await hall.clock.sleep(60)
    later = await hall.offer("n1", delivery="c")
    assert [a.outcome for a in (first, repeat, later)] == ["fired", "attached", "fired"]
    await hall.close()


async def test_a_late_copy_of_a_fault_joins_the_run_that_has_ended() -> None:
    """An event generated before the node's run had ended is not a new incident."""
    hall = Hall("n1", books=(book(stages=[{"id": "detect"}]), book("thermal", **THERMAL)))
    await hall.begin(watch=False)
    generated = hall.clock.now()
    first = await hall.offer("n1", delivery="a")
    await hall.until(first.run_id, j.Finish)
    await hall.inbox.close_incidents(CLUSTER, ["n1"])
    await hall.clock.sleep(120)
    late = await hall.offer("n1", delivery="b", generated_at=generated)
    assert (late.outcome, late.run_id) == ("attached", first.run_id)
    await hall.close()


async def test_a_session_that_began_during_another_ones_run_has_its_own_afterwards() -> None:
    """It joins the run that is on the node, and fires once that has ended; then never again."""
    hall = Hall("n1")
    hall.scripts.on("done.sh", Behaviour(seconds=20))
    await hall.begin()
    hall.quarantine("n1", "s1")
    await hall.clock.sleep(60)
    hall.over("n1")
    await hall.clock.sleep(5)  # the hook of recover goes on
    hall.quarantine("n1", "s2")
    await hall.clock.sleep(5)
    [first] = await hall.rows()
    assert hall.answers[-1].run_id == first.run_id
    await hall.clock.sleep(60)
    _, second = await hall.rows()
    hall.over("n1")
    await hall.clock.sleep(60)
    assert await hall.watch.adopt() == 0
    rows = await hall.rows()
    assert [(r.session_key, r.status) for r in rows] == [("s1", "passed"), ("s2", "passed")]
    start = (await hall.state(second.run_id)).start
    assert start is not None
    assert start.late
    await hall.close()


async def test_a_second_incident_soon_after_the_first_is_seen_from_its_beginning() -> None:
    """What ended ten minutes ago proves nothing for a fault that is younger: hooks fire again."""
    seen = {"kind": "node-condition", "type": "SysLogsXIDError"}
    hall = Hall(
        "n1",
        books=(
            book(
                stages=[
                    {"id": "detect", "watch": [seen], "hook": "hooks/t/on-detect.sh"},
                    {
                        "id": "recover",
                        "watch": [seen | {"absent": True}],
                        "hook": "hooks/t/done.sh",
                    },
                ]
            ),
        ),
    )
    await hall.begin()
    hall.quarantine("n1", "s1")
    await hall.clock.sleep(60)
    hall.over("n1")
    await hall.clock.sleep(600)
    hall.break_("n1", keep_session=True)
    await hall.clock.sleep(10)
    hall.quarantine("n1", "s2")
    await hall.clock.sleep(60)
    hall.over("n1")
    await hall.clock.sleep(60)
    assert [r.session_key for r in await hall.rows()] == ["s1", "s2"]
    assert hall.hooks("on-detect.sh") == hall.hooks("done.sh") == ["n1", "n1"]
    await hall.close()


async def test_a_session_that_took_another_ones_place_while_nothing_served() -> None:
    """The run of the one that is over ends, and the one that is open has its own run, late."""
    hall = Hall("n1")
    await hall.begin()
    hall.quarantine("n1", "s1")
    await hall.clock.sleep(60)
    await hall.die()
    await hall.clock.sleep(1200)
    hall.quarantine("n1", "s2")
    after = hall.another()
    assert (await after.begin())[0] == 1
    await after.clock.sleep(5)
    rows = await after.rows()
    assert [(r.session_key, r.status) for r in rows] == [("s1", "passed"), ("s2", "running")]
    recover = (await after.state(rows[0].run_id)).stage("recover")
    assert recover is not None
    assert "another one has begun" in recover.reason
    await after.close()


async def test_a_fault_without_session_that_came_back_meanwhile_is_another_incident() -> None:
    """Monitor-only: cleared and back while nothing served, it fires; one that stayed does not."""
    hall = Hall("n1", "n2", books=(book(stages=[{"id": "detect"}]),))
    await hall.begin()
    for node in ("n1", "n2"):
        hall.break_(node)
    await hall.clock.sleep(600)
    assert [r.status for r in await hall.rows()] == ["passed", "passed"]
    await hall.die()
    await hall.clock.sleep(600)
    hall.heal("n1")
    await hall.clock.sleep(600)
    after = hall.another()
    after.break_("n1")  # nobody hears of it
    assert await after.begin() == (0, 1)
    assert sorted(r.node for r in await after.rows()) == ["n1", "n1", "n2"]
    await after.close()


async def test_keys_of_different_sources_are_different_keys() -> None:
    """The same idempotency key from two sources names two deliveries."""
    hall = Hall("n1", "n2")
    await hall.begin(watch=False)
    one = await hall.offer("n1", source="ci", idempotency_key="1")
    other = await hall.offer("n2", source="grid", idempotency_key="1")
    again = await hall.offer("n2", source="ci", idempotency_key="1")
    assert [a.outcome for a in (one, other, again)] == ["fired", "fired", "duplicate"]
    assert again.run_id == one.run_id
    await hall.close()


async def test_recovery_is_a_note_on_the_open_run_and_ends_no_stage() -> None:
    """A recovery notice is written into the run; the run waits on for the cluster."""
    hall = Hall("n1")
    await hall.begin()
    hall.break_("n1")
    await hall.clock.sleep(1)
    answer = await hall.offer("n1", resolved=True, is_fatal=False)
    await hall.clock.sleep(5)
    [row] = await hall.rows()
    assert (answer.outcome, answer.run_id) == ("noted", row.run_id)
    assert "nvsentinel reports recovery of SysLogsXIDError 79" in await hall.notes(row.run_id)
    assert row.status == "running"
    await hall.close()


async def test_a_named_runbook_needs_no_trigger_and_may_run_again() -> None:
    """A sender that names a runbook gets it; an unknown name is an error; an open run joins."""
    hall = Hall("n1", books=(book(triggers=[], stages=[{"id": "detect"}]),))
    await hall.begin()
    first = await hall.offer("n1", runbook="gpu-off-bus", check_name="", error_codes=())
    await hall.until(first.run_id, j.Finish)
    second = await hall.offer("n1", runbook="gpu-off-bus", check_name="", error_codes=())
    with pytest.raises(UsageError, match="no runbook 'nope'"):
        await hall.offer("n1", runbook="nope")
    assert (first.outcome, second.outcome) == ("fired", "fired")
    assert first.run_id != second.run_id
    await hall.close()


async def test_a_named_runbook_without_node_takes_the_only_incident_or_waits() -> None:
    """Without a node: the one in an incident, never a guess between two, else armed, once."""
    hall = Hall("n1", "n2")
    await hall.begin(watch=False)
    armed = await hall.offer("", runbook="gpu-off-bus")
    again = await hall.offer("", runbook="gpu-off-bus")
    await hall.clock.sleep(1)  # it listens by now
    now = hall.clock.now()
    hall.observer.incidents = [build.fault("n1", session_key="s1", generated_at=now)]
    await hall.clock.sleep(10)
    on_one = await hall.offer("", runbook="gpu-off-bus")
    hall.observer.incidents += [build.fault("n2", session_key="s2")]
    await hall.clock.sleep(10)
    with pytest.raises(UsageError, match="2 nodes are in an incident"):
        await hall.offer("", runbook="gpu-off-bus")
    assert (armed.outcome, again.outcome, again.run_id) == ("fired", "attached", armed.run_id)
    assert on_one.outcome == "fired"
    assert [row.node for row in await hall.rows()] == ["", "n1"]
    await hall.close()


async def test_a_dry_run_stores_nothing() -> None:
    """`dry_run` answers what would happen and leaves no event and no run."""
    hall = Hall("n1")
    await hall.begin()
    answer = await hall.offer("n1", dry_run=True, runbook="gpu-off-bus")
    assert (answer.outcome, answer.plan["would"]) == ("planned", "fired")
    assert answer.plan["stages"] == ["detect", "recover"]
    assert await hall.rows() == []
    assert await hall.inbox.events() == []
    await hall.close()


async def test_old_events_of_an_open_session_fire_late() -> None:
    """An event older than the limit fires, as late, when its session is still open."""
    hall = Hall("n1", "n2")
    await hall.begin(watch=False)
    hall.break_("n1", "s1")
    await hall.clock.sleep(3600)
    at = hall.observer.incidents[0].event.generated_at
    mine = await hall.offer("n1", generated_at=at)
    backfilled = await hall.offer("n1", generated_at=at - 86_400)
    await hall.clock.sleep(1)
    assert (mine.outcome, backfilled.outcome) == ("fired", "missed")
    start = (await hall.state(mine.run_id)).start
    assert start is not None
    assert start.late
    await hall.close()


async def test_a_silenced_node_fires_nothing_until_the_silence_ends() -> None:
    """Events on a silenced node are kept as ignored; the same delivery fires afterwards."""
    hall = Hall("n1")
    await hall.begin(watch=False)
    now = hall.clock.now()
    await hall.inbox.silence(
        Silence(cluster="", node="n1", until=now + 60, reason="riser", by="ann", created=now)
    )
    hushed = [await hall.offer("n1", delivery="d") for _ in range(3)]
    await hall.clock.sleep(61)
    loud = await hall.offer("n1", delivery="d")
    events = await hall.inbox.events()
    assert {a.outcome for a in hushed} == {"ignored"}
    assert "silenced by ann" in hushed[0].reason
    assert "riser" in hushed[0].reason
    assert loud.outcome == "fired"
    assert sorted(e.repeats for e in events) == [0, 2]
    await hall.close()


async def test_a_runbook_is_throttled_within_its_window() -> None:
    """Beyond the throttle events are ignored with the reason, and fire again later."""
    names = [f"n{i}" for i in range(5)]
    hall = Hall(*names, limits=Limits(throttle_runs=2, throttle_window=600.0))
    await hall.begin(watch=False)
    answers = [await hall.offer(n) for n in names[:4]]
    await hall.clock.sleep(601)
    last = await hall.offer(names[4])
    assert [a.outcome for a in answers] == ["fired", "fired", "ignored", "ignored"]
    assert "throttled: 2 runs within 10m" in answers[2].reason
    assert last.outcome == "fired"
    await hall.close()


async def test_a_throttled_fault_that_stays_fires_when_there_is_room() -> None:
    """A throttle delays what is still there; what has gone meanwhile fires nothing."""
    hall = Hall("n0", "n1", "n2", limits=Limits(throttle_runs=1, throttle_window=600.0))
    await hall.begin()
    for node in ("n0", "n1", "n2"):
        hall.break_(node)
        await hall.clock.sleep(1)
    assert [r.node for r in await hall.rows()] == ["n0"]
    hall.over("n2")
    hall.lookout.again()
    await hall.clock.sleep(1)
    assert [r.node for r in await hall.rows()] == ["n0"]
    await hall.clock.sleep(601)
    hall.lookout.again()
    await hall.clock.sleep(1)
    rows = await hall.rows()
    assert [r.node for r in rows] == ["n0", "n1"]
    start = (await hall.state(rows[1].run_id)).start
    assert start is not None
    assert start.late
    await hall.close()


async def test_a_storm_has_one_leader_and_hooks_are_told() -> None:
    """From the third node within the window on, hooks know leader, members and size."""
    names = [f"n{i}" for i in range(5)]
    hall = Hall(*names, limits=Limits(storm_nodes=3, storm_window=60.0))
    hall.observer.incidents = []
    await hall.begin()
    for name in names[:4]:
        hall.break_(name)
        await hall.clock.sleep(1)
    for name in names[:4]:
        hall.over(name)
    await hall.clock.sleep(200)
    hall.break_(names[4])
    await hall.clock.sleep(1)
    told = {
        c.script.facts["NVSX_TARGET_NODE"]: (
            c.script.facts.get("NVSX_STORM_ROLE", ""),
            c.script.facts.get("NVSX_STORM_SIZE", ""),
        )
        for c in hall.scripts.ran("done.sh")
    }
    begun = {
        c.script.facts["NVSX_TARGET_NODE"]: c.script.facts.get("NVSX_STORM_ROLE", "")
        for c in hall.scripts.ran("on-detect.sh")
    }
    assert told == {
        "n0": ("leader", "4"),
        "n1": ("member", "4"),
        "n2": ("member", "4"),
        "n3": ("member", "4"),
    }
    assert begun == {"n0": "", "n1": "", "n2": "member", "n3": "member", "n4": ""}
    first = (await hall.rows())[0]
    assert any("a storm: 3 nodes" in n for n in await hall.notes(first.run_id))
    await hall.close()


async def test_a_storm_whose_leader_has_ended_hides_nobody() -> None:
    """A storm goes on for as long as nodes fail one after another; once its leader has ended,
    the next faults tell people themselves, and enough of them make a storm with its own leader."""
    names = [f"n{i}" for i in range(8)]
    hall = Hall(*names, limits=Limits(storm_nodes=3, storm_window=60.0))
    hall.observer.incidents = []
    await hall.begin()
    for name in names[:4]:
        hall.break_(name)
        await hall.clock.sleep(20)
    hall.over(names[0])
    await hall.clock.sleep(20)
    for name in names[4:]:
        hall.break_(name)
        await hall.clock.sleep(1)
    rows = {row.node: row for row in await hall.rows()}
    assert [n for n in names if rows[n].finished is not None] == ["n0"]
    marks = {n: await hall.inbox.storm_of(rows[n].run_id) for n in names}
    leaders = {n: mark.leader for n, mark in marks.items() if mark is not None}
    first, second = rows["n0"].run_id, rows["n4"].run_id
    assert leaders == {
        **dict.fromkeys(names[:4], first),
        **dict.fromkeys(names[4:], second),
    }
    begun = {
        c.script.facts["NVSX_TARGET_NODE"]: c.script.facts.get("NVSX_STORM_ROLE", "")
        for c in hall.scripts.ran("on-detect.sh")
    }
    assert [n for n in names if begun[n] == ""] == ["n0", "n1", "n4", "n5"]
    await hall.close()


async def test_a_storm_is_counted_over_all_faults_but_warnings_lead_none() -> None:
    """Nodes that fail in different ways are one storm; a warning neither leads nor joins it."""
    other = {"triggers": [{"check": "GpuNvlinkWatch"}]}
    quick = [{"id": "detect", "hook": "hooks/t/on-detect.sh"}]
    hall = Hall(
        *(f"n{i}" for i in range(4)),
        limits=Limits(storm_nodes=3, storm_window=60.0),
        books=(
            book(stages=quick),
            book("nvlink-fault", stages=quick, **other),
            book("thermal-throttle", **THERMAL),
        ),
    )
    await hall.begin(watch=False)
    await hall.offer("n0", check_name="GpuThermalWatch", is_fatal=False, error_codes=())
    await hall.offer("n1")
    await hall.offer("n2", check_name="GpuNvlinkWatch", error_codes=())
    await hall.clock.sleep(1)
    assert not any("NVSX_STORM_ROLE" in c.script.facts for c in hall.scripts.ran("on-detect.sh"))
    last = await hall.offer("n3")
    await hall.clock.sleep(1)
    mark = await hall.inbox.storm_of(last.run_id)
    rows = {row.node: row.run_id for row in await hall.rows()}
    assert mark is not None
    assert (mark.leader, mark.size) == (rows["n1"], 3)
    assert await hall.inbox.storm_of(rows["n0"]) is None
    await hall.close()


async def test_a_busy_store_is_an_error_to_the_sender_and_stores_nothing() -> None:
    """While nothing can be stored an offer raises StoreBusy; afterwards the same one fires."""
    hall = Hall("n1")
    await hall.begin(watch=False)
    hall.inbox.fail = StoreBusy("the disk is full")
    with pytest.raises(StoreBusy):
        await hall.offer("n1", delivery="d")
    hall.inbox.fail = None
    assert (await hall.offer("n1", delivery="d")).outcome == "fired"
    await hall.close()


async def test_an_unreadable_cluster_is_a_reason_to_send_again() -> None:
    """A node that cannot be looked up raises StoreBusy: the event is not lost as unknown."""
    hall = Hall("n1")
    await hall.begin(watch=False)
    hall.observer.errors["node_names"] = Unreachable("no route to host")
    with pytest.raises(StoreBusy, match="no route to host"):
        await hall.offer("n1")
    await hall.close()


async def test_nothing_is_taken_once_closed() -> None:
    """While shutting down, an offer raises StoreBusy: the sender keeps it."""
    hall = Hall("n1")
    await hall.begin()
    await hall.close()
    with pytest.raises(StoreBusy, match="shutting down"):
        await hall.offer("n1")
