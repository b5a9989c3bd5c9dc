"""`nvsx run`: what to show where, and the exit code."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import os
import sys
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from nvsx.commands.run.run_options import Reins, RunOptions, check, opening
from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.journal.entries import Finish
from nvsx.core.ports import Fault, View
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.follow import plan
from nvsx.follow.target_node import Choose
from nvsx.project import loader
from nvsx.project.home import Home
from nvsx.screens.deck.flight import fly
from nvsx.screens.jsonl import JsonlView
from nvsx.screens.line_writer import LineWriter, wants_colour
from nvsx.screens.plain import PlainView
from nvsx.screens.text_tables import print_lines
from nvsx.serve.logs import FileLog


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("run")(run)


def run(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    runbook: Annotated[str, typer.Argument(help="Name or nickname.")],
    target_node: Annotated[
        str | None,
        typer.Option(help="Node name or alias; by default the one in an incident.", metavar="NODE"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan; contact nothing.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Readable text instead of the deck.")
    ] = False,
    no_dwell: Annotated[
        bool, typer.Option("--no-dwell", help="No pauses between stages on the deck.")
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="On an embedded cluster, with the drill's fault.")
    ] = False,
    variant: Annotated[
        str | None, typer.Option(help="How the sandbox's fault goes; see `nvsx sandbox faults`.")
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="A rehearsal: nobody is paged, stats leave it out.")
    ] = False,
    live_hooks: Annotated[
        bool, typer.Option("--live-hooks", help="Let a sandbox or drill run page people.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A failing hook fails the run.")] = False,
    resume: Annotated[
        str | None, typer.Option(help="Go on with a run that was cut short.", metavar="RUN")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="jsonl: one event a line.", metavar="FORMAT"),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also show what is still awaited.")
    ] = False,
) -> None:
    """Run a runbook on a node, to postmortem.

    Examples:
      nvsx run gpu-off-bus --sandbox
      nvsx run gpu-off-bus --target-node brave-gazelle
      nvsx run rogue-moose -o jsonl | jq .
    """
    home: Home = ctx.obj
    if output not in (None, "jsonl", "json"):
        raise UsageError(f"output format {output!r} is not known here", "use -o jsonl")
    if variant and not sandbox:
        raise UsageError("--variant is about the sandbox", "add --sandbox")
    options = RunOptions(
        runbook=runbook,
        target_node=target_node,
        sandbox=sandbox,
        variant=variant,
        drill=drill,
        live_hooks=live_hooks,
        strict=strict,
        resume=resume,
        dwell=not no_dwell,
    )
    if dry_run:
        made = plan.Plan(loader.find(home.project.root, runbook))
        if output:
            typer.echo(json.dumps(made.as_json(), indent=2))
        else:
            print_lines(made.lines())
        return
    loaded = check(home, options)
    with _own_troubles(home):
        if not (output or plain) and can_fly():
            raise typer.Exit(asyncio.run(_on_deck(home, options, loaded, verbose=verbose)))
        from nvsx.commands.run.by_hand import run_by_hand

        views = views_for(as_jsonl=bool(output), plain=plain, verbose=verbose)
        finish = asyncio.run(
            _close_views_after(
                run_by_hand(
                    home,
                    options,
                    views,
                    choose=_choice_if_on_terminal(),
                    announce=_announce_to_person,
                ),
                views,
            )
        )
    raise typer.Exit(finish.exit_code)


@contextmanager
def _own_troubles(home: Home) -> Iterator[None]:
    """What goes wrong beside the run is logged to a file, and the person told of it after."""
    log = FileLog(home.state_dir / "nvsx.log", home.masker.mask)
    try:
        with log.kept():
            yield
    finally:
        if log.count:
            _announce_to_person(f"warnings of nvsx itself: {log.count}, in {log.path}")


def can_fly() -> bool:
    """Whether there is a terminal that can show the deck."""
    streams = sys.stdin.isatty() and sys.stdout.isatty()
    return streams and os.environ.get("TERM", "dumb") not in ("dumb", "")


async def _on_deck(home: Home, options: RunOptions, loaded: LoadedRunbook, *, verbose: bool) -> int:
    """Run under the flight deck; the exit code."""
    if not (options.target_node or options.sandbox or options.resume):
        _announce_to_person("looking for a node in an incident; --target-node names one")
        from nvsx.commands.run.by_hand import choose_target

        options = dataclasses.replace(
            options, target_node=await choose_target(home, _ask_which_node)
        )
    reins = Reins()

    async def run(view: View) -> Finish:
        # Imported beside the deck, which has drawn its first frame by then.
        byhand = await asyncio.to_thread(importlib.import_module, "nvsx.commands.run.by_hand")
        finish: Finish = await byhand.run_by_hand(home, options, [view], reins=reins)
        return finish

    landing = await fly(
        run,
        on_cancel=reins.cancel,
        opening=opening(loaded, options),
        snapshot=reins.snapshot,
        artifacts=str(home.artifacts_dir),
        verbose=verbose,
    )
    if landing.finish is not None:
        return landing.finish.exit_code
    return 143 if landing.stopped_by == "SIGTERM" else 130


async def _close_views_after(work: Awaitable[Finish], views: Sequence[View]) -> Finish:
    """`work`, and whatever becomes of it, the views' last lines."""
    try:
        return await work
    finally:
        for view in views:
            await view.close()


def views_for(*, as_jsonl: bool, plain: bool, verbose: bool) -> list[View]:
    """JSONL on a pipe with text beside it on stderr; text on a terminal. No reader of them
    slows the run."""
    out = LineWriter(sys.stdout.buffer)
    if as_jsonl or not (plain or sys.stdout.isatty()):
        err = LineWriter(sys.stderr.buffer)
        return [JsonlView(out), PlainView(err, colour=wants_colour(sys.stderr), verbose=verbose)]
    return [PlainView(out, colour=wants_colour(sys.stdout), verbose=verbose)]


def _announce_to_person(text: str) -> None:
    print(f"nvsx: {text}", file=sys.stderr)


def _choice_if_on_terminal() -> Choose | None:
    """On a terminal a person chooses between several nodes in an incident."""
    return _ask_which_node if sys.stdin.isatty() and sys.stderr.isatty() else None


def _ask_which_node(faults: Sequence[Fault]) -> str | None:
    for i, fault in enumerate(faults, 1):
        codes = ", ".join(fault.event.error_codes)
        line = f"  {i}  {fault.node} ({alias_of(fault.node)})  {fault.event.check} {codes}"
        print(line, file=sys.stderr)
    answer = typer.prompt("which node", err=True)
    known = answer.isdigit() and 0 < int(answer) <= len(faults)
    return faults[int(answer) - 1].node if known else None
