"""The platform connectors: health events in, node conditions, Events and documents out.

Monitors call `publish`. A fatal or healthy event moves the node condition of its check,
a non-fatal one becomes an Event in namespace `default`; stored-only events leave no trace
in the cluster. Source: platform-connectors/pkg/connectors/kubernetes/process_node_events.go.
"""

from __future__ import annotations

from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.events import NodeEvent, record
from nvsentinel_sandbox.world.health import HEALTHY_MESSAGE, Document, HealthEvent
from nvsentinel_sandbox.world.timing import rfc3339

MODULE = "platform-connectors"
_NANO = 1_000_000_000
# maxNodeConditionMessageLength, and what texts are compacted to beyond it
_LONGEST_MESSAGE = 1024
_COMPACT_TEXT = 72


class PlatformConnectors:
    def __init__(self, context: Context) -> None:
        self._context = context

    def publish(self, *events: HealthEvent) -> None:
        """Take what a monitor reports in one go; returns at once."""
        self._context.spawn(self._pass_on_events(events, self._context.pace.now()))

    async def _pass_on_events(self, events: tuple[HealthEvent, ...], reported: float) -> None:
        context = self._context
        await context.sleep("detect")
        shown = [e for e in events if e.strategy == "EXECUTE_REMEDIATION"]
        if conditions := [e for e in shown if e.fatal or e.healthy]:
            self._write_conditions(conditions)
        for event in shown:
            if not (event.fatal or event.healthy):
                self._write_event(event)
        for event in events:
            what = "healthy" if event.healthy else "fatal" if event.fatal else "non-fatal"
            context.log(MODULE, f"{what} health event", node=event.node, check=event.check)
        if context.cluster.monitor_only:
            return  # no database is installed
        await context.sleep("store")
        for event in events:
            now, inserted = context.clock.now(), context.pace.now()
            key = context.ids.document_id(event.node, now)
            context.ledger.insert(Document(key, now, event, reported=reported, inserted=inserted))

    def _write_conditions(self, events: list[HealthEvent]) -> None:
        node = events[0].node

        def change(obj: Object) -> None:
            conditions = obj.setdefault("status", {}).setdefault("conditions", [])
            for event in events:
                apply_to(conditions, event)

        if self._context.node(node) is not None:
            self._context.store.update("nodes", node, change, subresource="status")

    def _write_event(self, event: HealthEvent) -> None:
        record(
            self._context,
            NodeEvent(
                node=event.node,
                uid=event.node,  # not the real UID: that is what the connector writes
                type=event.check,
                reason=f"{event.check}IsNotHealthy",
                message=event.fragment() + ";",
                component=event.agent,
                at=event.generated / _NANO,
                name=f"{event.node}.{event.generated:x}",
                host=event.node,
            ),
        )


def apply_to(conditions: list[dict[str, Any]], event: HealthEvent) -> None:
    """Move the condition of the event's check. True means unhealthy.

    The heartbeat is the event's time; the transition only moves with the status.
    """
    at = rfc3339(event.generated / _NANO)
    condition = next((c for c in conditions if c["type"] == event.check), None)
    if condition is None:
        condition = {"type": event.check, "lastTransitionTime": at}
        conditions.append(condition)
    fragments = _split_message(condition.get("message", ""))
    if not event.healthy:
        if event.fragment() not in fragments:
            fragments.append(event.fragment())
    elif event.entities:
        gone = tuple(f"{kind}:{value} " for kind, value in event.entities)
        fragments = [f for f in fragments if not any(entity in f for entity in gone)]
    else:
        fragments = []
    status = "True" if fragments else "False"
    if condition.get("status") not in (None, status):
        condition["lastTransitionTime"] = at
    condition["status"] = status
    condition["reason"] = f"{event.check}{'IsNotHealthy' if fragments else 'IsHealthy'}"
    condition["message"] = _join_fragments(fragments)
    condition["lastHeartbeatTime"] = at


def _split_message(message: str) -> list[str]:
    return [] if message == HEALTHY_MESSAGE else [f for f in message.split(";") if f]


def _join_fragments(fragments: list[str]) -> str:
    if not fragments:
        return HEALTHY_MESSAGE
    message = ";".join(fragments) + ";"
    if len(message.encode()) <= _LONGEST_MESSAGE:
        return message
    message = ";".join(_shorten_fragment(f) for f in fragments) + ";"
    if len(message.encode()) <= _LONGEST_MESSAGE:
        return message
    return message.encode()[: _LONGEST_MESSAGE - 3].decode(errors="ignore") + "..."


def _shorten_fragment(fragment: str) -> str:
    head, marker, action = fragment.rpartition("Recommended Action=")
    words = head.split(" ")
    known = [w for w in words if w.startswith(("ErrorCode:", "PCI:", "GPU:", "GPU_UUID:"))]
    text = head[len(" ".join(known)) :].strip()
    if len(text) > _COMPACT_TEXT:
        text = text[: _COMPACT_TEXT - 3] + "..."
    return " ".join([*known, text, marker + action])
