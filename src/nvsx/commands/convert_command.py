"""`nvsx convert`: a page becomes a runbook; preview, ledger and acceptance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nvsx.commands.agreeing import name_folder
from nvsx.convert import (
    acceptance,
    conversion,
    ledger,
    model,
    preview,
    project_writer,
    prompt,
    rounds,
)
from nvsx.convert.checking import ConversionDesk, DraftReport
from nvsx.convert.conversion import PageSource
from nvsx.convert.draft import RunbookDraft, name_for
from nvsx.convert.ledger import FactLedger, rows
from nvsx.core.errors import NotReady, NvsxError, UsageError
from nvsx.lint import linter, stored_ledgers
from nvsx.nvsentinel.names import VOCABULARY
from nvsx.project import cel, loader
from nvsx.project.home import Home


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("convert")(convert)


def convert(
    ctx: typer.Context,
    files: Annotated[
        list[str], typer.Argument(help="Pages; with --accept or --ledger, a runbook's name.")
    ],
    name: Annotated[
        str | None, typer.Option(help="The runbook's name; by default the first file's.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the files; write nothing.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="By rules, without a model or a key.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Show what became of every fact.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Show a runbook's unreviewed hooks and accept them.")
    ] = False,
) -> None:
    """Turn a team's runbook page into an nvsx runbook: YAML and hooks.

    Core remediation goes, since NVSentinel owns it; all the rest stays, word for word, and
    a ledger accounts for every fact of the page.

    Examples:
      nvsx convert xid79.md --offline
      nvsx convert xid79.md contacts.html --name gpu-off-bus-team
      nvsx convert --accept gpu-off-bus-team
    """
    home: Home = ctx.obj
    if accept:
        if len(files) != 1:
            raise UsageError("--accept takes one runbook", "nvsx convert --accept NAME")
        _accept_hooks(home, files[0], yes=yes)
        return
    if ledger and len(files) == 1 and not Path(files[0]).is_file():
        _show_stored(home, files[0])
        return
    desk = _open_desk(home)
    source, made, report = _make_draft(home, desk, files, name, offline=offline)
    where = name_folder(home.project)
    _review_draft(desk, source, made, report, where, ledger=ledger, dry_run=dry_run, yes=yes)


def _open_desk(home: Home) -> ConversionDesk:
    """The project to convert into, with what reads it."""
    root = home.project.root
    if not home.project.writable:
        raise UsageError(
            f"{root} is not a project that can be written to",
            "run `nvsx setup`, or name a folder: nvsx --project DIR convert …",
        )
    catalog = loader.discover(root)
    return ConversionDesk(root, VOCABULARY, catalog, loader.load_runbook, cel.evaluate)


def _make_draft(
    home: Home, desk: ConversionDesk, files: list[str], name: str | None, *, offline: bool
) -> tuple[PageSource, RunbookDraft, DraftReport]:
    """The draft of these pages and what the checks say. Refuses early what cannot be written."""
    slug = name_for(name, files[0])
    project_writer.refuse_to_overwrite(desk.root, slug)
    source = conversion.read([Path(file) for file in files])
    if offline:
        return source, *conversion.convert_offline(source, slug, desk)
    return source, *_ask_model(home, desk, source, slug)


def _ask_model(
    home: Home, desk: ConversionDesk, source: PageSource, name: str
) -> tuple[RunbookDraft, DraftReport]:
    """The model's draft. One that never passes is kept beside the project, and told about."""
    if linter.find_shellcheck() is None:
        raise NotReady(
            "shellcheck is not installed, and shell that a model wrote is not taken without it",
            "pip install 'nvsx[convert]', or convert by rules: nvsx convert --offline",
        )

    def progress(text: str) -> None:
        typer.echo(f"nvsx: {text}", err=True)

    asked = model.connect(home.env, prompt.system(desk.words), progress)
    try:
        outcome = rounds.convert(source, name, desk, asked, progress)
    finally:
        if asked.usage.requests:
            progress(str(asked.usage))
    draft, report = outcome.draft, outcome.report
    if not report.good:
        said = {"model": asked.name, "findings sent back": f"{outcome.returns} times"}
        text = preview.findings_text(draft, report, said)
        folder = project_writer.keep_draft(draft, {"FINDINGS.md": text}, desk.root, home.state_dir)
        _print_lines(preview.problems(report))
        raise NvsxError(
            "the model's runbook did not pass the checks, though the findings went back "
            f"{outcome.returns} times: nothing was written",
            f"the last draft and its findings are in {folder}",
        )
    return draft, report


