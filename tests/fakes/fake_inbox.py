"""A fake of the Inbox port: the same rules, in memory, beside a FakeJournal.

The inboxes of journals made with `another()` share what they hold, as processes on one
state folder do. While `fail` is set, everything that writes raises it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from tests.fakes.fake_journal import FakeJournal

from nvsx.core.errors import UsageError
from nvsx.core.journal.run_rows import RunRow
from nvsx.core.routing.inbox import (
    Ask,
    Decide,
    Decision,
    Draft,
    Received,
    Silence,
    StormMark,
    Taken,
)


class _Held:
    """What the processes on one store have in common."""

    def __init__(self) -> None:
        self.events: dict[str, Received] = {}
        self.deliveries: dict[str, tuple[str, float]] = {}
        self.requests: dict[str, str] = {}
        self.incidents: dict[tuple[str, str, str], str] = {}
        self.silences: list[Silence] = []
        self.storms: dict[str, tuple[str, str, str, float]] = {}
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

    def holder(self, cluster: str, node: str) -> RunRow | None:
        return self._row(self._journal.shared.claims.get((cluster, node)))

    def armed(self, cluster: str, runbook: str) -> RunRow | None:
        wanted = (cluster, runbook, "", None)
        return self._find(lambda r: (r.cluster, r.runbook, r.node, r.finished) == wanted)

    def of_session(self, cluster: str, node: str, session_key: str) -> RunRow | None:
        wanted = (cluster, node, session_key)
        return self._find(lambda r: (r.cluster, r.node, r.session_key) == wanted)

    def last_on(self, cluster: str, node: str) -> RunRow | None:
        return self._find(
            lambda r: (r.cluster, r.node) == (cluster, node) and r.finished is not None
        )

    def of_incident(self, cluster: str, node: str, key: str) -> RunRow | None:
        return self._row(self._held.incidents.get((cluster, node, key)))

    def silence(self, cluster: str, node: str, now: float) -> Silence | None:
        covering = [
            s
            for s in self._held.silences
            if s.node == node and s.cluster in (cluster, "") and s.until > now
        ]
        return max(covering, key=lambda s: s.until, default=None)

    def recent(self, cluster: str, runbooks: Collection[str], since: float) -> Sequence[RunRow]:
        return [
            run.row
            for run in self._journal.shared.runs.values()
            if run.row.run_id in self._held.requests
            and run.row.cluster == cluster
            and run.row.runbook in runbooks
            and run.row.created >= since
        ]

    def storm(self, cluster: str, runbooks: Collection[str], since: float) -> StormMark | None:
        marks = [
            s
            for s in self._held.storms.values()
            if s[1] == cluster and s[2] in runbooks and s[3] >= since
        ]
        if not marks:
            return None
        leader, _, _, last = max(marks, key=lambda s: s[3])
        over = self._journal.row(leader).finished is not None
        return StormMark(leader, _size(self._held, leader), last, over)

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
        if decision.duplicate_of is not None:
            return Taken(event=self._repeated(decision, draft.received), decision=decision)
        lease = None
        if decision.create is not None:
            lease = self._journal.create_now(decision.create)
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
        return Taken(event=event, decision=decision, lease=lease)

    def _repeated(self, decision: Decision, at: float) -> Received:
        assert decision.duplicate_of is not None
        old = self._held.events[decision.duplicate_of.event_id]
        new = msgspec.structs.replace(old, repeats=old.repeats + 1, last_received=at)
        self._held.events[old.event_id] = new
        return new

    def _follow_up(self, run_id: str, decision: Decision) -> None:
        run = decision.create
        assert run is not None
        self._held.requests[run_id] = decision.request
        if decision.incident:
            self._held.incidents[run.cluster, run.node, decision.incident] = run_id
        if decision.storm:
            known = {r for r, s in self._held.storms.items() if s[0] == decision.storm}
            mark = (decision.storm, run.cluster, run.runbook, self._journal.now())
            for member in (*decision.members, run_id):
                if member not in known:
                    self._held.storms[member] = mark

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
        mark = self._held.storms.get(run_id)
        return None if mark is None else StormMark(mark[0], _size(self._held, mark[0]), mark[3])

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

    async def incidents(self, cluster: str) -> Sequence[tuple[str, str]]:
        return [(node, key) for c, node, key in self._held.incidents if c == cluster]

    async def close_incidents(self, cluster: str, nodes: Sequence[str]) -> None:
        self._write()
        for place in [p for p in self._held.incidents if p[0] == cluster and p[1] in nodes]:
            del self._held.incidents[place]

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
    return sum(1 for mark in held.storms.values() if mark[0] == leader)
