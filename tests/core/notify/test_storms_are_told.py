"""A storm is one story: 8 nodes of a rack, the first of which recovers first."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from tests.core.incident.timelines import NOON, failed, quarantined, repaired
from tests.core.notify.playhouse import Playhouse

from nvsx.core.incident.incident_state import IncidentState
from nvsx.core.notify.message import Message, MessageKind
from nvsx.core.notify.speaking import Speaking, speak
from nvsx.core.notify.storm_speaking import join_storm, speak_of_storm
from nvsx.core.notify.subject import StormMember, StormView

RACK = StormView(storm="s-1", key="storm-inc-1", fault="SysLogsXIDError 79", domain="rack-4")


class Rack:
    """Nodes n1, n2, … of one rack with an incident each; `hook` is a run's word."""

    def __init__(self) -> None:
        self.house = Playhouse()
        self.storm: StormView | None = None
        self.now = 0.0

    def begins(self, seconds: float, number: int) -> Rack:
        """XID 79 on another node; its run's hooks page, post and open the ticket."""
        self.is_now(number, quarantined().incident)
        if self.storm is not None:
            self._join(number, paged_itself=False)
        elif number == 3:
            self.storm = RACK
            for one in (1, 2, 3):
                self._join(one, paged_itself=True)
        self.look(seconds)
        self.hook(number, "page", f"n{number} fell off the bus")
        return self.hook(number, "post", f"n{number} is quarantined")

    def _join(self, number: int, *, paged_itself: bool) -> None:
        assert self.storm is not None
        member = StormMember(incident=f"i-{number}", node=f"n{number}", paged_itself=paged_itself)
        self.storm = replace(self.storm, members=(*self.storm.members, member))

    def is_now(self, number: int, incident: IncidentState) -> None:
        """The incident of a node as it is from now on."""
        opened = replace(incident.opened, node=f"n{number}")
        state = replace(incident, opened=opened, key=f"inc-{number}")
        self.house.incidents[f"i-{number}"] = state
        if self.storm is not None:
            self.storm = replace(
                self.storm,
                members=tuple(
                    replace(
                        m,
                        is_over=state.ended is not None,
                        needs_people=state.state == "needs people",
                    )
                    if m.incident == f"i-{number}"
                    else m
                    for m in self.storm.members
                ),
            )

    def hook(self, number: int, kind: MessageKind, title: str, **more: Any) -> Rack:
        """A hook of the run at a node."""
        calls = len(self.house.deliveries)
        message = Message(
            call=f"run-{number}/{calls}", kind=kind, title=title, incident=f"i-{number}",
            node=f"n{number}", asked=NOON + self.now, **more,
        )  # fmt: skip
        self.house.accept([join_storm(message, self.storm)], NOON + self.now)
        return self.look(self.now)

    def look(self, seconds: float) -> Rack:
        """nvsx speaks of the storm and of each incident, and what is due is delivered."""
        self.now, now = seconds, NOON + seconds
        if self.storm is not None:
            self.house.storms[self.storm.storm] = self.storm
            known = [m for m in self.house.known("s-1") if m.storm == "s-1"]
            self.house.accept(speak_of_storm(self.storm, known, now), now)
        for incident_id, state in self.house.incidents.items():
            asked = Speaking(
                incident_id=incident_id,
                incident=state,
                known=self.house.known(incident_id),
                routed=False,
                storm=self.storm,
            )
            self.house.accept(speak(asked, now).messages, now)
        self.house.deliver(now)
        return self


def rack_of_eight() -> Rack:
    """n1 to n8, three seconds apart."""
    rack = Rack()
    for number in range(1, 9):
        rack.begins(3.0 * number, number)
    return rack


def test_the_first_nodes_page_and_the_storm_once() -> None:
    """20: three nodes for themselves, then one page for all of them; the other five are quiet."""
    rack = rack_of_eight()
    assert [title for _, title in rack.house.woken()] == [
        "n1 fell off the bus",
        "n2 fell off the bus",
        "Storm: SysLogsXIDError 79 on 3 nodes of rack-4: n1, n2, n3",
        "n3 fell off the bus",
    ]
    posts = [line for line in rack.house.read("s-1") if "gpu-ops" in line]
    assert posts[:3] == [
        "12:00Z gpu-ops post: Storm: SysLogsXIDError 79 on 3 nodes of rack-4: n1, n2, n3",
        "12:00Z gpu-ops post: n4 joined: 4 nodes by now",
        "12:00Z gpu-ops post: n4 fell off the bus",
    ]


def test_the_words_of_quiet_members_are_in_the_storms_thread() -> None:
    """20: and broadcast none of it; the thread is that of the storm's first post."""
    rack = rack_of_eight()
    orders = [o for t, o in rack.house.sent if t == "gpu-ops" and o.incident == "s-1"]
    assert {o.ref for o in orders[1:]} == {f"ref-{orders[0].delivery}"}
    assert [o.broadcast for o in orders] == [True, *(False for _ in orders[1:])]
    assert "n5 is quarantined" in [o.title for o in orders]


def test_the_storm_ends_with_its_last_member() -> None:
    """20: the first recovers first; the storm's page stays until all are over."""
    rack = rack_of_eight()
    over = repaired().wait(120).incident
    for number in range(1, 8):
        rack.is_now(number, over)
        rack.look(200 + number)
    assert rack.house.still_open() == ["nvsx/storm-inc-1/watch"]
    rack.is_now(8, over)
    rack.look(300)
    assert rack.house.still_open() == []
    words = "SysLogsXIDError 79 on 8 nodes of rack-4: n1, n2, n3, n4, n5, n6, n7, n8"
    assert [line for line in rack.house.read() if line.startswith("12:05Z")] == [
        f"12:05Z oncall close page: The storm is over: {words}",
        f"12:05Z gpu-ops post: The storm is over: {words}",
    ]
    last = rack.house.sent[-1][1].text.splitlines()
    assert last[-1] == ("12:05Z n8 is back: SysLogsXIDError 79, recovered at 12:01Z after 1m10s")


def test_a_quiet_member_that_needs_people_pages_for_itself() -> None:
    """20: once, under its own key, whichever hook says so."""
    rack = rack_of_eight()
    rack.is_now(5, quarantined().at(300, repairs=(failed("e1", "timeout"),)).incident)
    rack.look(300).hook(5, "page", "n5: the reboot timed out")
    assert rack.house.woken()[-1] == ("12:05Z", "n5: the reboot timed out")
    assert "nvsx/inc-5/people" in rack.house.still_open()


def test_nodes_without_a_storm_are_told_for_themselves() -> None:
    """20: three unrelated faults are three pages, and nothing is said of a storm."""
    rack = Rack()
    for number in (1, 2, 4):
        rack.begins(3.0 * number, number)
    assert len(rack.house.woken()) == 3
    assert rack.house.read("s-1") == []
