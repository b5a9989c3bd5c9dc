"""One sandbox: the simulated cluster, its API server and its kubeconfig, put together.

`nvsx run --sandbox`, tests and `nvsx sandbox start` all use this class; the latter adds
control.py for other terminals. It changes nothing outside `state_dir`, and never the
user's own kubeconfig.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from nvsentinel_sandbox.chain.databases import StoredLedger, provider_of
from nvsentinel_sandbox.chain.exporter import Destination, Exporter
from nvsentinel_sandbox.chain.history import past_events
from nvsentinel_sandbox.chain.simulator import Simulator
from nvsentinel_sandbox.errors import SandboxError, WrongCall
from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.kubeconfig import write_kubeconfig
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.story import Story

CLUSTER = "nvsx-sandbox"
"""The cluster's name in the events that are sent."""

_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the sandbox's health events go.

    `store` is a mongodb:// or postgresql:// URI; with `layout_2025` documents and
    annotations are those of autumn 2025. `events` is where they are sent as CloudEvents,
    with `backfill` after those of the past month.
    """

    store: str = field(default="", repr=False)
    layout_2025: bool = False
    events: Destination | None = None
    backfill: bool = False


class Sandbox:
    """A cluster in this process, on loopback: `async with Sandbox(…) as sandbox`.

    Args:
        state_dir: a folder of the caller's; two kubeconfigs (0600) are written there, one of
            which may only read.
        nodes, speed, seed, variant, timings: as Simulator has them; checked by `start`.
        outlets: where health events go beside the cluster.
        alias_of: another name of a node, by which people may call it too.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        nodes: int = 4,
        speed: float = 1.0,
        seed: int | None = None,
        variant: str = "",
        timings: Mapping[str, float] | None = None,
        outlets: Outlets | None = None,
        alias_of: Callable[[str], str] | None = None,
    ) -> None:
        out = outlets or Outlets()
        self.kubeconfig = state_dir / "kubeconfig"
        self.read_only_kubeconfig = state_dir / "kubeconfig-read-only"
        self._make = partial(
            Simulator,
            nodes=nodes,
            speed=speed,
            seed=seed,
            variant=variant,
            timings=timings,
            provider=provider_of(out.store) if out.store else "mongodb",
            layout_2025=out.layout_2025,
            alias_of=alias_of,
        )
        self._stored = StoredLedger(out.store, layout_2025=out.layout_2025) if out.store else None
        self._events, self._backfill, self._pace = out.events, out.backfill, speed
        self._exporter: Exporter | None = None
        self._simulator: Simulator | None = None
        self._server: ApiServer | None = None

    async def start(self) -> None:
        """Furnish the cluster and listen.

        Raises WrongCall for arguments that cannot be, SandboxError when it cannot listen or
        write its kubeconfig.
        """
        self._simulator = self._make()
        self._server = ApiServer(
            self._simulator.store, speed=self._pace, pages=self._simulator.metrics.page
        )
        try:
            await self._follow_health_events(self._simulator)
            await self._server.start()
            write_kubeconfig(self.kubeconfig, self._server.secure_url, self.token)
            write_kubeconfig(
                self.read_only_kubeconfig, self._server.secure_url, self.read_only_token
            )
        except SandboxError:
            await self.stop()
            raise
        except OSError as error:
            await self.stop()
            raise SandboxError(f"the sandbox cannot start: {error}") from error

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.stop()

    async def _follow_health_events(self, simulator: Simulator) -> None:
        """Have health events stored and sent, where that was asked for."""
        if (self._stored or self._events) and simulator.variant.monitor_only:
            raise WrongCall(
                "a monitor-only installation stores and sends no health events",
                "leave --variant, or --store and --events-to out",
            )
        if self._stored is not None:
            await self._stored.start(simulator.ledger)
        if self._events is not None:
            past = past_events(simulator.ids, simulator.nodes) if self._backfill else ()
            self._exporter = Exporter(self._events, CLUSTER, past=past, pace=self._pace)
            await self._exporter.start(simulator.ledger)

    async def stop(self) -> None:
        """End the chain and the server, and remove the kubeconfig. Safe to call twice."""
        simulator, self._simulator = self._simulator, None
        server, self._server = self._server, None
        if simulator is not None:
            await simulator.stop()
        if self._exporter is not None:
            await self._exporter.stop()
        if self._stored is not None:
            await self._stored.stop()
        if server is not None:
            await server.stop()
        self.kubeconfig.unlink(missing_ok=True)
        self.read_only_kubeconfig.unlink(missing_ok=True)

    # --- where it is --------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self._require_started(self._server).url

    @property
    def token(self) -> str:
        """The bearer token that may do everything."""
        return self._require_started(self._server).token

    @property
    def read_only_token(self) -> str:
        return self._require_started(self._server).read_only_token

    @property
    def server(self) -> ApiServer:
        """The API server, for tests that look at requests or arm stream faults."""
        return self._require_started(self._server)

    @property
    def store(self) -> ObjectStore:
        return self._require_started(self._simulator).store

    @property
    def simulator(self) -> Simulator:
        """The simulated cluster, for scenarios."""
        return self._require_started(self._simulator)

    @property
    def stored(self) -> StoredLedger:
        """The database that follows the health events."""
        return self._require_started(self._stored)

    @property
    def exporter(self) -> Exporter:
        """What sends the health events."""
        return self._require_started(self._exporter)

    @property
    def default_node(self) -> str:
        """The node an injection without a node hits; the seed picks it."""
        return self._require_started(self._simulator).default_node

    # --- what people do -----------------------------------------------------------------

    async def inject(
        self,
        fault: str,
        node: str | None = None,
        variant: str | None = None,
        *,
        people: bool = False,
    ) -> str:
        """Let a fault strike; returns the node's name. See Simulator.inject."""
        simulator = self._require_started(self._simulator)
        return simulator.inject(fault, node or "", variant or "", people=people)

    async def heal(self, node: str) -> None:
        """Repair a node as a person would. Raises WrongCall for an unknown node."""
        self._require_started(self._simulator).heal(node)

    def status(self) -> dict[str, Any]:
        """Where it is and how each GPU node fares, as JSON-able data."""
        simulator = self._require_started(self._simulator)
        return {"url": self.url, "kubeconfig": str(self.kubeconfig), **simulator.status()}

    def narrate(self, tell: Callable[[str], None]) -> Callable[[], None]:
        """Tell every turn of events in one line of text. Returns what ends it."""
        story = Story(tell)
        return self.store.subscribe(story.hear)

    @staticmethod
    def _require_started(part: _Part | None) -> _Part:
        if part is None:
            raise SandboxError("the sandbox has not been started, or was stopped")
        return part
