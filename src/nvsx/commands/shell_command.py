"""`nvsx shell` and `nvsx status`: the operator shell, and what is going on now.

The shell is told here what can be typed, read off the application itself, and how to run
it: through the same boundary as the command line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import typer

from nvsx.commands.runbook_commands import Output, wants_json
from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.project.home import Home

if TYPE_CHECKING:
    from nvsx.core.journal.run_rows import RunRow
    from nvsx.follow.situation import ClusterSituation, IncidentStatus
    from nvsx.screens.shell.grammar import Command

#: What a parameter's value names, by the parameter's name.
KINDS = {
    "runbook": "runbook",
    "target_node": "node",
    "node": "node",
    "run": "run",
    "resume": "run",
    "variant": "variant",
    "fault": "fault",
    "source": "sender",
}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("shell")(shell)
    app.command("status", hidden=True)(status)


def shell(ctx: typer.Context) -> None:
    """The operator shell: the same commands, with completion and history.

    `nvsx` alone on a terminal opens it too. From a pipe it reads a command a line, and ends
    with the exit code of the last.

    Examples:
      nvsx shell
      echo 'status' | nvsx shell
    """
    raise typer.Exit(start(ctx))


def start(ctx: typer.Context) -> int:
    """The shell, with the global options it was started with."""
    from nvsx.commands import boundary
    from nvsx.commands.main import hoisted
    from nvsx.screens.shell import run_shell

    home: Home = ctx.obj
    given = [("--project", home.project_flag), ("--context", home.context)]
    options = [word for name, value in given if value is not None for word in (name, value)]
    root: Any = ctx.find_root().command
    return run_shell(home, grammar(root), lambda words: boundary.run(hoisted([*options, *words])))


def on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def grammar(command: Any, name: str = "", *, inside: bool = True) -> Command:
    """What can be typed after a command of the application, itself and those below it.

    `inside` the operator shell there is no `shell`, and `status`, which is hidden elsewhere.
    """
    from nvsx.screens.shell.grammar import Argument, Command, Option

    options, arguments = [], []
    for parameter in command.params:
        kind = KINDS.get(parameter.name, "")
        if parameter.param_type_name == "argument":
            arguments.append(Argument(kind, parameter.required, parameter.nargs != 1))
        elif not parameter.hidden:
            names = (*parameter.opts, *parameter.secondary_opts)
            options.append(Option(names, not parameter.is_flag, kind, parameter.help or ""))
    options.append(Option(("-h", "--help"), help="Show help and exit."))
    below = {
        word: grammar(sub, word, inside=inside)
        for word, sub in getattr(command, "commands", {}).items()
        if not (word == "shell" if inside else sub.hidden)
    }
    first = (command.help or "").strip().partition("\n\n")[0]
    return Command(name, " ".join(first.split()), tuple(options), tuple(arguments), below)


# --- status -------------------------------------------------------------------------------


def status(ctx: typer.Context, output: Output = None) -> None:
    """What is going on now: modules, nodes in an incident, breaker, runs under way.

    Exit code 3 when the cluster cannot be read.

    Example:
      nvsx status
    """
    from nvsx.follow import situation as now

    as_json = wants_json(output)
    found = asyncio.run(now.read_situation(ctx.obj))
    if as_json:
        import msgspec

        typer.echo(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        for line in lines(found, time.time()):
            typer.echo(line)
        for problem in found.problems:
            typer.echo(f"nvsx: {problem}", err=True)
    if found.problems:
        raise typer.Exit(3)


def lines(found: ClusterSituation, now: float) -> list[str]:
    """A status as text; `now` in Unix seconds."""
    told = _nvsentinel(found) if found.context else []
    told += [*([""] if told else []), f"runs under way: {len(found.runs) or 'none'}"]
    told += [f"  {_run(row, now)}" for row in found.runs]
    return told


def _nvsentinel(found: ClusterSituation) -> list[str]:
    told = [f"context {found.context}{' · sandbox' if found.sandbox else ''}"]
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
    told += ["", f"nodes in an incident: {len(found.incidents) or 'none'}"]
    for incident in found.incidents:
        told += _incident(incident)
    return told


def _incident(incident: IncidentStatus) -> list[str]:
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


def _run(row: RunRow, now: float) -> str:
    node = f"{row.node} ({alias_of(row.node)})" if row.node else "no node yet"
    kind = " · sandbox" if row.sandbox else " · drill" if row.drill else ""
    return (
        f"{row.run_id}  {row.runbook} on {node}{kind}  {row.status}, "
        f"began {durations.format(round(max(0.0, now - row.created)))} ago"
    )
