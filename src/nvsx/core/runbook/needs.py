"""What a runbook's watches need followed, besides the node, its pods and its Events."""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches import happenings, kinds
from nvsx.core.watches.snapshot import Needs, PodSource, ResourceSource


def every_watch(runbook: Runbook) -> Iterator[kinds.Watch]:
    """All watches of all stages, members of `anyOf` groups included."""
    for stage in runbook.stages:
        for item in stage.watch:
            if isinstance(item, kinds.AnyOf):
                yield from item.any_of
            else:
                yield item


def needs_of(runbook: Runbook) -> Needs:
    """Which sources to follow for `runbook`, each once."""
    pods, resources, logs, namespaces, health = [], [], [], [], False
    for w in every_watch(runbook):
        match w:
            case kinds.PodWatch():
                pods.append(PodSource(w.namespace or "", w.selector, w.on_node))
            case kinds.CrdWatch() if w.resource != "maintenance":
                plural, _, group = w.resource.partition(".")
                resources.append(
                    ResourceSource(plural, w.group or group, w.version or "", w.namespace or "")
                )
            case kinds.LogWatch():
                logs.append(happenings.log_source(w))
            case kinds.PodEventWatch():
                namespaces.append(w.namespace or "")
            case kinds.HealthEventWatch():
                health = True
            case _:
                pass
    return Needs(
        pods=tuple(dict.fromkeys(pods)),
        resources=tuple(dict.fromkeys(resources)),
        logs=tuple(dict.fromkeys(logs)),
        event_namespaces=tuple(dict.fromkeys(namespaces)),
        health_events=health,
    )
