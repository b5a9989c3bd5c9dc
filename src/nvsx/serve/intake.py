"""The one door for triggers: routes an event, has the store decide about it, starts its run.

Webhooks, polling and watching all call `offer`. What needs no store (which runbook, whose
cluster, is the node ours, how old, what the node shows now) is found out first; the rest is
decided by `settle` inside one transaction: the incident's events, the event, its run. It never
acts on the cluster and never runs anything itself: a new run goes to the dispatcher.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import msgspec

from nvsx.core.errors import InvalidRunbook, StoreBusy, UsageError
from nvsx.core.incident.node_look import NodeLook
from nvsx.core.incident.sight import SeenFault
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Clock, Observer
from nvsx.core.routing.inbox import Decision, Draft, Inbox, Ledger, Taken
from nvsx.core.routing.node_choice import NodeChoice, choose_node, words_of_event
from nvsx.core.routing.route import Evaluate, Explanation, Router, TriggerFacts
from nvsx.core.routing.trigger_event import Answer, TriggerEvent
from nvsx.core.runbook.schema import Runbook
from nvsx.follow.run_request import RunRequest
from nvsx.serve.event_evidence import (
    alert_of_event,
    facts_of_fault,
    fault_of_event,
    find_alerts_taken_back,
)
from nvsx.serve.incident_keeper import IncidentKeeper
from nvsx.serve.known_nodes import KnownNodes, ask_again_if_unreadable
from nvsx.serve.limits import Limits
from nvsx.serve.node_desk import NodeDesk
from nvsx.serve.settling import settle
from nvsx.serve.settling_case import Case, is_about

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


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose runbook and node are known. `unwanted` says why it is not for us, `steps`
    how its node was found. `status` is for a sender that reads answers."""

    event: TriggerEvent
    facts: TriggerFacts
    runbook: Runbook | None = None
    explanations: tuple[Explanation, ...] = ()
    no_match: str = ""
    matched: str = ""
    unwanted: str = ""
    steps: tuple[str, ...] = ()
    status: int = 0

    @property
    def is_over(self) -> bool:
        return self.event.resolved or self.facts.is_healthy

    @property
    def needs_a_look(self) -> bool:
        """Whether it can add anything to an incident: a thousand warnings that nobody wants
        are not worth a look each."""
        acts = self.facts.is_fatal and self.facts.processing_strategy == "EXECUTE_REMEDIATION"
        wanted = self.runbook is not None or self.is_over or acts
        return bool(self.facts.node) and not self.unwanted and wanted


