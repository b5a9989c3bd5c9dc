"""The inbox: what the daemon keeps beside the journals, and the port to it.

Received events with their explanations, deliveries seen, silences, storms, what runs were
asked for, and what people ask of a run. Deciding about an event and storing the decision, with
what it adds to the incident of its node, is one transaction: `take` hands a read-only `Ledger` to
a pure function and carries out what it returns. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from nvsx.core.incident.incident_events import RunJoined
from nvsx.core.incident.incident_store import Appended, StoredStory
from nvsx.core.incident.node_look import StoryNews
from nvsx.core.journal.run_rows import Lease, NewRun, RunRow
from nvsx.core.routing.route import Explanation, TriggerFacts
from nvsx.core.routing.trigger_event import Outcome

#: Outcomes after which the same delivery is a duplicate; any other is decided afresh.
SETTLED: frozenset[Outcome] = frozenset({"fired", "attached"})


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it came and what became of it. `repeats` counts later deliveries of it.

    `keys` are what it is recognised by: source and delivery, and an idempotency key.
    `steps` say how its source found the facts.
    """

    event_id: str
    received: float
    source: str
    keys: tuple[str, ...]
    facts: TriggerFacts
    outcome: Outcome
    cluster: str = ""
    runbook: str = ""
    run_id: str = ""
    reason: str = ""
    explanations: tuple[Explanation, ...] = ()
    steps: tuple[str, ...] = ()
    resolved: bool = False
    late: bool = False
    repeats: int = 0
    last_received: float = 0.0


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """No new runs for `node` until `until`. `cluster` is "" when it was not known."""

    silence_id: int = 0
    cluster: str
    node: str
    until: float
    reason: str
    by: str
    created: float


AskKind = Literal["cancel", "note"]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a person, or a later event, asks of a run; its owner does it and then drops it."""

    ask_id: int = 0
    run_id: str
    kind: AskKind
    text: str
    by: str = ""
    code: str = ""


class StormMark(msgspec.Struct, frozen=True):
    """A run's part in a storm. `leader` is the id of the run that was first, `size` counts its
    nodes."""

    leader: str
    size: int


class StormFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that fired a run, as storms count it. `at` is the fault's time, `seen` when it was
    stored; `domain` is the node's NVLink domain. `leader` is "" outside of a storm; `open` says
    that its incident is not over."""

    node: str
    domain: str = ""
    check: str = ""
    codes: tuple[str, ...] = ()
    fatal: bool = False
    at: float
    run_id: str = ""
    leader: str = ""
    seen: float = 0.0
    open: bool = True


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What shall become of an event, in one transaction.

    `news` is what it adds to the incident of its node; `joins` goes with it, for the new run
    where its run_id is "". `create` is the run to make, with its `request` as JSON. `asks` with
    run_id "" are for that new run. `fault` is what storms count of it; `storm` is the leader's
    run id when the new run joins a storm, and `members` are earlier runs that belong to it from
    now on, the leader among them. `unrouted`: a fault that is somebody's, and no runbook's.
    """

    outcome: Outcome
    reason: str
    runbook: str = ""
    run_id: str = ""
    duplicate_of: Received | None = None
    create: NewRun | None = None
    request: str = ""
    asks: tuple[Ask, ...] = ()
    news: StoryNews | None = None
    joins: RunJoined | None = None
    fault: StormFault | None = None
    storm: str = ""
    storm_size: int = 0
    members: tuple[str, ...] = ()
    throttled: bool = False
    unrouted: bool = False


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What was stored. `lease` is the new run's, `appended` what the incident has more."""

    event: Received
    decision: Decision
    lease: Lease | None = None
    appended: Appended | None = None


