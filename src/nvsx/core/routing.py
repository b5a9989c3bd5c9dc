"""Which runbook an event fires, and why the others did not.

`route` is pure: the same event and runbooks always give the same answer, so `explain`,
lint and serve agree. Names match exactly and without regard to case, never as parts of
words. The most specific rule wins; a tie fires nothing.

Specificity, first difference decides: names an error code · names a check or has a
`when` · number of criteria · triggers before tags before detect watches · fewer
alternatives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from nvsx.core.incident import HealthEvent
from nvsx.core.schema import Runbook, Trigger
from nvsx.core.watches import NodeCondition

#: The keys of `event` in a `when` expression.
EVENT_KEYS = (
    "checkName",
    "errorCode",
    "isFatal",
    "isHealthy",
    "recommendedAction",
    "processingStrategy",
    "entities",
    "nodeName",
    "message",
    "agent",
    "componentClass",
    "labels",
    "source",
    "cluster",
    "generatedAt",
)


class TriggerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a source decoded it. "" and () stand for "the source did not say".

    `recommended_action` and `processing_strategy` are enum names, `entities` are
    (type, value) pairs, `generated_at` is Unix seconds.
    """

    node: str = ""
    check_name: str = ""
    error_codes: tuple[str, ...] = ()
    is_fatal: bool = False
    is_healthy: bool = False
    recommended_action: str = ""
    processing_strategy: str = "EXECUTE_REMEDIATION"
    entities: tuple[tuple[str, str], ...] = ()
    message: str = ""
    agent: str = ""
    component_class: str = ""
    labels: Mapping[str, str] = {}
    source: str = ""
    cluster: str = ""
    generated_at: float | None = None

    @classmethod
    def of(cls, event: HealthEvent, *, source: str = "", cluster: str = "") -> TriggerFacts:
        """A health event of NVSentinel; its metadata serve as labels."""
        return cls(
            node=event.node,
            check_name=event.check,
            error_codes=event.error_codes,
            is_fatal=event.fatal,
            is_healthy=event.healthy,
            recommended_action=event.action,
            processing_strategy=event.strategy,
            entities=event.entities,
            message=event.message,
            agent=event.agent,
            component_class=event.component_class,
            labels=event.metadata,
            source=source,
            cluster=cluster,
            generated_at=event.generated_at or None,
        )

    def event(self) -> dict[str, object]:
        """The `event` of a `when` expression; what the source did not say is no key of it."""
        said: dict[str, object] = {
            "checkName": self.check_name,
            "recommendedAction": self.recommended_action,
            "processingStrategy": self.processing_strategy,
            "nodeName": self.node,
            "message": self.message,
            "agent": self.agent,
            "componentClass": self.component_class,
            "source": self.source,
            "cluster": self.cluster,
            "generatedAt": self.generated_at,
        }
        return {
            **{key: value for key, value in said.items() if value},
            "errorCode": list(self.error_codes),
            "isFatal": self.is_fatal,
            "isHealthy": self.is_healthy,
            "entities": [{"entityType": t, "entityValue": v} for t, v in self.entities],
            "labels": dict(self.labels),
        }


class Truth(NamedTuple):
    """What a `when` expression came to; `reason` says why it could not, or did not, hold."""

    holds: bool
    reason: str = ""


Evaluate = Callable[[str, Mapping[str, object]], Truth]


def no_expressions(expression: str, event: Mapping[str, object]) -> Truth:  # noqa: ARG001
    """The evaluator where none is wired: no `when` ever holds, and it says so."""
    return Truth(False, "`when` is not evaluated here")


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
        return max((r for r in self.rules if r.matched), key=_by_specificity, default=None)


class RouteResult(msgspec.Struct, frozen=True):
    """Where the event goes. `tie` names the runbooks that match equally well; then, and when
    nothing matches, `winner` is None. `reason` is one sentence for a person."""

    winner: Runbook | None
    reason: str
    tie: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()