def _review_draft(
    desk: ConversionDesk,
    source: PageSource,
    made: RunbookDraft,
    report: DraftReport,
    where: str,
    *,
    ledger: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Show the draft, ask, write. Raises NvsxError when the draft is not good."""
    if not ledger or not report.ledger:
        _print_lines(preview.diff(made))
    if ledger and report.ledger:
        _print_lines(preview.table(rows(report.ledger.as_json({}))))
    _print_lines(preview.summary(made, report, source.secrets))
    if not report.good or report.ledger is None:
        _print_lines(preview.problems(report))
        raise NvsxError("the conversion is not complete: nothing was written", "see above")
    if dry_run:
        return
    if not yes:
        _ask_before_writing(f"write these files to {where}?")
    typer.echo(f"in {where}:")
    _write_draft(desk, source, made, report.ledger)


def _write_draft(
    desk: ConversionDesk, source: PageSource, made: RunbookDraft, accounts: FactLedger
) -> None:
    places = {
        page.name: stored_ledgers.place_of(path, desk.root)
        for page, path in zip(source.pages, source.paths, strict=True)
    }
    for path in project_writer.write(made, ledger.stored(accounts, places), desk):
        typer.echo(f"wrote {path}")
    if not made.reviewed:
        typer.echo(f"read its hooks, then: nvsx convert --accept {made.name}")
    typer.echo(f"try it: nvsx run {made.name} --sandbox")


def _show_stored(home: Home, name: str) -> None:
    """The ledger of a runbook that was converted earlier."""
    root = home.project.root
    data = stored_ledgers.read(root, loader.find(root, name).name)
    _print_lines(preview.table(ledger.rows(data)))


def _accept_hooks(home: Home, wanted: str, *, yes: bool) -> None:
    """Show the hooks a model wrote and, once a person agrees, let runs use them."""
    root = home.project.root
    book = loader.find(root, wanted)
    waiting = acceptance.list_unreviewed(book)
    if not waiting:
        typer.echo(f"{book.name} has no unreviewed hook")
        return
    for hook in waiting:
        _print_lines([f"=== {hook.file}", hook.text])
    catalog = [e for e in loader.discover(root) if e.name != book.name]
    found = linter.lint([*catalog, book], VOCABULARY, [book.name], cel.evaluate)
    found = [f for f in found if f.rule != "hook-unreviewed"]
    found += acceptance.find_dangers(book, waiting)
    for finding in found:
        typer.echo(f"{finding.severity}: {finding.problem} [{finding.rule}]", err=True)
    if any(f.severity == "error" for f in found):
        raise NvsxError(f"{book.name} was not accepted", "correct its hooks first")
    if not yes:
        where = name_folder(home.project)
        _ask_before_writing(f"let runs of {book.name} use these {len(waiting)} hooks, in {where}?")
    acceptance.accept(waiting)
    typer.echo(f"accepted: nvsx run {book.name} --sandbox")


def _ask_before_writing(question: str) -> None:
    """Go on only after an explicit yes."""
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody is there to agree: nothing was written", "add --yes, or --dry-run to look"
        )
    if not typer.confirm(question, default=False, err=True):
        raise NvsxError("nothing was written")


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)
