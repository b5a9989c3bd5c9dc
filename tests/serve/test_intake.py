"""One incident, one run: what the intake answers, and what it starts."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_scripts import Behaviour
from tests.serve.hall import CLUSTER, Hall, book

from nvsx.core.errors import StoreBusy, Unreachable, UsageError
from nvsx.core.journal import entries as j
from nvsx.core.routing.inbox import Silence
from nvsx.core.routing.trigger_event import NodeWord
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
        ({"node": "stranger"}, "ignored", "this cluster has no node called stranger"),
        ({"node": ""}, "ignored", "it does not say which node it is about"),
        ({"error_codes": ("31",)}, "ignored", "no runbook matches"),
        ({"is_fatal": False}, "ignored", "no runbook matches"),
        ({"processing_strategy": "STORE_ONLY"}, "ignored", "no runbook matches"),
        ({"is_healthy": True}, "ignored", "a recovery notice, and no incident is open on n1"),
        ({"resolved": True}, "ignored", "a recovery notice, and no incident is open on n1"),
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
    assert {"poll also reports SysLogsXIDError 79", "watch also reports SysLogsXIDError 79"} <= {
        *notes
    }
    await hall.close()


async def test_a_fault_without_session_stays_one_incident_until_it_has_been_quiet() -> None:
    """Monitor-only: while the fault is there, and for ten minutes after, repeats join the ended
    run; after that the next one fires."""
    hall = Hall("n1", books=(book(stages=[{"id": "detect"}]),))
    await hall.begin(watch=False)
    hall.ill("n1")
    first = await hall.offer("n1", delivery="a")
    await hall.until(first.run_id, j.Finish)
    await hall.clock.sleep(60)
    repeat = await hall.offer("n1", delivery="b")
    hall.heal("n1")
    await hall.clock.sleep(590)
    hall.ill("n1")
    flapped = await hall.offer("n1", delivery="c")
    hall.heal("n1")
    await hall.clock.sleep(610)
    hall.ill("n1")
    later = await hall.offer("n1", delivery="d")
    outcomes = [a.outcome for a in (first, repeat, flapped, later)]
    assert outcomes == ["fired", "attached", "attached", "fired"]
    await hall.close()


async def test_a_session_that_follows_a_release_has_a_run_of_its_own_at_once() -> None:
    """The hook of the first run's recover still goes on: the second incident does not wait."""
    hall = Hall("n1")
    hall.scripts.on("done.sh", Behaviour(seconds=20))
    await hall.begin()
    hall.quarantine("n1", "s1")
    await hall.clock.sleep(60)
    hall.over("n1")
    await hall.clock.sleep(5)  # the hook of recover goes on
    hall.quarantine("n1", "s2")
    await hall.clock.sleep(5)
    first, second = await hall.rows()
    assert (first.finished, second.finished) == (None, None)
    hall.over("n1")
    await hall.clock.sleep(60)
    assert await hall.watch.adopt() == 0
    assert [r.status for r in await hall.rows()] == ["passed", "passed"]
    incidents = [await hall.incidents.incident_of(r.run_id) for r in (first, second)]
    assert len(set(incidents)) == 2
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
    assert len(await hall.rows()) == 2
    assert hall.hooks("on-detect.sh") == hall.hooks("done.sh") == ["n1", "n1"]
    await hall.close()


async def test_a_fault_that_was_there_before_and_after_an_outage_is_one_incident() -> None:
    """Monitor-only: nobody saw it clear, so it goes on, and its run is not repeated."""
    hall = Hall("n1", books=(book(stages=[{"id": "detect"}]),))
    await hall.begin()
    hall.break_("n1")
    await hall.clock.sleep(600)
    assert [r.status for r in await hall.rows()] == ["passed"]
    await hall.die()
    await hall.clock.sleep(1200)
    after = hall.another()
    assert await after.begin() == (0, 0)
    await after.clock.sleep(60)
    assert len(await after.rows()) == 1
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
    unknown = await hall.offer("n1", runbook="nope")
    assert (unknown.outcome, unknown.status) == ("ignored", 404)
    assert "no runbook 'nope'" in unknown.reason
    assert (await hall.inbox.event(unknown.event_id)).reason == unknown.reason
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
    await hall.clock.sleep(3)
    assert [r.node for r in await hall.rows()] == ["n0"]
    await hall.clock.sleep(601)
    hall.lookout.again()
    await hall.clock.sleep(3)
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
    await hall.clock.sleep(650)
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


async def test_a_storm_goes_on_when_its_first_node_recovers() -> None:
    """The first node recovers first; later ones of the same fault still join the one story."""
    names = [f"n{i}" for i in range(8)]
    hall = Hall(*names, limits=Limits(storm_nodes=3, storm_window=60.0))
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
    marks = {n: await hall.inbox.storm_of(rows[n].run_id) for n in names}
    assert {n: mark and mark.leader for n, mark in marks.items()} == dict.fromkeys(
        names, rows["n0"].run_id
    )
    begun = {
        c.script.facts["NVSX_TARGET_NODE"]: c.script.facts.get("NVSX_STORM_ROLE", "")
        for c in hall.scripts.ran("on-detect.sh")
    }
    assert [n for n in names if begun[n] == ""] == ["n0", "n1"]
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
    hall.observer.errors["nodes"] = Unreachable("no route to host")
    with pytest.raises(StoreBusy, match="no route to host"):
        await hall.offer("n1")
    await hall.close()


@pytest.mark.parametrize(
    ("words", "node", "told"),
    [
        (("10.0.0.7:9400",), "n1", "node: 10.0.0.7:9400 in label 0 is n1, by an address of it"),
        (
            ("a-pod", "N1.corp.example"),
            "n1",
            "node: label 0: this cluster has no node called a-pod",
        ),
        (("10.0.0.8:9400",), "", "node: label 0: this cluster has no node called 10.0.0.8:9400"),
    ],
)
async def test_an_alerts_word_is_looked_up_among_the_nodes(
    words: tuple[str, ...], node: str, told: str
) -> None:
    """The first word that names one node of the cluster is it, and each step is on record."""
    hall = Hall("n1")
    seen = hall.observer.feeds["n1"].current.node
    assert seen is not None
    known = msgspec.structs.replace(seen, addresses=("10.0.0.7",))
    hall.observer.feeds["n1"].update(node=known)
    await hall.begin(watch=False)
    said = tuple(NodeWord(f"label {n}", word) for n, word in enumerate(words))
    answer = await hall.offer("", source="alertmanager", node_words=said)
    assert answer.outcome == ("fired" if node else "ignored")
    stored = await hall.inbox.event(answer.event_id)
    assert stored.facts.node == node
    assert told in stored.steps
    await hall.close()


async def test_nothing_is_taken_once_closed() -> None:
    """While shutting down, an offer raises StoreBusy: the sender keeps it."""
    hall = Hall("n1")
    await hall.begin()
    await hall.close()
    with pytest.raises(StoreBusy, match="shutting down"):
        await hall.offer("n1")
