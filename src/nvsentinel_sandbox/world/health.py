"""Health events and the ledger of them: what NVSentinel keeps in its database.

The modules of the simulated NVSentinel talk to each other as the real ones do: by
inserting documents and by updating their status. The ledger is that database, in memory;
whoever subscribes sees every insert and update in order.
Layouts follow data-models/protobufs/health_event.proto and
data-models/pkg/model/health_event_extentions.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

ACTIONS = {
    "NONE": 0,
    "COMPONENT_RESET": 2,
    "CONTACT_SUPPORT": 5,
    "RUN_FIELDDIAG": 6,
    "RESTART_VM": 15,
    "RESTART_BM": 24,
    "REPLACE_VM": 25,
    "RUN_DCGMEUD": 26,
    "CUSTOM": 27,
    "UNKNOWN": 99,
}
STRATEGIES = {"UNSPECIFIED": 0, "EXECUTE_REMEDIATION": 1, "STORE_ONLY": 2, "STORE_AND_ANALYSE": 3}
NO_TRACE = "0" * 32
HEALTHY_MESSAGE = "No Health Failures"

Entity = tuple[str, str]


Override = Literal["", "force", "skip"]


class HealthEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor publishes. `generated` is Unix nanoseconds, `custom` the action's name
    where `action` is CUSTOM, `creator` who asked for an event with overrides."""

    node: str
    check: str
    agent: str
    component: str
    generated: int
    message: str = HEALTHY_MESSAGE
    fatal: bool = False
    healthy: bool = False
    action: str = "NONE"
    codes: tuple[str, ...] = ()
    entities: tuple[Entity, ...] = ()
    strategy: str = "EXECUTE_REMEDIATION"
    version: int = 1
    custom: str = ""
    quarantine: Override = ""
    drain: Override = ""
    creator: str = ""

    @property
    def metadata(self) -> dict[str, str]:
        """What the platform connectors and the sender said about it."""
        return {"trace_id": NO_TRACE, **({"creator_id": self.creator} if self.creator else {})}

    @property
    def source(self) -> tuple[str, str, str, int]:
        """What a healthy event must share with the fault it clears."""
        return (self.agent, self.component, self.check, self.version)

    def entity(self, kind: str) -> str:
        """The value of its first entity of a type; "" when it names none."""
        return next((value for found, value in self.entities if found == kind), "")

    def fragment(self) -> str:
        """This event's part of the node condition's message, without the closing `;`."""
        parts = [f"ErrorCode:{code} " for code in self.codes]
        parts += [f"{kind}:{value} " for kind, value in self.entities]
        if self.message:
            parts.append(self.message.replace(";", ".") + " ")
        return "".join(parts) + f"Recommended Action={self.action}"

    def annotation(self, document_id: str, *, layout_2025: bool = False) -> dict[str, Any]:
        """Its entry in `quarantineHealthEvent`: protobuf JSON, zero values left out."""
        fields: dict[str, Any] = {
            "version": self.version,
            "agent": self.agent,
            "componentClass": self.component,
            "checkName": self.check,
            "isFatal": self.fatal,
            "message": self.message,
            "recommendedAction": ACTIONS[self.action],
            "errorCode": list(self.codes),
            "entitiesImpacted": [{"entityType": t, "entityValue": v} for t, v in self.entities],
            "metadata": self.metadata,
            "generatedTimestamp": {
                key: value
                for key, value in zip(
                    ("seconds", "nanos"), divmod(self.generated, 1_000_000_000), strict=True
                )
                if value
            },
            "nodeName": self.node,
            **self.overrides(),
            "processingStrategy": STRATEGIES[self.strategy],
            "id": document_id,
            "customRecommendedAction": self.custom,
        }
        if layout_2025:
            del fields["processingStrategy"], fields["id"], fields["customRecommendedAction"]
        return {key: value for key, value in fields.items() if value}

    def overrides(self) -> dict[str, dict[str, bool]]:
        """`quarantineOverrides` and `drainOverrides`, where it has them."""
        asked = {"quarantineOverrides": self.quarantine, "drainOverrides": self.drain}
        return {key: {value: True} for key, value in asked.items() if value}


Quarantined = Literal["", "Quarantined", "AlreadyQuarantined", "UnQuarantined", "Cancelled"]
Eviction = Literal["", "InProgress", "Succeeded", "Failed", "AlreadyDrained", "Cancelled"]


@dataclass(slots=True)
class Document:
    """One stored health event and its way through the chain. Times are Unix seconds, but
    `reported` and `inserted`: the story's, which tell before from after at any speed."""

    id: str
    created: float
    event: HealthEvent
    quarantined: Quarantined = ""
    quarantine_finished: float | None = None
    eviction: Eviction = ""
    eviction_message: str = ""
    drain_finished: float | None = None
    remediated: bool | None = None
    remediation_at: float | None = None
    reported: float = 0.0
    inserted: float = 0.0

    @property
    def cancelled(self) -> bool:
        return self.quarantined == "Cancelled"


Listener = Callable[[Document, frozenset[str]], None]


class Ledger:
    """All documents, oldest first. One writer loop; every call is synchronous."""

    def __init__(self) -> None:
        self._documents: dict[str, list[Document]] = {}
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with a document and the fields that changed; none: it is new."""
        self._listeners.append(listener)

    def insert(self, document: Document) -> None:
        self._documents.setdefault(document.event.node, []).append(document)
        self._tell_listeners(document, frozenset())

    def update(self, document: Document, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(document, name, value)
        self._tell_listeners(document, frozenset(changes))

    def __iter__(self) -> Iterator[Document]:
        """All documents, node by node, each oldest first."""
        return iter([d for documents in self._documents.values() for d in documents])

    def of(self, node: str) -> Iterator[Document]:
        """The node's documents, oldest first."""
        return iter(tuple(self._documents.get(node, ())))

    def session(self, node: str) -> list[Document]:
        """The faults of the node's quarantine session that is open, or was the last."""
        found: list[Document] = []
        for document in self.of(node):
            if document.quarantined == "Quarantined" and not document.event.healthy:
                found = [document]
            elif document.quarantined == "AlreadyQuarantined" and not document.event.healthy:
                found.append(document)
        return found

    def _tell_listeners(self, document: Document, changed: frozenset[str]) -> None:
        for listener in self._listeners:
            listener(document, changed)
