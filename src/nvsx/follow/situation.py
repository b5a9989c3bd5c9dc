"""What is going on now: NVSentinel's modules, open incidents, runs under way.

`status` and the shell's completion ask here. Each part is read by itself: a cluster that does not
answer is said in `problems`, and what the store knows is told all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from nvsx.core.aliases import alias_of
from nvsx.core.errors import NvsxError, Unreachable
from nvsx.core.incident.incident_account import IncidentAccount, give_account
from nvsx.core.incident.incident_store import IncidentRow
from nvsx.core.journal.past_runs import RunFilter
from nvsx.core.journal.run_rows import RunRow
from nvsx.follow.one_daemon import find_serving_daemon
from nvsx.project.home import Home
from nvsx.store import incident_list, run_list
from nvsx.store.delivery_list import FailingDelivery, list_failing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nvsx.follow.cluster_access import OpenCluster
    from nvsx.nvsentinel.workloads import Fact

PATIENCE = 20.0
"""Seconds for everything that is asked of the cluster."""
GIVEN_UP_SHOWN = 86400.0
"""Seconds. What was given up a day ago has been seen, or is in the incident's time line."""
MOST_INCIDENTS = 200
"""Open ones that are told, newest first: more than people read, and read in a second."""


class ModuleStatus(msgspec.Struct, frozen=True):
    """A module of NVSentinel; `ready` of `desired` pods."""

    name: str
    ready: int
    desired: int
    version: str = ""


class IncidentStatus(msgspec.Struct, frozen=True):
    """A node in an incident: what struck it, NVSentinel's state label, and who is on it.

    `state` is "" on a node NVSentinel does nothing about. `since` is in Unix seconds.
    """

    node: str
    alias: str
    state: str
    check: str
    error_codes: tuple[str, ...] = ()
    message: str = ""
    since: float = 0.0
    cordoned: bool = False
    conditions: tuple[str, ...] = ()
    run_id: str = ""


class ClusterSituation(msgspec.Struct, frozen=True):
    """`namespace` is "" when the cluster could not be read; `problems` says why.

    `daemon` is the process id of the daemon that serves this cluster from this state folder, ""
    for none, None where that is not known. `incidents` are what the cluster shows, and
    `open_incidents` what the store knows: of this cluster, or of all where it cannot be read.
    `open_elsewhere` counts those of other real clusters; a sandbox that is not this cluster is
    gone, and its incidents and runs are not told.
    """

    context: str = ""
    cluster: str = ""
    daemon: str | None = None
    sandbox: bool = False
    namespace: str = ""
    installed: bool | None = None
    modules: tuple[ModuleStatus, ...] = ()
    monitor_only: bool | None = None
    dry_run: bool | None = None
    breaker: str = ""
    incidents: tuple[IncidentStatus, ...] = ()
    open_incidents: tuple[IncidentAccount, ...] = ()
    open_elsewhere: int = 0
    runs: tuple[RunRow, ...] = ()
    undelivered: tuple[FailingDelivery, ...] = ()
    problems: tuple[str, ...] = ()


async def read_situation(home: Home) -> ClusterSituation:
    """Look once. Never raises for what cannot be read."""
    problems: list[str] = []
    runs: Sequence[RunRow] = ()
    try:
        runs = recent_runs(home, active=True)
    except NvsxError as error:
        problems.append(str(error))
    found = ClusterSituation()
    try:
        async with _open_cluster(home) as opened:
            found = await _read_cluster(home, opened, runs)
    except NvsxError as error:
        problems.append(str(error))
    runs = [r for r in runs if not r.sandbox or r.alive or r.cluster == found.cluster]
    told: Sequence[IncidentAccount] = ()
    elsewhere = 0
    try:
        told, elsewhere = _read_open_incidents(home, found.cluster)
    except NvsxError as error:
        problems.append(str(error))
    failing: Sequence[FailingDelivery] = ()
    try:
        failing = list_failing(home.state_dir, time.time() - GIVEN_UP_SHOWN)
    except NvsxError as error:
        problems.append(str(error))
    return msgspec.structs.replace(
        found,
        undelivered=tuple(failing),
        open_incidents=tuple(told),
        open_elsewhere=elsewhere,
        runs=tuple(runs),
        problems=tuple(dict.fromkeys(problems)),
    )


