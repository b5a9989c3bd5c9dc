"""The kinds that ask what happened: Events, custom resources, health events, log lines.

Each counts only what belongs to the incident; `look.earliest` draws the line in time, and
the `Chain` port says whose a custom resource is.
"""

from __future__ import annotations

from collections.abc import Callable

from nvsx.core import selectors
from nvsx.core.watches import filter_match, kinds
from nvsx.core.watches.chain_port import Chain
from nvsx.core.watches.look import Look, Scope, as_expected, earliest, search, selector, unread
from nvsx.core.watches.snapshot import NOT_INSTALLED, Event, LogSource, Resource, Snapshot
from nvsx.core.watches.verdict import Verdict, failed, pending, satisfied, unknown


def pod_event(w: kinds.PodEventWatch, look: Look) -> Verdict:
    known = (*look.snap.departed, *look.snap.pods_on_node())
    pods = {(p.namespace, p.name): p for p in known}
    wanted = selector(w.selector) if w.selector else ()

    def about(e: Event) -> bool:
        pod = pods.get((e.object_namespace or e.namespace, e.object_name))
        return e.kind == "Pod" and pod is not None and selectors.matches(wanted, pod.labels)

    return _event(w, look.snap, look.scope, about)


def node_event(w: kinds.NodeEventWatch, look: Look) -> Verdict:
    return _event(
        w,
        look.snap,
        look.scope,
        lambda e: e.kind == "Node" and e.object_name == look.snap.node_name,
    )


def _event(
    w: kinds.PodEventWatch | kinds.NodeEventWatch,
    snap: Snapshot,
    scope: Scope,
    about: Callable[[Event], bool],
) -> Verdict:
    start = earliest(w, snap, scope)
    hits = [
        e
        for e in snap.events
        if e.last >= start
        and (not w.type or e.type in w.type)
        and (not w.reason or e.reason in w.reason)
        and (w.namespace is None or e.namespace == w.namespace)
        and (w.pattern is None or search(w.pattern, e.message))
        and about(e)
    ]
    if not hits:
        return unread(snap, "events") or pending("no such Event in this incident")
    newest = max(hits, key=lambda e: e.last)
    times = f" (seen {newest.count} times)" if newest.count > 1 else ""
    return satisfied(f"{newest.reason}: {newest.message}{times}", newest.last)


def crd(w: kinds.CrdWatch, look: Look) -> Verdict:
    start = earliest(w, look.snap, look.scope)
    of_kind = [r for r in look.snap.resources if _is_resource(w, r, look.chain)]
    if w.since in (None, "incident"):
        mine = [
            r for r in of_kind if look.chain.belongs(r, look.snap) or _at_hand(r, look.snap, start)
        ]
    else:
        mine = [r for r in of_kind if r.created >= start]
    if not mine:
        return _no_resource(w, look.snap, len(of_kind))
    newest = max(mine, key=lambda r: (r.created, r.name))
    verdict = _resource_verdict(w, newest, look.chain)
    # What has ended stays so; what had not may have, since its kind could last be read.
    blind = unread(look.snap, f"resources/{newest.plural}")
    return blind if blind is not None and verdict.kind == "pending" else verdict


def _at_hand(r: Resource, snap: Snapshot, start: float) -> bool:
    """Without a session there is only time to tell by."""
    return not snap.session.known and r.created >= start


def _is_resource(w: kinds.CrdWatch, r: Resource, chain: Chain) -> bool:
    if w.namespace is not None and r.namespace != w.namespace:
        return False
    if w.resource == "maintenance":
        return chain.is_maintenance(r)
    plural, _, group = w.resource.partition(".")
    group = w.group or group
    return r.plural == plural and (not group or r.group == group)


def _no_resource(w: kinds.CrdWatch, snap: Snapshot, old: int) -> Verdict:
    plural = w.resource.partition(".")[0]
    blind = {k: v for k, v in snap.unread.items() if k.startswith("resources/")}
    if plural != "maintenance" and f"resources/{plural}" in blind:
        return unknown(blind[f"resources/{plural}"])
    unseen = sorted({why for why in blind.values() if NOT_INSTALLED not in why})
    if plural == "maintenance" and unseen:
        return unknown("; ".join(unseen))
    if old:
        return pending(f"none of this incident ({old} of earlier ones)")
    return pending("none yet")


def _resource_verdict(w: kinds.CrdWatch, r: Resource, chain: Chain) -> Verdict:
    outcome, detail = chain.outcome(r)
    name = f"{r.kind} {r.name}"
    if w.condition is not None:
        found = r.condition(w.condition.type)
        if found is not None and found.status == w.condition.status:
            return satisfied(f"{name}: {found.type} is {found.status}", found.transition or None)
        if outcome == "failed":
            return failed(f"{name}: {detail}")
        status = found.status if found else "absent"
        return pending(f"{name}: {w.condition.type} is {status}")
    if w.completed is None:
        return satisfied(f"{name} was created", r.created)
    if w.completed is False:
        return as_expected(not r.completed, f"{name}: {detail}")
    if outcome == "succeeded":
        return satisfied(f"{name}: {detail}", r.completed or None)
    if outcome == "failed":
        return failed(f"{name}: {detail}")
    return pending(f"{name}: {detail}")


def health_event(w: kinds.HealthEventWatch, look: Look) -> Verdict:
    start = earliest(w, look.snap, look.scope)
    hits = [
        e
        for e in look.snap.health_events
        if (e.created_at or e.generated_at) >= start
        and (not w.check or e.check in w.check)
        and (not w.error_code or set(w.error_code).intersection(e.error_codes))
        and (w.filter is None or filter_match.matches(e.document, w.filter))
    ]
    if not hits:
        return unread(look.snap, "health-events") or pending(
            "no such health event in this incident"
        )
    newest = max(hits, key=lambda e: e.created_at or e.generated_at)
    codes = f" {', '.join(newest.error_codes)}" if newest.error_codes else ""
    return satisfied(f"{newest.check}{codes}", newest.generated_at or None)


def log_source(w: kinds.LogWatch) -> LogSource:
    """Which logs `w` reads; the key of its lines in a snapshot."""
    return LogSource(
        namespace=w.namespace or "default",
        selector=w.selector or "",
        pod=w.pod or "",
        container=w.container or "",
        pattern=w.pattern,
    )


def log(w: kinds.LogWatch, look: Look) -> Verdict:
    source = log_source(w)
    start = earliest(w, look.snap, look.scope)
    for line in reversed(look.snap.logs.get(source, ())):
        if line.at >= start and search(w.pattern, line.text):
            return satisfied(f"{line.namespace}/{line.pod}: {line.text[:200]}", line.at)
    where = f"logs/{source.namespace}/{source.selector or source.pod}"
    return unread(look.snap, where) or pending("no such line yet")
