"""`nvsx lint`: what can be known of runbooks and hooks without running them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from nvsx.commands.output_option import Output, wants_json
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook
from nvsx.lint import coverage, linter
from nvsx.nvsentinel.names import VOCABULARY
from nvsx.nvsentinel.reportable_faults import REPORTABLE_FAULTS
from nvsx.project import cel, loader, settings
from nvsx.project.home import Home
from nvsx.project.kept_answers import KeptAnswers

ANSWERS_FILE = "lint-answers.json"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("lint")(lint)


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
    home: Home = ctx.obj
    as_json = wants_json(output)
    catalog = loader.discover(home.project.root)
    names = [_entry_name(catalog, name) for name in runbook or ()]
    answers = KeptAnswers(ANSWERS_FILE, home.env)
    targets = settings.find_target_names(home.project.root, home.env)
    findings = linter.lint(
        catalog, VOCABULARY, names, cel.evaluate, answers=answers, targets=targets
    )
    answers.save()
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
    broken = {e.name for e in catalog if isinstance(e, BrokenRunbook)}
    return wanted if wanted in broken else loader.pick(catalog, wanted).name
