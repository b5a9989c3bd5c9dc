"""The ports: what the engine asks of the world. Each ships with a fake in tests.fakes.

Adapters live in nvsentinel, store and follow.processes and are put together in
follow.workplace. A port is small, asynchronous where it waits, and raises only errors of
core.errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.journal.entries import Entry, RunEvent, ScriptKind
from nvsx.core.journal.run_rows import Lease, NewRun, RunRow
from nvsx.core.watches.snapshot import Needs, Node, Note, Snapshot


class Clock(Protocol):
    """The one clock and the one sleep."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None: ...


# --- the cluster, as the engine sees it -------------------------------------------------


class NodeFeed(Protocol):
    """One followed node. Level-triggered: readers look at `current`, then wait."""

    @property
    def current(self) -> Snapshot: ...

    async def changed(self, seen: Snapshot) -> Snapshot:
        """The first snapshot that is not `seen` (identity); returns at once when newer."""
        ...

    async def close(self) -> None: ...


class Fault(msgspec.Struct, frozen=True):
    """A fault seen on a node, for arming and for watch-mode triggers.

    `since` is when a fault without a session began, Unix seconds, where that was looked at:
    the time of its event moves with each repeat, this one does not. 0 when not known.
    """

    node: str
    event: HealthEvent
    session_key: str = ""
    since: float = 0.0


class Observer(Protocol):
    """Follows nodes through shared reflectors, and knows NVSentinel's marks on them."""

    async def follow(self, node: str, needs: Needs, session: Session | None = None) -> NodeFeed:
        """Start following `node`; `session` is what a resumed run knew of it already.

        Returns as soon as following has begun; sources that have not answered are unread
        in the snapshot. Raises NotFound when the cluster has no such node, ClusterError.
        """
        ...

    async def nodes_in_incident(self) -> Sequence[Fault]:
        """One entry a node that NVSentinel has in quarantine now. Raises ClusterError."""
        ...

    async def node_names(self) -> Sequence[str]:
        """All node names. Raises ClusterError."""
        ...

    async def nodes(self) -> Sequence[Node]:
        """All nodes as they are known now. Raises ClusterError."""
        ...

    async def count_gpu_nodes(self) -> int:
        """How many nodes have GPUs. Raises ClusterError."""
        ...

    def faults(self) -> AsyncIterator[Fault]:
        """New faults from now on (conditions and quarantine annotations), as they appear."""
        ...

    async def evidence(self, node: str) -> Mapping[str, bytes]:
        """File name → JSON bytes: the node, its pods, Events and custom resources, now."""
        ...

    async def why(self, snapshot: Snapshot, stage: str) -> Sequence[Note]:
        """Why nothing is happening on this node in this stage, the most telling first."""
        ...

    async def prerequisite(
        self, kind: Literal["deployment", "daemonset", "crd"], name: str, namespace: str
    ) -> tuple[bool, str]:
        """Whether the object is there and ready, and the evidence. Raises ClusterError."""
        ...

    async def cluster_id(self) -> str:
        """The UID of namespace kube-system, the cluster's identity. Raises ClusterError."""
        ...


class HealthEventStore(Protocol):
    """NVSentinel's own store of health events, read only."""

    async def events(self, node: str, since: float) -> Sequence[HealthEvent]:
        """Events of `node` created at or after `since`, oldest first. Raises StoreError."""
        ...


# --- scripts --------------------------------------------------------------------------


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A script to run. `path` is absolute. `facts` are the NVSX_* variables to set.

    A hook or prerequisite sees a guarded kubectl, an action the real one.
    `command` (prerequisites only) is a shell command line instead of a file.
    `$NVSX_…` in `args` stands for what the script's environment has; one that is set nowhere
    is refused. `end_file` is where its exit code is kept, also when nvsx dies meanwhile; "" for a
    script whose end nobody asks for later.
    """

    kind: ScriptKind
    path: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    facts: Mapping[str, str] = {}
    timeout: float | None = None
    end_file: str = ""


class ScriptResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a script ended. `exit_code` is None when it was killed or never started;
    then `detail` says why (timed out after 30s, not executable, …). `report` has the lines
    that NVSX_REPORT_FILE holds by now, those of earlier scripts too, masked."""

    exit_code: int | None
    detail: str = ""
    timed_out: bool = False
    duration: float = 0.0
    report: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


class ProcessIdentity(msgspec.Struct, frozen=True):
    """A process group leader: pid and its start time (Unix seconds), as the OS tells it."""

    pid: int
    started: float


