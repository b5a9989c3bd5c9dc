"""Which runbook an event fires, and why the others did not.

Routing is pure: the same event and runbooks always give the same answer, so `explain`,
lint and serve agree. A `Router` has its runbooks' rules made ready for many events; `route`
is for one. Names match exactly and without regard to case, never as parts of
words. The most specific rule wins; a tie fires nothing.

Specificity, first difference decides: names an error code · names a check or has a
`when` · number of criteria · triggers before tags before detect watches · fewer
alternatives. The catch-all (`default: true`) comes after all of them, so it takes what no
other rule matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, Protocol

import msgspec

from nvsx.core.routing.trigger_facts import EVENT_KEYS, TriggerFacts
from nvsx.core.routing.vocabulary import is_planned_work
from nvsx.core.routing.why_unrouted import tell_why_unrouted
from nvsx.core.runbook.schema import Runbook, Trigger
from nvsx.core.watches.node_watches import NodeConditionWatch

__all__ = [
    "EVENT_KEYS",
    "Evaluate",
    "Explanation",
    "Holds",
    "RouteResult",
    "Router",
    "RuleResult",
    "TriggerFacts",
    "Truth",
    "detect_conditions",
    "find_unknown_event_keys",
    "no_expressions",
    "route",
]


class Truth(NamedTuple):
    """What a `when` expression came to; `reason` says why it could not, or did not, hold."""

    holds: bool
    reason: str = ""


Holds = Callable[[str], Truth]
Evaluate = Callable[[Mapping[str, object]], Holds]
"""Makes an event ready, then evaluates any number of `when` expressions for it."""


def no_expressions(event: Mapping[str, object]) -> Holds:  # noqa: ARG001
    """The evaluator where none is wired: no `when` ever holds, and it says so."""
    return lambda _: Truth(False, "`when` is not evaluated here")


class RuleResult(msgspec.Struct, frozen=True):
    """One rule of one runbook against the event. `rule` reads `triggers[0]`, `tag xid-79`."""

    rule: str
    matched: bool
    reason: str
    specificity: tuple[int, ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """All rules of one runbook."""

    runbook: str
    rules: tuple[RuleResult, ...]

    @property
    def best(self) -> RuleResult | None:
        """Its most specific match."""
        return max((r for r in self.rules if r.matched), key=_get_specificity, default=None)


class RouteResult(msgspec.Struct, frozen=True):
    """Where the event goes. `tie` names the runbooks that match equally well; then, and when
    nothing matches, `winner` is None. `reason` is one sentence for a person."""

    winner: Runbook | None
    reason: str
    tie: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()


def _get_specificity(result: RuleResult) -> tuple[int, ...]:
    return result.specificity


class Router:
    """The rules of these runbooks, made ready once for any number of events."""

    def __init__(self, runbooks: Iterable[Runbook]) -> None:
        self._books = {r.name: (r, tuple(_make_rules(r))) for r in runbooks}

    def route(self, event: TriggerFacts, evaluate: Evaluate = no_expressions) -> RouteResult:
        """The runbook for an event by the check it names; where none (or only a catch-all) is for
        that, by the check it means: an alert GPUXidError with err_code 79 goes to the runbook
        with `check: GPUXidError` if there is one, else to that for SysLogsXIDError 79."""
        result = self._route_by_meaning(event, evaluate)
        if result.winner is not None or result.tie:
            return result

        def find_winner(facts: TriggerFacts) -> str:
            winner = self._route_by_meaning(facts, evaluate).winner
            return winner.name if winner else ""

        return msgspec.structs.replace(result, reason=tell_why_unrouted(event, find_winner))

    def _route_by_meaning(self, event: TriggerFacts, evaluate: Evaluate) -> RouteResult:
        said = self._route_by_name(event, evaluate)
        if not event.meant_check or said.tie or (said.winner and not _is_catch_all(said)):
            return said
        codes = event.meant_codes or event.error_codes
        meant = msgspec.structs.replace(event, check_name=event.meant_check, error_codes=codes)
        result = self._route_by_name(meant, evaluate)
        known = f"{event.check_name or 'the alert'} means {event.meant_check} {', '.join(codes)}"
        if result.winner is None and said.winner is not None:
            return said
        return msgspec.structs.replace(result, reason=f"{result.reason} ({known.strip()})")

    def _route_by_name(self, event: TriggerFacts, evaluate: Evaluate) -> RouteResult:
        """The runbook this event fires, with the reasons for and against every rule.

        Example: SysLogsXIDError with error code 79, from agent syslog-health-monitor.

        | runbook | its best rule                                | specificity      |
        |---------|----------------------------------------------|------------------|
        | a       | triggers: check SysLogsXIDError, agent       | (0, 1, 2, 2, -2) |
        | b       | triggers: errorCode 79                       | (1, 0, 1, 2, -1) |
        | c       | tag xid-79                                   | (1, 0, 1, 1, -1) |

        b fires: it names the code, and says so in `triggers`. With a second runbook like b
        neither would: which one is meant is for people to say, not for the order of files.

        A runbook d with `triggers: [{default: true}]` matches each fatal event too, at the
        lowest rank: it fires for SysLogsXIDError 110, which a, b and c leave alone (a only
        without its agent), and for 79 never. A second catch-all ties with it.
        """
        said = _Said(event, evaluate)
        explanations = tuple(
            Explanation(name, tuple([rule.judge(said) for rule in rules]))
            for name, (_, rules) in self._books.items()
        )
        best = ((e.runbook, e.best) for e in explanations)
        matches = {name: rule for name, rule in best if rule is not None}
        if not matches:
            return RouteResult(None, "no runbook matches", (), explanations)
        top = max(rule.specificity for rule in matches.values())
        winners = [name for name, rule in matches.items() if rule.specificity == top]
        if len(winners) > 1:
            reason = f"{' and '.join(winners)} match equally well, so none fires"
            return RouteResult(None, reason, tuple(winners), explanations)
        [name] = winners
        winner, _ = self._books[name]
        return RouteResult(winner, f"{name}: {matches[name].reason}", (), explanations)


def route(
    event: TriggerFacts, runbooks: Iterable[Runbook], evaluate: Evaluate = no_expressions
) -> RouteResult:
    """As Router.route, for one event."""
    return Router(runbooks).route(event, evaluate)


# --- an event, ready to be compared -------------------------------------------------------------

_KEYS = ("check", "errorCode", "agent", "componentClass", "recommendedAction")


class _Said:
    """What an event says under each key that rules compare; each is folded and put into words
    once, however many rules ask."""

    def __init__(self, event: TriggerFacts, evaluate: Evaluate) -> None:
        self.event = event
        self._evaluate = evaluate
        values = (
            (event.check_name,),
            event.error_codes,
            (event.agent,),
            (event.component_class,),
            (event.recommended_action,),
        )
        self.folded = {key: _fold_case(got) for key, got in zip(_KEYS, values, strict=True)}
        self.shown = {key: _join_values(got) for key, got in zip(_KEYS, values, strict=True)}
        self.tags = {f"xid-{code}" for code in self.folded["errorCode"]}

    @cached_property
    def holds(self) -> Holds:
        return self._evaluate(self.event.event())

    @cached_property
    def closed(self) -> str:
        """Why it fires nothing unless a `triggers` entry widens that; "" when it may."""
        event = self.event
        if event.is_healthy:
            return "the event is healthy"
        if not event.is_fatal:
            return "the event is not fatal; only a `triggers` entry with `fatal: any` takes it"
        if event.processing_strategy != "EXECUTE_REMEDIATION":
            strategy = event.processing_strategy
            return f"its strategy is {strategy}; only a `triggers` entry with `strategy` takes it"
        return ""


def _fold_case(values: Iterable[str]) -> frozenset[str]:
    """The values that say something, without regard to case."""
    return frozenset(value.casefold() for value in values if value)


def _join_values(values: Iterable[str]) -> str:
    return " or ".join(v for v in values if v) or "not said"


def _is_catch_all(result: RouteResult) -> bool:
    name = result.winner.name if result.winner else ""
    best = next((e.best for e in result.explanations if e.runbook == name), None)
    return best is not None and best.specificity == _CatchAllRule.RANK


# --- rules, ready to judge ----------------------------------------------------------------------


class _Rule(Protocol):
    def judge(self, said: _Said) -> RuleResult: ...


def _make_rules(runbook: Runbook) -> Iterator[_Rule]:
    if runbook.stage("inject"):
        yield _NeverRule()
    elif runbook.triggers:
        for index, trigger in enumerate(runbook.triggers):
            rule = f"triggers[{index}]"
            yield _CatchAllRule(rule) if trigger.default else _TriggerRule(rule, trigger)
    else:
        yield from map(_TagRule, runbook.metadata.tags)
        yield from map(_DetectRule, detect_conditions(runbook))


class _NeverRule:
    _result = RuleResult("stage inject", False, "it causes a fault: people start it, events never")

    def judge(self, said: _Said) -> RuleResult:  # noqa: ARG002
        return self._result


class _CatchAllRule:
    """An entry `default: true`: takes what is left of faults and quarantines.

    | event                                         | taken | because                         |
    |-----------------------------------------------|-------|---------------------------------|
    | fatal, EXECUTE_REMEDIATION                    | yes   | NVSentinel acts on it           |
    | not fatal, or stored only                     | no    | nothing follows: XID 31         |
    | the same, and the node is quarantined for it  | yes   | work stops on the node          |
    | healthy                                       | no    | it is the end of a fault        |
    | CSPMaintenance, a MaintenanceRequest          | no    | planned work pages nobody       |
    | an alert of a source without `default: true`  | no    | most alerts are about no fault  |
    """

    RANK = (-1,)  # below the lowest rank of every other rule

    def __init__(self, rule: str) -> None:
        self._rule = rule
        reason = f"{rule} is the catch-all (default: true): it takes what no other runbook matches"
        self._match = RuleResult(rule, True, reason, self.RANK)

    def judge(self, said: _Said) -> RuleResult:
        against = self._find_objection(said.event)
        return RuleResult(self._rule, False, against) if against else self._match

    def _find_objection(self, event: TriggerFacts) -> str:
        if event.is_healthy:
            return "the event is healthy"
        if is_planned_work(event.check_name, event.labels):
            return "it is planned work, which the catch-all leaves to a runbook that names it"
        if not event.catch_all:
            return (
                f"alerts of {event.source} go to the catch-all only with "
                f"serve.sources.{event.source}.default: true in nvsx.yaml"
            )
        if event.quarantined:
            return ""
        if not event.is_fatal:
            return "the event is not fatal, and the node is not quarantined for it"
        if event.processing_strategy != "EXECUTE_REMEDIATION":
            return f"its strategy is {event.processing_strategy}: NVSentinel does not act on it"
        return ""


class _TriggerRule:
    """One entry of `triggers`: all its keys must match, and the expression last of all."""

    def __init__(self, rule: str, trigger: Trigger) -> None:
        self._rule = rule
        self._trigger = trigger
        listed = (
            trigger.check,
            trigger.error_code,
            trigger.agent,
            trigger.component_class,
            trigger.recommended_action,
        )
        wanted = [(key, values) for key, values in zip(_KEYS, listed, strict=True) if values]
        self._wanted = [(key, _fold_case(values), _join_values(values)) for key, values in wanted]
        labels = trigger.labels.items()
        self._labels = [
            (label, _fold_case(values), _join_values(values)) for label, values in labels
        ]
        named = [f"{key} {'|'.join(values)}" for key, values in wanted]
        if labels:
            named.append("labels " + "|".join(f"{k}={'|'.join(v)}" for k, v in labels))
        if trigger.when:
            named.append("when")
        specificity = (
            int(bool(trigger.error_code)),
            int(bool(trigger.check or trigger.when)),
            len(trigger.criteria) + max(0, len(trigger.labels) - 1),
            2,
            -sum(len(values) for values in (*listed, *trigger.labels.values())),
        )
        self._match = RuleResult(rule, True, f"{rule} matches {', '.join(named)}", specificity)

    def judge(self, said: _Said) -> RuleResult:
        against = self._find_objection(said)
        return RuleResult(self._rule, False, against) if against else self._match

    def _find_objection(self, said: _Said) -> str:
        """Why this entry does not match: the first reason; "" when it does."""
        event, trigger = said.event, self._trigger
        if event.is_healthy:
            return "the event is healthy"
        if trigger.fatal not in ("any", event.is_fatal):
            kind = "fatal" if event.is_fatal else "not fatal"
            return f"the event is {kind}; `fatal: any` would let it through"
        if event.processing_strategy not in trigger.strategy:
            strategy = event.processing_strategy
            return f"its strategy is {strategy}; `strategy: [{strategy}]` would let it through"
        for key, wanted, shown in self._wanted:
            if wanted.isdisjoint(said.folded[key]):
                return f"{key} is {said.shown[key]}, not {shown}"
        for label, wanted, shown in self._labels:
            got = (event.labels.get(label, ""),)
            if wanted.isdisjoint(_fold_case(got)):
                return f"label {label} is {_join_values(got)}, not {shown}"
        if trigger.when:
            truth = said.holds(trigger.when)
            if not truth.holds:
                return f"when: {truth.reason or 'is false'}"
        return ""


class _TagRule:
    """A tag that is the event's check, or `xid-` and its error code."""

    def __init__(self, tag: str) -> None:
        self._rule = f"tag {tag}"
        self._name = tag.casefold()
        self._other = RuleResult(self._rule, False, "it is neither the check nor xid-<error code>")
        # As a trigger with one criterion and one alternative, see the module's docstring.
        self._code = RuleResult(
            self._rule, True, f"{self._rule} is its error code", (1, 0, 1, 1, -1)
        )
        self._check = RuleResult(self._rule, True, f"{self._rule} is its check", (0, 1, 1, 1, -1))

    def judge(self, said: _Said) -> RuleResult:
        has_code = self._name in said.tags
        if not has_code and self._name not in said.folded["check"]:
            return self._other
        if said.closed:
            return RuleResult(self._rule, False, said.closed)
        return self._code if has_code else self._check


