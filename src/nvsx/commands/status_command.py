"""`nvsx status`: what is going on now."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgspec
import typer

from nvsx.commands.output_option import Output, wants_json
from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.journal.run_rows import RunRow
from nvsx.follow import situation
from nvsx.follow.situation import ClusterSituation, IncidentStatus
from nvsx.screens.incident_text import summary_lines
from nvsx.screens.text_tables import print_lines


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("status")(status)


def status(ctx: typer.Context, output: Output = None) -> None:
    """What is going on now: the cluster, NVSentinel, open incidents, runs under way.

    Exit code 3 when the cluster cannot be read; what the store knows is told all the same.

    Examples:
      nvsx status
      nvsx status -o json | jq -r '.open_incidents[].row.incident'
    """
    as_json = wants_json(output)
    found = asyncio.run(situation.read_situation(ctx.obj))
    if as_json:
        typer.echo(json.dumps(_status_as_fields(found), indent=2))
    else:
        print_lines(status_lines(found, time.time()))
        for problem in found.problems:
            typer.echo(f"nvsx: {problem}", err=True)
    if found.problems:
        raise typer.Exit(3)


def status_lines(found: ClusterSituation, now: float) -> list[str]:
    """A status as text; `now` in Unix seconds."""
    if found.context:
        told = [*_place_lines(found), *_nvsentinel_lines(found)]
    else:
        told = ["the cluster could not be read; this is what the store knows:"]
    told += ["", *_open_incident_lines(found, now)]
    told += _undelivered_lines(found, now)
    told += ["", f"runs under way: {len(found.runs) or 'none'}"]
    told += [f"  {_run_line(row, now)}" for row in found.runs]
    return told


def _status_as_fields(found: ClusterSituation) -> dict[str, Any]:
    """A status as JSON; the format only grows. `nvsx incidents show` has the time lines."""
    told: dict[str, Any] = msgspec.to_builtins(found)
    for incident in told["open_incidents"]:
        del incident["timeline"]
    return told


def _place_lines(found: ClusterSituation) -> list[str]:
    daemon = "no daemon serves this cluster from this state folder"
    if found.daemon:
        daemon = f"a daemon serves this cluster (pid {found.daemon})"
    kind = " · sandbox" if found.sandbox else ""
    return [f"context {found.context}{kind} · cluster {found.cluster}", daemon]


def _open_incident_lines(found: ClusterSituation, now: float) -> list[str]:
    count = len(found.open_incidents)
    most = count == situation.MOST_INCIDENTS
    at_most = f"the newest {count}; all: nvsx incidents list" if most else str(count or "none")
    told = [f"open incidents: {at_most}"]
    for account in found.open_incidents:
        told += summary_lines(account, now)
    if found.open_elsewhere:
        told.append(f"open on other clusters: {found.open_elsewhere} (nvsx incidents list)")
    return told


def _undelivered_lines(found: ClusterSituation, now: float) -> list[str]:
    """Who was not told, and why: nothing when all is well."""
    told = ["", f"NOT DELIVERED: {len(found.undelivered)}"] if found.undelivered else []
    for one in found.undelivered:
        since = durations.format(round(max(0.0, now - one.since)))
        how = "given up" if one.given_up else f"tried {one.tries} times in {since}, tried on"
        who, title = one.target or "nobody", f' "{one.title}"' if one.title else ""
        told.append(f"  ! {one.kind} for {who}{title}: {how}: {one.reason}")
    return told


def _nvsentinel_lines(found: ClusterSituation) -> list[str]:
    told: list[str] = []
    if not found.modules:
        where = "is not installed" if found.installed is False else "could not be read"
        told.append(f"NVSentinel {where} in namespace {found.namespace}")
    else:
        down = [m for m in found.modules if m.ready < m.desired or not m.desired]
        versions = ", ".join(sorted({m.version for m in found.modules if m.version}))
        head = f"NVSentinel {versions} in namespace {found.namespace}: {len(found.modules)} modules"
        told.append(f"{head}, {f'{len(down)} not ready' if down else 'all ready'}")
        told += [f"  ! {m.name}: {m.ready} of {m.desired} ready" for m in down]
    if found.monitor_only:
        told.append("  ! it only monitors here: faults are shown, nothing is done")
    if found.dry_run:
        told.append("  ! it runs with --dry-run: nothing is done to nodes")
    tripped = " !" if found.breaker == "TRIPPED" else ""
    told.append(f" {tripped} circuit breaker: {found.breaker or 'unknown'}")
    told += ["", f"on the cluster, nodes in an incident: {len(found.incidents) or 'none'}"]
    for incident in found.incidents:
        told += _incident_lines(incident)
    return told


def _incident_lines(incident: IncidentStatus) -> list[str]:
    codes = f" {', '.join(incident.error_codes)}" if incident.error_codes else ""
    run = f", run {incident.run_id}" if incident.run_id else ", no run on it"
    cordon = ", cordoned" if incident.cordoned else ""
    state = incident.state or "no NVSentinel state"
    told = [
        f"  {incident.node} ({incident.alias})  {state}{cordon}: {incident.check}{codes}{run}",
    ]
    if incident.conditions:
        told.append(f"    fatal conditions: {', '.join(incident.conditions)}")
    return told


def _run_line(row: RunRow, now: float) -> str:
    node = f"{row.node} ({alias_of(row.node)})" if row.node else "no node yet"
    kind = " · sandbox" if row.sandbox else " · drill" if row.drill else ""
    return (
        f"{row.run_id}  {row.runbook} on {node}{kind}  {row.status}, "
        f"began {durations.format(round(max(0.0, now - row.created)))} ago"
    )