def _by_specificity(result: RuleResult) -> tuple[int, ...]:
    return result.specificity


def route(
    event: TriggerFacts, runbooks: Iterable[Runbook], evaluate: Evaluate = no_expressions
) -> RouteResult:
    """The runbook this event fires, with the reasons for and against every rule."""
    by_name = {r.name: r for r in runbooks}
    explanations = tuple(
        Explanation(name, tuple(_rules(event, runbook, evaluate)))
        for name, runbook in by_name.items()
    )
    best = {e.runbook: e.best for e in explanations}
    matches = {name: rule for name, rule in best.items() if rule is not None}
    if not matches:
        reason = "a healthy event fires nothing" if event.is_healthy else "no runbook matches"
        return RouteResult(None, reason, (), explanations)
    top = max(rule.specificity for rule in matches.values())
    winners = [name for name, rule in matches.items() if rule.specificity == top]
    if len(winners) > 1:
        names = " and ".join(winners)
        return RouteResult(
            None, f"{names} match equally well, so none fires", tuple(winners), explanations
        )
    name = winners[0]
    return RouteResult(by_name[name], f"{name}: {matches[name].reason}", (), explanations)


def _rules(event: TriggerFacts, runbook: Runbook, evaluate: Evaluate) -> Iterator[RuleResult]:
    if runbook.stage("inject"):
        yield RuleResult("stage inject", False, "it causes a fault: people start it, events never")
    elif runbook.triggers:
        for index, trigger in enumerate(runbook.triggers):
            yield _trigger_rule(f"triggers[{index}]", trigger, event, evaluate)
    else:
        yield from _tag_rules(event, runbook)
        yield from _detect_rules(event, runbook)


def _trigger_rule(
    rule: str, trigger: Trigger, event: TriggerFacts, evaluate: Evaluate
) -> RuleResult:
    against = next(_objections(trigger, event, evaluate), "")
    if against:
        return RuleResult(rule, False, against)
    said = [_said(trigger, name) for name in trigger.criteria]
    listed = (
        trigger.check,
        trigger.error_code,
        trigger.agent,
        trigger.component_class,
        trigger.recommended_action,
        *trigger.labels.values(),
    )
    specificity = (
        int(bool(trigger.error_code)),
        int(bool(trigger.check or trigger.when)),
        len(trigger.criteria) + max(0, len(trigger.labels) - 1),
        2,
        -sum(len(values) for values in listed),
    )
    return RuleResult(rule, True, f"{rule} matches {', '.join(said)}", specificity)


def _said(trigger: Trigger, name: str) -> str:
    value = getattr(trigger, name)
    if name == "when":
        return "when"
    shown = value if name != "labels" else [f"{k}={'|'.join(v)}" for k, v in value.items()]
    return f"{_KEY_OF[name]} {'|'.join(shown)}"


_KEY_OF = {
    "check": "check",
    "error_code": "errorCode",
    "agent": "agent",
    "component_class": "componentClass",
    "recommended_action": "recommendedAction",
    "labels": "labels",
}


def _objections(trigger: Trigger, event: TriggerFacts, evaluate: Evaluate) -> Iterator[str]:
    """Why this entry does not match, the first reason first; nothing when it does."""
    if event.is_healthy:
        yield "the event is healthy"
    if trigger.fatal not in ("any", event.is_fatal):
        kind = "fatal" if event.is_fatal else "not fatal"
        yield f"the event is {kind}; `fatal: any` would let it through"
    if event.processing_strategy not in trigger.strategy:
        strategy = event.processing_strategy
        yield f"its strategy is {strategy}; `strategy: [{strategy}]` would let it through"
    for key, wanted, got in (
        ("check", trigger.check, (event.check_name,)),
        ("errorCode", trigger.error_code, event.error_codes),
        ("agent", trigger.agent, (event.agent,)),
        ("componentClass", trigger.component_class, (event.component_class,)),
        ("recommendedAction", trigger.recommended_action, (event.recommended_action,)),
    ):
        if wanted and not _meet(wanted, got):
            yield f"{key} is {_shown(got)}, not {_shown(wanted)}"
    for label, values in trigger.labels.items():
        if not _meet(values, (event.labels.get(label, ""),)):
            yield f"label {label} is {_shown((event.labels.get(label, ''),))}, not {_shown(values)}"
    if trigger.when:
        truth = evaluate(trigger.when, event.event())
        if not truth.holds:
            yield f"when: {truth.reason or 'is false'}"