class _DetectRule:
    """A node condition of the detect stage that the event's check sets."""

    def __init__(self, watch: NodeConditionWatch) -> None:
        self._rule = f"detect watch {'|'.join(watch.type)}"
        self._types = _fold_case(watch.type)
        self._codes, self._codes_shown = (
            _fold_case(watch.error_code),
            _join_values(watch.error_code),
        )
        code = int(bool(watch.error_code))
        order = (code, 1, 1 + code, 0, -len(watch.type) - len(watch.error_code))
        self._match = RuleResult(self._rule, True, f"{self._rule} is its check", order)

    def judge(self, said: _Said) -> RuleResult:
        if self._types.isdisjoint(said.folded["check"]):
            return RuleResult(self._rule, False, f"the check is {said.shown['check']}")
        if self._codes and self._codes.isdisjoint(said.folded["errorCode"]):
            got = said.shown["errorCode"]
            return RuleResult(self._rule, False, f"errorCode is {got}, not {self._codes_shown}")
        if said.closed:
            return RuleResult(self._rule, False, said.closed)
        return self._match


def detect_conditions(runbook: Runbook) -> tuple[NodeConditionWatch, ...]:
    """The node conditions whose appearance the detect stage waits for."""
    stage = runbook.stage("detect")
    return tuple(
        w
        for w in (stage.watches if stage else ())
        if isinstance(w, NodeConditionWatch) and w.status == "True" and not w.absent
    )


def find_unknown_event_keys(expression: str) -> tuple[str, ...]:
    """Keys of `event` that a `when` expression uses and no event will ever have."""
    without_texts = re.sub(r"\"[^\"]*\"|'[^']*'", '""', expression)
    used = re.findall(r"\bevent\s*\.\s*([A-Za-z_]\w*)", without_texts)
    return tuple(dict.fromkeys(key for key in used if key not in EVENT_KEYS))
