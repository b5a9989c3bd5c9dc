"""What is known of an event when it is decided which runbook it fires."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nvsx.core.incident.session import HealthEvent

#: The keys of `event` in a `when` expression.
EVENT_KEYS = (
    "checkName",
    "errorCode",
    "isFatal",
    "isHealthy",
    "recommendedAction",
    "processingStrategy",
    "entities",
    "nodeName",
    "message",
    "agent",
    "componentClass",
    "labels",
    "source",
    "cluster",
    "generatedAt",
)


class TriggerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a source decoded it. "" and () stand for "the source did not say".

    `recommended_action` and `processing_strategy` are enum names, `entities` are
    (type, value) pairs, `generated_at` is Unix seconds. `quarantined`: NVSentinel has taken the
    node out of service for it, whatever its sender calls it. `catch_all`: a catch-all may take
    it; alerts of a source may only where nvsx.yaml gives that source `default: true`.

    `meant_check` and `meant_codes` are NVSentinel's words for what an alert reports under a name
    of its own: alert GPUXidError with err_code 79 means SysLogsXIDError. A runbook that names the
    alert goes first. `severity` is the sender's word, which `is_fatal` was read from.
    """

    node: str = ""
    check_name: str = ""
    error_codes: tuple[str, ...] = ()
    is_fatal: bool = False
    is_healthy: bool = False
    recommended_action: str = ""
    processing_strategy: str = "EXECUTE_REMEDIATION"
    entities: tuple[tuple[str, str], ...] = ()
    message: str = ""
    agent: str = ""
    component_class: str = ""
    labels: Mapping[str, str] = {}
    source: str = ""
    cluster: str = ""
    generated_at: float | None = None
    quarantined: bool = False
    catch_all: bool = True
    meant_check: str = ""
    meant_codes: tuple[str, ...] = ()
    severity: str = ""

    @classmethod
    def of(
        cls, event: HealthEvent, *, source: str = "", cluster: str = "", quarantined: bool = False
    ) -> TriggerFacts:
        """A health event of NVSentinel; its metadata serve as labels."""
        return cls(
            node=event.node,
            check_name=event.check,
            error_codes=event.error_codes,
            is_fatal=event.fatal,
            is_healthy=event.healthy,
            recommended_action=event.action,
            processing_strategy=event.strategy,
            entities=event.entities,
            message=event.message,
            agent=event.agent,
            component_class=event.component_class,
            labels=event.metadata,
            source=source,
            cluster=cluster,
            generated_at=event.generated_at or None,
            quarantined=quarantined,
        )

    def event(self) -> dict[str, object]:
        """The `event` of a `when` expression; what the source did not say is no key of it."""
        said: dict[str, object] = {
            "checkName": self.check_name,
            "recommendedAction": self.recommended_action,
            "processingStrategy": self.processing_strategy,
            "nodeName": self.node,
            "message": self.message,
            "agent": self.agent,
            "componentClass": self.component_class,
            "source": self.source,
            "cluster": self.cluster,
            "generatedAt": self.generated_at,
        }
        return {
            **{key: value for key, value in said.items() if value},
            "errorCode": list(self.error_codes),
            "isFatal": self.is_fatal,
            "isHealthy": self.is_healthy,
            "entities": [{"entityType": t, "entityValue": v} for t, v in self.entities],
            "labels": dict(self.labels),
        }
