"""`nvsx history prune`, `export`, `import` and `backup`: upkeep of the record of past runs.

All of them may run beside a daemon. Only `prune` deletes, and only after a yes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from nvsx.bootstrap.home import Home
from nvsx.core import durations
from nvsx.core.errors import NvsxError, UsageError


def register(app: typer.Typer) -> None:
    """Add the commands to `app`, which is `nvsx history`."""
    app.command("prune")(prune)
    app.command("export")(export)
    app.command("import")(import_)
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
    from nvsx.bootstrap import upkeep

    home: Home = ctx.obj
    try:
        age = durations.parse(older_than) if older_than else home.settings.history.keep
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from None
    before = upkeep.prune_before(age, time.time())
    found = asyncio.run(upkeep.prunable(home, before))
    what = f"{len(found)} runs that ended more than {durations.format(age)} ago"
    if not found:
        typer.echo(f"nothing to delete: no {what[2:]}", err=True)
        return
    if dry_run:
        typer.echo(f"would delete {what}, {found[0].run_id} to {found[-1].run_id}")
        return
    if not yes:
        _ask(f"Delete {what}{' and their artifacts' if artifacts else ''}?")
    gone, folders = asyncio.run(upkeep.prune_now(home, before, artifacts=artifacts))
    typer.echo(f"deleted {gone} runs" + (f", {folders} artifact folders" if artifacts else ""))


def _ask(question: str) -> None:
    """Go on only after an explicit yes."""
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody is there to agree: nothing was deleted", "add --yes, or --dry-run to look"
        )
    if not typer.confirm(question, default=False, err=True):
        raise NvsxError("nothing was deleted")


def export(
    ctx: typer.Context,
    since: Annotated[
        str, typer.Option(help="Runs not before: 7d (ago), 2026-11-01.", metavar="WHEN")
    ] = "",
    until: Annotated[str, typer.Option(help="Runs before: as --since.", metavar="WHEN")] = "",
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Sandbox and drill runs instead.")
    ] = False,
) -> None:
    """Write the journals of finished runs to standard output, one JSON object a line.

    Example:
      nvsx history export --since 30d > runs.jsonl
    """
    from nvsx.bootstrap import upkeep
    from nvsx.cli.history_cmds import when
    from nvsx.core.pastruns import RunFilter

    now = time.time()
    wanted = RunFilter(
        since=when(since, now) if since else None,
        until=when(until, now) if until else None,
        kind="sandbox" if sandbox else "real",
    )

    async def write() -> int:
        count = 0
        async for journal in upkeep.exported(ctx.obj, wanted):
            typer.echo(journal, nl=False)
            count += 1
        return count

    count = asyncio.run(write())
    typer.echo(f"exported {count} runs", err=True)


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="What export wrote.", metavar="FILE")],
) -> None:
    """Add exported runs to the history: all of the file, or nothing.

    Refused are runs that are there already, and what a newer nvsx wrote. It is one commit:
    bring in many thousand runs while no daemon waits to write.

    Example:
      nvsx history import runs.jsonl
    """
    from nvsx.bootstrap import upkeep

    try:
        with file.open("rb") as lines:
            journals = upkeep.journals_in(lines)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", "name a file of `nvsx history export`"
        ) from None
    count = asyncio.run(upkeep.bring_in(ctx.obj, journals))
    typer.echo(f"imported {count} runs", err=True)


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file.", metavar="FILE")],
) -> None:
    """Copy the whole state, of one moment, into one file; a daemon goes on meanwhile.

    To go back: stop the daemon, delete nvsx.db-wal and nvsx.db-shm in the state folder, and
    put the file in the place of nvsx.db.

    Example:
      nvsx history backup /backup/nvsx-2026-11-22.db
    """
    from nvsx.bootstrap import upkeep

    asyncio.run(upkeep.backup(ctx.obj, file))
    typer.echo(f"wrote {file}", err=True)
