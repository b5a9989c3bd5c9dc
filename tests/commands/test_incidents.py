"""`nvsx incidents`, and how `report`, `history`, `stats` and `status` speak of incidents."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.commands.conftest import Command
from tests.core.incident.test_stories import two_attempts
from tests.core.incident.timelines import DAY, NOON, Timeline, quarantined, sent

from nvsx.commands.status_command import status_lines
from nvsx.core.incident.incident_events import (
    IncidentEntry,
    IncidentOpened,
    RunEnded,
    RunJoined,
)
from nvsx.core.journal.run_rows import NewRun
from nvsx.follow.situation import ClusterSituation
from nvsx.store import incidents_of, open_store
from nvsx.store.delivery_list import FailingDelivery

ALIAS = "mighty-moose"
"""Of n1."""


NONE_OPEN = "no incident is open; those on sandboxes and of drills are under --sandbox\n"


def state_dir() -> Path:
    """The state folder of this test."""
    return Path(os.environ["NVSX_STATE_DIR"])


def keep(
    line: Timeline,
    node: str = "n1",
    cluster: str = "c1",
    *,
    sandbox: bool = False,
    later: float = 0.0,
) -> str:
    """Store the time line as an incident of the node, seen `later` by so many seconds; its id."""

    async def do() -> str:
        with closing(open_store(state_dir())) as journal:
            store = incidents_of(journal)
            incident = ""
            for entry in line.entries:
                body = entry.body
                if isinstance(body, IncidentOpened):
                    body = msgspec.structs.replace(body, node=node, sandbox=sandbox)
                stored = await store.story(cluster, node)
                appended = await store.append(
                    cluster, node, stored.position, [body], entry.t + later
                )
                incident = appended.entries[0].incident
            return incident

    return asyncio.run(do())


def under_way() -> Timeline:
    """XID 79 at noon, a reboot whose signal was sent at 12:00:10."""
    return quarantined(0, "e1").at(10, repairs=(sent("e1"),))


def test_open_ones_are_listed_and_all_with_open_ones_first(nvsx: Command) -> None:
    """Node with alias, faults, state, attempts, since when, how it ended."""
    over, still = keep(two_attempts()), keep(under_way(), "n2")
    listed = nvsx("incidents", "list")
    assert (listed.code, listed.err) == (0, "")
    assert [line.split() for line in listed.out.splitlines()] == [
        "INCIDENT NODE FAULTS STATE ATTEMPTS SINCE (UTC) ENDED".split(),
        [still, *"n2 (bold-alpaca) SysLogsXIDError 79 repairing 1 2026-03-02 12:00 -".split()],
    ]
    rows = nvsx("incidents", "list", "--all").out.splitlines()
    assert [row.split()[0] for row in rows[1:]] == [still, over]
    assert rows[2].endswith("over       2, 1 failed  2026-03-02 12:00  recovered 2026-03-02 12:28")


def test_the_list_can_be_narrowed_and_speaks_json(nvsx: Command) -> None:
    """By node or alias and by time; nothing found is said and no error."""
    over = keep(two_attempts())
    assert nvsx("incidents", "list").out == NONE_OPEN
    (fields,) = json.loads(nvsx("incidents", "list", "--all", "-o", "json").out)
    assert (fields["incident"], fields["alias"], fields["how"]) == (over, ALIAS, "recovered")
    assert (fields["attempts"], fields["failed_attempts"], fields["repair_s"]) == (2, 1, 1720.0)
    for options, found in (
        (("--node", ALIAS), True),
        (("--node", "n2"), False),
        (("--since", "2026-03-01"), True),
        (("--since", "2026-03-04"), False),
    ):
        assert (over in nvsx("incidents", "list", "--all", *options).out) is found


def test_those_of_sandboxes_are_listed_apart(nvsx: Command) -> None:
    """One on a sandbox is not among the open ones of real clusters."""
    staged = keep(under_way(), cluster="sandbox-1", sandbox=True)
    assert nvsx("incidents", "list").out == NONE_OPEN
    assert staged in nvsx("incidents", "list", "--sandbox").out


PAGE_NOW = """\

over: recovered at 2026-03-02 12:28:40: the node is back
faults
  1: SysLogsXIDError 79 on GPU 0, fatal, recommended action RESTART_BM
    began 2026-03-02 12:00:00, seen 2026-03-02 12:00:00, quarantined 2026-03-02 12:00:00, \
