"""Where events lose their secrets: the daemon's door, before anybody decides about one."""

from __future__ import annotations

import hashlib

import msgspec

from nvsx.core.masking import Masker
from nvsx.core.routing.trigger_event import Answer, Intake, TriggerEvent


class MaskedIntake:
    """The Intake port: an event loses its secrets before anybody decides about it."""

    def __init__(self, intake: Intake, masker: Masker) -> None:
        self._intake, self._masker = intake, masker

    async def offer(self, event: TriggerEvent) -> Answer:
        if self._masker.hides(msgspec.json.encode(event).decode()):
            event = self._masker.value(event)
            event = msgspec.structs.replace(
                event,
                delivery=self._mask_key(event.delivery),
                idempotency_key=self._mask_key(event.idempotency_key),
            )
        return await self._intake.offer(event)

    def _mask_key(self, text: str) -> str:
        """Two keys that differ in a secret only must stay two."""
        if not self._masker.hides(text):
            return text
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
