"""The door: all that nvsx reads of a cluster goes through one Cluster.

It shares reflectors between runs, by need and by count, so that requests to the API
server do not grow with the number of runs. The observer of the nvsentinel package and the
triggers stand on it. It projects and caches; what the objects mean is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from nvsx.cluster import discovery, projections
from nvsx.cluster.by_node import LIMIT, ByNode, NodeView
from nvsx.cluster.gateway import Gateway, Params
from nvsx.cluster.pace import Pace
from nvsx.cluster.pod_logs import LogFollower
from nvsx.cluster.reflector import Decoder, Reflector
from nvsx.core.errors import Forbidden
from nvsx.core.watches.snapshot import (
    Event,
    LogLine,
    LogSource,
    Node,
    Pod,
    PodBudget,
    PodSource,
    Resource,
    ResourceSource,
)
from nvsx.project.steady_time import read_time

T = TypeVar("T")
_PODS = "/api/v1/pods"
_EVENTS = "/api/v1/events"


class Freshness(msgspec.Struct, frozen=True):
    """One followed collection: is it current? `last_seen` is Unix seconds, 0.0 for never."""

    path: str
    synced: bool
    error: str
    last_seen: float
    objects: int


class _ResourceReflector(Reflector[Resource]):
    """Finds where its kind is served before it lists: the CRD may come, go or change."""

    def __init__(self, cluster: Cluster, source: ResourceSource) -> None:
        self._source = source
        super().__init__(
            cluster.gateway,
            f"/apis/{source.group}/{source.plural}",
            projections.make_resource_decoder(source.group, source.version, source.plural),
            pace=cluster.pace,
        )

    async def _locate_collection(self) -> None:
        served = await discovery.find_served(self._gateway, self._source)
        self.path = served.path(self._source.namespace)
        self._decode = projections.make_resource_decoder(
            served.group, served.version, served.plural, served.kind
        )


class Cluster:
    """One cluster, read only. `now`, `sleep` and `rng` are the injected time and chance."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        now: Callable[[], float] = read_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Callable[[], float] = random.random,
        node_limit: int = LIMIT,
    ) -> None:
        self.gateway = gateway
        self.pace = Pace(now, sleep, rng)
        self._kept: dict[object, tuple[Reflector[Any], int]] = {}
        self._followers: set[LogFollower] = set()
        self._pods: ByNode[Pod] = ByNode(
            lambda node: self._make_reflector(
                _PODS, projections.decode_pod, {"fieldSelector": f"spec.nodeName={node}"}
            ),
            lambda: self._make_reflector(_PODS, projections.decode_pod),
            lambda pod: pod.node,
            limit=node_limit,
        )
        about = "involvedObject.kind=Node"
        self._events: ByNode[Event] = ByNode(
            lambda node: self._make_reflector(
                _EVENTS,
                projections.decode_event,
                {"fieldSelector": f"{about},involvedObject.name={node}"},
                bookmarks=False,
            ),
            lambda: self._make_reflector(
                _EVENTS, projections.decode_event, {"fieldSelector": about}, bookmarks=False
            ),
            lambda event: event.object_name,
            limit=node_limit,
        )

    @property
    def name(self) -> str:
        return self.gateway.name

    async def start(self) -> None:
        """Bring the gateway up and see whether the API server answers. Raises ClusterError."""
        await self.gateway.start()
        with suppress(Forbidden):  # that is an answer too
            await self.version()

    async def close(self) -> None:
        """End every watch and follower, then the gateway."""
        await asyncio.gather(*(f.close() for f in tuple(self._followers)))
        await self._pods.close()
        await self._events.close()
        kept = [reflector for reflector, _ in self._kept.values()]
        self._kept.clear()
        await asyncio.gather(*(r.stop() for r in kept))
        await self.gateway.close()

    # --- followed collections, shared by count ------------------------------------------------

    async def nodes(self) -> Reflector[Node]:
        """All nodes; keys are names. Give it back with `release`."""
        return await self._share_reflector(
            "nodes", lambda: self._make_reflector("/api/v1/nodes", projections.decode_node)
        )

    async def resources(self, source: ResourceSource) -> Reflector[Resource]:
        """All custom resources of one kind; `error` says so when the cluster has no such kind.

        A blank version or group is discovered. Give it back with `release`.
        """
        return await self._share_reflector(source, lambda: _ResourceReflector(self, source))

    async def budgets(self) -> Reflector[PodBudget]:
        """All PodDisruptionBudgets. Give it back with `release`."""
        return await self._share_reflector(
            "budgets",
            lambda: self._make_reflector(
                "/apis/policy/v1/poddisruptionbudgets", projections.decode_budget
            ),
        )

    async def pods(self, source: PodSource) -> Reflector[Pod]:
        """The pods of a namespace and label selector, on any node. Give back with `release`."""
        params = {"labelSelector": source.selector} if source.selector else {}
        return await self._share_reflector(
            ("pods", source.namespace, source.selector),
            lambda: self._make_reflector(
                _path_in(source.namespace, "pods"), projections.decode_pod, params
            ),
        )

    async def pod(self, namespace: str, name: str) -> Reflector[Pod]:
        """One pod by name. Give it back with `release`."""
        params = {"fieldSelector": f"metadata.name={name}"}
        return await self._share_reflector(
            ("pod", namespace, name),
            lambda: self._make_reflector(
                _path_in(namespace, "pods"), projections.decode_pod, params
            ),
        )

    async def events_in(self, namespace: str) -> Reflector[Event]:
        """All Events of a namespace. Give it back with `release`."""
        return await self._share_reflector(
            ("events", namespace),
            lambda: self._make_reflector(
                _path_in(namespace, "events"), projections.decode_event, bookmarks=False
            ),
        )

    async def release(self, reflector: Reflector[Any]) -> None:
        """Give back one use of a reflector; the last one ends its watch."""
        for key, (kept, uses) in tuple(self._kept.items()):
            if kept is reflector:
                if uses > 1:
                    self._kept[key] = (kept, uses - 1)
                else:
                    del self._kept[key]
                    await reflector.stop()
                return

    # --- by node --------------------------------------------------------------------------

    async def pods_on(self, node: str) -> NodeView[Pod]:
        """The pods of one node; `close()` it when done."""
        return await self._pods.view(node)

    async def events_for(self, node: str) -> NodeView[Event]:
        """The Events about one node (not about its pods), from all namespaces."""
        return await self._events.view(node)

    def logs(
        self,
        source: LogSource,
        node: str,
        on_line: Callable[[LogLine], None],
        *,
        since: float | None = None,
    ) -> LogFollower:
        """Follow the logs of the pods `source` finds, from `since` (Unix seconds; now if None).

        Of a DaemonSet only the pod on `node` is followed, of others every pod.
        Call `close()` on the result when done.
        """

        async def find_pods() -> Reflector[Pod]:
            if source.pod:
                return await self.pod(source.namespace, source.pod)
            return await self.pods(PodSource(source.namespace, source.selector))

        follower = LogFollower(
            self.gateway,
            source,
            node,
            on_line,
            find_pods=find_pods,
            release=self.release,
            since=since,
            pace=self.pace,
        )
        self._followers.add(follower)
        follower.start(self._followers.discard)
        return follower

    # --- single reads ---------------------------------------------------------------------

    async def read(self, path: str, params: Params | None = None) -> Any:
        """One GET, decoded from JSON. Raises ClusterError."""
        return await self.gateway.read_json(path, params)

    async def version(self) -> str:
        """The API server's version, such as `v1.32.4`."""
        return str((await self.version_document()).get("gitVersion", ""))

    async def version_document(self) -> dict[str, Any]:
        """All that the API server says about its version. Raises ClusterError."""
        found = await self.read("/version")
        return found if isinstance(found, dict) else {}

    async def cluster_id(self) -> str:
        """The UID of namespace kube-system, the cluster's identity."""
        found = await self.read("/api/v1/namespaces/kube-system")
        return str(found["metadata"]["uid"])

    def clock_ahead(self) -> float:
        """Seconds the cluster's clock is ahead of ours at least, as its answers so far tell;
        negative when it is behind, 0 when it is not known to be wrong."""
        return self.gateway.clock_ahead()

    def health(self) -> tuple[Freshness, ...]:
        """How current each followed collection is, for readiness checks and metrics."""
        reflectors = [r for r, _ in self._kept.values()]
        reflectors += [*self._pods.reflectors, *self._events.reflectors]
        return tuple(Freshness(r.path, r.synced, r.error, r.last_seen, len(r)) for r in reflectors)

    # --- making ---------------------------------------------------------------------------

    def _make_reflector(
        self,
        path: str,
        decode: Decoder[T],
        params: Params | None = None,
        *,
        bookmarks: bool = True,
    ) -> Reflector[T]:
        return Reflector(
            self.gateway, path, decode, params=params, bookmarks=bookmarks, pace=self.pace
        )

    async def _share_reflector(self, key: object, make: Callable[[], Reflector[T]]) -> Reflector[T]:
        reflector, uses = self._kept.get(key) or (make(), 0)
        self._kept[key] = (reflector, uses + 1)
        await reflector.start()
        return reflector


def _path_in(namespace: str, plural: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{plural}" if namespace else f"/api/v1/{plural}"
