"""`nvsx history`: past runs, newest first."""

from __future__ import annotations

import csv
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer

from nvsx.commands.help_examples import marked
from nvsx.commands.history import upkeep_command
from nvsx.commands.history.run_filters import (
    Node,
    OnlySandbox,
    Outcome,
    Runbook,
    Since,
    Tag,
    Until,
    filter_runs,
    format_length,
    format_minute,
)
from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.journal.run_rows import RunRow
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_table
from nvsx.store import run_list


def register(app: typer.Typer) -> None:
    """Add the command, and those below it, to `app`."""
    past = typer.Typer(rich_markup_mode=None)
    past.callback(invoke_without_command=True, help=marked(inspect.getdoc(history) or ""))(history)
    upkeep_command.register(past)
    app.add_typer(past, name="history")


def history(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    node: Node = "",
    runbook: Runbook = "",
    outcome: Outcome = "",
    tag: Tag = "",
    since: Since = "",
    until: Until = "",
    incident: Annotated[
        str, typer.Option(help="The runs of one incident.", metavar="INCIDENT")
    ] = "",
    sandbox: OnlySandbox = False,
    limit: Annotated[int, typer.Option(help="At most so many; 0 for all.", metavar="N")] = 50,
    output: Annotated[
        str, typer.Option("-o", "--output", help="json or csv.", metavar="FORMAT")
    ] = "",
) -> None:
    """Past runs, newest first. Sandbox and drill runs are kept apart.

    Examples:
      nvsx history --node brave-gazelle --since 30d
      nvsx history --outcome failed -o json | jq -r '.[].run_id'
      nvsx history --incident i-20261122-1431-7k3f
      nvsx history --sandbox
    """
    if ctx.invoked_subcommand is not None:
        return
    if output not in ("", "json", "csv"):
        raise UsageError(f"output format {output!r} is not known here", "use -o json or -o csv")
    home: Home = ctx.obj
    wanted = filter_runs(home, node, runbook, outcome, tag, since, until, sandbox)
    if incident:
        wanted = msgspec.structs.replace(wanted, incident=incident, kind="all")
    rows = run_list.list_runs(home.state_dir, wanted, limit or None)
    of = run_list.find_incidents(home.state_dir, rows) if rows else {}
    if output == "json":
        fields = [_run_as_fields(row, of.get(row.run_id, "")) for row in rows]
        typer.echo(json.dumps(fields, indent=2))
    elif output == "csv":
        _print_csv(rows, of)
    else:
        _print_history(rows, of, limit, sandbox)


def _run_as_fields(row: RunRow, incident: str) -> dict[str, Any]:
    """A run as JSON and CSV have it; the format only grows."""
    return {
        "run_id": row.run_id,
        "runbook": row.runbook,
        "node": row.node,
        "alias": alias_of(row.node) if row.node else "",
        "cluster": row.cluster,
        "trigger": row.trigger,
        "outcome": row.status,
        "degraded": row.degraded,
        "began": round(row.created, 3),
        "finished": round(row.finished, 3) if row.finished is not None else None,
        "total_s": round(row.finished - row.created, 3) if row.finished is not None else None,
        "mttr_s": row.mttr_s,
        "reason": row.reason,
        "session": row.session_key,
        "sandbox": row.sandbox,
        "drill": row.drill,
        "project": row.project,
        "incident": incident,
    }


def _print_csv(rows: Sequence[RunRow], of: Mapping[str, str]) -> None:
    if not rows:
        return
    fields = [_run_as_fields(row, of.get(row.run_id, "")) for row in rows]
    out = csv.DictWriter(sys.stdout, list(fields[0]), lineterminator="\n")
    out.writeheader()
    out.writerows(fields)


def _print_history(
    rows: Sequence[RunRow], of: Mapping[str, str], limit: int, sandbox: bool
) -> None:
    if not rows:
        other = "" if sandbox else "; sandbox and drill runs are under --sandbox"
        typer.echo(f"no such runs{other}", err=True)
        return
    cells = []
    for row in rows:
        node = f"{row.node} ({alias_of(row.node)})" if row.node else "-"
        took = format_length(row.finished - row.created) if row.finished is not None else "-"
        outcome = row.status + (" (degraded)" if row.degraded else "")
        cells.append(
            (
                row.run_id,
                format_minute(row.created),
                row.runbook,
                node,
                outcome,
                took,
                format_length(row.mttr_s),
                of.get(row.run_id, "-"),
            )
        )
    print_table(
        ("RUN", "BEGAN", "RUNBOOK", "NODE", "OUTCOME", "TOOK", "TO REPAIR", "INCIDENT"), cells
    )
    if limit and len(rows) == limit:
        typer.echo(f"the newest {limit}; more with --limit", err=True)
