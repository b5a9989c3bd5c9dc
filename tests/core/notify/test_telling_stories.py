"""The stories as sequences of messages: what people read and were woken by, word by word.

What is expected was written from the time lines, before the code ran. Hooks speak in the words of
a runbook here; the rest is nvsx's own.
"""

from __future__ import annotations

from msgspec.structs import replace
from tests.core.incident.timelines import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    Timeline,
    alert,
    done,
    failed,
    fault,
    quarantined,
    reboot,
    released,
    sent,
    session,
)
from tests.core.notify.playhouse import BOOK
from tests.core.notify.telling import Telling

from nvsx.core.incident.deciding import WatchMemory
from nvsx.core.incident.incident_events import ADOPTED_BY_HAND, IncidentNoted
from nvsx.core.incident.sight import SeenChain, SeenRepair
from nvsx.core.notify.outbox import PageRole
from nvsx.core.notify.told_ledger import PageAnswer

BACK = "gpu-1 is back: SysLogsXIDError 79, recovered at 12:28Z after 28m40s"


def begun() -> Telling:
    """XID 79 at noon, quarantined; the run's hook pages and opens the ticket; a reboot is sent."""
    told = Telling().at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    told.run_joins()
    told.hook("page", "gpu-1 fell off the bus", severity="warning")
    told.hook("ticket", "gpu-1 fell off the bus")
    told.at(10, repairs=(sent("e1"),))
    return told.at(20, ready=False)


BEGUN = [
    "12:00Z oncall open page: gpu-1 fell off the bus",
    "12:00Z tickets open ticket: gpu-1 fell off the bus",
]


def second_attempt(told: Telling) -> Telling:
    """Asked for at 12:26, and it works: the node is released at 12:28:40."""
    told.at(1700, ready=True, ready_at=NOON + 1700, boot_id="boot-2")
    told.at(1710, repairs=(failed("e1", "timeout"), done("e1", "u2")))
    return told.at(1720, faults=(), session=released(at=1720)).wait(1800)


def test_a_failed_repair_and_a_second_that_works() -> None:
    """1: a watch page, a people page after the failure, both closed at the end and not before."""
    told = begun()
    told.at(1500, repairs=(failed("e1", "timeout"),))
    told.hook("page", "gpu-1: the reboot timed out")
    told.at(1565, repairs=(failed("e1", "timeout"), sent("e1", "u2")))
    told.hook("post", "gpu-1: attempt 2 has begun", broadcast=True)
    assert told.house.still_open() == [
        f"nvsx/{told.line.incident.key}/people", f"nvsx/{told.line.incident.key}/watch"
    ]  # fmt: skip
    second_attempt(told)
    assert told.house.read() == [
        *BEGUN,
        "12:25Z oncall open page: gpu-1: the reboot timed out",
        "12:26Z gpu-ops post: gpu-1: attempt 2 has begun",
        f"12:29Z oncall close page: {BACK}",
        f"12:29Z oncall close page: {BACK}",
        f"12:29Z tickets close ticket: {BACK}",
        f"12:29Z gpu-ops post: {BACK}",
    ]
    assert told.house.woken() == [
        ("12:00Z", "gpu-1 fell off the bus"),
        ("12:25Z", "gpu-1: the reboot timed out"),
    ]
    assert told.house.still_open() == []


def three_failures(told: Telling) -> Telling:
    """At 12:25, 12:45 and 13:05; each is followed by another request a minute later."""
    gone: tuple[SeenRepair, ...] = (failed("e1", "timeout"),)
    told.at(1500, repairs=gone).hook("page", "gpu-1: attempt 1 failed")
    told.at(1560, repairs=(*gone, sent("e1", "u2")))
    gone = (*gone, failed("e1", "timeout", "u2"))
    told.at(2700, repairs=gone).hook("page", "gpu-1: attempt 2 failed")
    told.at(2760, repairs=(*gone, sent("e1", "u3")))
    gone = (*gone, failed("e1", "timeout", "u3"))
    return told.at(3900, repairs=gone).hook("page", "gpu-1: attempt 3 failed")


