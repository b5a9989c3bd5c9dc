"""The observer: the adapter of core.ports.Observer over one cluster and its NVSentinel.

It owns what is shared between runs: the nodes, the sessions seen on them, the hub of new
faults, and what is known of the installation. Runs get a feed each. It reads through the
door alone and never writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal

from nvsx.cluster.door import Cluster
from nvsx.cluster.reflector import Reflector
from nvsx.core.errors import ClusterError, NotFound
from nvsx.core.incident.session import Session
from nvsx.core.ports import Clock, Fault, HealthEventStore
from nvsx.core.watches.snapshot import Needs, Node, Note, Resource, ResourceSource, Snapshot
from nvsx.nvsentinel import diagnosis, evidence, marks, names, new_faults, readiness
from nvsx.nvsentinel.installation import Installation, inspect_installation
from nvsx.nvsentinel.node_feed import Feed
from nvsx.nvsentinel.sessions import SessionTracker
from nvsx.nvsentinel.workloads import as_map

#: How long what is known of the installation stays good, in seconds: three lists for each
#: note of each waiting run would be many, and a breaker that trips is told soon enough.
FRESH = 30.0


class NvsentinelObserver:
    """`namespace` is where NVSentinel lives, "" to look for it. `health_events` is its own
    store of events, None when none is configured. Close it when done."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Clock,
        namespace: str = "",
        health_events: HealthEventStore | None = None,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._store = health_events
        self._nodes: Reflector[Node] | None = None
        self._trackers: dict[str, SessionTracker] = {}
        self._hub = new_faults.FaultHub(cluster, self._session_key)
        self._installation: tuple[float, Installation] | None = None
        self._kinds: tuple[ResourceSource, ...] | None = None
        self._undo: Callable[[], object] = lambda: None
        self._lock = asyncio.Lock()
        self._inspecting = asyncio.Lock()
        self._feeds: set[Feed] = set()

    async def close(self) -> None:
        """End every feed and give everything back."""
        for feed in tuple(self._feeds):
            await feed.close()
        self._feeds.clear()
        await self._hub.close()
        self._undo()
        if self._nodes is not None:
            await self._cluster.release(self._nodes)
            self._nodes = None

    # --- following ----------------------------------------------------------------------------

    async def follow(self, node: str, needs: Needs, session: Session | None = None) -> Feed:
        nodes = await self._read_nodes()
        # A run that was on an incident learns how that ended, even without the node.
        if nodes.get(node) is None and (session is None or not session.known):
            raise NotFound(f"the cluster has no node {node}", "see `kubectl get nodes`")
        if session is None or not session.known:
            seen = self._trackers.get(node)
            session = seen.session if seen is not None else None
        feed = Feed(
            self._cluster,
            node,
            needs,
            nodes=nodes,
            tracker=SessionTracker(session),
            clock=self._clock,
            store=self._store,
        )
        self._feeds = {f for f in self._feeds if not f.closed} | {feed}
        try:
            await feed.start(await self.maintenance_kinds())
        except BaseException:
            await feed.close()
            raise
        return feed

    async def maintenance_kinds(self) -> tuple[ResourceSource, ...]:
        """The kinds of custom resources NVSentinel repairs nodes with, here: those it ships
        and those its configuration maps actions to."""
        if self._kinds is not None:
            return self._kinds
        shipped = [ResourceSource(k.plural, k.group, k.version) for k in names.MAINTENANCE_KINDS]
        known = {(k.group, k.kind) for k in names.MAINTENANCE_KINDS}
        inst = await self.installation()
        more = {
            (r.group, r.version, r.kind) for r in inst.repairs if (r.group, r.kind) not in known
        }
        found = [await self._find_plural(*kind) for kind in sorted(more)]
        kinds = tuple(dict.fromkeys((*shipped, *(k for k in found if k is not None))))
        if inst.repair.known:
            self._kinds = kinds
        return kinds

    async def _find_plural(self, group: str, version: str, kind: str) -> ResourceSource | None:
        try:
            listed = await self._cluster.read(f"/apis/{group}/{version}")
        except ClusterError:
            return None
        for entry in map(as_map, as_map(listed).get("resources") or ()):
            if entry.get("kind") == kind and "/" not in str(entry.get("name")):
                return ResourceSource(str(entry["name"]), group, version)
        return None

    async def _read_nodes(self) -> Reflector[Node]:
        """The nodes, listed at least once. Raises ClusterError when they cannot be read."""
        async with self._lock:
            if self._nodes is None:
                self._nodes = await self._cluster.nodes()
                for node in self._nodes.items():
                    self._node_changed(node.name, None, node)
                self._undo = self._nodes.subscribe(self._node_changed)
        nodes = self._nodes
        await nodes.settled()
        if not nodes.synced and nodes.failure is not None:
            raise nodes.failure
        return nodes

    def _node_changed(self, name: str, old: Node | None, new: Node | None) -> None:
        tracker = self._trackers.get(name)
        if tracker is None:
            if new is None or not marks.is_marked(new):
                return
            tracker = self._trackers[name] = SessionTracker()
            if old is not None:
                tracker.observe(old, self._clock.now())
        tracker.observe(new, self._clock.now())

    def _session_key(self, node: Node) -> str:
        """The key of the session `node` is in; the hub hears of a node before or after us."""
        known = self._trackers.get(node.name)
        seed = known.session if known is not None else None
        return SessionTracker(seed).observe(node, self._clock.now()).key

    # --- faults -------------------------------------------------------------------------------

    def faults(self) -> AsyncIterator[Fault]:
        return self._hub.listen()

    async def nodes_in_incident(self) -> Sequence[Fault]:
        """Nodes in quarantine first, by name; then, without a session key, nodes on which a
        fatal condition is True and nothing was done (monitor-only, opted out)."""
        nodes = await self._read_nodes()
        quarantined, unhealthy = [], []
        for node in sorted(nodes.items(), key=lambda n: n.name):
            known = self._trackers.get(node.name)
            if known is not None and known.session.open:
                found = new_faults.find_existing_fault(node)
                events = known.session.events or ((found.event,) if found else ())
                if events:
                    quarantined.append(Fault(node.name, events[0], known.session.key))
            elif found := new_faults.find_existing_fault(node):
                unhealthy.append(found)
        return [*quarantined, *unhealthy]

    async def node_names(self) -> Sequence[str]:
        nodes = await self._read_nodes()
        return sorted(nodes.objects)

    async def nodes(self) -> Sequence[Node]:
        return list((await self._read_nodes()).items())

    async def count_gpu_nodes(self) -> int:
        nodes = await self._read_nodes()
        return sum(n.labels.get(names.GPU_NODE_LABEL) == "true" for n in nodes.items())

    # --- looking around -----------------------------------------------------------------------

    async def evidence(self, node: str) -> Mapping[str, bytes]:
        found: list[Resource] = []
        for source in await self.maintenance_kinds():
            reflector = await self._cluster.resources(source)
            try:
                await reflector.settled()
                found += [r for r in reflector.items() if r.node == node]
            finally:
                await self._cluster.release(reflector)
        return await evidence.gather(self._cluster, node, found)

    async def why(self, snapshot: Snapshot, stage: str) -> Sequence[Note]:
        inst = await self.installation()
        return diagnosis.explain(snapshot, stage, inst, self._clock.now())

    async def installation(self) -> Installation:
        """What is installed, as of at most half a minute ago. Never raises."""
        async with self._inspecting:  # many runs ask at once; one of them reads
            now = self._clock.now()
            if self._installation is None or now - self._installation[0] >= FRESH:
                inst = await inspect_installation(self._read_path, self._namespace)
                self._installation = (now, inst)
            return self._installation[1]

    async def _read_path(self, path: str) -> Any:
        return await self._cluster.read(path)

    async def prerequisite(
        self, kind: Literal["deployment", "daemonset", "crd"], name: str, namespace: str
    ) -> tuple[bool, str]:
        if kind == "crd":
            return await readiness.check_crd(self._cluster, name)
        where = namespace or (await self.installation()).namespace
        return await readiness.check_workload(self._cluster, kind, name, where)

    async def cluster_id(self) -> str:
        return await self._cluster.cluster_id()
