"""Texts NVSentinel writes onto Kubernetes objects, read back into fields.

Node-condition and Event messages of platform-connectors
(platform-connectors/pkg/connectors/kubernetes/process_node_events.go), the drainer's
Events, and the remediation annotation. Session tracking, diagnosis and the feed of new
faults call it. A message can be cut anywhere (1,024 bytes by default, marked `...`): what
is cut is left out rather than guessed.
"""

from __future__ import annotations

import re

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.watches.snapshot import Condition, Event
from nvsx.nvsentinel import decoding, names

_CODE = re.compile(r"ErrorCode:(\S+)(?:\s+|$)")
_ENTITY = re.compile(r"([A-Za-z][A-Za-z0-9_]*):(?!//)(\S+)(?:\s+|$)")
_ACTION_BEGINS = "Recommended Action="
_ACTION = re.compile(r"([A-Z0-9_]*)(\.*)\s*")
_CUT = "..."


class Fragment(msgspec.Struct, frozen=True):
    """One fault within a condition's message. `action` is "" when it was cut off.

    `truncated` is true when the fragment ends early; codes and entities in it are whole.
    """

    error_codes: tuple[str, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    text: str = ""
    action: str = ""
    raw: str = ""
    truncated: bool = False


def parse_fragments(message: str) -> list[Fragment]:
    """The faults in a condition's or an Event's message, in order; [] for a healthy one."""
    parts = (part.strip() for part in message.split(";"))
    return [
        _parse_fragment(part)
        for part in parts
        if part and part not in (_CUT, names.HEALTHY_MESSAGE)
    ]


def _parse_fragment(raw: str) -> Fragment:
    """Who writes Events chooses the text, so nothing here may try it again at each character:
    with the spaces before the action in one pattern, 200,000 spaces took a minute."""
    rest, action, truncated = raw, "", True
    before, begins, after = raw.rpartition(_ACTION_BEGINS)
    if begins and (found := _ACTION.fullmatch(after)):
        rest = before.rstrip()
        truncated = bool(found[2])
        action = "" if truncated else found[1]
    at = 0
    codes: list[str] = []
    entities: list[tuple[str, str]] = []
    while token := _CODE.match(rest, at):
        at = token.end()
        if not token[1].endswith(_CUT):
            codes.append(token[1])
    while token := _ENTITY.match(rest, at):
        at = token.end()
        if not token[2].endswith(_CUT):
            entities.append((token[1], token[2]))
    return Fragment(tuple(codes), tuple(entities), rest[at:].strip(), action, raw, truncated)


def same_fault(one: Fragment, other: Fragment) -> bool:
    """Whether two fragments of one check are the same fault, though a message that grew
    may have cut one of them shorter."""
    cut = one.truncated or other.truncated
    if not _tuples_agree(one.error_codes, other.error_codes, cut):
        return False
    if not _tuples_agree(one.entities, other.entities, cut):
        return False
    if one.error_codes or one.entities or other.error_codes or other.entities:
        return True
    a, b = one.text.removesuffix(_CUT), other.text.removesuffix(_CUT)
    cut = cut or _CUT in (one.text[-3:], other.text[-3:])
    return a == b or (cut and (a.startswith(b) or b.startswith(a)))


def _tuples_agree(one: tuple[object, ...], other: tuple[object, ...], cut: bool) -> bool:
    if not cut:
        return one == other
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def error_codes(condition: Condition) -> frozenset[str]:
    """All error codes in a condition's message."""
    return frozenset(c for f in parse_fragments(condition.message) for c in f.error_codes)


def is_check(condition: Condition) -> bool:
    """Whether a node condition is one of NVSentinel's: its reason is made from its type."""
    return condition.reason in (f"{condition.type}IsNotHealthy", f"{condition.type}IsHealthy")


def is_unhealthy(condition: Condition) -> bool:
    """Whether it is NVSentinel's and reports a fault: its True means unhealthy."""
    return condition.status == "True" and is_check(condition)


def event_of_fragment(node: str, condition: Condition, fragment: Fragment) -> HealthEvent:
    """The health event behind one fragment. Conditions are for fatal faults only; both
    their times are the event's generatedTimestamp, and heartbeat is the newest one's."""
    return HealthEvent(
        check=condition.type,
        node=node,
        error_codes=fragment.error_codes,
        action=fragment.action or "UNKNOWN",
        fatal=True,
        message=fragment.text,
        entities=fragment.entities,
        generated_at=condition.heartbeat or condition.transition,
    )


def is_check_event(event: Event) -> bool:
    """Whether a Kubernetes Event is a non-fatal fault: its *type* is the check's name."""
    return event.kind == "Node" and event.reason == f"{event.type}IsNotHealthy"


def event_of_kubernetes_event(event: Event) -> HealthEvent:
    """The non-fatal health event behind a Kubernetes Event for which `is_check_event`."""
    found = parse_fragments(event.message)
    first = found[0] if found else Fragment(text=event.message)
    return HealthEvent(
        check=event.type,
        node=event.object_name,
        agent=event.source,
        error_codes=first.error_codes,
        action=first.action or "NONE",
        message=first.text,
        entities=first.entities,
        generated_at=event.last,
    )


# --- the drainer ------------------------------------------------------------------------


class DrainWait(msgspec.Struct, frozen=True):
    """What the drainer waits for. `force_delete_at` is 0.0 in AllowCompletion mode."""

    pods: tuple[str, ...]
    force_delete_at: float = 0.0
    last: float = 0.0


_NAMESPACE = re.compile(r"in namespace:?\s*\[?([a-z0-9-]+)\]?")
_FORCED = re.compile(r"force deleted on:?\s*(\S+)")


def parse_drain_wait(event: Event) -> DrainWait | None:
    """What a NodeDraining Event says, pods as namespace/name; None for other Events.

    Source: node-drainer/pkg/informers/informers.go.
    """
    if event.type != names.DRAIN_EVENT_TYPE:
        return None
    listed, closed, _ = event.message.partition("[")[2].partition("]")
    pods = tuple(re.split(r"[\s,]+", listed.strip())) if closed and listed.strip() else ()
    if inside := _NAMESPACE.search(event.message):
        pods = tuple(p if "/" in p else f"{inside[1]}/{p}" for p in pods)
    forced = _FORCED.search(event.message)
    at = decoding.read_instant(forced[1].rstrip(".,")) if forced else 0.0
    return DrainWait(pods, at, event.last)
