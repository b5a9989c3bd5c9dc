"""What a runbook's watches need followed, besides the node, its pods and its Events."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TypeVar

from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches.snapshot import Needs

T = TypeVar("T")


def needs_of(runbook: Runbook) -> Needs:
    """Which sources to follow for `runbook`, each once."""
    each = [watch.needs() for stage in runbook.stages for watch in stage.watches]
    return Needs(
        pods=_list_once(n.pods for n in each),
        resources=_list_once(n.resources for n in each),
        logs=_list_once(n.logs for n in each),
        event_namespaces=_list_once(n.event_namespaces for n in each),
        health_events=any(n.health_events for n in each),
    )


def _list_once(groups: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(groups)))
