"""`nvsx runs`: the runs of this state folder, whoever works them.

These commands work on the store in the state folder, whether a daemon runs or not. What
they ask of a run is a row there, which the run's owner heeds within a second, also after a
restart.
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

from nvsx.commands.output_option import Output, wants_json
from nvsx.commands.runs.runs_desk import Desk, open_desk
from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.journal.past_runs import RunFilter
from nvsx.core.journal.run_rows import RunRow
from nvsx.follow.stalls import StallBook
from nvsx.project.home import Home
from nvsx.screens.jsonl import JsonlView
from nvsx.screens.line_writer import PatientOutput, wants_colour
from nvsx.screens.plain import PlainView
from nvsx.screens.text_tables import print_table
from nvsx.store import run_list

T = TypeVar("T")

runs_app = typer.Typer(
    help="Runs, a daemon's and those by hand: list, show, follow, cancel, note.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Run = Annotated[str, typer.Argument(help="The run's id.", metavar="RUN")]
MaybeRun = Annotated[
    str | None,
    typer.Argument(help="The run's id; else the newest.", metavar="RUN", show_default=False),
]
Limit = Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1, max=10_000)]
Format = Annotated[
    str | None,
    typer.Option("-o", "--output", help="jsonl: one event a line.", metavar="FORMAT"),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.add_typer(runs_app, name="runs")


def at_desk(ctx: typer.Context, work: Callable[[Desk], Awaitable[T]]) -> T:
    """Do `work` at an open desk; what it returns."""
    home: Home = ctx.obj

    async def do() -> T:
        async with open_desk(home) as desk:
            return await work(desk)

    return asyncio.run(do())


@runs_app.command("list")
def list_runs(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", "-a", help="Finished ones too.")] = False,
    limit: Limit = 50,
    output: Output = None,
) -> None:
    """The runs under way, newest first; also those by hand.

    Example: nvsx runs list --all -o json
    """
    as_json = wants_json(output)
    home: Home = ctx.obj
    rows = run_list.list_runs(home.state_dir, RunFilter(kind="all", active=not every), limit)
    aside = _set_aside(ctx.obj, rows)
    if as_json:
        told = [_as_json(row) | {"set_aside": row.run_id in aside} for row in rows]
        typer.echo(json.dumps(told, indent=2))
        return
    if not rows:
        typer.echo("no run is under way" if not every else "there are no runs yet")
        return
    print_table(
        ("RUN", "RUNBOOK", "NODE", "STATUS", "TRIGGER", "AGE"),
        [_row_as_cells(row, set_aside=row.run_id in aside) for row in rows],
    )
    for row in rows:
        if row.run_id in aside:
            typer.echo(
                f"set aside, since the daemon stalled in it twice: {row.run_id}; take it up again "
                f"with `nvsx run {row.runbook} --resume {row.run_id}`",
                err=True,
            )


def _set_aside(home: Home, rows: Sequence[RunRow]) -> set[str]:
    """The unfinished runs that no daemon resumes any more."""
    book = StallBook(home.state_dir)
    waiting = (row.run_id for row in rows if row.finished is None and not row.alive)
    return {run_id for run_id in waiting if book.is_set_aside(run_id)}


def _as_json(row: RunRow) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(row)
    return told | {"alias": alias_of(row.node) if row.node else ""}


def _row_as_cells(row: RunRow, *, set_aside: bool = False) -> tuple[str, ...]:
    node = f"{row.node} ({alias_of(row.node)})" if row.node else "-"
    status = f"{row.status} (degraded)" if row.degraded else row.status
    status = "set aside" if set_aside else status
    age = durations.format(max(0, round((row.finished or time.time()) - row.created)))
    return (row.run_id, row.runbook, node, status, row.trigger, age)


@runs_app.command()
def show(ctx: typer.Context, run: MaybeRun = None, output: Format = None) -> None:
    """What has happened in a run so far.

    Example: nvsx runs show r-20261122-1431-7k3f
    """
    watch(ctx, run, output, follow=False)


@runs_app.command()
def follow(ctx: typer.Context, run: MaybeRun = None, output: Format = None) -> None:
    """What has happened in a run, and what happens, until it ends. Ctrl-C ends only this.

    Example: nvsx runs follow -o jsonl | jq .
    """
    watch(ctx, run, output, follow=True)


def watch(ctx: typer.Context, run: str | None, output: str | None, *, follow: bool) -> None:
    """Print a run's journal as it is, or on to its end with `follow`."""
    if output not in (None, "jsonl", "json"):
        raise UsageError(f"output format {output!r} is not known here", "use -o jsonl")
    out = PatientOutput(sys.stdout.buffer)
    # Text where nothing else was asked for: these commands are for reading along.
    view = JsonlView(out) if output else PlainView(out, colour=wants_colour(sys.stdout))

    async def work(desk: Desk) -> None:
        run_id = run or await desk.latest()
        if follow:
            async for entry in desk.journal.follow(run_id):
                view.show(entry)
        else:
            for entry in await desk.journal.read(run_id):
                view.show(entry)

    at_desk(ctx, work)


@runs_app.command()
def cancel(
    ctx: typer.Context,
    run: Run,
    reason: Annotated[str, typer.Option(help="Goes into the record.")] = "cancelled by a person",
) -> None:
    """End a run early: its script is stopped, then postmortem runs. Or drop a dead one.

    Example: nvsx runs cancel r-20261122-1431-7k3f --reason "node was replaced"
    """
    typer.echo(at_desk(ctx, lambda desk: desk.cancel(run, reason)))


@runs_app.command()
def note(
    ctx: typer.Context,
    run: Run,
    text: Annotated[list[str], typer.Argument(help="What to write down.")],
) -> None:
    """Write a note into a run's record, with your name.

    Example: nvsx runs note r-20261122-1431-7k3f vendor called, case 4711
    """
    typer.echo(at_desk(ctx, lambda desk: desk.note(run, " ".join(text))))