def _meet(wanted: Iterable[str], got: Iterable[str]) -> bool:
    """Whether a value that was said is among the wanted ones, without regard to case."""
    said = {value.casefold() for value in got if value}
    return any(value.casefold() in said for value in wanted)


def _shown(values: Iterable[str]) -> str:
    return " or ".join(v for v in values if v) or "not said"


def _closed(event: TriggerFacts) -> str:
    """Why the event fires nothing unless a `triggers` entry widens that; "" when it may."""
    if event.is_healthy:
        return "the event is healthy"
    if not event.is_fatal:
        return "the event is not fatal; only a `triggers` entry with `fatal: any` takes it"
    if event.processing_strategy != "EXECUTE_REMEDIATION":
        strategy = event.processing_strategy
        return f"its strategy is {strategy}; only a `triggers` entry with `strategy` takes it"
    return ""


def _tag_rules(event: TriggerFacts, runbook: Runbook) -> Iterator[RuleResult]:
    closed = _closed(event)
    for tag in runbook.metadata.tags:
        rule = f"tag {tag}"
        has_code = _meet((tag,), (f"xid-{code}" for code in event.error_codes))
        if not has_code and not _meet((tag,), (event.check_name,)):
            yield RuleResult(rule, False, "it is neither the check nor xid-<error code>")
        elif closed:
            yield RuleResult(rule, False, closed)
        else:
            subject = "error code" if has_code else "check"
            order = (int(has_code), int(not has_code), 1, 1, -1)
            yield RuleResult(rule, True, f"{rule} is its {subject}", order)


def _detect_rules(event: TriggerFacts, runbook: Runbook) -> Iterator[RuleResult]:
    closed = _closed(event)
    for watch in detect_conditions(runbook):
        rule = f"detect watch {'|'.join(watch.type)}"
        if not _meet(watch.type, (event.check_name,)):
            got = _shown((event.check_name,))
            yield RuleResult(rule, False, f"the check is {got}")
        elif watch.error_code and not _meet(watch.error_code, event.error_codes):
            got, wanted = _shown(event.error_codes), _shown(watch.error_code)
            yield RuleResult(rule, False, f"errorCode is {got}, not {wanted}")
        elif closed:
            yield RuleResult(rule, False, closed)
        else:
            code = int(bool(watch.error_code))
            order = (code, 1, 1 + code, 0, -len(watch.type) - len(watch.error_code))
            yield RuleResult(rule, True, f"{rule} is its check", order)


def detect_conditions(runbook: Runbook) -> tuple[NodeCondition, ...]:
    """The node conditions whose appearance the detect stage waits for."""
    stage = runbook.stage("detect")
    return tuple(
        w
        for w in (stage.watches if stage else ())
        if isinstance(w, NodeCondition) and w.status == "True" and not w.absent
    )


def unknown_event_keys(expression: str) -> tuple[str, ...]:
    """Keys of `event` that a `when` expression uses and no event will ever have."""
    without_texts = re.sub(r"\"[^\"]*\"|'[^']*'", '""', expression)
    used = re.findall(r"\bevent\s*\.\s*([A-Za-z_]\w*)", without_texts)
    return tuple(dict.fromkeys(key for key in used if key not in EVENT_KEYS))
