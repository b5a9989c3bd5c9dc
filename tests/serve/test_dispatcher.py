"""The dispatcher, recovery and the watch source: nothing lost, nothing twice, whatever dies."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from tests.fakes import fake_observer as build
from tests.fakes.fake_scripts import Behaviour
from tests.fakes.virtual_clock import VirtualClock
from tests.serve.hall import CLUSTER, Hall, book

from nvsx.core.errors import StoreBusy, UsageError
from nvsx.core.incident.incident_events import ADOPTED_BY_HAND, IncidentNoted, IncidentOpened
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Fault
from nvsx.core.routing.inbox import Ask, Silence
from nvsx.follow.runner import Runner
from nvsx.serve.limits import Limits

QUICK = book(stages=[{"id": "detect", "hook": "hooks/t/on-detect.sh"}])


async def finished(hall: Hall, *run_ids: str) -> None:
    """Wait until these runs have ended."""
    for run_id in run_ids:
        await hall.until(run_id, j.Finish)


# --- watching and adoption ------------------------------------------------------------------


async def test_watch_fires_once_for_condition_and_quarantine() -> None:
    """A fault that shows as a condition, then as a session of three checks, is one run."""
    hall = Hall("n1")
    await hall.begin()
    hall.break_("n1")
    await hall.clock.sleep(1)
    hall.break_("n1", "s1")
    hall.break_("n1", "s2", check="GpuAllWatch", error_codes=())
    hall.break_("n1", "s3", check="node-not-ready", error_codes=())
    await hall.clock.sleep(10)
    assert len(await hall.rows()) == 1
    assert sorted(a.outcome for a in hall.answers) == ["attached"] * 3 + ["fired"]
    await hall.close()


async def test_watch_offers_again_until_the_fault_is_stored() -> None:
    """A fault met by a full disk is offered until it is stored, and then fires once."""
    hall = Hall("n1")
    await hall.begin()
    hall.inbox.fail = StoreBusy("the disk is full")
    hall.break_("n1")
    await hall.clock.sleep(100)
    assert await hall.rows() == []
    hall.inbox.fail = None
    await hall.clock.sleep(40)
    assert len(await hall.rows()) == 1
    await hall.close()


async def test_open_session_without_a_run_is_adopted_late_once_however_old() -> None:
    """A session that began 20 minutes before the start fires late; a second start does not."""
    hall = Hall("n1", "n2")
    hall.break_("n1", "s1")
    await hall.clock.sleep(1200)
    assert await hall.begin() == (0, 1)
    await hall.clock.sleep(1)
    [row] = await hall.rows()
    start = (await hall.state(row.run_id)).start
    assert start is not None
    assert start.late
    await hall.die()
    after = hall.another()
    assert await after.begin() == (1, 0)
    assert len(await after.rows()) == 1
    await after.close()


async def test_adoption_looks_at_every_event_of_a_session() -> None:
    """A session whose first event matches nothing is adopted for a later one that does."""
    hall = Hall("n1")
    other = {"checkName": "GpuAllWatch", "errorCode": [], "entitiesImpacted": [], "id": "s1"}
    hall.ill("n1", session="s2", more=[other])
    first = build.health_event("n1", id="s1", check="GpuAllWatch", error_codes=())
    hall.observer.incidents = [Fault("n1", first, "s1")]
    await hall.begin()
    await hall.clock.sleep(3)
    [row] = await hall.rows()
    assert row.runbook == "gpu-off-bus"
    await hall.close()


async def test_sweep_leaves_young_faults_to_the_stream_and_settled_ones_alone() -> None:
    """Between starts only a fault the stream has missed is adopted, and asked about once."""
    hall = Hall("n1")
    await hall.begin(watch=False)
    hall.break_("n1", "s1")
    assert await hall.watch.adopt(all_ages=False) == 0
    await hall.clock.sleep(60)
    assert await hall.watch.adopt(all_ages=False) == 1
    assert await hall.watch.adopt(all_ages=False) == 0
    assert len(hall.answers) == 1
    await hall.close()


async def test_session_that_was_silenced_is_adopted_afterwards() -> None:
    """What a silence held back is offered again once it has ended, if it is still open."""
    hall = Hall("n1")
    now = hall.clock.now()
    silence = Silence(cluster="", node="n1", until=now + 60, reason="r", by="a", created=now)
    await hall.inbox.silence(silence)
    hall.break_("n1", "s1")
    assert await hall.begin() == (0, 0)
    await hall.clock.sleep(61)
    hall.watch.forget()
    assert await hall.watch.adopt() == 1
    await hall.close()


async def test_what_a_person_adopts_has_its_run() -> None:
    """Open when nvsx first looked at the cluster: no run, until a note adopts it; then late."""
    hall = Hall("n1")
    hall.break_("n1", "s1")
    opened = IncidentOpened(key="k", node="n1", by="quarantine", late=True, adopted=True)
    await hall.incidents.append(CLUSTER, "n1", 0, [opened], hall.clock.now())
    assert await hall.begin() == (0, 0)
    assert await hall.rows() == []
    [(incident, _)] = hall.keeper.open_incidents
    note = IncidentNoted(text="page", code=ADOPTED_BY_HAND, author="sam")
    await hall.incidents.append_to(incident, note, hall.clock.now())
    assert await hall.keeper.take_in_what_people_wrote() == ["n1"]
    hall.watch.forget()
    assert await hall.watch.adopt() == 1
    [row] = await hall.rows()
    start = (await hall.state(row.run_id)).start
    assert start is None or start.late
    await hall.close()


# --- the queue --------------------------------------------------------------------------------


async def test_no_more_runs_at_once_than_allowed_and_none_is_lost() -> None:
    """With room for three, seven runs are stored at once, worked three at a time, and end."""
    names = [f"n{i}" for i in range(7)]
    hall = Hall(*names, limits=Limits(max_concurrent_runs=3), books=(QUICK,))
    hall.scripts.on("on-detect.sh", Behaviour(seconds=10))
    await hall.begin()
    answers = [await hall.offer(n) for n in names]
    await hall.clock.sleep(1)
    assert (hall.dispatcher.working, hall.dispatcher.queued) == (3, 4)
    assert len(await hall.rows()) == 7
    await finished(hall, *(a.run_id for a in answers))
    assert hall.hooks("on-detect.sh") == names
    most = max(
        sum(c.begun <= t < (c.ended or t) for c in hall.scripts.calls)
        for t in (c.begun for c in hall.scripts.calls)
    )
    assert most == 3
    await hall.close()


async def test_burst_of_mixed_events_loses_none_and_fires_each_incident_once() -> None:
    """5,000 events of four kinds for 400 nodes, shuffled: 300 incidents, 300 runs, all kept."""
    names = [f"n{i:03}" for i in range(400)]
    hall = Hall(*names, books=(QUICK,), limits=Limits(max_concurrent_runs=50, storm_nodes=10_000))
    await hall.begin()
    events: list[Any] = []
    for i in range(5000):
        node = names[i % 400]
        kind = (i % 400) % 4
        more: dict[str, Any] = {"delivery": f"d{i if i % 5 else i // 5}"}
        if kind == 3:
            more |= {"error_codes": ("31",), "is_fatal": False}
        events.append(hall.event(node, source=("poll", "alertmanager")[i % 2], **more))
    random.Random(7).shuffle(events)
    answers = await asyncio.gather(*(hall.intake.offer(e) for e in events))
    await hall.clock.sleep(600)
    rows = await hall.rows()
    kept = await hall.inbox.events(limit=10_000)
    assert len(answers) == 5000
    assert sorted(row.node for row in rows) == [n for i, n in enumerate(names) if i % 4 != 3]
    assert {row.status for row in rows} == {"passed"}
    assert sum(1 + e.repeats for e in kept) == 5000
    assert sorted(hall.hooks("on-detect.sh")) == sorted(row.node for row in rows)
    await hall.close()


# --- asks -------------------------------------------------------------------------------------


async def test_a_person_cancels_a_run_from_elsewhere() -> None:
    """A cancel stored by another process ends the run, with the person's name and reason."""
    hall = Hall("n1")
    hall.ill("n1")
    await hall.begin()
    answer = await hall.offer("n1")
    await hall.clock.sleep(1)
    other = hall.another()
    ask = Ask(run_id=answer.run_id, kind="cancel", text="false alarm", by="ann")
    await other.inbox.ask(ask)
    await finished(hall, answer.run_id)
    state = await hall.state(answer.run_id)
    assert state.cancelled == j.CancelAsked(by="ann", reason="false alarm")
    assert state.status == "cancelled"
    await hall.close()


