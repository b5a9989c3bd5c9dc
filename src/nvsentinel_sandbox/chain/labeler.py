"""The labeler: detection labels on the nodes NVSentinel manages, and none on the others.

Where a node is labelled `nvsentinel.dgxc.nvidia.com/managed=false` the labels go, and with
them the monitors' pods leave the node; when that label goes, they come back.
Source: labeler/pkg/labeler.
"""

from __future__ import annotations

from collections.abc import Callable

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.context import Context


class Labeler:
    """`on_return` is told a node that monitors come back to."""

    def __init__(self, context: Context, on_return: Callable[[str], None]) -> None:
        self._context = context
        self._on_return = on_return
        context.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.entry.resource.plural != "nodes" or change.type != "MODIFIED":
            return
        was = (change.before or change.entry).labels.get(names.MANAGED_LABEL)
        now = change.entry.labels.get(names.MANAGED_LABEL)
        if was != now and "false" in (was, now):
            self._context.spawn(self._relabel_node(change.entry.key[1]))

    async def _relabel_node(self, name: str) -> None:
        await self._context.sleep("labeler", name)
        node = self._context.node(name)
        if node is None:
            return
        managed = node["metadata"]["labels"].get(names.MANAGED_LABEL) != "false"

        def change(obj: Object) -> None:
            labels = obj["metadata"]["labels"]
            if managed:
                labels.update(names.DETECTION_LABELS)
            else:
                for key in names.DETECTION_LABELS:
                    labels.pop(key, None)

        self._context.store.update("nodes", name, change)
        if managed:
            self._on_return(name)
