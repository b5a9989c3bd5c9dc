"""`nvsx incidents`: list, show, note, close, adopt.

These commands work on the store in the state folder, whether a daemon runs or not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from nvsx.commands.author import who
from nvsx.commands.history.run_filters import OnlySandbox, Since, parse_time
from nvsx.commands.incidents_desk import (
    IncidentDesk,
    open_incident_desk,
    refuse_closed,
)
from nvsx.commands.output_option import Output, wants_json
from nvsx.core.aliases import alias_of
from nvsx.core.errors import NvsxError, UsageError
from nvsx.core.incident.incident_store import IncidentRow
from nvsx.follow.situation import read_account
from nvsx.project.home import Home
from nvsx.screens.incident_text import LIST_HEAD, cells_of_row, page_lines
from nvsx.screens.text_tables import print_lines, print_table

T = TypeVar("T")

incidents_app = typer.Typer(
    help="Incidents, from the first fault on a node to its return: list, show, note, close, adopt.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Incident = Annotated[
    str,
    typer.Argument(
        help="The incident's id, a run's id, or a node's name or alias: its open or latest one.",
        metavar="INCIDENT",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command, and those below it, to `app`."""
    app.add_typer(incidents_app, name="incidents")


def at_incident_desk(home: Home, work: Callable[[IncidentDesk], Awaitable[T]]) -> T:
    """Do `work` at an open desk; what it returns."""

    async def do() -> T:
        async with open_incident_desk(home) as desk:
            return await work(desk)

    return asyncio.run(do())


@incidents_app.command("list")
def list_incidents(
    ctx: typer.Context,
    every: Annotated[
        bool, typer.Option("--all/--open", "-a", help="Those that are over too; open ones first.")
    ] = False,
    node: Annotated[str, typer.Option(help="A node's name or alias.", metavar="NODE")] = "",
    since: Since = "",
    sandbox: OnlySandbox = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", help="At most so many.", min=1, max=10_000)
    ] = 50,
    output: Output = None,
) -> None:
    """The open incidents, newest first; with --all those that are over below them.

    Those on sandboxes and of drills are kept apart: a sandbox that is gone ends none of its own.

    Examples:
      nvsx incidents list
      nvsx incidents list --all --node brave-gazelle --since 30d -o json
    """
    as_json = wants_json(output)
    begun = parse_time(since, time.time()) if since else None
    rows = IncidentDesk(ctx.obj).list_rows(
        node, only_open=not every, sandbox=sandbox, since=begun, limit=limit
    )
    if as_json:
        typer.echo(json.dumps([_row_as_fields(row) for row in rows], indent=2))
        return
    if not rows:
        other = "" if sandbox else "; those on sandboxes and of drills are under --sandbox"
        typer.echo(f"no incident is {'known' if every else 'open'}{other}")
        return
    _print_rows(rows)
    if len(rows) == limit:
        typer.echo(f"the first {limit}; more with --limit", err=True)


def _print_rows(rows: Sequence[IncidentRow]) -> None:
    print_table(LIST_HEAD, [cells_of_row(row) for row in rows], give_way=(2, 1))


def _row_as_fields(row: IncidentRow) -> dict[str, Any]:
    """An incident as JSON; the format only grows."""
    told: dict[str, Any] = msgspec.to_builtins(row)
    return told | {"alias": alias_of(row.node)}


@incidents_app.command()
def show(ctx: typer.Context, incident: Incident, output: Output = None) -> None:
    """What has happened in an incident, how it stands now, and what keeps it open.

    Examples:
      nvsx incidents show brave-gazelle
      nvsx incidents show i-20261122-1431-7k3f -o json
    """
    as_json = wants_json(output)

    row = at_incident_desk(ctx.obj, lambda desk: desk.find(incident))
    account = read_account(ctx.obj, row)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(account), indent=2))
    else:
        print_lines(page_lines(account, time.time()))


@incidents_app.command()
def note(
    ctx: typer.Context,
    incident: Incident,
    text: Annotated[list[str], typer.Argument(help="What to write down.")],
) -> None:
    """Write a note into an incident's record, with your name; also when it is over.

    Example: nvsx incidents note brave-gazelle vendor called, case 4711
    """
    words = " ".join(text).strip()
    if not words:
        raise UsageError("a note says something", "nvsx incidents note INCIDENT TEXT")

    async def work(desk: IncidentDesk) -> IncidentRow:
        row = await desk.find(incident)
        await desk.note(row, words, who())
        return row

    row = at_incident_desk(ctx.obj, work)
    typer.echo(f"noted on incident {row.incident}, {row.node} ({alias_of(row.node)})")


@incidents_app.command()
def close(
    ctx: typer.Context,
    incident: Incident,
    reason: Annotated[str, typer.Option(help="Why; goes into the record.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End an incident by hand. The node is not touched, and nothing on it is repaired.

    What is still wrong with the node opens no incident by itself again: only a new event, a new
    fault, or an alert that fires anew does.

    Example: nvsx incidents close brave-gazelle --reason "node goes back to the vendor"
    """
    if not reason.strip():
        raise UsageError("a close has a reason", "add --reason …")

    row = at_incident_desk(ctx.obj, lambda desk: desk.find(incident))
    if row.ended is not None:
        raise refuse_closed(row)
    _agree_to_close(row, yes=yes)
    at_incident_desk(ctx.obj, lambda desk: desk.close(row, reason.strip(), who()))
    typer.echo(f"closed incident {row.incident}, {row.node} ({alias_of(row.node)})")


@incidents_app.command()
def adopt(
    ctx: typer.Context,
    node: Annotated[
        list[str],
        typer.Argument(help="Nodes by name or alias, or incidents by id.", metavar="NODE..."),
    ],
) -> None:
    """Have runs and pages for incidents that were open when nvsx first looked at their cluster.

    nvsx follows such incidents and pages nobody for them. The daemon that serves their cluster
    from this state folder takes up within half a minute those that are adopted.

    Example: nvsx incidents adopt brave-gazelle gpu-node-a1
    """

    async def work(desk: IncidentDesk) -> list[IncidentRow]:
        rows = [await desk.find(each) for each in node]
        for row in rows:
            await desk.refuse_to_adopt(row)
        for row in rows:
            await desk.adopt(row, who())
        return rows

    for row in at_incident_desk(ctx.obj, work):
        typer.echo(
            f"adopted incident {row.incident}, {row.node} ({alias_of(row.node)}): a daemon that "
            "serves its cluster starts the runbook of its fault, and pages"
        )


def _agree_to_close(row: IncidentRow, *, yes: bool) -> None:
    """Raises UsageError where nobody can be asked, NvsxError after a no."""
    if yes:
        return
    what = f"{row.incident} on {row.node} ({alias_of(row.node)}), {row.state}"
    again = f"nvsx incidents show {row.incident}"
    if not sys.stdin.isatty():
        raise UsageError(f"nothing was closed: {what}", "add --yes")
    if not typer.confirm(f"close {what}?", default=False, err=True):
        raise NvsxError("nothing was closed", again)
