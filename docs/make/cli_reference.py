"""docs/cli.md, the reference of the command line, made from the application itself.

What a command says in `--help` is what it says here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nvsx.commands.app import build_application
from nvsx.commands.help_examples import AS_IS

PAGE = "docs/cli.md"
HEAD = """\
# The command line

<!-- Made from the commands' own help by `make docs`. Do not edit. -->

Every command answers `--help`; `nvsx help COMMAND` is the same. The global options stand before
or after the command's name. `NO_COLOR` turns colours off. After `nvsx --install-completion` bash,
zsh and fish complete commands, options, runbooks, nicknames, runs, faults, and the nodes and
aliases that the journal knows.

| exit code | of `nvsx run`, and in the same sense of the others |
|---|---|
| 0 | passed, also when degraded |
| 1 | failed; for `lint` and `doctor`: something is wrong |
| 2 | wrong usage, unknown or invalid runbook, a run is on the node already |
| 3 | prerequisites not met, or the cluster could not be read |
| 70 | `nvsx serve` only: its event loop stood still for a minute, and it is to be started again |
| 130, 143 | ended by Ctrl-C, by SIGTERM |
| 141 | whoever read the output left (`nvsx history \\| head`); a run goes on and has its own code |
"""


def make(_: Path) -> dict[str, bytes]:
    """The whole page."""
    root = build_application()
    context = root.make_context("nvsx", [], resilient_parsing=True)
    parts = [HEAD.strip(), "## Global options", *_parameter_table(root, context)]
    for command, ctx in _walk_commands(root, context):
        parts += _command_section(command, ctx)
    return {PAGE: ("\n\n".join(parts) + "\n").encode()}


def _walk_commands(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    for name, command in group.commands.items():
        ctx = command.make_context(name, [], parent=context, resilient_parsing=True)
        yield command, ctx
        if hasattr(command, "commands"):
            yield from _walk_commands(command, ctx)


def _command_section(command: Any, ctx: Any) -> Iterator[str]:
    yield f"## {ctx.command_path}"
    yield f"`{' '.join([ctx.command_path, *command.collect_usage_pieces(ctx)])}`"
    for part in (command.help or "").split("\n\n"):
        if part.startswith(AS_IS):
            yield "```sh\n" + "\n".join(line.strip() for line in part.splitlines()[2:]) + "\n```"
        elif part.strip():
            yield " ".join(part.split())
    yield from _parameter_table(command, ctx)


def _parameter_table(command: Any, ctx: Any) -> Iterator[str]:
    records = [p.get_help_record(ctx) for p in command.params]
    rows = [
        f"| `{_format_cell(names)}` | {_format_cell(text)} |"
        for names, text in filter(None, records)
    ]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *rows])


def _format_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
