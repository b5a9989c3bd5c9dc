"""The journal: every fact of a run, in order. All views of a run are folds over it.

`RunEvent`s are what the engine appends; an `Entry` is one with its place and time. An
entry's public form is one JSON object a line (`to_line`), the same in the store, on
standard output and over the daemon's socket. The format only ever grows: fields and
event kinds are added, never renamed or removed.
"""

from __future__ import annotations

from typing import Any, Literal, Union

import msgspec

from nvsx.core.incident.session import Session, Times
from nvsx.core.watches.verdict import VerdictKind

VERSION = 1

StageStatus = Literal["pass", "fail", "timeout", "skipped", "cancelled"]
RunStatus = Literal["armed", "running", "passed", "failed", "cancelled", "interrupted"]
ScriptKind = Literal["action", "hook", "prerequisite"]
HookPurpose = Literal["hook", "overdue", "failure", "attempt"]


class RunEvent(msgspec.Struct, frozen=True, tag_field="event"):
    """Base of all run events; the tag is the `event` of a JSONL line.

    A subclass is an event: the decoder, the published schema and its page read them from here.
    """


class StagePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A stage as planned: limits in seconds, None for no limit."""

    id: str
    title: str = ""
    timeout_s: float | None = None
    budget_s: float | None = None
    watches: tuple[str, ...] = ()


class Start(RunEvent, frozen=True, tag="start"):
    """The run began. `target_node` is "" until an armed run knows its node. `clock_ahead_s` is by
    how much the cluster's clock is ahead of nvsx's at least, negative when behind.
    `live_hooks` is whether a sandbox run or drill may page people. `incident` is the incident it
    works at, "" where that is not known yet: then an `incident` event follows."""

    runbook: str
    nickname: str
    title: str = ""
    target_node: str = ""
    target_alias: str = ""
    trigger: str = "cli"
    cluster: str = ""
    context: str = ""
    project: str = ""
    runbook_hash: str = ""
    sandbox: bool = False
    drill: bool = False
    live_hooks: bool = False
    late: bool = False
    strict: bool = False
    tags: tuple[str, ...] = ()
    stages: tuple[StagePlan, ...] = ()
    trigger_event: dict[str, Any] | None = None
    clock_ahead_s: float = 0.0
    incident: str = ""


class Armed(RunEvent, frozen=True, tag="armed"):
    """The run waits for the first fault its triggers match."""

    waiting_for: str


class Target(RunEvent, frozen=True, tag="target"):
    """The node became known."""

    target_node: str
    target_alias: str
    reason: str
    trigger_event: dict[str, Any] | None = None


class IncidentJoined(RunEvent, frozen=True, tag="incident"):
    """The run joined an incident. `late`: that was under way already; `over` are the stages that
    were over by then, whose hooks fire with NVSX_LATE."""

    incident: str
    key: str = ""
    late: bool = False
    over: tuple[str, ...] = ()


class Baseline(RunEvent, frozen=True, tag="baseline"):
    """The node's boot id before the incident's repair; not written when nvsx came late."""

    boot_id: str


class PrerequisiteChecked(RunEvent, frozen=True, tag="prerequisite"):
    """A prerequisite was checked."""

    name: str
    ok: bool
    detail: str = ""
    required: bool = False


class StageBegin(RunEvent, frozen=True, tag="stage_begin"):
    """A stage began; a resumed run does not begin it again. `repair` is the attempt to repair that
    it is about: a further one begins `remediate` anew."""

    stage: str
    title: str = ""
    repair: int = 1


class WatchChange(RunEvent, frozen=True, tag="watch"):
    """A watch's verdict changed. `index` is its place in the stage's list, from 0."""

    stage: str
    index: int
    kind: str
    verdict: VerdictKind
    detail: str = ""
    describe: str = ""


class NoteMade(RunEvent, frozen=True, tag="note"):
    """Why nothing happens, or what else a person should know. `code` is stable; `author` is a
    person, "" for nvsx. `stage` is "" for the whole run."""

    stage: str
    text: str
    remedy: str = ""
    code: str = ""
    author: str = ""


class EvidenceKept(RunEvent, frozen=True, tag="evidence"):
    """A file under the run's artifact folder; `path` is relative to it."""

    path: str
    stage: str = ""


class Narrated(RunEvent, frozen=True, tag="narration"):
    """The runbook's own words for a stage that passed."""

    stage: str
    text: str


class Output(RunEvent, frozen=True, tag="output"):
    """A line a script printed: plain text, secrets masked."""

    stage: str
    source: ScriptKind
    stream: Literal["stdout", "stderr"]
    line: str


class Reported(RunEvent, frozen=True, tag="report"):
    """A line that a script added to NVSX_REPORT_FILE, as found when a script of the run
    ended. `notify target=… ref=…` says who was told."""

    stage: str
    line: str


class MessageAsked(RunEvent, frozen=True, tag="message_asked"):
    """A script asked that people be told (`nvsx notify`), and that is stored. `call` is its
    identity, `kind` is page, post, ticket or resolve, `to` the target that it named. `targets` are
    those it goes to: whom it has reached is told when it has. `problem` is "" when all is as it was
    asked."""

    stage: str
    call: str
    kind: str
    title: str = ""
    text: str = ""
    severity: str = ""
    to: str = ""
    targets: tuple[str, ...] = ()
    problem: str = ""


