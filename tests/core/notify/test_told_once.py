"""Whatever order things happen in, whichever target fails when, and whenever nvsx is killed."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.incident.timelines import (
    NOON,
    done,
    failed,
    quarantined,
    released,
    sent,
)
from tests.core.notify.telling import Telling

from nvsx.core.notify.told_ledger import fold_ledger, list_open_things

#: What can happen at each step: of the node, of hooks, of the weather at a target.
STEPS = (
    "repair", "fail", "second repair", "release", "page", "post", "ticket", "run ends",
    "oncall down", "oncall cut", "oncall killed early", "oncall up", "tickets down", "tickets up",
    "gpu-ops down", "gpu-ops up", "restart", "wait", "long wait",
)  # fmt: skip
_plays = st.lists(st.sampled_from(STEPS), min_size=1, max_size=24)
_settings = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Play:
    """One incident that goes on as it is told, and ends in the end."""

    def __init__(self) -> None:
        self.told = Telling(quarantined()).look(0)
        self.told.run_joins()
        self.now = 0.0
        self.failures = 0
        self.over = False

    def go(self, steps: list[str]) -> Play:
        for step in steps:
            self.now += 7
            self._take(step)
        return self

    def end(self) -> Play:
        """Every target works again, the node is released, and there is time enough."""
        self.told.house.weather = {}
        self._take("release")
        self.told.wait(self.now + 400, every=10)
        return self

    def _take(self, step: str) -> None:
        told = self.told
        first, second = failed("e1", "timeout"), failed("e1", "timeout", "u2")
        seen: dict[str, Any] = {
            "repair": {"repairs": (sent("e1"),)},
            "fail": {"repairs": (first,) if self.failures == 0 else (first, second)},
            "second repair": {"repairs": (first, sent("e1", "u2"))},
        }
        target, _, weather = step.partition(" ")
        if self.over:
            told.at(self.now)
        elif step == "release":
            self.over = True
            boot = {"ready": True, "ready_at": NOON + self.now, "boot_id": "boot-2"}
            repairs = tuple(
                done(r.event_id, r.uid) if r.outcome != "failed" else r
                for r in told.line.sight.repairs
            )
            told.at(self.now, faults=(), repairs=repairs, session=released(at=self.now), **boot)
        elif step in seen:
            self.failures += step == "fail"
            told.at(self.now, **seen[step])
        if step in ("page", "post", "ticket"):
            told.at(self.now)
            told.hook(step, f"{step} of {self.now:g}")  # type: ignore[arg-type]
        elif step == "run ends":
            told.at(self.now).run_ends("cancelled").look(self.now)
        elif weather in ("down", "cut", "killed early", "up"):
            told.house.weather[target] = weather  # type: ignore[assignment]
            told.at(self.now)
        elif step == "restart":
            told.line.restarted()
            told.at(self.now)
        elif step.endswith("wait"):
            self.now += 180 if step == "long wait" else 20
            told.wait(self.now, every=10)


@_settings
@given(_plays)
def test_no_role_is_paged_twice(steps: list[str]) -> None:
    """A pager wakes once for a key, as long as nobody closes it there."""
    house = Play().go(steps).end().told.house
    for target, pager in house.pagers.items():
        opened = [o for t, o in house.sent if t == target and o.action == "open page"]
        certain = {o.key for o in opened if not o.unsure}
        assert len(pager.woken) == len({o.key for o in opened})
        assert len(certain) == len([o for o in opened if not o.unsure])


@_settings
@given(_plays)
def test_nobody_is_woken_for_what_is_over(steps: list[str]) -> None:
    """And what closes comes after the end alone."""
    told = Play().go(steps).end().told
    ended = told.line.incident.ended_at
    assert ended is not None
    for _, order in told.house.sent:
        if order.action == "open page":
            assert order.at < ended
        if order.action in ("close page", "close ticket"):
            assert order.at >= ended


@_settings
@given(_plays)
def test_nothing_stays_open_after_the_end(steps: list[str]) -> None:
    """At no pager, and by no receipt: also what a cut try has opened."""
    house = Play().go(steps).end().told.house
    assert house.still_open() == []
    assert list_open_things(fold_ledger(house.deliveries.values())) == ()


@_settings
@given(_plays)
def test_every_message_ends_in_one_visible_outcome(steps: list[str]) -> None:
    """Delivered with a receipt or in another's words, or dropped with a reason; none is lost. That
    none is settled twice is asserted by the playhouse."""
    house = Play().go(steps).end().told.house
    for row in house.deliveries.values():
        assert row.state in ("delivered", "dropped"), row
        assert row.receipt is not None or row.reason
    words = "\n".join(f"{o.title}\n{o.text}" for _, o in house.sent)
    for row in house.deliveries.values():
        if row.message.by == "hook":
            assert row.message.title in words


@_settings
@given(_plays)
def test_what_is_said_again_after_a_restart_is_known(steps: list[str]) -> None:
    """Asked again about the same incident, nvsx says nothing that it has said."""
    told = Play().go(steps).end().told
    before = len(told.house.deliveries)
    told.line.restarted()
    told.house.incidents["i-1"] = told.line.incident
    told.look(told.now)
    assert len(told.house.deliveries) == before
