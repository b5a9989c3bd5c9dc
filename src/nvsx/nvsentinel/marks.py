"""The marks NVSentinel leaves on a Node object, read once into plain values.

`read` looks at labels, annotations and the cordon of one node; it remembers nothing.
Sessions, diagnosis and the feed of new faults are built on it. Cordon labels are found by
their name under any prefix, since operators can change it (`labelPrefix`).
Source: fault-quarantine/pkg/informer/k8s_client.go, pkg/common/common.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.watches.snapshot import Node
from nvsx.nvsentinel import decoding, names


class Marks(msgspec.Struct, frozen=True):
    """`annotated` is true even when the annotation cannot be decoded. Times: Unix, 0 for none.

    `emptied` says that the annotation is there and lists no event: fault-quarantine releases
    a node in two updates, and this is what the first of them leaves:

        19.05  annotation `[]`; cordon, cordon labels and state label still there
        19.60  annotation, cordon and labels gone: released

    `cordoned_at` counts only while it belongs to the present quarantine: a manual uncordon
    leaves the cordon labels behind, and a later uncordon outdates them.
    """

    annotated: bool = False
    emptied: bool = False
    events: tuple[HealthEvent, ...] = ()
    oddities: tuple[str, ...] = ()
    state: str = ""
    unschedulable: bool = False
    cordoned_by: str = ""
    cordoned_at: float = 0.0
    cordon_preexisting: bool = False
    uncordoned_at: float = 0.0
    by_hand: frozenset[str] = frozenset()
    said_cordoned: bool = False
    applied_taints: bool = False

    @property
    def dry_run(self) -> bool:
        """The annotations say cordoned, and nothing was done to the node: what `--dry-run`
        leaves. The state label proves nothing, drainer and remediation set it even then."""
        untouched = not (self.unschedulable or self.cordoned_by or self.applied_taints)
        return self.annotated and self.said_cordoned and untouched

    @property
    def held(self) -> bool:
        """Held by NVSentinel's cordon while no event is listed any more."""
        return not self.annotated and self.unschedulable and bool(self.cordoned_by)

    @property
    def handed_over(self) -> bool:
        """Held without the annotation: since v1.20 a node waits so for its validation. An
        annotation that is there and empty is a release under way instead."""
        return self.held and not self.emptied


def read(node: Node) -> Marks:
    """What NVSentinel's marks on `node` say now."""
    text = node.annotations.get(names.QUARANTINE_ANNOTATION, "")
    decoded = _decode_events(text, node.name)
    cordoned_by = _find_label(node.labels, "cordon-by")
    cordoned_at = decoding.read_instant(_find_label(node.labels, "cordon-timestamp"))
    uncordoned_at = (
        decoding.read_instant(_find_label(node.labels, "uncordon-timestamp"))
        if _find_label(node.labels, "uncordon-by")
        else 0.0
    )
    preexisting = node.annotations.get(names.CORDON_PREEXISTING_ANNOTATION) == "True"
    # In the same second the cordon is the later one: a release takes its labels away.
    stale = preexisting or 0 < cordoned_at < uncordoned_at
    # What cannot be decoded still holds the node; a list without an event does not.
    annotated = bool(decoded.events or decoded.oddities)
    # Versions before July 2026 do not note a cordon they found; they only set no labels then.
    found_cordoned = annotated and node.unschedulable and not cordoned_by
    return Marks(
        annotated=annotated,
        emptied=names.QUARANTINE_ANNOTATION in node.annotations and not annotated,
        events=decoded.events,
        oddities=decoded.oddities,
        state=node.labels.get(names.STATE_LABEL, ""),
        unschedulable=node.unschedulable,
        cordoned_by="" if stale else cordoned_by,
        cordoned_at=0.0 if stale else cordoned_at,
        cordon_preexisting=preexisting or found_cordoned,
        uncordoned_at=uncordoned_at,
        by_hand=frozenset(a for a in names.BY_HAND if node.annotations.get(a) == "True"),
        said_cordoned=node.annotations.get(names.IS_CORDONED_ANNOTATION) == "True",
        applied_taints=_lists_any(node.annotations.get(names.APPLIED_TAINTS_ANNOTATION, "")),
    )


def is_marked(node: Node) -> bool:
    """Whether the node carries the annotation or the state label: the cheap first look."""
    return names.QUARANTINE_ANNOTATION in node.annotations or names.STATE_LABEL in node.labels


def opted_out(node: Node) -> str:
    """The label `key=false` by which the node is kept from NVSentinel; "" when there is none."""
    key = next((k for k in names.OPT_OUT_LABELS if node.labels.get(k) == "false"), "")
    return f"{key}=false" if key else ""


def cordon_label(node: Node, name: str) -> str:
    """One of fault-quarantine's cordon labels, under whatever prefix; "" when it is not there."""
    return _find_label(node.labels, name)


# Every heartbeat brings the node again with the same annotation.
@lru_cache(maxsize=1024)
def _decode_events(text: str, node: str) -> decoding.Decoded:
    return decoding.decode_annotation(text, node)


def _find_label(labels: Mapping[str, str], name: str) -> str:
    usual = labels.get(names.CORDON_LABEL_PREFIX + name)
    if usual is not None:
        return usual
    return next((v for k, v in labels.items() if k.endswith(f"/{name}")), "")


def _lists_any(text: str) -> bool:
    try:
        return bool(json.loads(text)) if text else False
    except ValueError:
        return True