class Told(RunEvent, frozen=True, tag="told"):
    """What became of a message that a script asked for, at one target. `state` is delivered, would
    (a rehearsal: nothing left), dropped, given up, or waiting after a try that failed; the newest
    with the same `number` counts. `words` is the whole of it in one line, `text` what was sent,
    `reason` why not. `ref` and `link` are the vendor's. `failing`: somebody was not told."""

    stage: str
    number: int
    call: str
    target: str
    state: str
    words: str
    action: str = ""
    title: str = ""
    text: str = ""
    reason: str = ""
    ref: str = ""
    link: str = ""
    account: str = ""
    tries: int = 0
    failing: bool = False


class ActionBegin(RunEvent, frozen=True, tag="action_begin"):
    """A stage's action is about to start."""

    stage: str
    script: str


class ActionEnd(RunEvent, frozen=True, tag="action_end"):
    """`exit_code` is None when the script was killed by a signal or never started."""

    stage: str
    script: str
    exit_code: int | None
    detail: str = ""


class HookBegin(RunEvent, frozen=True, tag="hook_begin"):
    """A hook is about to start. `attempt` is its own try, from 1; `repair` is the attempt to repair
    that it fires for."""

    stage: str
    hook: str
    attempt: int
    idempotency_key: str = ""
    purpose: HookPurpose = "hook"
    repair: int = 1


class HookEnd(RunEvent, frozen=True, tag="hook_end"):
    """`exit_code` is None when the hook was killed or never started; `detail` says why."""

    stage: str
    hook: str
    exit_code: int | None
    attempt: int
    purpose: HookPurpose = "hook"
    duration_s: float = 0.0
    detail: str = ""


class ProcessSeen(RunEvent, frozen=True, tag="process"):
    """Identity of a script's process group, so that an orphan can be found and stopped."""

    stage: str
    script: str
    pid: int
    started: float


class Overdue(RunEvent, frozen=True, tag="overdue"):
    """A stage took longer than its budget; observing goes on."""

    stage: str
    budget_s: float


class StageEnd(RunEvent, frozen=True, tag="stage_end"):
    """`continued` marks a timeout that the runbook lets pass (`onTimeout: continue`)."""

    stage: str
    status: StageStatus
    elapsed_s: float
    reason: str = ""
    overdue: bool = False
    continued: bool = False
    repair: int = 1


class SessionSeen(RunEvent, frozen=True, tag="session"):
    """The quarantine session of the node, each time it changed."""

    session: Session


class TimesSeen(RunEvent, frozen=True, tag="times"):
    """The incident's times as far as they have been seen, each time that grew."""

    times: Times


class Resumed(RunEvent, frozen=True, tag="resumed"):
    """A new owner took the run over after its process had died."""

    owner: str
    epoch: int
    stage: str = ""


class CancelAsked(RunEvent, frozen=True, tag="cancel"):
    """Somebody asked for the end of the run; postmortem still follows."""

    by: str
    reason: str = ""
    exit_code: int = 1


class Finish(RunEvent, frozen=True, tag="finish"):
    """The end. Times in seconds; `mttr_s` is null when there was no time to repair. `exit_code`
    is that of `nvsx run`. `attempts` is how many repairs NVSentinel tried, `failed_stages` which
    stages failed on the way, also of a run that passed."""

    ok: bool
    status: RunStatus
    degraded: bool = False
    total_s: float = 0.0
    mttr_s: float | None = None
    mttr_without_drain_s: float | None = None
    condition_cleared_s: float | None = None
    reason: str = ""
    exit_code: int = 0
    attempts: int = 0
    failed_stages: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """One journal row: the run, its sequence number (from 1, no gaps), Unix time, event."""

    run_id: str
    seq: int
    t: float
    body: RunEvent


#: Every event, in the order of this file.
EVENTS: tuple[type[RunEvent], ...] = tuple(RunEvent.__subclasses__())

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[RunEvent] = msgspec.json.Decoder(Union[EVENTS])  # noqa: UP007 - made, not written


def kind_of(body: RunEvent) -> str:
    """The event's public name, as in JSONL."""
    return str(body.__struct_config__.tag)


def encode_body(body: RunEvent) -> bytes:
    return _encoder.encode(body)


def decode_body(raw: bytes | str) -> RunEvent:
    """The event in `raw`; unknown fields are passed over, so that old code reads new rows.

    Raises msgspec.ValidationError for an event kind this version does not know.
    """
    return _decoder.decode(raw)


def to_line(entry: Entry, *, replayed: bool = False) -> bytes:
    """One JSONL line without its newline."""
    head: dict[str, Any] = {
        "v": VERSION,
        "event": kind_of(entry.body),
        "run_id": entry.run_id,
        "seq": entry.seq,
        "t": round(entry.t, 6),
    }
    if replayed:
        head["replayed"] = True
    fields = msgspec.to_builtins(entry.body)
    fields.pop("event", None)
    return _encoder.encode(head | fields)
