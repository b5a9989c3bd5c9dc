"""The base of all watch kinds, and what a watch is looked at with.

The three belong together: a watch is evaluated on a `Look`, a `Look` has the `Chain` port, and
`Chain` is asked about watches. The port's adapter is nvsentinel.chain.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple, Protocol, get_args

import msgspec
from pydantic import Field, field_validator

from nvsx.core import patterns, selectors
from nvsx.core.fields import Duration, Model
from nvsx.core.incident.session import HealthEvent, Times
from nvsx.core.watches.snapshot import Condition, Needs, Resource, Snapshot
from nvsx.core.watches.verdict import Verdict, pending, satisfied, unknown

#: Seconds. So far may the clocks of cluster and nvsx be apart, and so long may the parts of one
#: fault take to show: Kubernetes writes whole seconds, and each of them has a queue of its own.
TOLERANCE = 120.0

Since = Literal["incident", "run", "stage", "ever"]

#: `escalated`: it failed, and NVSentinel goes on by itself with another repair.
Outcome = Literal["succeeded", "failed", "escalated", "in-progress", "manual"]


class Scope(msgspec.Struct, frozen=True):
    """What a verdict depends on besides the watch and the snapshot. Times: Unix seconds.

    `pace` is how much of a `for` has to pass: 1 in life, less where time runs faster.
    """

    now: float
    stage: str
    run_began: float
    stage_began: float
    trigger: HealthEvent | None = None
    boot_id: str = ""
    pace: float = 1.0


class DeadEnd(msgspec.Struct, frozen=True):
    """Why a stage cannot pass any more. `overrules` even watches that are met: after a manual
    uncordon the marks of the incident are gone, and that is no recovery."""

    reason: str
    overrules: bool = False


class Look(NamedTuple):
    """What a watch is looked at with: what is seen of the node, the moment, what marks mean."""

    snap: Snapshot
    scope: Scope
    chain: Chain


class WatchBase(Model, ABC):
    """What every kind has in common. A kind is one subclass; `kinds.Watch` lists them.

    It declares exactly the fields it understands, so a key that has no meaning is an error.
    Its `kind` is a Literal: the name, then names it had before.
    """

    #: A state watch asks what is true now; a happening counts only what belongs to the
    #: incident, see `Happening.counts_from`.
    happening: ClassVar[bool] = False
    #: Whether what it reads comes with the node. Anything else comes by a way of its own, which
    #: can lag behind the node's.
    reads_node: ClassVar[bool] = True

    absent: bool = Field(False, description="True: holds while the rest does not.")
    for_: Duration | None = Field(
        None, alias="for", description="How long it must hold without a break."
    )
    since: Since | None = Field(
        None,
        description="What counts: from the incident, the run or the stage on, or ever.",
    )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the kind, the one to write first."""
        return get_args(cls.model_fields["kind"].annotation)

    @field_validator("kind", check_fields=False)
    @classmethod
    def _forget_old_name(cls, _: str) -> str:
        return cls.names()[0]

    @abstractmethod
    def evaluate(self, look: Look) -> Verdict:
        """What the kind's own fields say now. `absent` and `for` are applied by `conditions`."""

    @abstractmethod
    def describe(self) -> str:
        """The kind's own fields in plain words. `absent`, `for`, `since`: see `kinds.describe`."""

    def needs(self) -> Needs:
        """What must be followed for it, besides the node, its pods and its Events."""
        return Needs()

    def vanishes_with_node(self) -> bool:
        """Whether it is also not met where the whole node is missing, which says nothing."""
        return self.reads_node

    def wait_until_shown(self, look: Look) -> Verdict | None:
        """Why what is not there may only not be there yet; None when it would be."""
        del look
        return None


