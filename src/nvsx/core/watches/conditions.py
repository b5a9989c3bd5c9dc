"""Watch × Snapshot → Verdict: what each watch kind means, as pure functions.

State watches look at what is true now; they are here. The kinds that ask what happened are
in `happenings`. What NVSentinel's own marks mean is asked of the `Chain` port, so that its
names stay in one package. `absent`, `for` and the session's proof are applied here, the
same way for every kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nvsx.core import durations, selectors
from nvsx.core.patterns import TooSlow
from nvsx.core.watches import happenings, kinds
from nvsx.core.watches.look import TOLERANCE, Look, Scope, as_expected, search, selector, unread
from nvsx.core.watches.snapshot import Pod
from nvsx.core.watches.verdict import Verdict, failed, invalid, pending, satisfied, unknown


def evaluate(
    item: kinds.Watch | kinds.AnyOf,
    look: Look,
    held: dict[int, float],
    index: int = 0,
) -> Verdict:
    """What `item` says now.

    `held` remembers since when each `for` watch has held without a break (by `index`); it
    is the caller's, one for each stage, and is the only thing this function changes.
    """
    if isinstance(item, kinds.AnyOf):
        inner = [evaluate(w, look, held, (index + 1) * 1000 + i) for i, w in enumerate(item.any_of)]
        return any_of(inner)
    try:
        verdict = _stale(item, look) or _KINDS[type(item)](item, look)
    except TooSlow as slow:
        return invalid(f"{_numbered(index)} ({item.kind}): {slow}")
    if item.absent and item.happening and item.for_:
        return _quiet(item, verdict, look.scope)
    if item.absent:
        verdict = _too_early(item, look) or _negated(verdict)
        if verdict.kind == "satisfied":
            verdict = _no_absence(item, look) or verdict
    elif verdict.kind in ("pending", "unknown"):
        proof = look.chain.prove(item, look.scope.stage, look.snap, look.scope.trigger)
        if proof:
            return satisfied(proof)
    return _held(item, verdict, look.scope, held, index)


def _numbered(index: int) -> str:
    """A watch as people count: `watch 2`, or `watch 2, anyOf 1` inside a group."""
    group, member = divmod(index, 1000)
    return f"watch {group}, anyOf {member + 1}" if group else f"watch {index + 1}"


def any_of(verdicts: list[Verdict]) -> Verdict:
    """The verdict of a group: the best of its members, in the order a person would care."""
    for kind in ("invalid", "satisfied", "pending", "unknown"):
        hits = [v for v in verdicts if v.kind == kind]
        if not hits:
            continue
        if kind == "pending":
            checks = [v.recheck_at for v in hits if v.recheck_at is not None]
            return pending("; or ".join(v.detail for v in hits), min(checks, default=None))
        return hits[0]
    return failed("; and ".join(v.detail for v in verdicts))


def _negated(verdict: Verdict) -> Verdict:
    if verdict.kind == "satisfied":
        return pending(f"still: {verdict.detail}" if verdict.detail else "still there")
    if verdict.kind in ("pending", "failed"):
        return satisfied(verdict.detail)
    return verdict


def _stale(watch: kinds.WatchBase, look: Look) -> Verdict | None:
    """A node that cannot be read now is not what it was when it last could be."""
    if watch.happening or isinstance(watch, kinds.PodWatch):
        return None
    return unread(look.snap, "node")


def _too_early(watch: kinds.WatchBase, look: Look) -> Verdict | None:
    """A fault's condition and its event travel by different queues: right after the event
    that fired the run, a node that does not show the fault yet has not recovered from it.
    Source: platform-connectors/pkg/connectors (separate store and Kubernetes queues)."""
    trigger, node = look.scope.trigger, look.snap.node
    if trigger is None or node is None or not isinstance(watch, kinds.NodeConditionWatch):
        return None
    until = trigger.generated_at + TOLERANCE
    if trigger.check not in watch.type or look.scope.now >= until:
        return None
    found = node.condition(trigger.check)
    if found is not None and found.heartbeat >= math.floor(trigger.generated_at):
        return None
    return pending("NVSentinel has not shown this fault on the node yet", until)


def _no_absence(watch: kinds.Watch, look: Look) -> Verdict | None:
    """What is missing together with the whole node, or is only to be seen no more, has not
    gone in the sense of a runbook."""
    exists = isinstance(watch, kinds.NodeFieldWatch) and watch.field == "exists"
    about_node = not watch.happening and not isinstance(watch, kinds.PodWatch) and not exists
    if about_node and look.snap.node is None:
        return pending(f"node {look.snap.node_name} is not there")
    held = look.chain.still_held(watch, look.snap)
    return pending(held) if held else None


def _quiet(watch: kinds.WatchBase, verdict: Verdict, scope: Scope) -> Verdict:
    """`absent` with `for` on happenings: nothing of the kind for that long."""
    if verdict.kind in ("unknown", "invalid"):
        return verdict
    last = verdict.at if verdict.at is not None else scope.stage_began
    span = (watch.for_ or 0.0) * scope.pace
    calm = scope.now - last
    text = f"none for {durations.format(max(0.0, round(calm)))} of {durations.format(span)}"
    return satisfied(text, last) if calm >= span else pending(text, last + span)


def _held(
    watch: kinds.WatchBase, verdict: Verdict, scope: Scope, held: dict[int, float], index: int
) -> Verdict:
    if not watch.for_:
        return verdict
    if verdict.kind != "satisfied":
        held.pop(index, None)
        return verdict
    span = watch.for_ * scope.pace
    since = held.setdefault(index, scope.now)
    if scope.now - since >= span:
        return verdict
    return pending(f"{verdict.detail}; must hold for {durations.format(span)}", since + span)


# --- state watches ------------------------------------------------------------------------


def _node_condition(w: kinds.NodeConditionWatch, look: Look) -> Verdict:
    node = look.snap.node
    if node is None:
        return unread(look.snap, "node") or pending(f"node {look.snap.node_name} is not there")
    why = []
    for wanted in w.type:
        found = node.condition(wanted)
        if found is None:
            why.append(f"no condition {wanted}")
            continue
        if found.status != w.status:
            why.append(f"{wanted} is {found.status}")
            continue
        codes = look.chain.error_codes(found)
        if w.error_code and not codes.intersection(w.error_code):
            seen = ", ".join(sorted(codes)) or "none"
            why.append(f"{wanted} is {found.status}, with error code {seen}")
            continue
        if w.reason and found.reason not in w.reason:
            why.append(f"{wanted} is {found.status}, with reason {found.reason}")
            continue
        code = f" {', '.join(sorted(codes))}" if codes else ""
        return satisfied(f"{wanted} is {found.status}{code}", found.transition or None)
    return pending("; ".join(why))


def _node_field(w: kinds.NodeFieldWatch, look: Look) -> Verdict:
    node = look.snap.node
    if node is None:
        blind = unread(look.snap, "node")
        if blind:
            return blind
        if w.field == "exists" and not w.expect:
            return satisfied(f"{look.snap.node_name} is gone")
        return pending(f"node {look.snap.node_name} is not there")
    if w.field == "exists":
        return satisfied("the node is there") if w.expect else pending("the node is there")
    if w.field == "bootID":
        return _booted(w, node.boot_id, look.scope)
    if w.field == "ready":
        words = {True: "Ready", False: "not Ready", None: "Ready: Unknown"}[node.ready]
        return as_expected((node.ready is True) == w.expect, f"node is {words}")
    words = "cordoned" if node.unschedulable else "schedulable"
    return as_expected(node.unschedulable == w.expect, f"node is {words}")


def _booted(w: kinds.NodeFieldWatch, boot_id: str, scope: Scope) -> Verdict:
    if not scope.boot_id or not boot_id:
        return unknown("the boot id before the incident is not known")
    changed = boot_id != scope.boot_id
    return as_expected(changed == w.expect, f"boot id {'changed' if changed else 'unchanged'}")


def _taint(w: kinds.TaintWatch, look: Look) -> Verdict:
    if look.snap.node is None:
        return unread(look.snap, "node") or pending(f"node {look.snap.node_name} is not there")
    for t in look.snap.node.taints:
        if (
            t.key == w.key
            and (w.value is None or t.value == w.value)
            and (w.effect is None or t.effect == w.effect)
        ):
            return satisfied(f"taint {t.key}={t.value}:{t.effect}")
    return pending(f"no taint {w.key}")


def _keyed(w: kinds.NodeLabelWatch | kinds.NodeAnnotationWatch, look: Look) -> Verdict:
    word = "label" if isinstance(w, kinds.NodeLabelWatch) else "annotation"
    if look.snap.node is None:
        return unread(look.snap, "node") or pending(f"node {look.snap.node_name} is not there")
    source = look.snap.node.labels if word == "label" else look.snap.node.annotations
    value = source.get(w.key)
    if value is None:
        return pending(f"no {word} {w.key}")
    short = value if len(value) <= 60 else value[:57] + "..."
    if w.value and value not in w.value:
        return pending(f"{word} {w.key} is {short}")
    if w.pattern and not search(w.pattern, value):
        return pending(f"{word} {w.key} does not match")
    return satisfied(f"{word} {w.key}={short}")


def _nvsentinel_state(w: kinds.NvsentinelStateWatch, look: Look) -> Verdict:
    ranks = [look.chain.state_rank(s) for s in w.state]
    if any(r is None for r in ranks):
        bad = next(s for s, r in zip(w.state, ranks, strict=True) if r is None)
        return invalid(f"NVSentinel has no state {bad}")
    if look.snap.node is None and not look.snap.session.known:
        return unread(look.snap, "node") or pending(f"node {look.snap.node_name} is not there")
    for state, at in look.snap.session.states:
        if state in w.state:
            return satisfied(f"state {state}", at)
    lowest = min(r for r in ranks if r is not None)
    for state, at in look.snap.session.states:
        if (look.chain.state_rank(state) or 0) > lowest:
            return satisfied(f"state {state}, which comes later", at)
    return pending(
        f"state is {look.snap.session.state}" if look.snap.session.state else "no state label"
    )


def _pod(w: kinds.PodWatch, look: Look) -> Verdict:
    blind = unread(look.snap, "pods")
    if blind:
        return blind
    wanted = selector(w.selector)
    found = [p for p in look.snap.pods if _is_pod(w, p, look.snap.node_name, wanted)]
    hits = [p for p in found if w.phase is None or p.phase == w.phase]
    names = ", ".join(sorted(f"{p.namespace}/{p.name}" for p in hits)[:3])
    more = f" and {len(hits) - 3} more" if len(hits) > 3 else ""
    text = f"{len(hits)} pods" + (f": {names}{more}" if hits else "")
    return as_expected(w.wanted.accepts(len(hits)), text)


def _is_pod(
    w: kinds.PodWatch, p: Pod, node: str, wanted: tuple[selectors.Requirement, ...]
) -> bool:
    return (
        (not w.on_node or p.node == node)
        and (w.namespace is None or p.namespace == w.namespace)
        and selectors.matches(wanted, p.labels)
    )


_KINDS: dict[type, Callable[[Any, Look], Verdict]] = {
    kinds.NodeConditionWatch: _node_condition,
    kinds.NodeFieldWatch: _node_field,
    kinds.TaintWatch: _taint,
    kinds.NodeLabelWatch: _keyed,
    kinds.NodeAnnotationWatch: _keyed,
    kinds.NvsentinelStateWatch: _nvsentinel_state,
    kinds.PodWatch: _pod,
    kinds.PodEventWatch: happenings.pod_event,
    kinds.NodeEventWatch: happenings.node_event,
    kinds.CrdWatch: happenings.crd,
    kinds.HealthEventWatch: happenings.health_event,
    kinds.LogWatch: happenings.log,
}
