"""fault-remediation: turns a drained fault into a maintenance object, or says that it cannot.

`remediation-succeeded` on the node means that the object was created, never that the node
was repaired. Actions without a mapping go straight to `remediation-failed`. One object
serves all events of an equivalence group while it is in progress or newer than they are.
With the log collector on, its Job runs before the object is made.
Sources: fault-remediation/pkg/reconciler/reconciler.go, pkg/remediation/remediation.go.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Literal

from nvsentinel_sandbox.chain import jobs
from nvsentinel_sandbox.chain.quarantine import read_annotation
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.health import Document
from nvsentinel_sandbox.world.repairs import DEFAULT_REPAIRS, KINDS, Repair, repair_object

MODULE = "fault-remediation"
_DRAINED = ("Succeeded", "AlreadyDrained")
_WIDER_GROUP = "restart"
_PLURALS = frozenset(repair.plural for repair in KINDS)

Progress = Literal["none", "running", "succeeded", "failed"]


class FaultRemediation:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._at_work: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._repairs = {**DEFAULT_REPAIRS, **context.cluster.repairs}
        self._finished: dict[str, float] = {}
        context.ledger.subscribe(self._on_document)
        context.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        """Remember when an object was done, to more than the second its status tells."""
        if change.entry.resource.plural in _PLURALS and b'"completionTime"' in change.entry.encoded:
            self._finished.setdefault(change.entry.key[1], self._context.pace.now())

    def _on_document(self, document: Document, changed: frozenset[str]) -> None:
        if document.event.healthy:
            if "quarantined" in changed and document.quarantined == "AlreadyQuarantined":
                self._context.spawn(self._recompute_state_label(document.event.node))
            elif "eviction" in changed and document.quarantined == "UnQuarantined":
                self._context.spawn(self._close_session(document))
        elif (
            "eviction" in changed
            and document.eviction in _DRAINED
            and not document.cancelled
            and document.event.action != "NONE"
        ):
            self._context.spawn(self._remediate_fault(document))

    async def _remediate_fault(self, document: Document) -> None:
        context, node = self._context, document.event.node
        await context.sleep("remediate_pickup", node)
        if document.cancelled:
            return
        repair = self._repairs.get(document.event.custom or document.event.action)
        if repair is None:
            context.log(MODULE, "unsupported action", action=document.event.action, nodeName=node)
            context.set_state(node, "remediation-failed")
            context.ledger.update(document, remediated=False)
            return
        if repair.per_gpu and not document.event.entity("GPU_UUID"):
            repair = DEFAULT_REPAIRS["RESTART_VM"]  # nothing tells which GPU to reset
        while not await self._serve_event(document, repair):
            await context.node_changed(node, context.pace.seconds("remediate_recheck"))
            if document.cancelled:
                return
        if document.remediated is None and not document.cancelled:
            context.ledger.update(document, remediated=True, remediation_at=context.clock.now())

    async def _serve_event(self, document: Document, repair: Repair) -> bool:
        """Whether an object serves this event; makes one unless another is in progress."""
        context, node = self._context, document.event.node
        async with self._at_work[node]:  # one event of a node at a time
            progress = self._progress_for(document, repair)
            if progress in ("none", "failed"):
                if context.cluster.log_collector:
                    await self._collect_logs(document)
                if document.cancelled:
                    return True
                context.set_state(node, "remediating")
                await context.sleep("remediating", node)
                made = self._create_object(document, repair)
                context.set_state(node, f"remediation-{'succeeded' if made else 'failed'}")
                outcome = {"remediation_at": context.clock.now()} if made else {}
                context.ledger.update(document, remediated=made, **outcome)
            return progress != "running"

    async def _collect_logs(self, document: Document) -> None:
        context, node = self._context, document.event.node
        labels = {
            "app": "log-collector",
            "dgxc.nvidia.com/node-name": node,
            "dgxc.nvidia.com/event-id": document.id,
        }
        metadata = {"generateName": "fault-remediation-log-collector-job-", "labels": labels}
        job = jobs.start(context, metadata, node, "log-collector")
        context.log(MODULE, "created log collector job", job=job["metadata"]["name"])
        await context.sleep("log_collection", node)
        jobs.finish(context, job)

    def _create_object(self, document: Document, repair: Repair) -> bool:
        """Make the object; False when the API server does not take it."""
        context, event = self._context, document.event
        node = context.node(event.node)
        if node is None or context.cluster.dry_run:
            return True
        if context.variant(event.node).repair_refused:
            context.log(MODULE, "failed to create maintenance CR: forbidden", nodeName=event.node)
            return False
        name = f"maintenance-{event.node}-{document.id}"
        wanted = repair_object(repair, name, node, document)
        if context.variant(event.node).layout_2025:
            del wanted["metadata"]["annotations"]
        created = context.store.create(repair.plural, wanted)
        entry = {
            "maintenanceCR": name,
            "createdAt": created["metadata"]["creationTimestamp"],
            "actionName": event.custom or event.action,
        }
        self._remember_object(event.node, repair.group_for(event), entry)
        context.log(MODULE, "created maintenance CR", name=name, nodeName=event.node)
        return True

    def _remember_object(self, node: str, group: str, entry: dict[str, str]) -> None:
        def change(obj: Object) -> None:
            annotations = obj["metadata"].setdefault("annotations", {})
            groups = _groups_in(annotations) | {group: entry}
            annotations[names.REMEDIATION_STATE] = json.dumps(
                {"equivalenceGroups": groups}, separators=(",", ":")
            )

        self._context.store.update("nodes", node, change)

    def _progress_for(self, document: Document, repair: Repair) -> Progress:
        """How far the group's object is, or that of a wider group which serves it too."""
        node = self._context.node(document.event.node)
        groups = _groups_in((node or {"metadata": {}})["metadata"].get("annotations") or {})
        found: Progress = "none"
        wanted = [repair.group_for(document.event), *([_WIDER_GROUP] if repair.per_gpu else [])]
        for group in wanted:
            if group in groups:
                found = self._progress_of(groups[group]["maintenanceCR"], document)
                if found in ("running", "succeeded"):
                    break
        return found

    def _progress_of(self, name: str, document: Document) -> Progress:
        """How far one object is; `none` when it is gone, or was done before the event.

        | seconds | what happens                | progress for an event of then          |
        |---------|-----------------------------|----------------------------------------|
        | 4       | maintenance-a1-1 is created | running: the event waits for it        |
        | 9       | NodeReady=True              | succeeded, for what came before second 9 |
        | 10      | another XID 79              | none: that reboot cannot have helped   |
        | 11      | somebody deletes the object | none                                   |
        """
        for repair in KINDS:
            found = self._context.store.find(repair.plural, name)
            if found is None:
                continue
            status = found.get("status", {})
            conditions = status.get("conditions", ())
            done = next((c["status"] for c in conditions if c["type"] == repair.completes), "")
            if done == "True":
                before = document.reported <= self._finished.get(name, -1.0)
                return "succeeded" if before else "none"
            return "failed" if done == "False" else "running"
        return "none"

    async def _recompute_state_label(self, name: str) -> None:
        """After a partial recovery the label says what the remaining faults came to."""
        await self._context.sleep("cleanup", name)
        node = self._context.node(name)
        if node is None or names.QUARANTINE not in (node["metadata"].get("annotations") or {}):
            return
        left = {entry.get("id") for entry in read_annotation(node["metadata"]["annotations"])}
        open_faults = [d for d in self._context.ledger.session(name) if d.id in left]
        if any(d.remediated is None for d in open_faults):
            return
        failed = any(d.remediated is False for d in open_faults)
        self._context.set_state(name, "remediation-failed" if failed else "remediation-succeeded")

    async def _close_session(self, document: Document) -> None:
        """The node is un-quarantined: forget what was done about it."""
        context, node = self._context, document.event.node
        await context.sleep("cleanup", node)
        if context.node(node) is not None:
            context.store.update("nodes", node, _forget_groups)
        context.ledger.update(document, remediated=True, remediation_at=context.clock.now())


def _groups_in(annotations: dict[str, str]) -> dict[str, dict[str, str]]:
    found = json.loads(annotations.get(names.REMEDIATION_STATE, "{}"))
    groups: dict[str, dict[str, str]] = found.get("equivalenceGroups", {})
    return groups


def _forget_groups(obj: Object) -> None:
    (obj["metadata"].get("annotations") or {}).pop(names.REMEDIATION_STATE, None)
