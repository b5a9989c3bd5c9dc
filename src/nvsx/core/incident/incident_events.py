"""The journal of an incident: every fact of it, in the order in which nvsx learnt it.

`deciding.step` makes these from sights; commands and runs add theirs (`RunJoined`, `PeopleTold`,
`IncidentNoted`, an end by a person). All that is known of an incident is a fold over them
(`incident_state`). The format only ever grows: fields and kinds are added, never renamed or
removed, and a reader passes over kinds that it does not know.

Times in a body are nvsx's best knowledge of when the thing happened, None for "not known";
times that a sender wrote are called `generated`. When nvsx learnt it stands in the entry.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from nvsx.core.incident.sight import Failure

VERSION = 1

IncidentPhase = Literal["observing", "repairing", "needs people", "recovering", "over"]
AttemptReason = Literal["first", "retry", "other check", "new fault"]
#: `taken away`: the request went before it had ended. `unseen`: the incident ended before it did.
AttemptOutcome = Literal["succeeded", "failed", "taken away", "unseen"]
#: `unwatched`: another quarantine was there at the next look, and how this one ended is not known.
SessionEnding = Literal["released", "by hand", "marks removed", "node gone", "unwatched"]
IncidentEnding = Literal["recovered", "cleared", "replaced", "removed", "closed", "unconfirmed"]
OpenedBy = Literal["quarantine", "fault", "alert", "by hand"]


ADOPTED_BY_HAND = "adopted-by-hand"
"""The code of a note with which a person takes on an incident that nvsx found open at its first
look at a cluster: from then on it has runs and pages like any other."""


class IncidentBody(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of all; the tag is the `event` of a line."""