class Ledger(Protocol):
    """What a decision may ask, as of its transaction. Plain calls: nothing here waits."""

    def seen(self, keys: Sequence[str], since: float) -> Received | None:
        """The latest event received after `since` under one of these keys."""
        ...

    def story(self, cluster: str, known: StoredStory) -> StoredStory:
        """The story of a node; `known` itself while nobody has moved it on."""
        ...

    def at_work(self, cluster: str, node: str, runbook: str, incident: str) -> RunRow | None:
        """The unfinished run of the runbook on this incident of the node, or one by hand that
        has joined none yet. `incident` is "" for one that only this decision opens."""
        ...

    def run(self, run_id: str) -> RunRow | None: ...

    def armed(self, cluster: str, runbook: str) -> RunRow | None:
        """An unfinished run of the runbook that waits for its node."""
        ...

    def silence(self, cluster: str, node: str, now: float) -> Silence | None:
        """The silence that covers the node now."""
        ...

    def recent(self, cluster: str, runbook: str, since: float) -> Sequence[RunRow]:
        """The runs of the runbook that events fired since, oldest first."""
        ...

    def storm_faults(self, cluster: str, since: float) -> Sequence[StormFault]:
        """The faults that fired runs since, as storms count them, oldest first; of very many
        the newest."""
        ...

    def storm_size(self, leader: str) -> int:
        """How many runs belong to the storm of this run."""
        ...


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An event to be decided about."""

    received: float
    source: str
    keys: tuple[str, ...]
    facts: TriggerFacts
    cluster: str
    explanations: tuple[Explanation, ...] = ()
    steps: tuple[str, ...] = ()
    resolved: bool = False
    late: bool = False

    def decided(self, decision: Decision, event_id: str, lease: Lease | None) -> Received:
        """The event to keep: what came, with its outcome, under an id. `lease` is the new run's."""
        return Received(
            event_id=event_id,
            received=self.received,
            source=self.source,
            keys=self.keys,
            facts=self.facts,
            outcome=decision.outcome,
            cluster=self.cluster,
            runbook=decision.runbook,
            run_id=lease.run_id if lease else decision.run_id,
            reason=decision.reason,
            explanations=self.explanations,
            steps=self.steps,
            resolved=self.resolved,
            late=self.late,
            last_received=self.received,
        )


Decide = Callable[[Ledger], Decision]


class Inbox(Protocol):
    """Durable across kill -9, shared by the processes of one state folder.

    Every method raises StoreBusy when the store is locked or full for now, and StoreError.
    """

    async def take(self, draft: Draft, decide: Decide) -> Taken:
        """Decide about an event and store all that follows from it, flushed to disk.

        A new run and its claim are made in the same transaction, and what the decision adds to
        the incident is appended there. A duplicate is counted on the event it repeats.
        """
        ...

    async def consult(self, decide: Decide) -> Decision:
        """Decide, and store nothing."""
        ...

    async def event(self, event_id: str) -> Received:
        """One event. Raises UsageError for an unknown id."""
        ...

    async def events(self, *, run_id: str = "", limit: int = 100) -> Sequence[Received]:
        """Newest first; of one run when `run_id` is given."""
        ...

    async def request_of(self, run_id: str) -> str:
        """What the run was asked for, as JSON; "" when no event fired it."""
        ...

    async def storm_of(self, run_id: str) -> StormMark | None:
        """The run's part in a storm, with the storm's size now."""
        ...

    async def ask(self, ask: Ask) -> None: ...

    async def asks(self) -> Sequence[Ask]:
        """What has not been done yet, of unfinished runs, oldest first."""
        ...

    async def asked(self, done: Sequence[int]) -> None:
        """Drop asks that were done, or that nobody can do any more."""
        ...

    async def silence(self, silence: Silence) -> None: ...

    async def silences(self, now: float) -> Sequence[Silence]:
        """Those in force, the first to end first."""
        ...

    async def end_silence(self, node: str, now: float) -> bool:
        """End the silences of a node; whether there was one."""
        ...

    async def cursor(self, source: str) -> Any:
        """Where a source goes on reading; None when it has not begun."""
        ...

    async def set_cursor(self, source: str, value: Any) -> None: ...

    async def prune(self, before: float) -> int:
        """Forget events received before; how many they were."""
        ...

    async def probe(self) -> None:
        """Write something, to see that writing works."""
        ...
