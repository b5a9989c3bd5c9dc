"""A sight: what is seen of one node at one moment, in NVSentinel's terms.

`nvsentinel.sights` makes one from a Snapshot; `deciding.step` compares it with what is known
and says what is new. A sight is complete and immutable, and it is a level, not an edge: the
same sight twice says nothing new, and a sight that was missed is made up for by the next one.

A source that could not be read stands in `unread`: what it would show is *unknown*, which is
neither absent nor healthy. `at` is Unix time by nvsx's clock and must not jump while a process
lives (wall time at the start, plus the monotonic clock); `mono` is the monotonic clock, on
which limits run. Times that others wrote (senders, NVSentinel, kubelets) are marked as theirs
and are never compared with `at` without clamping.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Effect = Literal["boot", "node gone", ""]
RepairOutcome = Literal["in progress", "succeeded", "failed", "manual"]
#: How a repair failed: `refused` (its signal), `timeout`, `poll error`, `escalated` (another
#: repair follows by itself), `other`.
Failure = Literal["", "refused", "timeout", "poll error", "escalated", "other"]

#: The sources of a sight.
NODE, EVENTS, REPAIRS, VALIDATIONS = "node", "events", "repairs", "validations"
ALL_SOURCES = frozenset({NODE, EVENTS, REPAIRS, VALIDATIONS})


class SeenFault(msgspec.Struct, frozen=True):
    """One thing that is wrong now: a condition's fragment, an entry of the quarantine
    annotation, a Kubernetes Event, or several of these about the same thing.

    `by` says which of `condition`, `annotation`, `event` show it. `ids` are health-event ids,
    () where the source has none. `generated_at` is the sender's word. `start` is a time that
    everybody who looks reads alike (the condition's transition): identity is made from it.
    `mark` is new each time an Event is sent again. `passing`: a kind that a reboot itself
    causes (connectivity, not ready, link). `routed`: some runbook wants it.
    """

    check: str
    error_codes: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    ids: tuple[str, ...] = ()
    by: frozenset[str] = frozenset()
    action: str = ""
    fatal: bool = False
    routed: bool = False
    planned: bool = False
    passing: bool = False
    truncated: bool = False
    message: str = ""
    generated_at: float = 0.0
    start: float = 0.0
    mark: str = ""

    @property
    def only_event(self) -> bool:
        return self.by == {"event"}


class SeenAlert(msgspec.Struct, frozen=True):
    """An alert about the node that a sender holds open, or has just taken back.

    `key` and `started` are one episode of it. `routed`: some runbook wants it. `names_fault` is
    false for a delivery that names a runbook and no fault.
    """

    key: str
    started: float
    firing: bool = True
    routed: bool = True
    source: str = ""
    check: str = ""
    error_codes: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    names_fault: bool = True


class SeenSession(msgspec.Struct, frozen=True):
    """NVSentinel's marks on the node. `marked` is false for an emptied annotation (`[]`), which
    is the first half of a release. `labelled`: only the state label is there; that goes on with a
    session and never begins one, since it can be written after the end.

    `cordon_mark` and `release_mark` are NVSentinel's own texts of its last cordon and its last
    release: that one changed tells a new quarantine from an old one, whatever the clocks say.
    `released_at` is the time in the latter. `by_hand`: NVSentinel noted that somebody took the
    node out of its hands; that note stays for ever. `handed_over`: the annotation is gone, and
    NVSentinel's cordon is not.
    """

    marked: bool = False
    labelled: bool = False
    ids: tuple[str, ...] = ()
    state: str = ""
    emptied: bool = False
    cordon_mark: str = ""
    release_mark: str = ""
    cordoned_at: float = 0.0
    released_at: float = 0.0
    by_hand: bool = False
    dry_run: bool = False
    planned: bool = False
    handed_over: bool = False


NO_MARKS = SeenSession()


class SeenRepair(msgspec.Struct, frozen=True):
    """A repair request about the node. `effect` is what a successful one does to be believed:
    a reboot gives a new boot id. `event_id` is of the health event it was made for. `look` is
    the command that shows it."""

    kind: str
    name: str
    uid: str = ""
    event_id: str = ""
    effect: Effect = ""
    created_at: float = 0.0
    signal: Literal["", "sent", "refused"] = ""
    signal_at: float = 0.0
    outcome: RepairOutcome = "in progress"
    failure: Failure = ""
    detail: str = ""
    finished_at: float = 0.0
    look: str = ""

    @property
    def finished(self) -> bool:
        return self.outcome in ("succeeded", "failed")


class SeenHold(msgspec.Struct, frozen=True):
    """Something that keeps the node from work. `keeps_open`: it is NVSentinel's own, and the
    incident is not over while it is there; a person's cordon is not such a one."""

    kind: Literal[
        "quarantine", "cordon", "handed over", "validation", "maintenance", "driver upgrade"
    ]
    who: str
    since: float = 0.0
    name: str = ""
    detail: str = ""
    failed: bool = False
    keeps_open: bool = False


class SeenCause(msgspec.Struct, frozen=True):
    """Why nothing happens, found by those who know the cluster better: pods that a drain waits
    for, the budget that refuses an eviction. The list of causes says what comes of it."""

    code: str
    text: str
    remedy: str = ""


class SeenChain(msgspec.Struct, frozen=True):
    """What is known of the NVSentinel that looks after the node; None stands for unknown.

    `unwell` are modules that are there and not ready, with what was seen of them.
    `repairing` are the actions it makes requests for, `replacing` those for which it takes the
    machine away. `current`: its pipeline is known not to
    be behind, so that what it does not show it does not have.
    """

    dry_run: bool | None = None
    breaker_tripped: bool | None = None
    manual: bool | None = None
    monitor_only: bool | None = None
    missing: tuple[str, ...] = ()
    unwell: tuple[tuple[str, str], ...] = ()
    repairing: frozenset[str] | None = None
    replacing: frozenset[str] = frozenset({"REPLACE_VM"})
    opted_out: str = ""
    namespace: str = "nvsentinel"
    current: bool | None = None


class Sight(msgspec.Struct, frozen=True):
    """All of it. With `exists` false the Node object is certainly gone. `node_unread` says why the
    node cannot be read, "" where that is not known."""

    at: float
    mono: float
    node: str
    cluster_uid: str = ""
    exists: bool = True
    node_uid: str = ""
    boot_id: str = ""
    ready: bool | None = None
    ready_at: float = 0.0
    ready_why: str = ""
    schedulable: bool = True
    session: SeenSession = NO_MARKS
    faults: tuple[SeenFault, ...] = ()
    alerts: tuple[SeenAlert, ...] = ()
    repairs: tuple[SeenRepair, ...] = ()
    holds: tuple[SeenHold, ...] = ()
    causes: tuple[SeenCause, ...] = ()
    chain: SeenChain = SeenChain()
    unread: frozenset[str] = frozenset()
    node_unread: str = ""

    def was_read(self, source: str) -> bool:
        return source not in self.unread

    @property
    def node_is_there(self) -> bool:
        """The node was read, and it exists."""
        return self.exists and self.was_read(NODE)

    @property
    def node_is_gone(self) -> bool:
        return not self.exists and self.was_read(NODE)