def test_of_three_failed_attempts_the_first_pages() -> None:
    """1: each further one is a note on the open page, and a post for everybody."""
    told = three_failures(begun())
    assert told.house.read()[2:] == [
        "12:25Z oncall open page: gpu-1: attempt 1 failed",
        "12:45Z oncall note page: gpu-1: attempt 2 failed",
        "12:45Z gpu-ops post: gpu-1: attempt 2 failed",
        "13:05Z oncall note page: gpu-1: attempt 3 failed",
        "13:05Z gpu-ops post: gpu-1: attempt 3 failed",
    ]
    assert [o.broadcast for t, o in told.house.sent if t == "gpu-ops"] == [True, True]
    assert len(told.house.woken()) == 2


def test_a_page_that_was_closed_at_the_pager_pages_again() -> None:
    """1: a person resolved it there after the first failure, and the second one is news."""
    told = begun()
    closed: tuple[PageRole, float] = ("people", NOON + 2000)
    told.house.answers.append(PageAnswer(target="oncall", role=closed[0], at=closed[1]))
    pager = told.house.pagers["oncall"]
    gone: tuple[SeenRepair, ...] = (failed("e1", "timeout"),)
    told.at(1500, repairs=gone).hook("page", "gpu-1: attempt 1 failed")
    told.at(1560, repairs=(*gone, sent("e1", "u2")))
    del pager.open[f"nvsx/{told.line.incident.key}/people"]
    gone = (*gone, failed("e1", "timeout", "u2"))
    told.at(2700, repairs=gone).hook("page", "gpu-1: attempt 2 failed")
    assert told.house.woken()[1:] == [
        ("12:25Z", "gpu-1: attempt 1 failed"),
        ("12:45Z", "gpu-1: attempt 2 failed"),
    ]


def test_a_cancelled_run_leaves_the_words_to_nvsx() -> None:
    """2: the run paged for the first failure and was cancelled; the rest is told all the same."""
    told = begun()
    told.at(1500, repairs=(failed("e1", "timeout"),))
    told.hook("page", "gpu-1: the reboot timed out").run_ends("cancelled")
    told.at(1565, repairs=(failed("e1", "timeout"), sent("e1", "u2")))
    second_attempt(told)
    assert told.house.read() == [
        *BEGUN,
        "12:25Z oncall open page: gpu-1: the reboot timed out",
        "12:26Z gpu-ops post: gpu-1: attempt 2 has begun: RebootNode maintenance-e1",
        f"12:29Z oncall close page: {BACK}",
        f"12:29Z oncall close page: {BACK}",
        f"12:29Z tickets close ticket: {BACK}",
        f"12:29Z gpu-ops post: {BACK}",
    ]


def test_people_are_told_where_the_run_was_cancelled_before_the_failure() -> None:
    """2, 22: cancelled at 5 minutes; the repair fails at 25, and half a minute later nvsx pages."""
    told = begun()
    told.at(300).run_ends("cancelled")
    told.at(1500, repairs=(failed("e1", "timeout"),)).wait(1529, every=29)
    assert told.house.read() == BEGUN
    told.at(1530)
    page = "gpu-1: people are needed: RebootNode maintenance-e1: it ended with a timeout"
    assert told.house.read()[2:] == [f"12:25Z oncall open page: {page}"]
    [order] = [o for _, o in told.house.sent if o.title == page]
    assert order.text.startswith("What to do: look at the console of gpu-1 before another try")
    told.wait(3000)
    assert len(told.house.read()) == 3