async def test_a_queued_run_is_cancelled_without_waiting_for_room() -> None:
    """A run that waits for room ends at once when it is cancelled, and fires no hook."""
    hall = Hall("n1", "n2", limits=Limits(max_concurrent_runs=1))
    hall.ill("n1", "n2")
    await hall.begin()
    await hall.offer("n1")
    answer = await hall.offer("n2")
    await hall.inbox.ask(Ask(run_id=answer.run_id, kind="cancel", text="enough", by="ann"))
    await hall.clock.sleep(5)
    assert (await hall.state(answer.run_id)).status == "cancelled"
    assert hall.hooks("on-detect.sh") == ["n1"]
    await hall.close()


async def test_a_note_is_written_once_even_across_a_crash() -> None:
    """A person's note is in the record with their name; events' notes are not repeated."""
    hall = Hall("n1")
    hall.ill("n1")
    await hall.begin()
    answer = await hall.offer("n1")
    await hall.clock.sleep(1)
    await hall.inbox.ask(Ask(run_id=answer.run_id, kind="note", text="called", by="ann"))
    await hall.offer("n1", delivery="x")
    await hall.clock.sleep(3)
    await hall.die()
    after = hall.another()
    await after.begin()
    await after.offer("n1", delivery="y")
    await after.clock.sleep(3)
    state = await after.state(answer.run_id)
    assert [(n.author, n.text) for _, n in state.notes] == [
        ("ann", "called"),
        ("", "nvsentinel also reports SysLogsXIDError 79"),
    ]
    await after.close()


