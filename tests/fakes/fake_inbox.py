"""A fake of the Inbox port: the same rules, in memory, beside a FakeJournal.

The inboxes of journals made with `another()` share what they hold, as processes on one
state folder do. While `fail` is set, everything that writes raises it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from tests.fakes.fake_journal import FakeJournal

from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_store import Appended, StoredStory
from nvsx.core.journal.run_rows import RunRow
from nvsx.core.routing.inbox import (
    Ask,
    Decide,
    Decision,
    Draft,
    Received,
    Silence,
    StormFault,
    StormMark,
    Taken,
)


class _Held:
    """What the processes on one store have in common."""

    def __init__(self) -> None:
        self.events: dict[str, Received] = {}
        self.deliveries: dict[str, tuple[str, float]] = {}
        self.requests: dict[str, str] = {}
        self.silences: list[Silence] = []
        self.storms: dict[str, tuple[str, StormFault]] = {}
        self.asks: dict[int, Ask] = {}
        self.cursors: dict[str, str] = {}


class FakeLedger:
    """Implements core.inbox.Ledger over what is held."""

    def __init__(self, journal: FakeJournal, held: _Held) -> None:
        self._journal = journal
        self._held = held

    def seen(self, keys: Sequence[str], since: float) -> Received | None:
        found = [self._held.deliveries[k] for k in keys if k in self._held.deliveries]
        fresh = [(at, event_id) for event_id, at in found if at >= since]
        return self._held.events[max(fresh)[1]] if fresh else None

    def story(self, cluster: str, known: StoredStory) -> StoredStory:
        stored = self._journal.shared.incidents.story_now(cluster, known.story.node)
        return known if known.position == stored.position else stored

    def at_work(self, cluster: str, node: str, runbook: str, incident: str) -> RunRow | None:
        claims = self._journal.shared.claims
        places = [(cluster, node, runbook, i) for i in (incident, "")]
        return self._row(next((claims[p] for p in places if p in claims), None))

    def run(self, run_id: str) -> RunRow | None:
        return self._row(run_id if run_id in self._journal.shared.runs else None)

    def armed(self, cluster: str, runbook: str) -> RunRow | None:
        wanted = (cluster, runbook, "", None)
        return self._find(lambda r: (r.cluster, r.runbook, r.node, r.finished) == wanted)

    def silence(self, cluster: str, node: str, now: float) -> Silence | None:
        covering = [
            s
            for s in self._held.silences
            if s.node == node and s.cluster in (cluster, "") and s.until > now
        ]
        return max(covering, key=lambda s: s.until, default=None)

    def recent(self, cluster: str, runbook: str, since: float) -> Sequence[RunRow]:
        return [
            run.row
            for run in self._journal.shared.runs.values()
            if run.row.run_id in self._held.requests
            and (run.row.cluster, run.row.runbook) == (cluster, runbook)
            and run.row.created >= since
        ]

    def storm_faults(self, cluster: str, since: float) -> Sequence[StormFault]:
        return [
            msgspec.structs.replace(fault, open=not self._is_over(fault.run_id))
            for where, fault in self._held.storms.values()
            if where == cluster and fault.seen >= since
        ]

    def storm_size(self, leader: str) -> int:
        return _size(self._held, leader)

    def _is_over(self, run_id: str) -> bool:
        over = self._journal.shared.incidents.is_over(run_id)
        return self._journal.row(run_id).finished is not None if over is None else over

    def _find(self, fits: Any) -> RunRow | None:
        runs = reversed(self._journal.shared.runs.values())
        return self._row(next((run.row.run_id for run in runs if fits(run.row)), None))

    def _row(self, run_id: str | None) -> RunRow | None:
        return None if run_id is None else self._journal.row(run_id)


class FakeInbox:
    """Implements core.inbox.Inbox."""

    def __init__(self, journal: FakeJournal) -> None:
        self.fail: Exception | None = None
        self._journal = journal
        if journal.shared.inbox is None:
            journal.shared.inbox = _Held()
        self._held: _Held = journal.shared.inbox

    def _write(self) -> None:
        if self.fail is not None:
            raise self.fail

    async def take(self, draft: Draft, decide: Decide) -> Taken:
        self._write()
        decision = decide(FakeLedger(self._journal, self._held))
        run_id = self._journal.new_run_id() if decision.create is not None else ""
        appended = self._append_news(decision, run_id)
        if decision.duplicate_of is not None:
            event = self._repeated(decision, draft.received)
            return Taken(event=event, decision=decision, appended=appended)
        lease = None
        if decision.create is not None:
            incident = appended.stored.open_id if appended is not None else ""
            lease = self._journal.create_beside(decision.create, incident, run_id)
            self._follow_up(lease.run_id, decision)
        for ask in decision.asks:
            new = lease.run_id if lease else ""
            self._add(ask if ask.run_id else msgspec.structs.replace(ask, run_id=new))
        event = draft.decided(decision, f"e-{len(self._held.events) + 1:06d}", lease)
        # Through the encoder and back: what cannot be stored must fail here too.
        event = msgspec.json.decode(msgspec.json.encode(event), type=Received)
        self._held.events[event.event_id] = event
        for key in event.keys:
            self._held.deliveries[key] = (event.event_id, event.received)
        return Taken(event=event, decision=decision, lease=lease, appended=appended)

    def _repeated(self, decision: Decision, at: float) -> Received:
        assert decision.duplicate_of is not None
        old = self._held.events[decision.duplicate_of.event_id]
        new = msgspec.structs.replace(old, repeats=old.repeats + 1, last_received=at)
        self._held.events[old.event_id] = new
        return new

    def _append_news(self, decision: Decision, run_id: str) -> Appended | None:
        news, joins = decision.news, decision.joins
        events = news.events if news is not None else ()
        if joins is not None:
            events = (*events, msgspec.structs.replace(joins, run_id=joins.run_id or run_id))
        if news is None or not events:
            return None
        return self._journal.shared.incidents.append_now(
            news.cluster, news.stored.story.node, news.stored.position, events, news.sight.at
        )

    def _follow_up(self, run_id: str, decision: Decision) -> None:
        run, fault = decision.create, decision.fault
        assert run is not None
        self._held.requests[run_id] = decision.request
        if fault is None:
            return
        marks = {"run_id": run_id, "leader": decision.storm, "seen": self._journal.now()}
        self._held.storms[run_id] = (run.cluster, msgspec.structs.replace(fault, **marks))
        for member in decision.members:
            where, known = self._held.storms[member]
            led = msgspec.structs.replace(known, leader=decision.storm)
            self._held.storms[member] = (where, led)

    async def consult(self, decide: Decide) -> Decision:
        return decide(FakeLedger(self._journal, self._held))

    async def event(self, event_id: str) -> Received:
        if event_id not in self._held.events:
            raise UsageError(f"there is no event {event_id}", "list them with `nvsx explain`")
        return self._held.events[event_id]

    async def events(self, *, run_id: str = "", limit: int = 100) -> Sequence[Received]:
        found = [e for e in self._held.events.values() if run_id in ("", e.run_id)]
        return sorted(found, key=lambda e: e.received, reverse=True)[:limit]

    async def request_of(self, run_id: str) -> str:
        return self._held.requests.get(run_id, "")

    async def storm_of(self, run_id: str) -> StormMark | None:
        _, mark = self._held.storms.get(run_id, ("", None))
        if mark is None or not mark.leader:
            return None
        return StormMark(mark.leader, _size(self._held, mark.leader))

    def _add(self, ask: Ask) -> None:
        number = max(self._held.asks, default=0) + 1
        self._held.asks[number] = msgspec.structs.replace(ask, ask_id=number)

    async def ask(self, ask: Ask) -> None:
        self._write()
        self._add(ask)

    async def asks(self) -> Sequence[Ask]:
        asks = self._held.asks.values()
        return [ask for ask in asks if self._journal.row(ask.run_id).finished is None]

    async def asked(self, done: Sequence[int]) -> None:
        self._write()
        for number in done:
            self._held.asks.pop(number, None)

    async def silence(self, silence: Silence) -> None:
        self._write()
        number = len(self._held.silences) + 1
        self._held.silences.append(msgspec.structs.replace(silence, silence_id=number))

    async def silences(self, now: float) -> Sequence[Silence]:
        return sorted((s for s in self._held.silences if s.until > now), key=lambda s: s.until)

    async def end_silence(self, node: str, now: float) -> bool:
        self._write()
        ended = [s for s in self._held.silences if s.node == node and s.until > now]
        for old in ended:
            at = self._held.silences.index(old)
            self._held.silences[at] = msgspec.structs.replace(old, until=now)
        return bool(ended)

    async def cursor(self, source: str) -> Any:
        text = self._held.cursors.get(source)
        return None if text is None else json.loads(text)

    async def set_cursor(self, source: str, value: Any) -> None:
        self._write()
        self._held.cursors[source] = json.dumps(value)

    async def prune(self, before: float) -> int:
        self._write()
        held = self._held
        held.deliveries = {k: d for k, d in held.deliveries.items() if d[1] >= before}
        old = [e for e in held.events.values() if e.last_received < before]
        for event in old:
            del held.events[event.event_id]
        return len(old)

    async def probe(self) -> None:
        self._write()


def _size(held: _Held, leader: str) -> int:
    return sum(1 for _, fault in held.storms.values() if fault.leader == leader)
