"""`nvsx silence`: no new runs for a node in maintenance."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Annotated

import msgspec
import typer

from nvsx.commands.author import who
from nvsx.commands.output_option import Output, wants_json
from nvsx.commands.runs.runs_command import at_desk
from nvsx.commands.runs.runs_desk import open_desk
from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.errors import ClusterError, NvsxError, UsageError
from nvsx.core.routing.inbox import Silence
from nvsx.follow.cluster_access import open_cluster
from nvsx.follow.target_node import resolve_target_node
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_table


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("silence")(silence)


def silence(
    ctx: typer.Context,
    node: Annotated[
        str | None,
        typer.Argument(help="Name or alias; without one, the silences in force.", metavar="NODE"),
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="How long: 30m, 2h, 1d.", metavar="DURATION")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; others will read it.")] = "",
    end: Annotated[bool, typer.Option("--end", help="End the silence of NODE now.")] = False,
    output: Output = None,
) -> None:
    """No new runs for a node in maintenance. Runs that go on are not touched.

    Examples:
      nvsx silence gpu-node-a1 --for 2h --reason "swapping a riser"
      nvsx silence
      nvsx silence gpu-node-a1 --end
    """
    as_json = wants_json(output)
    if node is None:
        _list_silences(ctx, as_json=as_json)
        return
    if end:
        if not at_desk(ctx, lambda desk: desk.inbox.end_silence(node, time.time())):
            raise UsageError(f"{node} is not silenced", "`nvsx silence` lists the silences")
        typer.echo(f"{node} is not silenced any more")
        _name_state_folder(ctx)
        return
    if for_ is None or not reason.strip():
        raise UsageError("a silence has an end and a reason", "add --for 2h --reason …")
    seconds = _parse_length(for_)
    made, warning = asyncio.run(make_silence(ctx.obj, node, seconds, reason.strip()))
    if warning:
        print(f"nvsx: {warning}", file=sys.stderr)
    until = time.strftime("%H:%M on %Y-%m-%d", time.localtime(made.until))
    typer.echo(f"{made.node} ({alias_of(made.node)}) is silenced until {until}: {made.reason}")
    _name_state_folder(ctx)


def _name_state_folder(ctx: typer.Context) -> None:
    """Say where it was written: a daemon with another state folder does not learn of it."""
    print(f"nvsx: for the daemon with the state folder {ctx.obj.state_dir}", file=sys.stderr)


def _parse_length(text: str) -> float:
    try:
        seconds = durations.parse(text)
    except ValueError as exc:
        raise UsageError(f"--for {text!r}: {exc}", "for example --for 2h") from None
    if seconds <= 0:
        raise UsageError("a silence lasts longer than nothing", "for example --for 2h")
    return seconds


def _list_silences(ctx: typer.Context, *, as_json: bool) -> None:
    now = time.time()
    found = at_desk(ctx, lambda desk: desk.inbox.silences(now))
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(s) for s in found], indent=2))
        return
    if not found:
        typer.echo("no node is silenced")
        return
    rows = [
        (
            f"{s.node} ({alias_of(s.node)})",
            durations.format(max(1, round(s.until - now))),
            s.by,
            s.reason,
        )
        for s in found
    ]
    print_table(("NODE", "LEFT", "BY", "REASON"), rows)


async def make_silence(home: Home, node: str, seconds: float, reason: str) -> tuple[Silence, str]:
    """Keep events from starting runs on a node; the silence, and a warning or "".

    The node's name (or alias) is checked where the cluster can be read; where it cannot,
    the silence holds for that name in any cluster. Raises UsageError, StoreError.
    """
    cluster, warning = "", ""
    try:
        cluster, node = await _find_node_and_cluster(home, node)
    except ClusterError as error:
        warning = f"the name was not checked, the cluster cannot be read: {error.message}"
    now = time.time()
    made = Silence(
        cluster=cluster, node=node, until=now + seconds, reason=reason, by=who(), created=now
    )
    async with open_desk(home) as desk:
        await desk.inbox.silence(desk.masker.value(made))
    return made, warning


async def _find_node_and_cluster(home: Home, node: str) -> tuple[str, str]:
    try:
        async with open_cluster(home) as opened:
            return opened.where.cluster, await resolve_target_node(opened.observer, node)
    except (ClusterError, UsageError):
        raise
    except NvsxError as error:  # no kubectl, no context: the cluster cannot be read either
        raise ClusterError(error.message, error.hint) from error
