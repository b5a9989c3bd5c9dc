"""The watch of health events in NVSentinel's own store."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from nvsx.core.fields import Text, Texts
from nvsx.core.incident.session import HealthEvent
from nvsx.core.watches import filter_match, filters
from nvsx.core.watches.snapshot import Needs
from nvsx.core.watches.verdict import Verdict, pending, satisfied
from nvsx.core.watches.watch_base import Happening, Look, any_of_words, is_unread

Filter = Annotated[
    dict[str, Any], BeforeValidator(filters.parse), WithJsonSchema({"type": ["object", "string"]})
]


class HealthEventWatch(Happening):
    """A health event in NVSentinel's own store. `mongo-event` is the same, by its old name."""

    kind: Literal["health-event", "mongo-event"]
    collection: Text | None = Field(None, description="HealthEvents, or MaintenanceEvents.")
    filter: Filter | None = Field(
        None, description="MongoDB query syntax, as a mapping or JSON text."
    )
    check: Texts = Field((), description="Check name, one or a list: any of them.")
    error_code: Texts = Field((), description="Error code, one or a list: any of them.")

    def evaluate(self, look: Look) -> Verdict:
        start = self.counts_from(look)
        hits = [
            e
            for e in look.snap.health_events
            if _stored_at(e) >= start
            and (not self.check or e.check in self.check)
            and (not self.error_code or set(self.error_code).intersection(e.error_codes))
            and (self.filter is None or filter_match.matches(e.document, self.filter))
        ]
        if not hits:
            unread = is_unread(look.snap, "health-events")
            return unread or pending("no such health event in this incident")
        newest = max(hits, key=_stored_at)
        codes = f" {', '.join(newest.error_codes)}" if newest.error_codes else ""
        return satisfied(f"{newest.check}{codes}", newest.generated_at or None)

    def needs(self) -> Needs:
        return Needs(health_events=True)

    def describe(self) -> str:
        text = "health event for the node in NVSentinel's store"
        text += f" by check {any_of_words(self.check)}" if self.check else ""
        text += f" with error code {any_of_words(self.error_code)}" if self.error_code else ""
        return text + (f" matching {self.filter}" if self.filter else "")


def _stored_at(event: HealthEvent) -> float:
    """The store's own time where it has one: a monitor may send an event long after."""
    return event.created_at or event.generated_at
