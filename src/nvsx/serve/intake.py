"""The one door for triggers: routes an event, has the store decide about it, starts its run.

Webhooks, polling and watching all call `offer`. What needs no store (which runbook, whose
cluster, is the node ours, how old) is found out first; the rest is decided by
engine.incidents inside one transaction. It never acts on the cluster and never runs
anything itself: a new run goes to the dispatcher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from nvsx.core.errors import ClusterError, StoreBusy, UsageError
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Clock, Fault, Observer
from nvsx.core.routing.inbox import Decision, Draft, Inbox, Ledger, Taken
from nvsx.core.routing.route import Evaluate, Explanation, Router, TriggerFacts
from nvsx.core.routing.trigger_event import Answer, TriggerEvent
from nvsx.core.runbook.schema import Runbook
from nvsx.follow.run_request import RunRequest
from nvsx.serve.limits import Limits
from nvsx.serve.settling import Case, settle
from nvsx.serve.storms import alike

#: An event belongs to an open session when it is at most this much older than its begin.
SLACK = 120.0
#: How long what was read of the cluster stays good, in seconds.
FRESH = 2.0
MOST_PAYLOAD = 256 * 1024


class Shelf(Protocol):
    """The project's runbooks as they are now."""

    def runbooks(self) -> Sequence[Runbook]: ...

    def find(self, wanted: str) -> Runbook:
        """By name or nickname. Raises UsageError and InvalidRunbook."""
        ...


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster this is: its uid, the names events may call it by, and how it is reached."""

    uid: str
    names: tuple[str, ...] = ()
    context: str = ""
    project: str = ""
    sandbox: bool = False
    live_hooks: bool = False

    def objection(self, named: str) -> str:
        """Why an event that names its cluster is not for this one; "" when it is."""
        if not named or named == self.uid or named.casefold() in (n.casefold() for n in self.names):
            return ""
        known = ", ".join(self.names) or "no names; set cluster.names in nvsx.yaml"
        return f"it is about cluster {named}; this one has {known}"


Told = Callable[[TriggerEvent, Answer, Decision], None]
Started = Callable[[Taken], None]


class TriggerIntake:
    """Implements core.intake.Intake. `started` is told of every decision that was stored,
    `told` of every answer."""

    def __init__(  # noqa: PLR0913 - the ports, wired once
        self,
        *,
        inbox: Inbox,
        observer: Observer,
        clock: Clock,
        identity: Identity,
        shelf: Shelf,
        evaluate: Evaluate,
        limits: Limits,
        started: Started,
        told: Told = lambda *_: None,
    ) -> None:
        self._inbox = inbox
        self._clock = clock
        self._identity = identity
        self._shelf = shelf
        self._evaluate = evaluate
        self._limits = limits
        self._started = started
        self._told = told
        self._nodes = _Seen(observer, clock)
        self._closed = False
        self._routed: tuple[list[Runbook], Router] = ([], Router(()))

    def close(self) -> None:
        """Take nothing more: offers raise StoreBusy from now on."""
        self._closed = True

    async def offer(self, event: TriggerEvent) -> Answer:
        """See core.intake.Intake."""
        if self._closed:
            raise StoreBusy("nvsx is shutting down", "send it again in a minute")
        case, explanations, runbook = await self._case(event)

        def decide(ledger: Ledger) -> Decision:
            return settle(case, self._limits, ledger)

        if event.dry_run:
            decision = await self._inbox.consult(decide)
            return _planned(case, decision, explanations, runbook)
        draft = Draft(
            received=case.now,
            source=event.source,
            keys=case.keys,
            facts=event.facts,
            cluster=self._identity.uid,
            explanations=explanations,
            steps=event.steps,
            resolved=event.resolved,
            late=event.late,
        )
        taken = await self._inbox.take(draft, decide)
        self._started(taken)
        answer = _answer(taken, explanations)
        self._told(event, answer, taken.decision)
        return answer

    async def _case(
        self, event: TriggerEvent
    ) -> tuple[Case, tuple[Explanation, ...], Runbook | None]:
        facts, now = event.facts, self._clock.now()
        foreign = self._identity.objection(facts.cluster)
        explanations: tuple[Explanation, ...] = ()
        no_match, matched = "", f"{event.source} named the runbook"
        if event.runbook:
            runbook: Runbook | None = self._shelf.find(event.runbook)
            if not facts.node and not foreign:
                facts = msgspec.structs.replace(facts, node=await self._only_incident())
        else:
            result = self._router().route(facts, self._evaluate)
            runbook, explanations = result.winner, result.explanations
            no_match = matched = result.reason
        if not foreign:
            foreign = await self._no_such_node(facts.node, named=bool(event.runbook))
        age = None if facts.generated_at is None else now - facts.generated_at
        belongs = event.late
        if age is not None and age > self._limits.max_event_age and not foreign:
            belongs = belongs or await self._in_open_session(facts)
        name = runbook.name if runbook else ""
        request = self._request(event, facts.node, late=belongs)
        case = Case(
            now=now,
            keys=_keys(event),
            horizon=max(event.horizon, self._limits.dedupe_horizon),
            cluster=self._identity.uid,
            source=event.source,
            facts=facts,
            runbook=name,
            no_match=no_match,
            matched=matched,
            explicit=bool(event.runbook),
            unwanted=foreign or event.refusal,
            resolved=event.resolved,
            age=age,
            in_open_session=belongs,
            fresh=event.source == "watch" and not event.late,
            session_key=event.session_key,
            there_since=event.there_since,
            alike=alike(runbook, self._shelf.runbooks()) if runbook else frozenset(),
            run=NewRun(
                runbook=name,
                cluster=self._identity.uid,
                node=facts.node,
                trigger=_trigger(event),
                sandbox=self._identity.sandbox,
                project=self._identity.project,
            ),
            request=msgspec.json.encode(request).decode() if runbook else "",
        )
        return case, explanations, runbook

    def _router(self) -> Router:
        """The runbooks as they are now, made ready again only when they have changed."""
        books = list(self._shelf.runbooks())
        if books != self._routed[0]:
            self._routed = (books, Router(books))
        return self._routed[1]

    def _request(self, event: TriggerEvent, node: str, *, late: bool) -> RunRequest:
        return RunRequest(
            node=node,
            trigger=_trigger(event),
            event=event.event,
            payload=_bounded(event.payload),
            cluster=self._identity.uid,
            context=self._identity.context,
            project=self._identity.project,
            sandbox=self._identity.sandbox,
            live_hooks=self._identity.live_hooks,
            late=late,
            by_hand=False,
        )

    async def _no_such_node(self, node: str, *, named: bool) -> str:
        if not node:
            return "" if named else "it does not say which node it is about"
        if await self._nodes.has(node):
            return ""
        return f"this cluster has no node {node}"

    async def _only_incident(self) -> str:
        """The one node in an incident; "" for none. Never a guess between several."""
        nodes = sorted(await self._nodes.incidents())
        if len(nodes) > 1:
            raise UsageError(
                f"{len(nodes)} nodes are in an incident: {', '.join(nodes[:10])}",
                "name one as target_node",
            )
        return nodes[0] if nodes else ""

    async def _in_open_session(self, facts: TriggerFacts) -> bool:
        """Whether an old event is part of what is open on its node now."""
        fault = (await self._nodes.incidents()).get(facts.node)
        if fault is None or facts.generated_at is None:
            return False
        return facts.generated_at >= fault.event.generated_at - SLACK


class _Seen:
    """Nodes and incidents, read anew when what is known is old or does not suffice."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._faults: dict[str, Fault] = {}
        self._faults_at = float("-inf")

    async def has(self, node: str) -> bool:
        if node not in self._names:
            # A node that left stays known until the next stranger: its run will say so.
            with _as_busy():
                self._names = frozenset(await self._observer.node_names())
        return node in self._names

    async def incidents(self) -> dict[str, Fault]:
        if self._clock.now() - self._faults_at >= FRESH:
            with _as_busy():
                listed = await self._observer.nodes_in_incident()
            self._faults = {fault.node: fault for fault in listed}
            self._faults_at = self._clock.now()
        return self._faults