class Happening(WatchBase):
    """The base of kinds that ask what happened: only what belongs to the incident counts."""

    happening: ClassVar[bool] = True
    reads_node: ClassVar[bool] = False

    def counts_from(self, look: Look) -> float:
        """The time from which a happening counts, by `since`.

        | time     | what happens                          | `since: incident` counts from     |
        |----------|---------------------------------------|-----------------------------------|
        | 02:50:00 | the session before this one ended     |                                   |
        | 03:00:00 | the fault is generated                | 02:58:00: clocks may be apart     |
        | 03:00:05 | NVSentinel quarantines the node       | the same: the earliest mark       |
        | 03:04:00 | a run begins (`run`), then a stage    |                                   |

        Had the session before ended at 02:59:00, its last Events would be that one's: then
        what counts begins there. Without session and trigger, the run's beginning stands for
        the incident's.
        """
        since, scope, session = self.since or "incident", look.scope, look.snap.session
        if since == "ever":
            return 0.0
        if since == "run":
            return math.floor(scope.run_began)
        if since == "stage":
            return math.floor(scope.stage_began)
        began = session.began
        if began is None and scope.trigger is not None:
            began = scope.trigger.generated_at or None
        begin = math.floor(began if began is not None else scope.run_began) - TOLERANCE
        return max(begin, session.previous_end or 0.0)


class Chain(Protocol):
    """What NVSentinel's marks mean: rank of a state, whose a repair is, what is proven.

    Pure functions of what was observed: no I/O, no clock.
    """

    def state_rank(self, state: str) -> int | None:
        """How far along the chain a state-label value is; None for an unknown value."""
        ...

    def error_codes(self, condition: Condition) -> frozenset[str]:
        """The error codes in a node condition's message."""
        ...

    def is_maintenance(self, resource: Resource) -> bool:
        """Whether `resource: maintenance` means this kind."""
        ...

    def belongs(self, resource: Resource, snapshot: Snapshot) -> bool:
        """Whether a custom resource is part of the snapshot's session."""
        ...

    def outcome(self, resource: Resource) -> tuple[Outcome, str]:
        """How far a maintenance resource is, in a word and in a sentence."""
        ...

    def prove(
        self, watch: WatchBase, stage: str, snapshot: Snapshot, trigger: HealthEvent | None
    ) -> str:
        """What proves that `watch` was met earlier in this session; "" when nothing does."""
        ...

    def is_own_mark(self, watch: WatchBase) -> bool:
        """Whether the watch asks for a fact that NVSentinel itself sets: a mark of its session,
        or a repair."""
        ...

    def still_held(self, watch: WatchBase, snapshot: Snapshot) -> str:
        """Why the absence of a mark that `watch` waits for is no release of the node yet;
        "" when it is."""
        ...

    def dead_end(self, stage: str, snapshot: Snapshot) -> DeadEnd | None:
        """Why `stage` cannot pass any more, if so."""
        ...

    def tell_times(self, known: Times, snapshot: Snapshot, trigger: HealthEvent | None) -> Times:
        """`known` with the marks that `snapshot` adds. `trigger` is the event that fired the
        run; without a quarantine session it alone tells when the fault was generated."""
        ...


def is_unread(snap: Snapshot, source: str) -> Verdict | None:
    """Unknown, with the reason, while `source` cannot be read; None while it can."""
    why = snap.unread.get(source)
    return unknown(why) if why else None


def miss_node(snap: Snapshot) -> Verdict:
    """The verdict where there is no node to look at: not read, or not there."""
    return is_unread(snap, "node") or pending(f"node {snap.node_name} is not there")


def satisfied_if(met: bool, detail: str) -> Verdict:
    """Satisfied or pending, with the same words."""
    return satisfied(detail) if met else pending(detail)


def contains_pattern(text: str, pattern: str) -> bool:
    """Raises TooSlow, which `conditions.evaluate` makes a verdict of."""
    return patterns.search(pattern, text) is not None


parse_selector = lru_cache(maxsize=512)(selectors.parse)


def in_namespace(namespace: str | None) -> str:
    """The words for where something is looked for; none for everywhere."""
    return f" in namespace {namespace}" if namespace else ""


def any_of_words(values: tuple[str, ...]) -> str:
    """`79 or 94`: any of them will do."""
    return " or ".join(values)