class LeftOver(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was still true when an incident ended: it never opens another by itself.

    `name` is a fault's name or an alert's key; `started` tells an alert's episodes apart, and
    `mark` an Event's repetitions. Without a mark `started` says until when an Event is the old one.
    """

    kind: Literal["fault", "session", "alert"]
    name: str = ""
    ids: tuple[str, ...] = ()
    mark: str = ""
    started: float = 0.0


class IncidentOpened(IncidentBody, frozen=True, kw_only=True, tag="opened"):
    """`late`: it was under way when nvsx first looked. `adopted`: so, and nvsx knew nothing of
    this cluster before: nobody is paged for it. `again_of` is the incident whose thread and
    ticket it continues. `earlier_requests` are repairs that stood on the cluster already and
    belong to something else."""

    key: str
    node: str
    cluster_uid: str = ""
    node_uid: str = ""
    by: OpenedBy
    late: bool = False
    adopted: bool = False
    again_of: str = ""
    again_after_s: float | None = None
    thread: str = ""
    boot_id: str = ""
    release_mark: str | None = None
    earlier_requests: tuple[str, ...] = ()
    sandbox: bool = False
    drill: bool = False


class IncidentIdentified(IncidentBody, frozen=True, kw_only=True, tag="identified"):
    """A key under which others know it; the session's own one (`main`) takes first place."""

    key: str
    main: bool = False


class FaultSeen(IncidentBody, frozen=True, kw_only=True, tag="fault_seen"):
    """A fault was seen first, seen anew after it had cleared (`anew`), or more of it was seen.

    `fault` is its number in the incident. `at` is its time: the sender's, held between nvsx's
    last look without it and the look that shows it. `ids` are all that are known. `side_effect_of`
    is the attempt whose reboot explains it, 0 for none.
    """

    fault: int
    check: str
    error_codes: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    ids: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    action: str = ""
    fatal: bool = False
    routed: bool = False
    planned: bool = False
    truncated: bool = False
    message: str = ""
    at: float | None = None
    generated: float | None = None
    skew_s: float | None = None
    side_effect_of: int = 0
    anew: bool = False


class FaultCleared(IncidentBody, frozen=True, kw_only=True, tag="fault_cleared"):
    """`node_gone`: it went with the Node. Nobody saw it clear."""

    fault: int
    at: float | None = None
    node_gone: bool = False


class SideEffectOutlived(IncidentBody, frozen=True, kw_only=True, tag="side_effect_outlived"):
    """A fault that a reboot seemed to explain is still there: from now on it is routed."""

    fault: int


class SessionBegan(IncidentBody, frozen=True, kw_only=True, tag="session_began"):
    """`session` is its number in the incident. `at` is when NVSentinel quarantined, None where
    that is not known. The marks and notes that were on the node before are kept, so that what
    changes can be told from what lingers. `unseen`: it came and went between two looks."""

    session: int
    ids: tuple[str, ...] = ()
    at: float | None = None
    state: str = ""
    cordon_mark: str = ""
    release_mark: str = ""
    noted_by_hand: bool = False
    dry_run: bool = False
    planned: bool = False
    unseen: bool = False


class SessionChanged(IncidentBody, frozen=True, kw_only=True, tag="session_changed"):
    """Events joined it, or the state label moved. `ids` are all that it ever listed."""

    session: int
    ids: tuple[str, ...] = ()
    state: str = ""
    dry_run: bool = False
    planned: bool = False


class SessionEnded(IncidentBody, frozen=True, kw_only=True, tag="session_ended"):
    session: int
    how: SessionEnding
    at: float | None = None


class AlertAttached(IncidentBody, frozen=True, kw_only=True, tag="alert_attached"):
    key: str
    started: float
    source: str = ""
    check: str = ""
    error_codes: tuple[str, ...] = ()
    names_fault: bool = True


class AlertResolved(IncidentBody, frozen=True, kw_only=True, tag="alert_resolved"):
    key: str
    started: float


class AttemptBegan(IncidentBody, frozen=True, kw_only=True, tag="attempt_began"):
    """NVSentinel asked for a repair. `attempt` counts from 1. `serves` are the numbers of the
    faults that it was seen to serve then (`IncidentState.served_by` knows more). `boot_before` is
    "" where nvsx did not see it."""

    attempt: int
    kind: str
    name: str
    uid: str = ""
    event_id: str = ""
    serves: tuple[int, ...] = ()
    why: AttemptReason = "first"
    at: float | None = None
    boot_before: str = ""
    effect: str = ""
    look: str = ""


class AttemptChanged(IncidentBody, frozen=True, kw_only=True, tag="attempt_changed"):
    """What is new of it, the rest left out. `request` is NVSentinel's word about the request,
    `booted` and `ready` what the node shows itself."""

    attempt: int
    signal: Literal["", "sent", "refused"] = ""
    signal_at: float | None = None
    request: str = ""
    failure: Failure = ""
    detail: str = ""
    booted: bool = False
    ready: bool = False
    ready_at: float | None = None


class AttemptEnded(IncidentBody, frozen=True, kw_only=True, tag="attempt_ended"):
    attempt: int
    outcome: AttemptOutcome
    at: float | None = None
    failure: Failure = ""
    text: str = ""


class HoldBegan(IncidentBody, frozen=True, kw_only=True, tag="hold_began"):
    kind: str
    who: str
    since: float | None = None
    name: str = ""
    detail: str = ""
    keeps_open: bool = False


class HoldEnded(IncidentBody, frozen=True, kw_only=True, tag="hold_ended"):
    kind: str
    who: str
    name: str = ""


class NodeChanged(IncidentBody, frozen=True, kw_only=True, tag="node_seen"):
    """The Node object as it is from now on: `ready` None for unknown, `there` false for gone."""

    uid: str = ""
    boot_id: str = ""
    ready: bool | None = None
    ready_at: float | None = None
    there: bool = True


class StateChanged(IncidentBody, frozen=True, kw_only=True, tag="state_changed"):
    """`code`, `text` and `remedy` are the cause of the state; "" where nothing explains it."""

    state: IncidentPhase
    code: str = ""
    text: str = ""
    remedy: str = ""


class RunJoined(IncidentBody, frozen=True, kw_only=True, tag="run_joined"):
    """`drill`: it causes a fault itself, as a rehearsal."""

    run_id: str
    runbook: str = ""
    faults: tuple[int, ...] = ()
    drill: bool = False


class RunEnded(IncidentBody, frozen=True, kw_only=True, tag="run_ended"):
    run_id: str
    status: str = ""


class PeopleTold(IncidentBody, frozen=True, kw_only=True, tag="told"):
    """Somebody was told something. Which message and by which target grows with the messages."""

    target: str
    what: str = ""
    ref: str = ""
    details: dict[str, Any] | None = None


class IncidentNoted(IncidentBody, frozen=True, kw_only=True, tag="noted"):
    """`code` is stable where nvsx notes something, `author` is a person otherwise."""

    text: str
    code: str = ""
    author: str = ""


class IncidentEnded(IncidentBody, frozen=True, kw_only=True, tag="ended"):
    """`at` is the time that counts: the release's. `still` says what keeps the node from work
    though the incident is over; `left_overs` are all of the node's, older incidents' too."""

    how: IncidentEnding
    at: float | None = None
    text: str = ""
    by: str = ""
    still: tuple[str, ...] = ()
    left_overs: tuple[LeftOver, ...] = ()


class LeftOverGone(IncidentBody, frozen=True, kw_only=True, tag="left_over_gone"):
    """After the end: what was left is true no more, so the same thing may open an incident."""

    left_over: LeftOver


IncidentEvent = (
    IncidentOpened
    | IncidentIdentified
    | FaultSeen
    | FaultCleared
    | SideEffectOutlived
    | SessionBegan
    | SessionChanged
    | SessionEnded
    | AlertAttached
    | AlertResolved
    | AttemptBegan
    | AttemptChanged
    | AttemptEnded
    | HoldBegan
    | HoldEnded
    | NodeChanged
    | StateChanged
    | RunJoined
    | RunEnded
    | PeopleTold
    | IncidentNoted
    | IncidentEnded
    | LeftOverGone
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[IncidentEvent] = msgspec.json.Decoder(IncidentEvent)


def incident_event_kind(body: IncidentEvent) -> str:
    return str(body.__struct_config__.tag)


def encode_incident_body(body: IncidentEvent) -> bytes:
    """The event alone, as the store keeps it."""
    return _encoder.encode(body)


def decode_incident_body(text: bytes | str) -> IncidentEvent:
    """The event of `encode_incident_body`; unknown fields are passed over.

    Raises msgspec.ValidationError for a kind that this version does not know.
    """
    return _decoder.decode(text)


class IncidentEntry(msgspec.Struct, frozen=True):
    """One row: the incident it belongs to, its number there (from 1, no gaps), Unix time, event."""

    incident: str
    seq: int
    t: float
    body: IncidentEvent


def encode_incident_entry(entry: IncidentEntry) -> bytes:
    """One JSON line without its newline, `v` first."""
    head: dict[str, Any] = {
        "v": VERSION,
        "event": incident_event_kind(entry.body),
        "incident": entry.incident,
        "seq": entry.seq,
        "t": round(entry.t, 6),
    }
    fields = msgspec.to_builtins(entry.body)
    fields.pop("event", None)
    return _encoder.encode(head | {"body": fields})


def decode_incident_entry(line: bytes | str) -> IncidentEntry:
    """The entry of one line; unknown fields are passed over.

    Raises msgspec.ValidationError for a kind that this version does not know.
    """
    fields = msgspec.json.decode(line)
    body = msgspec.convert(fields["body"] | {"event": fields["event"]}, IncidentEvent)
    return IncidentEntry(fields["incident"], fields["seq"], fields["t"], body)