LineSink = Callable[[Literal["stdout", "stderr"], str], None]
StartSink = Callable[[ProcessIdentity], Awaitable[None]]


class Scripts(Protocol):
    """Runs scripts in process groups of their own, with masked, plain-text output."""

    async def run(self, script: Script, on_line: LineSink, on_start: StartSink) -> ScriptResult:
        """Run to the end. Cancelling the call stops the whole process group.

        Never raises for what the script does: a missing or failing script is a result.
        """
        ...

    async def find_end(
        self, script: Script, identity: ProcessIdentity | None, limit: float | None
    ) -> ScriptResult | None:
        """How a script ended whose owner died before it could write that down.

        One that still runs is waited for, `limit` seconds at most (None: as long as it takes).
        None where its end is not known: it was cut too, or it is over its time.
        """
        ...

    async def stop_orphan(self, identity: ProcessIdentity | None, idempotency_key: str) -> bool:
        """Stop what a dead owner left running; true when something was stopped."""
        ...


class ActionWish(msgspec.Struct, frozen=True):
    """A run that wants to act on a node. `weight` is its fault's: the heavier goes first."""

    node: str
    run_id: str
    weight: int = 0


class ActionTurn(Protocol):
    """A run's turn to act on a node; it ends with the context that gave it."""

    def note_process(self, identity: ProcessIdentity) -> None:
        """Name the script that acts: should this process die, that one is still waited for."""
        ...


class ActionTurns(Protocol):
    """Whose turn it is to act on a node: one run's at a time, whichever process it is worked in."""

    def take(
        self, wish: ActionWish, say_waiting: Callable[[str], Awaitable[None]]
    ) -> AbstractAsyncContextManager[ActionTurn]:
        """Wait for the turn. `say_waiting` hears, once for each, which run is waited for.

        Raises StoreError.
        """
        ...


# --- the journal ------------------------------------------------------------------------


class Journal(Protocol):
    """Runs and their events, durable across kill -9. One writer a run, by lease."""

    async def create(self, run: NewRun) -> Lease:
        """Store a new run and claim its node for its runbook in one step.

        Raises NodeClaimed when an unfinished run of the runbook is on the node. One whose owner
        has died keeps it too (`NodeClaimed.interrupted`) until it is taken over or abandoned.
        """
        ...

    async def claim(self, lease: Lease, node: str) -> None:
        """Claim `node` for an armed run. Raises NodeClaimed, StaleOwner."""
        ...

    async def append(
        self, lease: Lease, events: Sequence[RunEvent], *, durable: bool = False
    ) -> Sequence[Entry]:
        """Append in order; returns when committed (flushed to disk when `durable`).

        A Finish gives the claim back in the same transaction. Raises StaleOwner, StoreError.
        """
        ...

    async def read(self, run_id: str, after: int = 0) -> Sequence[Entry]:
        """The entries with seq > `after`, in order. Raises UsageError for an unknown run."""
        ...

    async def take_over(self, run_id: str) -> Lease:
        """Become the owner of an unfinished run whose owner is dead.

        Raises UsageError (unknown or finished run), NodeClaimed (its owner is alive).
        """
        ...

    async def abandon(self, run_id: str) -> None:
        """Finish an interrupted run as `interrupted` and release its node.

        Raises UsageError (unknown or finished run), NodeClaimed (its owner is alive).
        """
        ...

    def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Entry]:
        """The entries with seq > `after`, then each new one, whichever process appends it.

        Ends after the run's Finish. Raises UsageError for an unknown run.
        """
        ...

    async def run(self, run_id: str) -> RunRow:
        """One run of the index. Raises UsageError for an unknown run."""
        ...

    async def runs(self, *, active: bool = False, limit: int = 100) -> Sequence[RunRow]:
        """Newest first; `active` keeps those that have not finished.

        An unfinished run whose owner has died has status `interrupted`.
        """
        ...


class Artifacts(Protocol):
    """The folder of one run's artifacts."""

    @property
    def folder(self) -> Path: ...

    async def write(self, name: str, data: bytes) -> str:
        """Write one file (0600, atomically); returns its path relative to the folder."""
        ...


class View(Protocol):
    """A view of a run: plain text, JSONL, the deck. It cannot slow or break the run."""

    def show(self, entry: Entry, *, replayed: bool = False) -> None: ...

    async def close(self) -> None: ...
