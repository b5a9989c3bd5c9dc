"""node-drainer: waits for the pods of a quarantined node, evicts or deletes them.

The default mode for all user namespaces is AllowCompletion: nothing is evicted, the
drainer waits without limit and says so in an Event. Immediate asks for evictions, again
and again where a disruption budget refuses; DeleteAfterTimeout waits for its limit, says
until when, and deletes. The label becomes `draining` only when there is a pod to see to.
An event's overrides win: `force` evicts at once, `skip` leaves the pods and the label alone.
A partial drain, where it is on, sees to the pods of one GPU; a custom drain is the work of
customdrains.py.
Sources: node-drainer/pkg/evaluator/evaluator.go, pkg/reconciler, pkg/informers.
"""

from __future__ import annotations

from nvsentinel_sandbox.chain import customdrains
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.evictions import evict
from nvsentinel_sandbox.kube.statuses import NotFound, TooManyRequests
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.events import NodeEvent, record
from nvsentinel_sandbox.world.health import Document
from nvsentinel_sandbox.world.timing import rfc3339

MODULE = "node-drainer"
EVICTION_SECONDS = 60
_LONGEST_BACKOFF = 8  # times drain_retry; really from 10 s to 2 min, which is 12 times


class NodeDrainer:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._ailing: dict[str, float] = {}
        context.ledger.subscribe(self._on_document)

    def _on_document(self, document: Document, changed: frozenset[str]) -> None:
        if "quarantined" not in changed:
            return
        if document.event.healthy:
            if document.quarantined == "UnQuarantined":
                self._finish_drain(document)
        elif document.quarantined in ("Quarantined", "AlreadyQuarantined"):
            self._context.spawn(self._drain_node(document))

    async def _drain_node(self, document: Document) -> None:
        context, node = self._context, document.event.node
        await context.sleep("drain_pickup", node)
        if document.cancelled:
            return
        context.ledger.update(document, eviction="InProgress")
        if document.event.drain == "skip":
            self._finish_drain(document, already=True)
            return
        partial = context.cluster.partial_drain and document.event.action == "COMPONENT_RESET"
        gpu = document.event.entity("GPU_UUID") if partial else ""
        if context.variant(node).drain_fails or (partial and not gpu):
            self._fail_drain(document)
            return
        if context.cluster.custom_drain:
            await self._ask_for_drain(document)
            return
        waited = await self._wait_until_empty(document, gpu)
        if document.cancelled:
            context.ledger.update(document, eviction="Cancelled")
            return
        drained_before = any(
            d.eviction in ("Succeeded", "AlreadyDrained")
            for d in context.ledger.session(node)
            if d is not document
        )
        if drained_before and not waited:
            self._finish_drain(document, already=True)
            return
        context.set_state(node, "drain-succeeded")
        context.log(MODULE, "node drained", nodeName=node)
        self._finish_drain(document)

    async def _wait_until_empty(self, document: Document, gpu: str) -> bool:
        """See to the pods until none is left or the event is cancelled; whether any was."""
        context, node = self._context, document.event.node
        backoff, waited = 1, False
        while (pods := self.eligible(node, gpu)) and not document.cancelled:
            if not waited:
                waited = True
                context.set_state(node, "draining")
            await context.node_changed(node, self._see_to(document, pods, backoff))
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
        return waited

    async def _ask_for_drain(self, document: Document) -> None:
        """Leave the drain to the operator's controller; the label stays `draining`."""
        context, node = self._context, document.event.node
        if pods := self.eligible(node):
            context.set_state(node, "draining")
            if not await customdrains.ask_and_wait(context, document, pods):
                context.ledger.update(document, eviction="Cancelled")
                return
        self._finish_drain(document, already=True)

    def _see_to(self, document: Document, pods: list[Object], backoff: int) -> float:
        """Do what the mode does about the pods; in how many seconds to look again.

        One pod that never ends, an event stored at second 0, `delete_after` 6, `drain_retry` 1:

        | mode               | second 0      | 1     | 3     | 6        | 7     |
        |--------------------|---------------|-------|-------|----------|-------|
        | AllowCompletion    | Event         | Event | Event |          | Event |
        | DeleteAfterTimeout | Event, till 6 | Event | Event | deletion |       |

        Immediate asks for the eviction, and again each second while a budget refuses.
        """
        context, node = self._context, document.event.node
        pace, timings = context.pace, context.variant(node).timings
        mode = "Immediate" if document.event.drain == "force" else context.cluster.drain
        if mode == "Immediate":
            for pod in pods:
                self._evict_pod(pod)
            return pace.seconds("eviction_retry", timings)
        again = pace.seconds("drain_retry", timings) * backoff
        if mode == "AllowCompletion":
            waited_for = " ".join(map(_full_name, pods))
            self._record_drain_event(
                node,
                "AwaitingPodCompletion",
                f"Waiting for following pods to finish: [{waited_for}]",
            )
            return again
        left = document.inserted + pace.seconds("delete_after", timings) - pace.now()
        if left <= 0:
            for pod in pods:
                self._delete_pod(pod)
            return again
        for namespace in sorted({p["metadata"]["namespace"] for p in pods}):
            listed = [p["metadata"]["name"] for p in pods if _namespace_of(p) == namespace]
            self._record_drain_event(
                node,
                "WaitingBeforeForceDelete",
                f"Waiting for following pods to finish: [{' '.join(listed)}] in namespace: "
                f"[{namespace}] or they will be force deleted on: "
                f"{rfc3339(context.clock.then(left))}",
            )
        return min(again, left)

    def _evict_pod(self, pod: Object) -> None:
        meta = pod["metadata"]
        if "deletionTimestamp" in meta:
            return
        try:
            dry = self._context.cluster.dry_run
            evict(
                self._context.store,
                meta["namespace"],
                meta["name"],
                grace=EVICTION_SECONDS,
                dry_run=dry,
            )
            self._context.log(MODULE, "pod evicted", pod=_full_name(pod), dryRun=dry)
        except TooManyRequests:
            self._context.log(
                MODULE, "eviction blocked by a PodDisruptionBudget, will retry", pod=_full_name(pod)
            )
        except NotFound:
            pass  # it ended by itself

    def _delete_pod(self, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            self._context.store.delete("pods", meta["name"], namespace=meta["namespace"], grace=0)
            self._context.log(MODULE, "pod force deleted", pod=_full_name(pod))
        except NotFound:
            pass  # it ended by itself

    def _fail_drain(self, document: Document) -> None:
        """A drain that cannot be done ends the chain; slow pods never lead here."""
        node = document.event.node
        self._context.set_state(node, "draining")
        self._context.set_state(node, "drain-failed")
        self._context.log(MODULE, "drain failed: no GPU entity to drain for", nodeName=node)
        self._context.ledger.update(
            document, eviction="Failed", eviction_message="no GPU entity to drain for"
        )

    def _finish_drain(self, document: Document, *, already: bool = False) -> None:
        self._context.ledger.update(
            document,
            eviction="AlreadyDrained" if already else "Succeeded",
            drain_finished=self._context.clock.now(),
        )

    def eligible(self, node: str, gpu: str = "") -> list[Object]:
        """The pods a drain of `node` sees to: all, or those that have this GPU."""
        return [
            pod
            for pod in self._context.pods_on(node)
            if pod["metadata"]["namespace"] not in names.DRAIN_EXEMPT_NAMESPACES
            and pod["status"].get("phase") not in ("Succeeded", "Failed")
            and not any(
                owner["kind"] == "DaemonSet"
                for owner in pod["metadata"].get("ownerReferences") or ()
            )
            and (uses(pod, gpu) if gpu else not self._is_left_behind(pod))
        ]

    def _is_left_behind(self, pod: Object) -> bool:
        """Whether the pod has been Terminating or not Ready for so long that nobody waits."""
        uid, now = pod["metadata"]["uid"], self._context.pace.now()
        conditions = pod["status"].get("conditions") or ()
        unready = any((c["type"], c["status"]) == ("Ready", "False") for c in conditions)
        if not unready and "deletionTimestamp" not in pod["metadata"]:
            self._ailing.pop(uid, None)
            return False
        return now - self._ailing.setdefault(uid, now) >= self._context.pace.seconds("pod_left")

    def _record_drain_event(self, name: str, reason: str, message: str) -> None:
        node = self._context.node(name)
        if node is None:
            return
        self._context.log(MODULE, message, nodeName=name)
        record(
            self._context,
            NodeEvent(
                node=name,
                uid=node["metadata"]["uid"],
                type="NodeDraining",
                reason=reason,
                message=message,
                component="nvsentinel-node-drainer",
                at=self._context.clock.now(),
                by_hand=True,
            ),
        )


def uses(pod: Object, gpu: str) -> bool:
    """Whether the GPU is among those the pod's annotation says it has."""
    return gpu in pod["metadata"].get("annotations", {}).get(names.DEVICES, "")


def _namespace_of(pod: Object) -> str:
    return str(pod["metadata"]["namespace"])


def _full_name(pod: Object) -> str:
    return f"{_namespace_of(pod)}/{pod['metadata']['name']}"