cleared 2026-03-02 12:28:40, released 2026-03-02 12:28:40, time to repair 28m40s
attempts
  1: RebootNode maintenance-e1 for SysLogsXIDError 79 (first), asked for 2026-03-02 12:00:10: \
failed 2026-03-02 12:25:00 (timeout: it ended with a timeout)
  2: RebootNode maintenance-e1 for SysLogsXIDError 79 (retry), asked for 2026-03-02 12:26:00: \
succeeded 2026-03-02 12:28:20 (rebooted and Ready)
runs: none
"""


def test_show_tells_what_happened_and_how_it_stands(nvsx: Command) -> None:
    """The page of an incident with a failed repair and a retry, by node and by id."""
    incident = keep(two_attempts())
    shown = nvsx("incidents", "show", "n1")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(
        f"{incident} on n1 ({ALIAS})\n\nwhat happened (UTC)\n  2026-03-02\n"
        "  12:00:00  incident opened: NVSentinel's quarantine of the node was seen\n"
    )
    assert shown.out.endswith(
        f"  12:29:10  over: recovered: the node is back, as of 12:28:40\n{PAGE_NOW}"
    )
    assert nvsx("incidents", "show", incident).out == shown.out


def test_show_says_what_an_open_one_waits_for(nvsx: Command) -> None:
    """What was seen last, when that was, and what keeps it open."""
    keep(under_way())
    out = nvsx("incidents", "show", ALIAS).out
    assert "now: repairing since 2026-03-02 12:00:00, " in out
    assert "last news: 2026-03-02 12:00:10\n" in out
    assert 'under way, signal sent, NVSentinel\'s request says "in progress", no new boot' in out
    assert out.endswith(
        "kept open until: NVSentinel releases the node\n"
        "kept open until: SysLogsXIDError 79 GPU:0 clears\n"
        "kept open until: RebootNode maintenance-e1 takes effect\n"
    )


def test_a_runs_id_means_its_incident(nvsx: Command) -> None:
    """A run that died is told by its own record: the incident has not heard of it."""
    journal = open_store(state_dir())
    lease = asyncio.run(journal.create(NewRun(runbook="gpu-off-bus", cluster="c1", node="n1")))
    journal.close()
    line = under_way()
    body = RunJoined(run_id=lease.run_id, runbook="gpu-off-bus", faults=(1,))
    line.entries.append(IncidentEntry("gpu-1", len(line.entries) + 1, NOON + 20, body))
    incident = keep(line)
    shown = nvsx("incidents", "show", lease.run_id)
    assert shown.out.startswith(f"{incident} on n1")
    assert f"run {lease.run_id} of gpu-off-bus: interrupted\n" in shown.out
    (past,) = json.loads(nvsx("history", "--incident", incident, "-o", "json").out)
    assert (past["run_id"], past["incident"]) == (lease.run_id, incident)
    assert nvsx("history", "--incident", "i-other").out == ""


def test_of_a_node_the_open_one_is_meant(nvsx: Command) -> None:
    """The newest of those that are over where none is open; a real one before a sandbox's."""
    first = keep(two_attempts())
    assert first in nvsx("incidents", "show", "n1").out
    staged = keep(under_way(), cluster="sandbox-1", sandbox=True)
    assert first in nvsx("incidents", "show", "n1").out
    second = keep(under_way(), later=DAY)
    assert second in nvsx("incidents", "show", "n1").out
    assert staged in nvsx("report", "n1", "--sandbox").out


def test_a_node_of_two_clusters_has_to_be_named_by_id(nvsx: Command) -> None:
    """Exit code 2, and both ids are named."""
    ids = keep(under_way()), keep(under_way(), cluster="c2")
    refused = nvsx("incidents", "show", "n1")
    assert (refused.code, refused.out) == (2, "")
    assert all(incident in refused.err for incident in ids)
    assert "name one by its id" in refused.err


def test_a_note_reaches_one_that_is_over(nvsx: Command) -> None:
    """With the author, in the incident that was named, and no newer one."""
    old, new = keep(two_attempts()), keep(under_way(), later=DAY)
    noted = nvsx("incidents", "note", old, "vendor", "called")
    assert (noted.code, noted.out) == (0, f"noted on incident {old}, n1 ({ALIAS})\n")
    assert " noted: vendor called\n" in nvsx("incidents", "show", old).out
    assert "vendor" not in nvsx("incidents", "show", new).out
    assert nvsx("incidents", "note", old, " ").code == 2


