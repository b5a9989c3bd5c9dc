"""The place where runs are worked: a project, a cluster and a journal, opened together.

`open_workplace` connects and opens; `Workplace.assemble_run` is the one way to put a run
together, by hand and in the daemon alike.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nvsx.cluster import kubeconfig
from nvsx.cluster.door import Cluster
from nvsx.core.errors import UsageError
from nvsx.core.incident.incident_door import IncidentDoor
from nvsx.core.journal.run_rows import Lease
from nvsx.core.notify.spool_port import MessageSpool
from nvsx.core.ports import Fault
from nvsx.core.routing.route import TriggerFacts, route
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.whereabouts import Whereabouts
from nvsx.follow.action_turns import FileTurns
from nvsx.follow.cluster_access import SystemClock, choose_gateway, reach_cluster
from nvsx.follow.masked_artifacts import MaskedArtifacts
from nvsx.follow.processes.kubectl_guard import install_guard
from nvsx.follow.processes.local_scripts import LocalScripts
from nvsx.follow.processes.nvsx_on_path import install_nvsx
from nvsx.follow.repeats import RepeatScripts
from nvsx.follow.run_context import Ports, RunContext
from nvsx.follow.run_request import RunRequest, patience_at, place_request
from nvsx.follow.runner import Matches
from nvsx.follow.surroundings import uses_service_account
from nvsx.nvsentinel.chain import NvsentinelChain
from nvsx.nvsentinel.event_store.credentials import CredentialSource
from nvsx.nvsentinel.event_store.opening import HealthEvents, Inspect, Reach, open_health_events
from nvsx.nvsentinel.event_store.port_forward import Kubectl
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.observer import NvsentinelObserver
from nvsx.project import cel
from nvsx.project.home import Home
from nvsx.project.secret_masker import secret_variables
from nvsx.store import open_store
from nvsx.store.artifacts import file_artifacts
from nvsx.store.sqlite_journal import SqliteJournal

if TYPE_CHECKING:
    from nvsentinel_sandbox.host import Sandbox


#: Of the journal and a run's id.
SpoolMaker = Callable[[SqliteJournal, str], MessageSpool]


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where runs of one project on one cluster are worked, and what they share there: the
    cluster, NVSentinel's marks on it, the journal, a scratch folder.

    `where` says what the cluster is, a sandbox or a real one, and which.

    `health_events` is NVSentinel's own store, None where there is none to ask.
    `kubeconfig` is the private file that child processes get; None in a pod, where kubectl
    finds the service account by itself. `hook_kubeconfig` is for hooks and prerequisites
    instead of it, where the project names one. `make_spool` gives each run the spool through
    which its scripts ask people to be told; without one they have none.
    """

    home: Home
    cluster: Cluster
    observer: NvsentinelObserver
    chain: NvsentinelChain
    journal: SqliteJournal
    where: Whereabouts
    kubeconfig: Path | None
    hook_kubeconfig: Path | None
    scratch: Path
    health_events: HealthEvents | None = None
    make_spool: SpoolMaker | None = None
    _ports: dict[tuple[Path, bool, bool], Ports] = field(default_factory=dict)

    def assemble_run(
        self,
        loaded: LoadedRunbook,
        lease: Lease,
        request: RunRequest,
        door: IncidentDoor,
    ) -> tuple[RunContext, Matches]:
        """The run in hand, and whether a fault is one for its runbook's own triggers. `door` is
        where it joins its incident.

        On a sandbox it is a sandbox run, whoever asked for it and however.
        """
        home, request = self.home, place_request(self.where, request)
        files = file_artifacts(home.artifacts_dir / lease.run_id)
        run = RunContext(
            ports=self.ports(
                root=loaded.root,
                sandboxed=request.sandbox or request.drill,
                live_hooks=request.live_hooks,
            ),
            runbook=loaded.runbook,
            request=request,
            lease=lease,
            door=door,
            artifacts=MaskedArtifacts(files, home.masker),
            masker=home.masker,
            spool=self.make_spool(self.journal, lease.run_id) if self.make_spool else None,
            clock_ahead=self.cluster.clock_ahead(),
            root=loaded.root,
            runbook_hash=loaded.source_text_hash,
            patience=patience_at(
                home.settings.hooks.timeout,
                speed=self.where.speed if self.where.sandbox else None,
            ),
        )

        def matches(fault: Fault) -> bool:
            facts = TriggerFacts.of(fault.event)
            return route(facts, [loaded.runbook], cel.evaluate).winner is not None

        return run, matches

    def ports(self, *, root: Path, sandboxed: bool = False, live_hooks: bool = False) -> Ports:
        """A run's ports, with scripts of the project at `root`; runs of a kind share them.

        On a sandbox scripts are `sandboxed`, whatever the run says of itself.
        """
        sandboxed = sandboxed or self.where.sandbox
        kind = (root, sandboxed, live_hooks)
        if kind not in self._ports:
            hooks, namespace = self.home.settings.hooks, self.home.nvsentinel_namespace
            env = {"NVSENTINEL_NAMESPACE": namespace} if namespace else {}
            own = set(secret_variables(self.home.settings))
            env |= {name: value for name, value in self.home.env.items() if name not in own}
            scripts = LocalScripts(
                root,
                env,
                kubeconfig=self.kubeconfig,
                hook_kubeconfig=self.hook_kubeconfig,
                guard_dir=install_guard(self.scratch / "guard"),
                nvsx_dir=install_nvsx(self.scratch / "guard"),
                sandboxed=sandboxed,
                live_hooks=live_hooks,
                kubectl_writes=hooks.kubectl_writes == "allow",
                masker=self.home.masker,
            )
            aware = RepeatScripts(scripts, self.journal, self.home.settings.history.repeat_window)
            clock = SystemClock()
            turns = FileTurns(self.home.state_dir, self.where.cluster, clock)
            self._ports[kind] = Ports(clock, self.observer, self.chain, self.journal, aware, turns)
        return self._ports[kind]


