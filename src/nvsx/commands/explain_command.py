"""`nvsx explain`: why an event did, or did not, fire a runbook."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from nvsx.commands.output_option import Output, wants_json
from nvsx.commands.runs.runs_command import Limit, at_desk
from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.core.plain_text import one_line
from nvsx.core.routing.inbox import Received
from nvsx.core.routing.route import Explanation
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.nvsentinel import decoding
from nvsx.project import cel, loader
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_table
from nvsx.serve.webhook.explain_message import Explained, explain_offline


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("explain")(explain)


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
        typer.echo(_explain_offline(ctx.obj, source, event, header or [], as_json=as_json))
        return
    found = ctx.obj.masker.value(at_desk(ctx, lambda desk: desk.events(event, limit)))
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(e) for e in found], indent=2))
    elif event is None or event.startswith("r-"):
        if not found:
            typer.echo("no event has come yet")
            return
        rows = [_event_cells(e) for e in found]
        print_table(("EVENT", "SOURCE", "NODE", "WHAT", "OUTCOME", "WHY"), rows)
    else:
        typer.echo("\n".join(one_line(line) for line in _event_lines(found[0])))


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
            lines += _explanation_lines(one)
    return lines


def _explanation_lines(one: Explanation) -> list[str]:
    head = f"  {'✓' if one.best else '·'} {one.runbook}"
    rules = [f"      {'✓' if r.matched else '✗'} {r.rule}: {r.reason}" for r in one.rules]
    return [head, *(rules or ["      it has no rule that events could match"])]


def _explain_offline(
    home: Home, source: str, file: str | None, headers: Sequence[str], *, as_json: bool
) -> str:
    given = {}
    for text in headers:
        name, colon, value = text.partition(":")
        if not colon:
            raise UsageError(f"--header {text!r} has no colon", "write it as 'Name: value'")
        given[name.strip()] = value.strip()
    told = home.masker.value(_explain_message(home, source, file, given))
    return json.dumps(told.json(), indent=2) if as_json else told.text()


def _explain_message(
    home: Home, source: str, file: str | None, headers: Mapping[str, str]
) -> Explained:
    entries = loader.discover(home.project.root)
    return explain_offline(
        source,
        _read_body(file),
        headers,
        home.settings.serve.sources,
        [e.runbook for e in entries if isinstance(e, LoadedRunbook)],
        read_health_event=decoding.decode_cloudevent,
        evaluate=cel.evaluate,
        compute=cel.value,
    )


def _read_body(file: str | None) -> bytes:
    if file is None:
        raise UsageError("which message?", "nvsx explain --source S body.json, or - for stdin")
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from None
