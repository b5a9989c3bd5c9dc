"""What a record does not say: nothing. Whoever adds a field with another default lists it here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import msgspec
import pydantic

import nvsx.core
import nvsx.nvsentinel

#: What means something where it is left out.
GIVEN = {
    "AlertAttached.names_fault": True,
    "CancelAsked.exit_code": 1,
    "Event.count": 1,
    "HookBegin.repair": 1,
    "IncidentAccount.version": 1,
    "IncidentDocument.v": 1,
    "IncidentFilter.limit": 100,
    "IncidentLimits.clear": 600.0,
    "IncidentLimits.gone": 86400.0,
    "IncidentLimits.quiet": 30.0,
    "IncidentLimits.replacement": 900.0,
    "IncidentLimits.unseen": 86400.0,
    "IncidentState.events": 1,
    "DeliveryChange.tried": True,
    "OutboxFilter.limit": 500,
    "PageStanding.is_open": True,
    "Speaking.routed": True,
    "TicketStanding.is_open": True,
    "NodeChanged.there": True,
    "NodeFieldWatch.expect": True,
    "PodWatch.on_node": True,
    "PodSource.on_node": True,
    "Scope.pace": 1.0,
    "SeenAlert.firing": True,
    "SeenAlert.names_fault": True,
    "SeenAlert.routed": True,
    "Sight.exists": True,
    "Sight.schedulable": True,
    "StageBegin.repair": 1,
    "TriggerFacts.catch_all": True,
    "StageEnd.repair": 1,
    "StormFault.open": True,
    "Trigger.fatal": True,
    "TriggerEvent.horizon": 3600.0,
}
LEFT_OUT = ("nvsx.core.senders", "nvsx.core.whereabouts")  # no records


def defaults() -> Iterator[tuple[str, object]]:
    """Every field of a record that may be left out, and how it reads then."""
    packages = (nvsx.core, nvsx.nvsentinel)
    for found in (f for p in packages for f in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")):
        for value in vars(importlib.import_module(found.name)).values():
            if getattr(value, "__module__", "") != found.name or found.name.startswith(LEFT_OUT):
                continue
            if isinstance(value, type) and issubclass(value, pydantic.BaseModel):
                for name, model_field in value.model_fields.items():
                    yield f"{value.__name__}.{name}", model_field.default
            elif isinstance(value, type) and hasattr(value, "_field_defaults"):
                for name, default in value._field_defaults.items():
                    yield f"{value.__name__}.{name}", default
            elif isinstance(value, type) and issubclass(value, msgspec.Struct):
                for field in msgspec.structs.fields(value):
                    yield f"{value.__name__}.{field.name}", field.default


def test_what_is_left_out_is_not_known_or_not_so() -> None:
    """A time that no line names is no time, and a mark that none names is not there: also in
    journals of earlier versions, so that a default can never change."""
    numbers = {name: value for name, value in defaults() if isinstance(value, int | float)}
    assert {name: value for name, value in numbers.items() if value} == {
        name: value for name, value in GIVEN.items() if name in numbers
    }
    assert len(numbers) > 2 * len(GIVEN)
