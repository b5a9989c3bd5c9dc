"""`nvsx list`, `show`, `lint` and `schema`: runbooks as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nvsx.core import durations
from nvsx.core.errors import UsageError
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_lines, print_table

Output = Annotated[
    str | None,
    typer.Option("-o", "--output", help="json for machines.", metavar="FORMAT", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("list")(list_runbooks)
    app.command("show")(show)
    app.command("lint")(lint)
    app.command("schema")(schema)


def wants_json(output: str | None) -> bool:
    """Whether `-o json` was given. Raises UsageError for any other format."""
    if output not in (None, "json"):
        raise UsageError(f"output format {output!r} is not known here", "use -o json")
    return output == "json"


def list_runbooks(ctx: typer.Context, output: Output = None) -> None:
    """Name, nickname, title, tags and estimate of every runbook of the project.

    Example: nvsx list -o json | jq -r '.[].name'
    """
    from nvsx.project import loader

    home: Home = ctx.obj
    as_json = wants_json(output)
    entries = loader.discover(home.project.root)
    if as_json:
        typer.echo(json.dumps([_row(e) for e in entries], indent=2))
        return
    rows = [_cells(e) for e in entries]
    if not rows:
        typer.echo(f"no runbooks in {home.project.runbooks_dir}")
        typer.echo("start one with `nvsx init my-fault`")
        return
    print_table(("NAME", "NICKNAME", "TITLE", "TAGS", "ESTIMATE"), rows, give_way=(3, 2))


def _row(entry: LoadedRunbook | BrokenRunbook) -> dict[str, Any]:
    if isinstance(entry, BrokenRunbook):
        return {"name": entry.name, "problems": [str(p) for p in entry.problems]}
    meta = entry.runbook.metadata
    return {
        "name": meta.name,
        "nickname": meta.nickname,
        "title": meta.title,
        "summary": meta.summary,
        "tags": list(meta.tags),
        "estimated_duration_s": meta.estimated_duration,
        "stages": [s.id for s in entry.runbook.stages],
        "file": str(entry.path),
    }


def _cells(entry: LoadedRunbook | BrokenRunbook) -> tuple[str, ...]:
    if isinstance(entry, BrokenRunbook):
        more = f" (and {len(entry.problems) - 1} more)" if len(entry.problems) > 1 else ""
        return (entry.name, "-", f"not valid: {entry.problems[0]}{more}", "", "")
    meta = entry.runbook.metadata
    estimate = durations.format(meta.estimated_duration) if meta.estimated_duration else "-"
    return (meta.name, f"#{meta.nickname}", meta.title, ", ".join(meta.tags), estimate)


def show(
    ctx: typer.Context,
    runbook: Annotated[str, typer.Argument(help="Name or nickname.")],
    output: Output = None,
) -> None:
    """Stages, watches and hooks of one runbook.

    Example: nvsx show rogue-moose
    """
    from nvsx.follow import plan
    from nvsx.project import loader

    home: Home = ctx.obj
    as_json = wants_json(output)
    made = plan.plan_of(loader.find(home.project.root, runbook))
    if as_json:
        typer.echo(json.dumps(made.as_json(), indent=2))
    else:
        print_lines(made.lines())


def lint(
    ctx: typer.Context,
    runbook: Annotated[
        list[str] | None, typer.Argument(help="Names; all without one.", show_default=False)
    ] = None,
    output: Output = None,
) -> None:
    """Check runbooks and hooks. Exit code 1 when something is wrong.

    Without names it also says how many faults fire no runbook at all.

    Example: nvsx lint gpu-off-bus
    """
    from nvsx.lint import coverage, linter
    from nvsx.nvsentinel.names import VOCABULARY
    from nvsx.nvsentinel.reportable_faults import REPORTABLE_FAULTS
    from nvsx.project import cel, loader, settings

    home: Home = ctx.obj
    as_json = wants_json(output)
    catalog = loader.discover(home.project.root)
    names = [_entry_name(catalog, name) for name in runbook or ()]
    findings = linter.lint(catalog, VOCABULARY, names, cel.evaluate)
    if not names:
        slow = settings.slow_patterns(home.project.root, home.env)
        findings += [linter.Finding("error", "slow-pattern", problem, "") for problem in slow]
        findings += coverage.find_gaps(catalog, REPORTABLE_FAULTS, cel.evaluate)
    errors = sum(f.severity == "error" for f in findings)
    if as_json:
        typer.echo(json.dumps([f.as_dict() for f in findings], indent=2))
    else:
        for f in findings:
            typer.echo(f"{f.severity}: {f.problem} [{f.rule}]")
        typer.echo(f"{errors} errors, {len(findings) - errors} warnings", err=True)
    if errors:
        raise typer.Exit(1)


def _entry_name(catalog: Sequence[LoadedRunbook | BrokenRunbook], wanted: str) -> str:
    """The file's name for a name or nickname; a broken file can be linted by its name."""
    from nvsx.project import loader

    broken = {e.name for e in catalog if isinstance(e, BrokenRunbook)}
    return wanted if wanted in broken else loader.pick(catalog, wanted).name


def schema() -> None:
    """The JSON Schema of a runbook, for editors.

    Example: nvsx schema > runbook.schema.json
    """
    from nvsx.project import schema_document

    typer.echo(json.dumps(schema_document.json_schema(), indent=2))
