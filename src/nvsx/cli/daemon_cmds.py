"""`nvsx runs`, `explain` and `silence`: a daemon's runs, events and silences.

They work on the store in the state folder, whether a daemon runs or not. What they ask of
a run is a row there, which the run's owner heeds within a second, also after a restart.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nvsx.bootstrap.home import Home
from nvsx.cli.run_cmd import views_for
from nvsx.cli.runbook_cmds import Output, wants_json
from nvsx.cli.tables import print_table
from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError

if TYPE_CHECKING:
    from nvsx.bootstrap.desk import Desk
    from nvsx.core.inbox import Received
    from nvsx.core.ports import RunRow
    from nvsx.core.routing import Explanation

T = TypeVar("T")

runs_app = typer.Typer(help="A daemon's runs.", no_args_is_help=True, rich_markup_mode=None)

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
    """Add the commands to `app`."""
    app.add_typer(runs_app, name="runs")
    app.command("explain")(explain)
    app.command("silence")(silence)


def at_desk(ctx: typer.Context, work: Callable[[Desk], Awaitable[T]]) -> T:
    """Do `work` at an open desk; what it returns."""
    from nvsx.bootstrap.desk import open_desk

    home: Home = ctx.obj

    async def do() -> T:
        async with open_desk(home) as desk:
            return await work(desk)

    return asyncio.run(do())


# --- runs ---------------------------------------------------------------------------------


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
    rows = at_desk(ctx, lambda desk: desk.journal.runs(active=not every, limit=limit))
    if as_json:
        typer.echo(json.dumps([_as_json(row) for row in rows], indent=2))
        return
    if not rows:
        typer.echo("no run is under way" if not every else "there are no runs yet")
        return
    _table(("RUN", "RUNBOOK", "NODE", "STATUS", "TRIGGER", "AGE"), [_cells(row) for row in rows])


def _as_json(row: RunRow) -> dict[str, Any]:
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(row)
    return told | {"alias": alias_of(row.node) if row.node else ""}


def _cells(row: RunRow) -> tuple[str, ...]:
    node = f"{row.node} ({alias_of(row.node)})" if row.node else "-"
    status = f"{row.status} (degraded)" if row.degraded else row.status
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
    # Text where nothing else was asked for: these commands are for reading along.
    views = views_for(as_jsonl=True, plain=False, verbose=False) if output else _text()

    async def work(desk: Desk) -> None:
        run_id = run or await desk.latest()
        try:
            if follow:
                async for entry in desk.journal.follow(run_id):
                    for view in views[:1]:
                        view.show(entry)
            else:
                for entry in await desk.journal.read(run_id):
                    for view in views[:1]:
                        view.show(entry)
        finally:
            for view in views:
                await view.close()

    at_desk(ctx, work)


def _text() -> Sequence[Any]:
    return views_for(as_jsonl=False, plain=True, verbose=False)


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


# --- events -------------------------------------------------------------------------------


def explain(
    ctx: typer.Context,
    event: Annotated[
        str | None,
        typer.Argument(
            help="An event's or a run's id; a file with --source. Else the latest events.",
            metavar="EVENT",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Explain a message of this source, offline.", metavar="S")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="With --source: a header, 'Name: value'.", show_default=False),
    ] = None,
    limit: Limit = 20,
    output: Output = None,
) -> None:
    """Why an event did, or did not, fire a runbook.

    Examples:
      nvsx explain
      nvsx explain e-20261122-153250-1f2e3d4c
      nvsx explain --source pagerduty body.json
    """
    as_json = wants_json(output)
    if source is not None:
        typer.echo(_offline(ctx.obj, source, event, header or [], as_json=as_json))
        return
    found = at_desk(ctx, lambda desk: desk.events(event, limit))
    if as_json:
        import msgspec

        typer.echo(json.dumps([msgspec.to_builtins(e) for e in found], indent=2))
    elif event is None or event.startswith("r-"):
        if not found:
            typer.echo("no event has come yet")
            return
        rows = [_event_cells(e) for e in found]
        _table(("EVENT", "SOURCE", "NODE", "WHAT", "OUTCOME", "WHY"), rows)
    else:
        typer.echo("\n".join(_plain(line) for line in _event_lines(found[0])))


def _event_cells(event: Received) -> tuple[str, ...]:
    facts = event.facts
    what = f"{facts.check_name} {','.join(facts.error_codes)}".strip() or "-"
    outcome = f"{event.outcome} ×{event.repeats + 1}" if event.repeats else event.outcome
    why = f"{event.run_id}: {event.reason}" if event.run_id else event.reason
    return (event.event_id, event.source, facts.node or "-", what, outcome, why)


def _event_lines(event: Received) -> list[str]:
    facts = event.facts
    said = {
        "received": time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(event.received)),
        "source": event.source + (", late" if event.late else ""),
        "node": f"{facts.node} ({alias_of(facts.node)})" if facts.node else "",
        "check": facts.check_name,
        "error code": ", ".join(facts.error_codes),
        "fatal": "" if not facts.check_name else "yes" if facts.is_fatal else "no",
        "strategy": facts.processing_strategy if facts.check_name else "",
        "cluster": facts.cluster,
        "message": facts.message,
        "repeated": f"{event.repeats} times" if event.repeats else "",
        "run": event.run_id,
    }
    lines = [f"{event.event_id}: {event.outcome}: {event.reason}", ""]
    lines += [f"  {name:<10}  {value}" for name, value in said.items() if value]
    if event.steps:
        lines += ["", "how it was read", *(f"  {step}" for step in event.steps)]
    if event.explanations:
        lines += ["", "runbooks"]
        for one in sorted(event.explanations, key=lambda e: e.best is None):
            lines += _explained(one)
    return lines


def _explained(one: Explanation) -> list[str]:
    head = f"  {'✓' if one.best else '·'} {one.runbook}"
    rules = [f"      {'✓' if r.matched else '✗'} {r.rule}: {r.reason}" for r in one.rules]
    return [head, *(rules or ["      it has no rule that events could match"])]


def _offline(
    home: Home, source: str, file: str | None, headers: Sequence[str], *, as_json: bool
) -> str:
    from nvsx.core.catalog import LoadedRunbook
    from nvsx.nvsentinel import decoding
    from nvsx.project import cel, loader
    from nvsx.triggers.explain import explain_offline

    given = {}
    for text in headers:
        name, colon, value = text.partition(":")
        if not colon:
            raise UsageError(f"--header {text!r} has no colon", "write it as 'Name: value'")
        given[name.strip()] = value.strip()
    entries = loader.discover(home.project.root)
    told = explain_offline(
        source,
        _body(file),
        given,
        home.settings.serve.sources,
        [e.runbook for e in entries if isinstance(e, LoadedRunbook)],
        read_health_event=decoding.cloudevent,
        evaluate=cel.evaluate,
        compute=cel.value,
    )
    return json.dumps(told.json(), indent=2) if as_json else told.text()


def _body(file: str | None) -> bytes:
    if file is None:
        raise UsageError("which message?", "nvsx explain --source S body.json, or - for stdin")
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from None


# --- silences -----------------------------------------------------------------------------


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
        return
    if for_ is None or not reason.strip():
        raise UsageError("a silence has an end and a reason", "add --for 2h --reason …")
    from nvsx.bootstrap import desk as desks

    seconds = _seconds(for_)
    made, warning = asyncio.run(desks.silence(ctx.obj, node, seconds, reason.strip()))
    if warning:
        print(f"nvsx: {warning}", file=sys.stderr)
    until = time.strftime("%H:%M on %Y-%m-%d", time.localtime(made.until))
    typer.echo(f"{made.node} ({alias_of(made.node)}) is silenced until {until}: {made.reason}")


def _seconds(text: str) -> float:
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
        import msgspec

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
    _table(("NODE", "LEFT", "BY", "REASON"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    print_table(head, [tuple(_plain(cell) for cell in row) for row in rows])


def _plain(text: str) -> str:
    """`text` without what could move a terminal's cursor: senders chose it."""
    return "".join(c if c.isprintable() else " " for c in text)