def _read_open_incidents(home: Home, cluster: str) -> tuple[Sequence[IncidentAccount], int]:
    """Those of the cluster, and how many others there are; with cluster "" all real ones.

    A sandbox of yesterday left one open, and so did cluster b: here, on cluster a, the first is
    gone with its sandbox, and the second is counted.
    """
    rows = incident_list.list_incidents(home.state_dir, only_open=True)
    here = [r for r in rows if (r.cluster == cluster if cluster else not r.sandbox)]
    told = [read_account(home, row) for row in here[:MOST_INCIDENTS]]
    elsewhere = sum(r.cluster != cluster and not r.sandbox for r in rows) if cluster else 0
    return told, elsewhere


def read_account(home: Home, row: IncidentRow) -> IncidentAccount:
    """All there is to say of one incident. Raises StoreError."""
    entries = incident_list.list_entries(home.state_dir, row.incident)
    # An incident hears of no run that died: its own record tells that it was interrupted.
    runs = run_list.list_runs(home.state_dir, RunFilter(kind="all", incident=row.incident), None)
    statuses = {run.run_id: run.status for run in runs}
    told = give_account(row.incident, row.cluster, entries, time.time(), statuses)
    return home.masker.value(told)  # an older nvsx, or another machine, may have stored it


def recent_runs(home: Home, *, active: bool = False) -> Sequence[RunRow]:
    """The newest runs of the journal; `active` keeps those under way. Raises StoreError."""
    return run_list.list_runs(home.state_dir, RunFilter(kind="all", active=active), 100)


async def node_names(home: Home) -> Sequence[str]:
    """All node names of the cluster. Raises ClusterError and StoreError."""
    async with _open_cluster(home) as opened:
        return await opened.observer.node_names()


@asynccontextmanager
async def _open_cluster(home: Home) -> AsyncIterator[OpenCluster]:
    from nvsx.follow.cluster_access import open_cluster

    try:
        async with asyncio.timeout(PATIENCE), open_cluster(home) as opened:
            yield opened
    except TimeoutError:
        raise Unreachable(
            f"the cluster did not answer within {PATIENCE:g}s", "try `kubectl get nodes`"
        ) from None


async def _read_cluster(
    home: Home, opened: OpenCluster, runs: Sequence[RunRow]
) -> ClusterSituation:
    installation = await opened.observer.installation()
    modules = [
        ModuleStatus(m.name, m.ready, m.desired, m.version)
        for m in sorted(installation.modules.values(), key=lambda m: m.name)
    ]
    return ClusterSituation(
        context=opened.where.name,
        cluster=opened.where.cluster,
        daemon=find_serving_daemon(home.state_dir, opened.where.cluster),
        sandbox=opened.where.sandbox,
        namespace=installation.namespace,
        installed=_boolean_of(installation.found),
        modules=tuple(modules),
        monitor_only=_boolean_of(installation.monitor_only),
        dry_run=_boolean_of(installation.dry_run),
        breaker=str(installation.breaker.value or ""),
        incidents=await _read_incidents(opened, runs),
    )


def _boolean_of(fact: Fact) -> bool | None:
    return fact.value if isinstance(fact.value, bool) else None


async def _read_incidents(
    opened: OpenCluster, runs: Sequence[RunRow]
) -> tuple[IncidentStatus, ...]:
    from nvsx.nvsentinel import marks, messages

    on_it = {row.node: row.run_id for row in runs if row.cluster == opened.where.cluster}
    faults = await opened.observer.nodes_in_incident()
    nodes = await opened.cluster.nodes()
    try:
        known = {node.name: node for node in nodes.items()}
    finally:
        await opened.cluster.release(nodes)
    told = []
    for fault in faults:
        node = known.get(fault.node)
        if node is None:
            continue  # it went away between the two looks
        event = fault.event
        told.append(
            IncidentStatus(
                node=fault.node,
                alias=alias_of(fault.node),
                state=marks.read(node).state,
                check=event.check,
                error_codes=event.error_codes,
                message=event.message,
                since=event.generated_at or event.created_at,
                cordoned=node.unschedulable,
                conditions=tuple(
                    c.type
                    for c in node.conditions
                    if messages.is_check(c) and messages.is_unhealthy(c)
                ),
                run_id=on_it.get(fault.node, ""),
            )
        )
    return tuple(told)