# --- crashes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(1, 16))
async def test_killed_after_any_write_no_finished_hook_runs_again(step: int) -> None:
    """Killed after its n-th append, the next process ends the run; no finished hook repeats."""
    hall = Hall("n1")
    hall.scripts.on("on-detect.sh", Behaviour(seconds=2))
    hall.scripts.on("done.sh", Behaviour(seconds=2))
    await hall.begin()
    dead = asyncio.Event()
    append = hall.journal.append

    async def counting(lease: Any, events: Any, **options: Any) -> Any:
        if dead.is_set():
            raise RuntimeError("the process is dead")
        made = await append(lease, events, **options)
        if len(hall.journal.appended) < step:
            return made
        dead.set()
        hall.dispatcher._stopping = True
        raise RuntimeError("the process dies right after this was stored")

    hall.journal.append = counting  # type: ignore[method-assign]
    hall.break_("n1")

    async def repair() -> None:
        await hall.clock.sleep(10)
        hall.over("n1")

    life = asyncio.create_task(repair())
    dying = asyncio.create_task(dead.wait())
    await asyncio.wait(
        {dying, asyncio.create_task(hall.clock.sleep(60))}, return_when="FIRST_COMPLETED"
    )
    await hall.die()
    after = hall.another()
    await after.begin()
    await life
    await after.clock.sleep(120)
    [row] = await after.rows()
    assert row.status == "passed"
    for path in ("on-detect.sh", "done.sh"):
        ends = [
            e.body
            for e in await after.journal.read(row.run_id)
            if isinstance(e.body, j.HookEnd) and e.body.hook.endswith(path)
        ]
        keys = {c.key for c in after.scripts.ran(path)}
        assert [e.exit_code for e in ends] == [0]
        assert len(keys) == 1
    await after.close()


async def test_a_run_that_was_stored_but_never_begun_is_worked_after_a_crash() -> None:
    """Killed between storing the request and the first event: the next start runs it."""
    hall = Hall("n1", books=(QUICK,))
    answer = await hall.offer("n1", payload={"title": "XID 79"})
    await hall.die()
    after = hall.another()
    assert await after.begin() == (1, 0)
    await finished(after, answer.run_id)
    state = await after.state(answer.run_id)
    assert state.start is not None
    assert state.start.trigger == "nvsentinel"
    assert after.hooks("on-detect.sh") == ["n1"]
    await after.close()