class TriggerIntake:
    """Implements core.intake.Intake. `started` is told of every decision that was stored,
    `told` of every answer."""

    def __init__(  # noqa: PLR0913 - the ports, wired once
        self,
        *,
        inbox: Inbox,
        keeper: IncidentKeeper,
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
        self._desks = keeper.desks
        self._clock = clock
        self._identity = identity
        self._shelf = shelf
        self._evaluate = evaluate
        self._limits = limits
        self._started = started
        self._told = told
        self._nodes = KnownNodes(observer, clock)
        self._closed = False
        self._routed: tuple[list[Runbook], Router] = ([], Router(()))

    def close(self) -> None:
        """Take nothing more: offers raise StoreBusy from now on."""
        self._closed = True

    async def offer(self, event: TriggerEvent) -> Answer:
        """See core.intake.Intake."""
        if self._closed:
            raise StoreBusy("nvsx is shutting down", "send it again in a minute")
        routed = await self._route_event(event)
        # A look waits for the node's own turn. An event that can change nothing must not stand
        # there in front of one that can.
        if not routed.needs_a_look:
            return await self._decide_event(routed, None)
        # From here to the answer nobody else decides about this node: two senders that report one
        # fault in the same second make one incident and one run.
        async with self._looking_at(routed.facts.node) as desk:
            return await self._decide_event(routed, desk)

    @asynccontextmanager
    async def _looking_at(self, node: str) -> AsyncIterator[NodeDesk]:
        async with AsyncExitStack() as opened:
            with ask_again_if_unreadable():
                desk = await opened.enter_async_context(self._desks.at(node))
            yield desk

    async def _decide_event(self, routed: Routed, desk: NodeDesk | None) -> Answer:
        event = routed.event
        if desk is not None and event.source == "watch":
            # Watching and the keeper read the same cluster by two streams. The keeper may not have
            # seen yet what the watch tells of, and would hold the fault to be gone.
            await self._desks.until_seen(desk, fault_of_event(event, routed.facts))
        case = await self._make_case(routed, desk)

        def decide(ledger: Ledger) -> Decision:
            return settle(case, self._limits, ledger)

        if event.dry_run:
            decision = await self._inbox.consult(decide)
            return _make_plan(case, decision, routed)
        draft = Draft(
            received=case.now,
            source=event.source,
            keys=case.keys,
            facts=routed.facts,
            cluster=self._identity.uid,
            explanations=routed.explanations,
            steps=(*event.steps, *routed.steps),
            resolved=event.resolved,
            late=event.late,
        )
        # `decide` runs inside the transaction and has no effects of its own: what it decides is
        # stored as a whole, or nothing of it is.
        taken = await self._inbox.take(draft, decide)
        # Only after the commit: what the keeper believes has to be what the store has.
        if desk is not None and taken.decision.news is not None:
            self._desks.take_in(desk, taken.decision.news, taken.appended)
        self._started(taken)
        answer = _make_answer(taken, routed)
        self._told(event, answer, taken.decision)
        return answer

    async def _route_event(self, event: TriggerEvent) -> Routed:
        """Which runbook it fires, and whether it is ours."""
        foreign = self._identity.objection(event.facts.cluster)
        # Another cluster's word for a node may well fit one of ours.
        choice = NodeChoice() if foreign else choose_node(event, await self._nodes.directory(event))
        status, no_node = 404 if choice.reason else 0, choice.reason
        # One that is not known is on record, and starts nothing.
        facts = msgspec.structs.replace(event.facts, node=choice.node or event.facts.node)
        explanations: tuple[Explanation, ...] = ()
        no_match, matched, no_runbook = "", f"{event.source} named the runbook", ""
        runbook: Runbook | None = None
        if event.runbook:
            try:
                runbook = self._shelf.find(event.runbook)
            except (InvalidRunbook, UsageError) as error:
                status = 422 if isinstance(error, InvalidRunbook) else 404
                no_runbook = " ".join(error.message.split())
            # Who names a runbook and no node means the node that is ill, where there is just one.
            if not words_of_event(event) and not foreign:
                facts = msgspec.structs.replace(facts, node=await self._only_incident())
        else:
            result = self._current_router().route(facts, self._evaluate)
            runbook, explanations = result.winner, result.explanations
            no_match = matched = result.reason
            if not (choice.node or no_node):
                no_node = "it does not say which node it is about"
        return Routed(
            event=event,
            facts=facts,
            runbook=runbook,
            explanations=explanations,
            no_match=no_match,
            matched=matched,
            unwanted=foreign or event.refusal or no_runbook or no_node,
            steps=choice.steps,
            status=0 if foreign or event.refusal else status,
        )

    def is_wanted(self, node: str, fault: SeenFault) -> bool:
        """Whether some runbook wants a fault that is not fatal."""
        facts = facts_of_fault(node, fault)
        return self._current_router().route(facts, self._evaluate).winner is not None

    async def _make_case(self, routed: Routed, desk: NodeDesk | None) -> Case:
        event, facts, now = routed.event, routed.facts, self._clock.now()
        runbook = routed.runbook
        age = None if facts.generated_at is None or event.standing else now - facts.generated_at
        # A sender that was away delivers what it has kept. That is no evidence for what is now.
        old = age is not None and age > self._limits.max_event_age and not event.late
        name = runbook.name if runbook else ""
        labels = desk.labels if desk is not None else {}
        return Case(
            now=now,
            keys=_make_keys(event),
            horizon=max(event.horizon, self._limits.dedupe_horizon),
            cluster=self._identity.uid,
            source=event.source,
            facts=facts,
            event_id=event.event.id if event.event is not None else "",
            runbook=name,
            no_match=routed.no_match,
            matched=routed.matched,
            explicit=bool(event.runbook),
            unwanted=routed.unwanted,
            resolved=event.resolved,
            age=age,
            late=event.late,
            look=self._look_at_node(routed, desk, too_old=old) if desk is not None else None,
            domain=labels.get(self._limits.storm_domain, ""),
            gpu_nodes=await self._nodes.count_gpu_nodes(),
            run=NewRun(
                runbook=name,
                cluster=self._identity.uid,
                node=facts.node,
                trigger=_name_trigger(event),
                sandbox=self._identity.sandbox,
                project=self._identity.project,
            ),
            request=self._make_request(event, facts.node, late=event.late or old)
            if runbook
            else None,
        )

    def _look_at_node(self, routed: Routed, desk: NodeDesk, *, too_old: bool) -> NodeLook:
        """The node now, with what the event itself is evidence of."""
        event, facts = routed.event, routed.facts
        news, news_at = None, 0.0
        at = facts.generated_at
        # Before nvsx watched, a node without the fault proves nothing: it may have been repaired.
        watched = at is not None and at >= self._desks.watched_since()
        if not event.late and (event.source == "watch" or watched):
            news = fault_of_event(event, facts)
            news_at = 0.0 if event.source == "watch" else at or 0.0
        if routed.is_over:
            alerts = tuple(find_alerts_taken_back(event, facts, desk))
        elif too_old or not self._is_evidence(routed, desk):
            alerts = ()
        else:
            alerts = (alert_of_event(event, facts, self._clock.now(), routed=bool(routed.runbook)),)
        return self._desks.look_at(desk, alerts, news=news, news_at=news_at)

    def _is_evidence(self, routed: Routed, desk: NodeDesk) -> bool:
        """Whether the event says what the node does not: NVSentinel's own events are seen there,
        and one that is not stands for itself until it is."""
        event, facts = routed.event, routed.facts
        if event.source == "watch":
            return False
        if event.event is None:
            return True
        return not any(
            is_about(facts, event.event.id, f.check, f.error_codes, f.ids)
            for f in self._desks.faults_seen(desk)
        )

    def _current_router(self) -> Router:
        """The runbooks as they are now, made ready again only when they have changed."""
        books = list(self._shelf.runbooks())
        if books != self._routed[0]:
            self._routed = (books, Router(books))
        return self._routed[1]

    def _make_request(self, event: TriggerEvent, node: str, *, late: bool) -> RunRequest:
        return RunRequest(
            node=node,
            trigger=_name_trigger(event),
            event=event.event,
            payload=_bound_payload(event.payload),
            cluster=self._identity.uid,
            context=self._identity.context,
            project=self._identity.project,
            sandbox=self._identity.sandbox,
            live_hooks=self._identity.live_hooks,
            late=late,
            by_hand=False,
        )

    async def _only_incident(self) -> str:
        """The one node in an incident; "" for none. Never a guess between several."""
        nodes = sorted(await self._nodes.in_incident())
        if len(nodes) > 1:
            raise UsageError(
                f"{len(nodes)} nodes are in an incident: {', '.join(nodes[:10])}",
                "name one as target_node",
            )
        return nodes[0] if nodes else ""


def _name_trigger(event: TriggerEvent) -> str:
    """Who fired the run, as its sender says; `cli` is for people at a terminal alone."""
    said = event.facts.source
    return said if said and said != "cli" else event.source


def _make_keys(event: TriggerEvent) -> tuple[str, ...]:
    delivery = f"{event.source}:{event.delivery}" if event.delivery else ""
    named = f"{event.source}:key:{event.idempotency_key}" if event.idempotency_key else ""
    return tuple(k for k in (delivery, named) if k)


def _bound_payload(payload: Any) -> dict[str, Any] | None:
    """The payload as a hook may read it; one that is too big is left out and says so."""
    if not payload:
        return None
    if len(msgspec.json.encode(payload)) > MOST_PAYLOAD:
        return {"nvsx": f"left out: larger than {MOST_PAYLOAD // 1024} KB"}
    return dict(payload)


def _make_answer(taken: Taken, routed: Routed) -> Answer:
    decision, event = taken.decision, taken.event
    return Answer(
        outcome=decision.outcome,
        event_id=event.event_id,
        run_id=event.run_id,
        runbook=decision.runbook,
        reason=decision.reason,
        explanations=routed.explanations,
        status=routed.status,
    )


def _make_plan(case: Case, decision: Decision, routed: Routed) -> Answer:
    stages = [s.id for s in routed.runbook.stages] if routed.runbook else []
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
        explanations=routed.explanations,
        plan=plan,
        status=routed.status,
    )
