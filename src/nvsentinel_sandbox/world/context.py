"""What every part of the simulated NVSentinel shares: store, ledger, pace, variants, tasks.

The simulator makes one Context and hands it to each controller. It holds no rules of
NVSentinel; it starts and ends tasks, finds a node's variant, wakes whoever waits for a
node, and writes log lines of modules.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import Change, Key, ObjectStore
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.health import Document, Ledger
from nvsentinel_sandbox.world.identities import Identities
from nvsentinel_sandbox.world.timing import Clock, Pace
from nvsentinel_sandbox.world.variants import Variant

_log = logging.getLogger(__name__)


class Context:
    """Shared by all controllers of one sandbox, on one event loop."""

    def __init__(
        self, store: ObjectStore, clock: Clock, pace: Pace, ids: Identities, cluster: Variant
    ) -> None:
        self.store = store
        self.clock = clock
        self.pace = pace
        self.ids = ids
        self.cluster = cluster
        self.ledger = Ledger()
        self.began = clock.now()
        self._variants: dict[str, Variant] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self._waiting: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)
        self._module_pods: dict[tuple[str, str], str] = {}
        self._pods: defaultdict[str, set[Key]] = defaultdict(set)
        self.event_names: dict[tuple[str, str, str, str], str] = {}
        store.subscribe(self._on_change)
        self.ledger.subscribe(self._on_document)

    # --- variants -----------------------------------------------------------------------

    def variant(self, node: str) -> Variant:
        """How things go on this node."""
        return self._variants.get(node, self.cluster)

    def choose(self, node: str, variant: Variant) -> None:
        self._variants[node] = variant

    async def sleep(self, name: str, node: str = "") -> None:
        """Let the duration `name` of `timing.DURATIONS` pass, as this node has it."""
        await self.pace.sleep(name, self.variant(node).timings)

    # --- tasks --------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or the sandbox stops; an error in it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)

    async def stop(self) -> None:
        """Cancel all tasks and wait for them."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)
            _log.error("a part of the simulated NVSentinel failed", exc_info=error)

    # --- waiting for a node -------------------------------------------------------------

    async def node_changed(self, node: str, timeout: float) -> None:
        """Until the node, a pod on it or a document about it changes; at most `timeout` s
        of the story."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[node].append(waiter)
        self.pace.wake(waiter, timeout)
        await waiter

    def _on_change(self, change: Change) -> None:
        plural = change.entry.resource.plural
        if plural == "nodes":
            self._wake_waiters(change.entry.key[1])
        elif plural == "pods":
            node = change.entry.fields.get("spec.nodeName", "")
            if change.type == "DELETED":
                self._pods[node].discard(change.entry.key)
            elif node:
                self._pods[node].add(change.entry.key)
            self._wake_waiters(node)

    def _on_document(self, document: Document, _fields: frozenset[str]) -> None:
        self._wake_waiters(document.event.node)

    def _wake_waiters(self, node: str) -> None:
        for waiter in self._waiting.pop(node, ()):
            if not waiter.done():
                waiter.set_result(None)

    # --- nodes --------------------------------------------------------------------------

    def node(self, name: str) -> Object | None:
        return self.store.find("nodes", name)

    def pods_on(self, node: str) -> list[Object]:
        """Copies of the pods that have this node, by namespace and name."""
        return [
            self.store.get("pods", name, namespace=namespace)
            for namespace, name in sorted(self._pods[node])
        ]

    def set_state(self, node: str, state: str) -> None:
        """Write NVSentinel's state label; a node that is gone is left alone."""

        def change(obj: Object) -> None:
            obj["metadata"].setdefault("labels", {})[names.STATE_LABEL] = state

        if self.node(node) is not None:
            self.store.update("nodes", node, change)

    # --- logs ---------------------------------------------------------------------------

    def register_pod(self, module: str, pod: str, node: str = "") -> None:
        """Remember which pod runs a module (on a node, for one that runs on each)."""
        self._module_pods[module, node] = pod

    def log(self, module: str, message: str, *, node: str = "", **fields: object) -> None:
        """One JSON log line of a module's pod, as NVSentinel's slog handler writes them."""
        pod = self._module_pods.get((module, node)) or self._module_pods.get((module, ""))
        if pod is None:
            return
        at = datetime.fromtimestamp(self.clock.now(), UTC).isoformat(timespec="milliseconds")
        line = {"time": at.replace("+00:00", "Z"), "level": "INFO", "msg": message}
        line |= {"module": module, **{k: str(v) for k, v in fields.items()}}
        self.store.append_log(names.NAMESPACE, pod, module, json.dumps(line))
