"""What a watch says now: its kind's own verdict, with `absent`, `for` and proofs applied.

Pure functions of watch and `Look`, the same for every kind. What NVSentinel's own marks mean is
asked of the `Chain` port, so that its names stay in one package.
"""

from __future__ import annotations

from nvsx.core import durations
from nvsx.core.patterns import TooSlow
from nvsx.core.watches.kinds import AnyOf, Watch
from nvsx.core.watches.verdict import Verdict, failed, invalid, pending, satisfied
from nvsx.core.watches.watch_base import Look, Scope, WatchBase, is_unread

#: How watches of a group are numbered apart from those of the stage: the third of the second
#: group is 2002. No stage has so many.
GROUP = 1000


def evaluate(item: Watch | AnyOf, look: Look, held: dict[int, float], index: int = 0) -> Verdict:
    """What `item` says now.

    `held` remembers since when each `for` watch has held without a break (by `index`); it
    is the caller's, one for each stage, and is the only thing this function changes.

    | time  | Ready         | `field: ready`, `for: 10m`           | with `absent` and no `for` |
    |-------|---------------|--------------------------------------|----------------------------|
    | 03:00 | False         | pending                              | satisfied                  |
    | 03:02 | True          | pending, look again at 03:12         | pending: "still: …"        |
    | 03:05 | cannot be read| unknown; what was held is forgotten  | unknown                    |
    | 03:06 | True          | pending, look again at 03:16         | pending                    |
    | 03:16 | True          | satisfied                            | pending                    |
    """
    if isinstance(item, AnyOf):
        first = (index + 1) * GROUP
        return choose_best([evaluate(w, look, held, first + i) for i, w in enumerate(item.any_of)])
    try:
        # A node that cannot be read now is not what it was when it last could be.
        stale = is_unread(look.snap, "node") if item.reads_node else None
        verdict = stale or item.evaluate(look)
    except TooSlow as slow:
        return invalid(f"{_number_watch(index)} ({item.kind}): {slow}")
    # A happening is never gone again. Its absence can only mean that none came for a while.
    if item.absent and item.happening and item.for_:
        return _judge_quiet_time(item.for_ * look.scope.pace, verdict, look.scope)
    if item.absent:
        verdict = _judge_absence(item, verdict, look)
    elif verdict.kind in ("pending", "unknown"):
        # NVSentinel moves its label on and leaves no trace of the stages before: what the watch
        # waits for may have been true and is shown no more.
        proof = look.chain.prove(item, look.scope.stage, look.snap, look.scope.trigger)
        if proof:
            return satisfied(proof)
    return _require_time(item, verdict, look.scope, held, index)


def _number_watch(index: int) -> str:
    """A watch as people count: `watch 2`, or `watch 2, anyOf 1` inside a group."""
    group, member = divmod(index, GROUP)
    return f"watch {group}, anyOf {member + 1}" if group else f"watch {index + 1}"


def choose_best(verdicts: list[Verdict]) -> Verdict:
    """The verdict of a group: the best of its members, in the order a person would care.

    It has failed only when all members have, since one of them is enough.
    """
    # A wrong pattern comes first, though another member may hold: nobody would ever see it.
    for kind in ("invalid", "satisfied", "pending", "unknown"):
        hits = [v for v in verdicts if v.kind == kind]
        if not hits:
            continue
        if kind == "pending":
            checks = [v.recheck_at for v in hits if v.recheck_at is not None]
            return pending("; or ".join(v.detail for v in hits), min(checks, default=None))
        return hits[0]
    return failed("; and ".join(v.detail for v in verdicts))


def _judge_absence(watch: Watch, verdict: Verdict, look: Look) -> Verdict:
    """`absent`: whether what the watch asks for has gone, in the sense of a runbook.

    What is not shown yet, is missing together with the whole node, or is only to be seen no
    more while NVSentinel still holds the node, has not gone.
    """
    early = watch.wait_until_shown(look)
    if early is not None:
        return early
    if verdict.kind == "satisfied":
        return pending(f"still: {verdict.detail}" if verdict.detail else "still there")
    # Unknown stays unknown: what cannot be read has not gone.
    if verdict.kind not in ("pending", "failed"):
        return verdict
    # A taint is absent when the Node is deleted. That is no recovery.
    if look.snap.node is None and watch.vanishes_with_node():
        return pending(f"node {look.snap.node_name} is not there")
    holder = look.chain.still_held(watch, look.snap)
    return pending(holder) if holder else satisfied(verdict.detail)


def _judge_quiet_time(span: float, verdict: Verdict, scope: Scope) -> Verdict:
    """`absent` with `for` on happenings: nothing of the kind for `span` seconds.

    | time  | what is seen           | `absent`, `for: 10m`, the stage began at 03:00 |
    |-------|------------------------|------------------------------------------------|
    | 03:00 | none                   | pending, look again at 03:10                   |
    | 03:04 | an Event of 03:04      | pending, look again at 03:14                   |
    | 03:14 | no later one           | satisfied, as of 03:04                         |
    """
    if verdict.kind in ("unknown", "invalid"):
        return verdict
    last = verdict.at if verdict.at is not None else scope.stage_began
    calm = scope.now - last
    text = f"none for {durations.format(max(0.0, round(calm)))} of {durations.format(span)}"
    return satisfied(text, last) if calm >= span else pending(text, last + span)


def _require_time(
    watch: WatchBase, verdict: Verdict, scope: Scope, held: dict[int, float], index: int
) -> Verdict:
    """`for`: satisfied only after that long without a break; see `evaluate`."""
    if not watch.for_:
        return verdict
    if verdict.kind != "satisfied":
        # Unknown breaks it too: nobody can say that it held meanwhile.
        held.pop(index, None)
        return verdict
    span = watch.for_ * scope.pace
    since = held.setdefault(index, scope.now)
    if scope.now - since >= span:
        return verdict
    return pending(f"{verdict.detail}; must hold for {durations.format(span)}", since + span)
