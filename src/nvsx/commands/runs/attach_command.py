"""`nvsx attach`: the flight deck on a run that another process works."""

from __future__ import annotations

import asyncio

import typer

from nvsx.commands.run.run_command import can_fly
from nvsx.commands.runs.runs_command import Format, MaybeRun, at_desk, watch
from nvsx.commands.runs.runs_desk import Desk
from nvsx.core.journal.entries import Finish
from nvsx.core.ports import View
from nvsx.screens.deck.flight import fly


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("attach")(attach)


def attach(ctx: typer.Context, run: MaybeRun = None, output: Format = None) -> None:
    """Follow a run that another process works, on the flight deck. Leaving lets it go on.

    Examples:
      nvsx attach
      nvsx attach r-20261122-1431-7k3f -o jsonl
    """
    if output or not can_fly():
        watch(ctx, run, output, follow=True)
        return
    at_desk(ctx, lambda desk: _on_deck(desk, run, ctx))


async def _on_deck(desk: Desk, run: str | None, ctx: typer.Context) -> None:
    run_id = run or await desk.latest()
    wishes: set[asyncio.Task[str]] = set()

    def cancel(by: str) -> None:
        """Only the deck's own key ends the run: a signal here is about this terminal."""
        if by == "operator":
            wishes.add(asyncio.ensure_future(desk.cancel(run_id, "cancelled from the deck")))

    async def follow(view: View) -> Finish:
        async for entry in desk.journal.follow(run_id):
            view.show(entry)
        bodies = (entry.body for entry in await desk.journal.read(run_id))
        return next(body for body in bodies if isinstance(body, Finish))

    await fly(
        follow,
        on_cancel=cancel,
        artifacts=str(ctx.obj.artifacts_dir),
        owns_run=False,
        linger=None,
    )
    await asyncio.gather(*wishes)
