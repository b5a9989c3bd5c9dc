"""`nvsx history prune` and `backup`: upkeep of the record of past runs.

Both may run beside a daemon. Only `prune` deletes, and only after a yes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from nvsx.core import durations
from nvsx.core.errors import NvsxError, UsageError
from nvsx.project.home import Home


def register(app: typer.Typer) -> None:
    """Add the commands to `app`, which is `nvsx history`."""
    app.command("prune")(prune)
    app.command("backup")(backup)


def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str,
        typer.Option(
            help="What ended longer ago; history.keep, 400d, without.", metavar="DURATION"
        ),
    ] = "",
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Delete their artifact folders too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete old finished runs from the history, sandbox and drill runs too.

    Kept are unfinished runs, those of an open incident, and the last run of a node while it
    did not pass. The database keeps its size; the space is used again. A daemon prunes by
    history.keep once a day.

    Examples:
      nvsx history prune --dry-run
      nvsx history prune --older-than 400d --artifacts --yes
    """
    import asyncio

    from nvsx.serve import history_keeping

    home: Home = ctx.obj
    try:
        age = durations.parse(older_than) if older_than else home.settings.history.keep
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from None
    before = history_keeping.prune_before(age, time.time())
    found = asyncio.run(history_keeping.list_prunable(home, before))
    what = f"{len(found)} runs that ended more than {durations.format(age)} ago"
    if not found:
        typer.echo(f"nothing to delete: no {what[2:]}", err=True)
        return
    if dry_run:
        typer.echo(f"would delete {what}, {found[0].run_id} to {found[-1].run_id}")
        return
    if not yes:
        _ask_to_delete(f"Delete {what}{' and their artifacts' if artifacts else ''}?")
    gone, folders = asyncio.run(history_keeping.prune_now(home, before, artifacts=artifacts))
    typer.echo(f"deleted {gone} runs" + (f", {folders} artifact folders" if artifacts else ""))


def _ask_to_delete(question: str) -> None:
    """Go on only after an explicit yes."""
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody is there to agree: nothing was deleted", "add --yes, or --dry-run to look"
        )
    if not typer.confirm(question, default=False, err=True):
        raise NvsxError("nothing was deleted")


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file.", metavar="FILE")],
) -> None:
    """Copy the whole state, of one moment, into one file; a daemon goes on meanwhile.

    To go back, or to move to another machine: stop the daemon there, delete nvsx.db-wal and
    nvsx.db-shm in its state folder, and put the file in the place of nvsx.db.

    Example:
      nvsx history backup /backup/nvsx-2026-11-22.db
    """
    import asyncio

    from nvsx.serve import history_keeping

    asyncio.run(history_keeping.back_up(ctx.obj, file))
    typer.echo(f"wrote {file}", err=True)