async def test_a_run_by_hand_whose_process_died_goes_on_in_the_daemon() -> None:
    """The daemon takes over an interrupted run by hand; one of another project is not ours."""
    hall = Hall("n1", "n2", books=(QUICK,))
    dead = hall.journal.another()
    mine = await dead.create(NewRun(runbook="gpu-off-bus", cluster=CLUSTER, node="n1"))
    theirs = NewRun(runbook="gpu-off-bus", cluster=CLUSTER, node="n2", project="/elsewhere")
    other = await dead.create(theirs)
    armed = await dead.create(NewRun(runbook="gpu-off-bus", cluster=CLUSTER))
    dead.kill()
    assert await hall.begin() == (1, 0)
    await finished(hall, mine.run_id)
    assert (await hall.journal.run(other.run_id)).status == "interrupted"
    assert (await hall.journal.run(armed.run_id)).status == "interrupted"
    await hall.close()


async def test_an_event_on_a_dead_run_brings_it_back_to_life() -> None:
    """A run whose owner dies while the daemon serves is taken over when its node is met."""
    hall = Hall("n1", books=(QUICK,))
    await hall.begin()
    dead = hall.journal.another()
    lease = await dead.create(NewRun(runbook="gpu-off-bus", cluster=CLUSTER, node="n1"))
    dead.kill()
    answer = await hall.offer("n1")
    assert (answer.outcome, answer.run_id) == ("attached", lease.run_id)
    assert await hall.recovery.rescue(lease.run_id)
    await finished(hall, lease.run_id)
    assert (await hall.journal.run(lease.run_id)).status == "passed"
    await hall.close()


async def test_a_busy_store_pauses_a_run_and_nothing_else() -> None:
    """While appends fail for a full disk the run waits; afterwards it ends, hooks run once."""
    hall = Hall("n1")
    hall.ill("n1")
    await hall.begin()
    answer = await hall.offer("n1")
    await hall.clock.sleep(1)
    hall.journal.fail_appends = StoreBusy("the disk is full")
    hall.over("n1")
    await hall.clock.sleep(60)
    assert hall.crashes
    assert hall.dispatcher.has(answer.run_id)
    hall.journal.fail_appends = None
    hall.break_("n1")
    hall.over("n1")
    await finished(hall, answer.run_id)
    notes = await hall.notes(answer.run_id)
    assert (await hall.journal.run(answer.run_id)).status == "passed"
    assert hall.hooks("on-detect.sh") == ["n1"]
    assert any("taken up again after: the disk is full" in n for n in notes)
    await hall.close()