def test_a_hook_that_pages_is_not_repeated() -> None:
    """A page for this cause and attempt, by a run or a person, leaves nothing for nvsx to say."""
    told = begun()
    told.at(1500, repairs=(failed("e1", "timeout"),)).hook("page", "the reboot timed out")
    told.wait(1800)
    assert len(told.house.read()) == 3


def test_a_fatal_fault_without_a_runbook_is_a_warning() -> None:
    """8: without a catch-all nobody is paged for it; a minute after it was seen, once."""
    told = Telling().at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    told.wait(59, every=59)
    assert told.house.read() == []
    told.at(60).wait(300)
    assert told.house.read() == ["12:01Z gpu-ops post: gpu-1: no runbook is for SysLogsXIDError 79"]
    assert told.house.woken() == []


def test_with_a_catch_all_its_hook_pages() -> None:
    """8: a run joined, and nvsx adds nothing."""
    told = Telling().at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    told.run_joins().hook("page", "gpu-1: a fault that no runbook knows")
    told.wait(300)
    assert told.house.read() == ["12:00Z oncall open page: gpu-1: a fault that no runbook knows"]


def test_planned_work_and_faults_that_are_not_fatal_page_nobody() -> None:
    """8: maintenance, and XID 31 that NVSentinel leaves alone."""
    planned = fault("PlannedMaintenance", "", "e1", planned=True)
    told = Telling().at(0, faults=(planned,), session=session("e1", planned=True)).wait(600)
    assert told.house.read() == []
    xid = fault("SysLogsXIDError", "31", by="event", fatal=False, action="NONE", mark="1")
    told = Telling().at(0, faults=(xid,)).wait(600)
    assert told.house.read() == []


def test_down_from_detect_to_drain() -> None:
    """10: the hooks of what is over fire late: page and ticket at once, and one post of it all."""
    told = Telling(Timeline(looking=False))
    told.at(
        1500,
        faults=(fault("SysLogsXIDError", "79", "e1", generated_at=NOON),),
        session=session("e1", state="drain-succeeded"),
    )
    told.run_joins().hook("page", "gpu-1 fell off the bus", late=True)
    told.hook("ticket", "gpu-1 fell off the bus", late=True)
    told.hook("post", "gpu-1 is quarantined", late=True)
    told.now = 1505
    told.hook("post", "gpu-1 is drained", late=True)
    assert told.house.read() == [
        "12:25Z oncall open page: Late: gpu-1 fell off the bus",
        "12:25Z tickets open ticket: Late: gpu-1 fell off the bus",
    ]
    told.look(1519)
    assert len(told.house.read()) == 2
    told.look(1520)
    assert told.house.read()[2:] == ["12:25Z gpu-ops post: Late: gpu-1 is drained"]
    [order] = [o for t, o in told.house.sent if t == "gpu-ops"]
    first, second, *rest = order.text.splitlines()
    assert first == "12:25Z Late: gpu-1: SysLogsXIDError 79, found under way"
    assert second.startswith("  joined late, at 12:25:00Z")
    assert rest == ["12:25Z Late: gpu-1 is quarantined", "12:25Z Late: gpu-1 is drained"]


def test_what_was_open_is_closed_after_the_outage() -> None:
    """10: down from the page to the recovery: both ends are told when nvsx is back."""
    told = begun()
    told.line.restarted()
    told.at(
        7200, faults=(), session=released(at=3600), repairs=(done("e1"),), ready=True,
        ready_at=NOON + 3000, boot_id="boot-2",
    )  # fmt: skip
    told.wait(7260)
    title = "gpu-1 is back: SysLogsXIDError 79, recovered at 13:00Z after 1h"
    assert told.house.read()[2:] == [
        f"14:00Z oncall close page: {title}",
        f"14:00Z tickets close ticket: {title}",
        f"14:00Z gpu-ops post: {title}",
    ]


