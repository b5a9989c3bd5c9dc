"""Identity: whoever looks at the cluster makes the same key for the same incident.

A run on a laptop and the daemon share no store, and both page; so keys of incidents, pages,
threads and tickets come from the world: cluster UID, node UID, and the id of the session's
first health event. Where there is none (a condition without a session, an alert) check, codes,
entity and start stand for it.

An incident often opens on a condition, some milliseconds before the quarantine brings an id.
Then it has both keys: `IncidentState.key` is the id's, and `aliases` has every key under which
somebody else may know it, those of events that joined later too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nvsx.core.incident.sight import SeenAlert, SeenFault

Entities = Iterable[tuple[str, str]]


def key_of_event(cluster_uid: str, node_uid: str, event_id: str) -> str:
    return _digest_of(cluster_uid, node_uid, "event", event_id)


def key_of_fault(
    cluster_uid: str,
    node_uid: str,
    check: str,
    codes: Iterable[str],
    entities: Entities,
    start: float,
) -> str:
    """`start` counts in whole seconds: one source has nanoseconds, the other has not."""
    about = fault_name(check, codes, entities)
    return _digest_of(cluster_uid, node_uid, "fault", about, f"{int(start)}")


def key_of_seen(cluster_uid: str, node_uid: str, seen: SeenFault | SeenAlert) -> str:
    """The key of an incident that begins with a fault or an alert."""
    if isinstance(seen, SeenFault):
        if seen.ids:
            return key_of_event(cluster_uid, node_uid, seen.ids[0])
        start = seen.start or seen.generated_at
    else:
        start = seen.started
    codes, entities = seen.error_codes, seen.entities
    return key_of_fault(cluster_uid, node_uid, seen.check, codes, entities, start)


def fault_name(check: str, codes: Iterable[str], entities: Entities) -> str:
    """`SysLogsXIDError 79 PCI:0000:b3:00`: what makes two reports the same fault."""
    listed = [
        check,
        ",".join(sorted(codes)),
        *sorted(f"{kind}:{value}" for kind, value in entities),
    ]
    return " ".join(part for part in listed if part)


def _digest_of(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return f"inc-{hashlib.sha256(text).hexdigest()[:20]}"