@asynccontextmanager
async def open_workplace(
    home: Home, sandbox: Sandbox | None = None, make_spool: SpoolMaker | None = None
) -> AsyncIterator[Workplace]:
    """Connect to the cluster (or `sandbox`) and open the journal.

    Raises ClusterError and StoreError; everything opened is closed again.
    """
    async with AsyncExitStack() as opened:
        journal = open_store(home.state_dir)
        opened.callback(journal.close)
        scratch = _make_scratch_folder(home.state_dir, journal.owner)
        opened.callback(shutil.rmtree, scratch, ignore_errors=True)
        gateway, context = choose_gateway(home, sandbox)
        config = _write_kubeconfig(home, sandbox, context, scratch)
        cluster = Cluster(gateway)
        opened.push_async_callback(cluster.close)
        where = await reach_cluster(cluster, context, home.env)
        health_events = None
        if sandbox is None:

            async def installation() -> Installation:
                return await observer.installation()

            health_events = _find_health_events(home, installation, context, config, scratch)
        if health_events is not None:
            opened.push_async_callback(health_events.close)
        observer = NvsentinelObserver(
            cluster,
            namespace=home.nvsentinel_namespace,
            health_events=health_events,
            clock=SystemClock(),
        )
        opened.push_async_callback(observer.close)
        yield Workplace(
            home=home,
            cluster=cluster,
            observer=observer,
            chain=NvsentinelChain((await observer.installation()).repairs),
            journal=journal,
            where=where,
            kubeconfig=config,
            hook_kubeconfig=None if where.sandbox else _find_hook_kubeconfig(home),
            scratch=scratch,
            health_events=health_events,
            make_spool=make_spool,
        )


def _make_scratch_folder(state_dir: Path, owner: str) -> Path:
    """A private folder of this process. It holds credentials, so what a killed process left
    goes at the next start, once nobody can still need it: an owner's lock file stays for as
    long as a run of it is unfinished."""
    parent = state_dir / "scratch"
    parent.mkdir(mode=0o700, exist_ok=True)
    for left in parent.iterdir():
        if not (state_dir / "owners" / f"{left.name}.lock").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / owner
    folder.mkdir(mode=0o700)
    return folder


def _find_hook_kubeconfig(home: Home) -> Path | None:
    """The account that hooks and prerequisites use, where the project names one."""
    named = home.settings.hooks.kubeconfig
    if not named:
        return None
    path = home.project.root / Path(named).expanduser()
    if not os.access(path, os.R_OK):
        raise UsageError(
            f"hooks.kubeconfig names {path}, which cannot be read",
            "correct it in nvsx.yaml, or remove it to give hooks the run's own context",
        )
    return path


def _find_health_events(
    home: Home, inspect: Inspect, context: str, config: Path | None, scratch: Path
) -> HealthEvents | None:
    """NVSentinel's store as the project names it; nothing is connected to before it is read."""
    wanted = home.settings.health_events
    named = wanted.credentials
    environ = dict(home.env)
    kubectl = Kubectl(context, {**environ, "KUBECONFIG": str(config)}) if config else Kubectl()
    return open_health_events(
        wanted.uri,
        CredentialSource(named.file or "", named.secret or "", named.env or "") if named else None,
        inspect=inspect,
        reach=Reach(environ, scratch / "store", kubectl, in_pod=config is None),
        clock=SystemClock(),
    )


def _write_kubeconfig(
    home: Home, sandbox: Sandbox | None, context: str, scratch: Path
) -> Path | None:
    """What child processes get, pinned to the context; None in a pod."""
    if sandbox is not None:
        return sandbox.kubeconfig
    if uses_service_account(home.env, home.context):
        return None
    return kubeconfig.write_pinned_kubeconfig(context, scratch / "kubeconfig")