def test_a_run_that_joins_late_is_told_once_what_has_happened() -> None:
    """9: `nvsx run` 20 s into an incident, rebooted already: one message, the incident's times."""
    told = Telling(Timeline(looking=False))
    told.at(
        20,
        faults=(fault("SysLogsXIDError", "79", "e1", generated_at=NOON),),
        session=session("e1", state="remediating"),
        repairs=(done("e1"),),
        boot_id="boot-2",
    )
    told.run_joins().wait(60)
    assert told.house.read() == [
        "12:00Z gpu-ops post: Late: gpu-1: SysLogsXIDError 79, found under way"
    ]
    text = told.house.sent[0][1].text
    assert text.startswith("joined late, at 12:00:20Z")
    assert "RebootNode maintenance-e1 asked for at" in text


def test_a_laptop_beside_the_daemon_is_one_page() -> None:
    """22: two stores that share nothing; the pager knows both by one key."""
    daemon, laptop = begun(), begun()
    keys = {o.key for told in (daemon, laptop) for _, o in told.house.sent}
    assert keys == {
        f"nvsx/{daemon.line.incident.key}/watch", f"nvsx-{daemon.line.incident.key}"
    }  # fmt: skip
    identities = [o.identity for told in (daemon, laptop) for _, o in told.house.sent]
    assert len(set(identities)) == 2


def test_a_drill_shows_and_pages_nobody() -> None:
    """22: its own words and nvsx's, through the same code."""
    told = Telling()
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    opened = replace(told.line.incident.opened, drill=True)
    told.line.story = replace(told.line.story, open=replace(told.line.incident, opened=opened))
    told.hook("page", "gpu-1 fell off the bus", rehearsal="drill")
    told.at(10, repairs=(failed("e1", "refused"),)).wait(60)
    assert told.house.read() == []
    rows = told.house.deliveries.values()
    assert [(d.state, d.role) for d in rows if d.target == "oncall"] == [
        ("would", "watch"), ("would", "people")
    ]  # fmt: skip


def test_an_empty_store_is_one_summary_and_no_page() -> None:
    """10: quarantines of before the first day, on many nodes, page nobody."""
    told = Telling(Timeline(looking=False))
    told.line.memory = WatchMemory(adopting=True)
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    assert told.line.incident.opened.adopted
    [line] = told.house.known("i-1")
    others = [
        replace(line, call=f"nvsx/i-{n}/adopted", incident=f"i-{n}", title=f"gpu-{n}: the same")
        for n in range(2, 126)
    ]
    told.house.accept(others, NOON + 5)
    told.wait(600)
    assert told.house.read() == [
        (
            "12:00Z gpu-ops post: 125 incidents were open already when nvsx first looked here; "
            "nobody is paged"
        )
    ]
    lines = told.house.sent[0][1].text.splitlines()
    assert lines[0] == "gpu-1: SysLogsXIDError 79, quarantined"
    assert lines[29:] == [
        "gpu-30: the same",
        "and 95 more: nvsx incidents list",
        "page for one of them: nvsx incidents adopt NODE",
    ]


def test_an_adopted_incident_pages_when_it_changes() -> None:
    """10: what only grows old is no change; a repair that fails after the first day is one."""
    line = Timeline(looking=False)
    line.memory = WatchMemory(adopting=True)
    told = Telling(line)
    down = SeenChain(missing=("janitor",))
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    told.at(15, chain=down).wait(HOUR, every=300)
    assert told.line.incident.state == "needs people"
    assert told.house.woken() == []
    told.at(HOUR + 60, chain=SeenChain(), repairs=(reboot("e1"),))
    told.at(HOUR + 120, repairs=(failed("e1", "refused"),)).wait(HOUR + 180)
    assert [title for _, title in told.house.woken()] == [
        "gpu-1: people are needed: RebootNode maintenance-e1: it ended with a refused"
    ]


