"""`nvsx doctor`: is this machine, the cluster and its NVSentinel ready?"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, TextIO

import typer

from nvsx.cluster import kubeconfig
from nvsx.commands.doctor.checkup import CheckFinding, CheckOutcome, CheckupReport, examine
from nvsx.commands.doctor.doctor_checks import CHECKS
from nvsx.commands.doctor.doctor_targets import make_target_checks
from nvsx.commands.doctor.survey import coverage_of, survey
from nvsx.commands.output_option import Output, wants_json
from nvsx.core.errors import UsageError
from nvsx.lint.coverage import describe_gaps
from nvsx.nvsentinel import rbac
from nvsx.project import loader, locate
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_table

_WORDS = {
    "ok": ("ok", typer.colors.GREEN),
    "warning": ("warn", typer.colors.YELLOW),
    "failed": ("FAIL", typer.colors.RED),
    "skipped": ("skip", typer.colors.BRIGHT_BLACK),
}
_TITLE = 15
_INDENT = 2 + 4 + 2 + _TITLE + 2
_WIDEST = 110


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor")(doctor)


def doctor(
    ctx: typer.Context,
    print_rbac: Annotated[
        bool, typer.Option("--print-rbac", help="Print the least roles nvsx needs, as YAML.")
    ] = False,
    open_uis: Annotated[
        bool, typer.Option("--open-uis", help="Forward NVSentinel's metrics ports, until Ctrl-C.")
    ] = False,
    coverage: Annotated[
        bool,
        typer.Option("--coverage", help="Print which runbook each fault of NVSentinel fires."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="All evidence, also of what is well.")
    ] = False,
    output: Output = None,
) -> None:
    """Check this machine, the cluster, its NVSentinel and the project, in one pass.

    It only reads. Exit code 1 when a check failed, 3 when the cluster cannot be reached.

    Examples:
      nvsx doctor
      nvsx doctor -o json | jq '.checks[] | select(.status == "failed")'
      nvsx doctor --coverage
      nvsx doctor --print-rbac > rbac.yaml
    """
    home: Home = ctx.obj
    as_json = wants_json(output)
    if print_rbac:
        typer.echo(rbac.render_manifest(home.settings.nvsentinel.namespace), nl=False)
        return
    if coverage:
        _print_coverage(home, as_json=as_json)
        return
    if open_uis:
        _forward_ports(home)
        return
    if sys.stderr.isatty():
        typer.echo("looking at this machine, the project, the cluster and targets …", err=True)
    seen = asyncio.run(survey(home))
    report = examine(seen, (*CHECKS, *make_target_checks(seen)))
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        typer.echo("\n".join(lines(report, sys.stdout, verbose=verbose)))
    raise typer.Exit(report.exit_code)


def _print_coverage(home: Home, *, as_json: bool) -> None:
    """The table of faults and runbooks of the project. Contacts no cluster."""
    covered = coverage_of(loader.discover(home.project.root))
    if as_json:
        typer.echo(json.dumps([c.as_dict() for c in covered], indent=2))
        return
    rows = [(c.fault.check, c.fault.code or "any other", c.fault.action, c.shown) for c in covered]
    print_table(("CHECK", "ERROR CODE", "ACTION", "RUNBOOK"), rows, give_way=(1,))
    typer.echo(f"\n{describe_gaps(covered) or 'Every fatal fault fires a runbook'}.")


def _forward_ports(home: Home) -> None:
    """Become the port-forward helper: of the project, or the one that ships."""
    roots = [home.project.root, locate.packaged_root()]
    paths = [root / "scripts" / "port-forward-all.sh" for root in roots]
    found = next((p for p in paths if os.access(p, os.X_OK)), None)
    if found is None:
        raise UsageError(f"there is no {paths[0]}", "nvsx setup brings it")
    env = {"NVSENTINEL_NAMESPACE": home.settings.nvsentinel.namespace, **os.environ}
    if home.context:
        private = home.state_dir / "port-forward.kubeconfig"
        env["KUBECONFIG"] = str(kubeconfig.write_pinned_kubeconfig(home.context, private))
    sys.stdout.flush()
    os.execve(found, [str(found)], env)  # noqa: S606 - a file of the project's, no shell needed


class _Paint:
    """Colours where somebody sees them: on a terminal, and not under NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        self._plain = not stream.isatty() or bool(os.environ.get("NO_COLOR"))

    def __call__(self, text: str, *, fg: str | None = None, bold: bool = False) -> str:
        return text if self._plain else typer.style(text, fg=fg, bold=bold or None)


def lines(report: CheckupReport, stream: TextIO, *, verbose: bool = False) -> Iterator[str]:
    """A report as text for `stream`, as wide as the terminal; setup shows a part of one."""
    paint = _Paint(stream)
    for group, members in groupby(report.findings, lambda f: f.check.group):
        findings = list(members)
        yield paint(group, bold=True)
        outcomes = {f.outcome for f in findings}
        if len(findings) > 1 and len(outcomes) == 1 and findings[0].outcome.status == "skipped":
            yield from _outcome_lines(paint, "all", findings[0].outcome)
        else:
            for finding in findings:
                yield from _finding_lines(paint, finding, verbose=verbose)
        yield ""
    yield _summarise_report(report)


def _outcome_lines(paint: _Paint, title: str, outcome: CheckOutcome) -> Iterator[str]:
    word, colour = _WORDS[outcome.status]
    first, *more = _wrap_text(outcome.evidence)
    mark = paint(word.ljust(4), fg=colour, bold=outcome.status == "failed")
    yield f"  {mark}  {title.ljust(_TITLE)}  {first}"
    yield from (" " * _INDENT + line for line in more)


def _finding_lines(paint: _Paint, finding: CheckFinding, *, verbose: bool) -> Iterator[str]:
    outcome = finding.outcome
    yield from _outcome_lines(paint, finding.check.title, outcome)
    if verbose or outcome.status in ("warning", "failed"):
        for detail in outcome.details:
            yield from _hang_lines("- ", detail)
    if outcome.fix:
        yield from _hang_lines("→ ", outcome.fix)


def _hang_lines(mark: str, text: str) -> Iterator[str]:
    for index, line in enumerate(_wrap_text(text, len(mark))):
        yield " " * _INDENT + (mark if index == 0 else " " * len(mark)) + line


def _wrap_text(text: str, less: int = 0) -> list[str]:
    width = min(shutil.get_terminal_size().columns, _WIDEST) - _INDENT - less
    wrapper = textwrap.TextWrapper(max(width, 30), break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(text) or [""]


def _summarise_report(report: CheckupReport) -> str:
    counts = [f"{report.count('ok')} ok"]
    if n := report.count("warning"):
        counts.append(f"{n} warning{'' if n == 1 else 's'}")
    counts += [f"{n} failed"] if (n := report.count("failed")) else []
    counts += [f"{n} skipped"] if (n := report.count("skipped")) else []
    verdict = "" if report.reached else "  The cluster was not reached."
    return f"{', '.join(counts)}.{verdict}"