def test_a_close_needs_a_reason_and_a_yes(nvsx: Command) -> None:
    """Without them exit code 2, and the incident stays open."""
    incident = keep(under_way())
    for words in ((), ("--reason", "vendor"), ("--reason", " ", "--yes")):
        assert nvsx("incidents", "close", "n1", *words).code == 2
    assert incident in nvsx("incidents", "list").out


def test_a_close_ends_it_with_what_is_left_over(nvsx: Command) -> None:
    """By whom and why; a second close is refused with how it ended."""
    incident = keep(under_way())
    closed = nvsx("incidents", "close", "n1", "--reason", "to the vendor", "--yes")
    assert (closed.code, closed.out) == (0, f"closed incident {incident}, n1 ({ALIAS})\n")
    out = nvsx("incidents", "show", incident).out
    assert ": to the vendor; left over: SysLogsXIDError 79 GPU:0, NVSentinel's quarantine\n" in out
    assert "attempt 1 (RebootNode maintenance-e1) was not seen to end" in out
    assert nvsx("incidents", "list").out == NONE_OPEN
    again = nvsx("incidents", "close", incident, "--reason", "x", "--yes")
    assert (again.code, again.err.splitlines()[0]) == (
        2,
        f"nvsx: incident {incident} is over already: closed",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("incidents", "show", "nowhere"),
        ("incidents", "show", "i-none"),
        ("incidents", "show", "r-none"),
        ("incidents", "note", "nowhere", "x"),
        ("incidents", "list", "--since", "soon"),
        ("incidents", "list", "-o", "xml"),
        ("report", "nowhere"),
        ("report", "i-none", "--since", "2h"),
    ],
)
def test_what_is_not_known_is_a_usage_error(words: tuple[str, ...], nvsx: Command) -> None:
    """Exit code 2, a message with the next step, nothing on standard output."""
    refused = nvsx(*words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("nvsx: ")


HEAD = """\
# SysLogsXIDError 79 on n1 (mighty-moose): recovered

|  |  |
| --- | --- |
| incident | {incident} |
| cluster | c1 |
| first fault | 2026-03-02 12:00:00 UTC |
| seen by nvsx | 2026-03-02 12:00:00 UTC |
| quarantined | 2026-03-02 12:00:00 UTC |
| released | 2026-03-02 12:28:40 UTC |
| over | 2026-03-02 12:28:40 UTC: recovered: the node is back |
| time to repair | 28m40s |
| whole time | 28m40s |
| attempts | 2, 1 failed |
| runs | 1, 1 did not pass |
"""


def test_a_report_tells_an_incident_whose_run_failed(nvsx: Command) -> None:
    """Attempts and times are the incident's own; the run that was pruned is counted."""
    line = two_attempts()
    ended = RunEnded(run_id="r-gone", status="failed")
    for body in (RunJoined(run_id="r-gone", runbook="gpu-off-bus"), ended):
        line.entries.insert(-1, IncidentEntry("gpu-1", 99, NOON + 1510, body))
    incident = keep(line)
    report = nvsx("report", ALIAS).out
    assert report.startswith(HEAD.format(incident=incident))
    assert "- run r-gone of gpu-off-bus: failed\n" in report
    page = nvsx("report", incident, "-o", "html").out
    assert "<title>SysLogsXIDError 79 on n1 (mighty-moose): recovered</title>" in page
    made = json.loads(nvsx("report", incident, "-o", "json").out)
    assert (made["incident"]["row"]["repair_s"], made["runs"]) == (1720.0, None)
    (group,) = json.loads(nvsx("stats", "-o", "json").out)["incidents"]
    assert (group["name"], group["run_not_passed"], group["attempts"]) == ("gpu-off-bus", 1, 2)
    assert group["repair"] == {"count": 1, "p50": 1720.0, "p90": 1720.0}


def test_stats_leave_sandboxes_apart(nvsx: Command) -> None:
    """An incident on a sandbox counts only with --sandbox."""
    keep(two_attempts(), cluster="sandbox-1", sandbox=True)
    assert nvsx("stats").err == "no incidents and no finished runs to count\n"
    assert "1 recovered" in nvsx("stats", "--sandbox").out


def test_status_tells_what_the_store_knows_without_a_cluster(
    nvsx: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 3; open incidents all the same, but not those of a sandbox that is gone."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    incident = keep(under_way())
    staged = keep(under_way(), "n2", "sandbox-1", sandbox=True)
    keep(two_attempts(), "n3")
    told = nvsx("status")
    assert told.code == 3
    assert told.err.startswith("nvsx: ")
    assert told.out.startswith(
        "the cluster could not be read; this is what the store knows:\n\nopen incidents: 1\n"
        f"  {incident}  n1 ({ALIAS}): SysLogsXIDError 79\n    now: repairing since 2026-03-02 12:00"
    )
    assert "    attempts: 1\n    attempt 1: RebootNode maintenance-e1" in told.out
    assert "    awaited: NVSentinel releases the node\n" in told.out
    assert staged not in told.out
    fields = json.loads(nvsx("status", "-o", "json").out)
    (shown,) = fields["open_incidents"]
    assert (shown["row"]["incident"], shown["awaited"][0]) == (
        incident,
        "NVSentinel releases the node",
    )
    assert fields["daemon"] is None


@pytest.mark.parametrize(
    ("daemon", "words"),
    [
        ("4711", "a daemon serves this cluster (pid 4711)"),
        ("", "no daemon serves this cluster from this state folder"),
    ],
)
def test_status_says_where_it_is_and_who_serves_there(daemon: str, words: str) -> None:
    """Context, sandbox or real, cluster, and the daemon; what is open elsewhere is counted."""
    found = ClusterSituation(
        context="lab", cluster="uid-1", sandbox=True, daemon=daemon, open_elsewhere=2
    )
    lines = status_lines(found, NOON)
    assert lines[:2] == ["context lab · sandbox · cluster uid-1", words]
    assert "open incidents: none" in lines
    assert "open on other clusters: 2 (nvsx incidents list)" in lines


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (two_attempts, "is over already: recovered"),
        (under_way, "needs no adopting: it has runs and pages like any other"),
    ],
)
def test_adopting_is_for_what_is_left_alone(
    line: Callable[[], Timeline], refusal: str, nvsx: Command
) -> None:
    """One that is over, or that nvsx saw begin, is refused with exit code 2."""
    keep(line())
    refused = nvsx("incidents", "adopt", "n1")
    assert (refused.code, refused.out) == (2, "")
    assert refusal in refused.err