def test_a_person_who_adopts_is_paged_for_what_needs_people() -> None:
    """10: `nvsx incidents adopt` takes an old quarantine on."""
    line = Timeline(looking=False)
    line.memory = WatchMemory(adopting=True)
    told = Telling(line)
    chain = SeenChain(missing=("janitor",))
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"), chain=chain)
    told.wait(300)
    assert told.house.woken() == []
    told.say(IncidentNoted(text="mine", code=ADOPTED_BY_HAND, author="ada")).wait(330)
    assert [title for _, title in told.house.woken()] == [
        (
            "gpu-1: people are needed: janitor is not there, so NVSentinel does not carry the "
            "repair out"
        )
    ]


def test_a_poll_error_that_passes_pages_nobody() -> None:
    """21: NVSentinel tries again by itself; people are needed after five minutes of it."""
    told = begun()
    told.at(240, repairs=(failed("e1", "poll error"),))
    told.at(249, repairs=(failed("e1", "poll error"), sent("e1", "u2"))).wait(600)
    assert told.house.read() == BEGUN


def test_two_checks_and_two_repairs_are_no_second_page() -> None:
    """21: the other check's repair is no retry, and nobody is called for it."""
    told = begun()
    told.at(60, ready=True, ready_at=NOON + 60, boot_id="boot-2")
    told.at(61, repairs=(done("e1"),))
    both = (fault("SysLogsXIDError", "79", "e1"), fault("GpuNvlinkWatch", "", "e2"))
    told.at(90, faults=both, session=session("e1", "e2"))
    told.at(95, repairs=(done("e1"), sent("e2", "u2"))).wait(300)
    assert told.house.read() == BEGUN


def test_an_alert_that_the_cluster_does_not_show() -> None:
    """7: two minutes after it came, once, and by post."""
    told = Telling().at(0, alerts=(alert(),), chain=SeenChain(current=True))
    told.wait(119, every=119)
    assert told.house.read() == []
    told.at(120).wait(600)
    assert told.house.read() == [
        (
            "12:02Z gpu-ops post: gpu-1: Alertmanager reports alert GpuHot, and NVSentinel shows "
            "nothing so far"
        )
    ]


def test_an_alert_that_fires_on_after_the_end_is_one_post() -> None:
    """9: half an hour after the end, no page, and not again."""
    told = Telling(quarantined(0)).look(0)
    told.at(10, alerts=(alert(started=5, check="SysLogsXIDError"),)).run_joins()
    told.at(60, faults=(), session=released(at=60)).wait(120)
    told.wait(3 * HOUR, every=60)
    assert told.house.read() == [
        (
            "12:32Z gpu-ops post: gpu-1: Alertmanager says that GpuHot is still firing, half an "
            "hour after the end"
        )
    ]


def test_waiting_for_weeks_is_reminded_of_once_a_day() -> None:
    """In the thread, never at the pager; a daemon that was down for days says the last only."""
    told = begun()
    told.at(1500, repairs=(failed("e1", "timeout"),)).hook("page", "the reboot timed out")
    told.at(1500 + DAY - 1)
    assert len(told.house.read()) == 3
    told.at(1500 + DAY).at(1500 + DAY + HOUR).at(1500 + 4 * DAY)
    words = "RebootNode maintenance-e1: it ended with a timeout"
    assert told.house.read()[3:] == [
        f"12:25Z gpu-ops post: gpu-1 has waited for people for 1d: {words}",
        f"12:25Z gpu-ops post: gpu-1 has waited for people for 4d: {words}",
    ]
    assert not any(o.broadcast for t, o in told.house.sent if t == "gpu-ops")
    assert len(told.house.woken()) == 2


def test_a_silenced_node_is_spoken_of_when_the_silence_ends() -> None:
    """Rule 3: late, if it is still true then."""
    told = Telling()
    told.silenced = True
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1"))
    told.at(10, repairs=(failed("e1", "refused"),)).wait(600)
    assert told.house.read() == []
    told.silenced = False
    told.at(615)
    assert told.house.woken() == [
        (
            "12:10Z",
            "gpu-1: people are needed: RebootNode maintenance-e1: it ended with a refused",
        )
    ]