@contextmanager
def _as_busy() -> Iterator[None]:
    """A cluster that cannot be read is a reason to be asked again, not to lose an event."""
    try:
        yield
    except ClusterError as error:
        raise StoreBusy("the cluster cannot be read now", error.message) from error


def _trigger(event: TriggerEvent) -> str:
    """Who fired the run, as its sender says; `cli` is for people at a terminal alone."""
    said = event.facts.source
    return said if said and said != "cli" else event.source


def _keys(event: TriggerEvent) -> tuple[str, ...]:
    delivery = f"{event.source}:{event.delivery}" if event.delivery else ""
    named = f"{event.source}:key:{event.idempotency_key}" if event.idempotency_key else ""
    return tuple(k for k in (delivery, named) if k)


def _bounded(payload: Any) -> dict[str, Any] | None:
    """The payload as a hook may read it; one that is too big is left out and says so."""
    if not payload:
        return None
    if len(msgspec.json.encode(payload)) > MOST_PAYLOAD:
        return {"nvsx": f"left out: larger than {MOST_PAYLOAD // 1024} KB"}
    return dict(payload)


def _answer(taken: Taken, explanations: tuple[Explanation, ...]) -> Answer:
    decision, event = taken.decision, taken.event
    return Answer(
        outcome=decision.outcome,
        event_id=event.event_id,
        run_id=event.run_id,
        runbook=decision.runbook,
        reason=decision.reason,
        explanations=explanations,
    )


def _planned(
    case: Case,
    decision: Decision,
    explanations: tuple[Explanation, ...],
    runbook: Runbook | None,
) -> Answer:
    stages = [s.id for s in runbook.stages] if runbook else []
    plan = {
        "would": decision.outcome,
        "reason": decision.reason,
        "runbook": decision.runbook or case.runbook,
        "run_id": decision.run_id,
        "target_node": case.node,
        "stages": stages,
    }
    return Answer(
        outcome="planned",
        run_id=decision.run_id,
        runbook=decision.runbook or case.runbook,
        reason=decision.reason,
        explanations=explanations,
        plan=plan,
    )