def test_an_adopted_one_is_marked_once(nvsx: Command) -> None:
    """The note has the person's name and a code that the daemon heeds; a second is refused."""
    line = under_way()
    first = line.entries[0]
    assert isinstance(first.body, IncidentOpened)
    opened = msgspec.structs.replace(first.body, late=True, adopted=True)
    line.entries[0] = msgspec.structs.replace(first, body=opened)
    incident = keep(line)
    adopted = nvsx("incidents", "adopt", ALIAS)
    assert (adopted.code, adopted.out) == (
        0,
        (
            f"adopted incident {incident}, n1 ({ALIAS}): a daemon that serves its cluster "
            "starts the runbook of its fault, and pages\n"
        ),
    )
    shown = nvsx("incidents", "show", incident).out
    assert " noted: have runs and pages for it (adopted-by-hand)\n" in shown
    assert nvsx("incidents", "adopt", incident).code == 2


def test_ids_of_incidents_complete(nvsx: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `incidents show` and `report` the shell offers them, with node and state."""
    from nvsx.commands.completing import candidates

    incident = keep(under_way())
    for words in (["incidents", "show"], ["report"]):
        found = {c.text: c.about for c in candidates(words, "i-", dict(os.environ))}
        assert found == {incident: "on n1 open"}


def test_status_says_who_was_not_told_and_why() -> None:
    """Tried in vain or given up, with the vendor's own reason; nothing when all is well."""
    failing = FailingDelivery("oncall", "page", "off the bus", "i-1", 100.0, 3, "503", False)
    lost = FailingDelivery("gpu-ops", "post", "", "i-1", 100.0, 1, "channel_not_found", True)
    found = ClusterSituation(context="c", undelivered=(failing, lost))
    lines = status_lines(found, 160.0)
    assert '  ! page for oncall "off the bus": tried 3 times in 1m, tried on: 503' in lines
    assert "  ! post for gpu-ops: given up: channel_not_found" in lines
    assert not any("NOT DELIVERED" in x for x in status_lines(ClusterSituation(context="c"), 1.0))