def test_the_pager_is_down_until_after_the_recovery() -> None:
    """Nobody is woken for what has ended: the page is a post by then."""
    told = Telling()
    told.house.weather["oncall"] = "down"
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1")).run_joins()
    told.hook("page", "gpu-1 fell off the bus")
    told.at(5, repairs=(sent("e1"),)).at(40, ready=True, boot_id="boot-2", repairs=(done("e1"),))
    told.at(50, faults=(), session=released(at=50)).wait(90)
    told.house.weather["oncall"] = "up"
    told.house.weather["dc-hands"] = "up"
    told.wait(300)
    assert told.house.woken() == []
    assert told.house.read() == [
        "12:01Z gpu-ops post: gpu-1 is back: SysLogsXIDError 79, recovered at 12:00Z after 50s",
        "12:01Z gpu-ops post: gpu-1 fell off the bus",
    ]
    assert told.house.sent[1][1].text == (
        "(page of 12:00Z: what it called for was over before it could be delivered)"
    )


def test_the_fallback_is_told_after_two_minutes() -> None:
    """When no page of the list could be delivered, and not a moment earlier."""
    told = Telling()
    told.house.weather["oncall"] = "down"
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1")).run_joins()
    told.hook("page", "gpu-1 fell off the bus").wait(119, every=17)
    assert told.house.read() == []
    told.at(120)
    assert told.house.read() == ["12:02Z dc-hands open page: gpu-1 fell off the bus"]


def test_the_fallback_is_left_alone_where_the_page_arrived() -> None:
    """It ends in sight of everybody: dropped, with the reason."""
    told = Telling()
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1")).run_joins()
    told.hook("page", "gpu-1 fell off the bus").wait(300)
    assert told.house.read() == ["12:00Z oncall open page: gpu-1 fell off the bus"]
    [fallback] = [d for d in told.house.deliveries.values() if d.fallback]
    assert (fallback.state, fallback.reason) == ("dropped", "a page of the list was delivered")


def test_people_that_are_no_longer_needed_are_not_woken() -> None:
    """nvsx's own page, held up by the pager until NVSentinel's next attempt had begun."""
    told = begun().run_ends("cancelled")
    told.house.weather = {"oncall": "down", "dc-hands": "down"}
    told.at(1500, repairs=(failed("e1", "timeout"),)).at(1530).at(1550)
    told.at(1560, repairs=(failed("e1", "timeout"), sent("e1", "u2")))
    told.house.weather = {}
    told.wait(1700)
    assert len(told.house.woken()) == 1
    page = "gpu-1: people are needed: RebootNode maintenance-e1: it ended with a timeout"
    assert told.house.read()[2:] == [
        "12:26Z gpu-ops post: gpu-1: attempt 2 has begun: RebootNode maintenance-e1",
        f"12:26Z gpu-ops post: {page}",
    ]


def test_without_any_target_a_hooks_page_is_given_up_in_sight() -> None:
    """And what nvsx would have said is dropped quietly: the team has its hooks for it."""
    told = Telling(book=replace(BOOK, kinds={}, page=(), page_fallback=(), post=(), ticket=()))
    told.at(0, faults=(fault("SysLogsXIDError", "79", "e1"),), session=session("e1")).run_joins()
    told.hook("page", "gpu-1 fell off the bus")
    told.at(MINUTE, faults=(), session=released(at=60)).wait(300)
    found = {(d.state, d.message.by, d.reason) for d in told.house.deliveries.values()}
    assert found == {
        (
            "given up",
            "hook",
            "no target takes a page: name one in nvsx.yaml under notify.default.page",
        ),
        ("dropped", "nvsx", "no target takes a resolve"),
        ("dropped", "nvsx", "no target takes a post"),
    }