async def test_a_bug_ends_its_run_with_the_reason_and_leaves_the_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that crashes each time is ended as failed after three tries; others go on."""
    hall = Hall("n1", "n2", books=(QUICK,))
    await hall.begin()
    work = Runner.work

    async def crash(self: Runner) -> j.Finish:
        if self.run.node == "n1":
            raise ZeroDivisionError("a bug")
        return await work(self)

    monkeypatch.setattr(Runner, "work", crash)
    bad, good = await hall.offer("n1"), await hall.offer("n2")
    await finished(hall, bad.run_id, good.run_id)
    row = await hall.journal.run(bad.run_id)
    assert row.status == "failed"
    assert "ZeroDivisionError" in row.reason
    assert len(hall.crashes) == 3
    assert (await hall.journal.run(good.run_id)).status == "passed"
    await hall.close()


async def test_a_runbook_that_is_gone_for_a_while_only_delays_its_run() -> None:
    """A resumed run whose runbook cannot be read waits for it instead of failing."""
    hall = Hall("n1", books=(QUICK,))
    answer = await hall.offer("n1")
    await hall.die()
    after = hall.another()
    books, after.shelf.books = after.shelf.books, []
    await after.begin()
    await after.clock.sleep(300)
    assert (await after.journal.run(answer.run_id)).finished is None
    with pytest.raises(UsageError):
        after.shelf.find("gpu-off-bus")
    after.shelf.books = books
    await finished(after, answer.run_id)
    assert (await after.journal.run(answer.run_id)).status == "passed"
    await after.close()


async def test_a_run_taken_over_elsewhere_is_let_go() -> None:
    """When another process takes a run over, this one stops working it and goes on serving."""
    hall = Hall("n1")
    hall.ill("n1")
    await hall.begin()
    answer = await hall.offer("n1")
    await hall.clock.sleep(1)
    hall.journal.kill()
    await hall.journal.another().take_over(answer.run_id)
    hall.over("n1")
    await hall.clock.sleep(5)
    assert not hall.dispatcher.has(answer.run_id)
    assert hall.dispatcher.working == 0
    await hall.close()


# --- stopping ---------------------------------------------------------------------------------


async def test_stop_lets_a_running_hook_end_and_leaves_the_rest() -> None:
    """At a stop a running hook ends within the grace; waiting runs stay for the next start."""
    hall = Hall("n1", "n2", limits=Limits(max_concurrent_runs=1))
    hall.scripts.on("on-detect.sh", Behaviour(seconds=5))
    hall.ill("n1", "n2")
    await hall.begin()
    first, second = await hall.offer("n1"), await hall.offer("n2")
    await hall.clock.sleep(1)
    await hall.dispatcher.stop(20.0)
    [call] = hall.scripts.calls
    assert call.result is not None
    assert call.result.ok
    assert hall.clock.elapsed < 8
    state = await hall.state(first.run_id)
    assert state.finish is None
    assert (await hall.journal.run(second.run_id)).finished is None
    await hall.die()
    after = hall.another()
    assert await after.begin() == (2, 0)
    after.over("n1")
    await finished(after, first.run_id)
    await after.clock.sleep(20)
    assert after.hooks("on-detect.sh") == ["n1", "n2"]
    await after.close()


async def test_stop_cuts_a_hook_that_outlives_the_grace_and_the_next_start_repeats_it() -> None:
    """A hook cut by the end of the grace runs again with the same key."""
    hall = Hall("n1", books=(QUICK,))
    hall.scripts.on("on-detect.sh", Behaviour(hang=True), Behaviour())
    await hall.begin()
    answer = await hall.offer("n1")
    await hall.clock.sleep(1)
    await hall.dispatcher.stop(3.0)
    await hall.die()
    after = hall.another()
    await after.begin()
    await finished(after, answer.run_id)
    one, two = after.scripts.ran("on-detect.sh")
    assert one.killed
    assert one.key == two.key
    assert two.script.facts["NVSX_ATTEMPT"] == "2"
    await after.close()


async def test_an_armed_run_takes_the_first_fault() -> None:
    """A run that waits for its node takes the first fault it hears of, and holds the node."""
    hall = Hall("n1", books=(book(triggers=[]),))
    await hall.begin(watch=False)
    answer = await hall.offer("", runbook="gpu-off-bus")
    await hall.clock.sleep(1)
    hall.break_("n1")
    await hall.clock.sleep(2)
    assert (await hall.journal.run(answer.run_id)).node == "n1"
    joined = await hall.offer("n1", runbook="gpu-off-bus")
    assert (joined.outcome, joined.run_id) == ("attached", answer.run_id)
    await hall.close()


async def test_an_armed_run_that_comes_second_is_ended_with_the_reason() -> None:
    """An armed run whose fault another run has claimed ends, fires nothing, and says which."""
    hall = Hall("n1")
    hall.ill("n1")
    await hall.begin()
    armed = await hall.offer("", runbook="gpu-off-bus", check_name="")
    await hall.clock.sleep(1)
    first = await hall.offer("n1")
    hall.break_("n1")
    await hall.clock.sleep(5)
    row = await hall.journal.run(armed.run_id)
    assert row.status == "failed"
    assert first.run_id in row.reason
    assert hall.hooks("gpu-off-bus/on-detect.sh") == ["n1"]
    await hall.close()


async def test_a_thousand_interrupted_runs_wait_again() -> None:
    """After a kill with 1,000 runs waiting, the next process has all of them waiting again."""
    names = [f"n{i:04}" for i in range(1000)]
    limits = Limits(max_concurrent_runs=2000, storm_nodes=100_000)
    hall = Hall(*names, limits=limits)
    assert isinstance(hall.clock, VirtualClock)
    hall.ill(*names)
    await hall.begin(watch=False)
    await asyncio.gather(*(hall.offer(n) for n in names))
    await hall.clock.sleep(5)
    await hall.die()
    after = hall.another()
    resumed, _ = await after.begin(watch=False)
    await after.clock.sleep(5)
    rows = await after.rows()
    assert (resumed, after.dispatcher.working) == (1000, 1000)
    assert {row.status for row in rows} == {"running"}
    assert sorted(hall.hooks("on-detect.sh")) == names
    await after.close()
