"""docs/cli.md, the reference of the command line, made from the application itself.

`python -m nvsx.commands.cli_reference [--check|--write]` keeps it current; the checks of the
repository fail when it is stale. What a command says in `--help` is what it says here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from nvsx.commands.help_examples import AS_IS

PAGE = Path("docs/cli.md")
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


def markdown() -> str:
    """The whole page."""
    from nvsx.commands.app import application

    root: Any = typer.main.get_command(application())
    context = root.make_context("nvsx", [], resilient_parsing=True)
    parts = [HEAD.strip(), "## Global options", *_parameters(root, context)]
    for command, ctx in _commands(root, context):
        parts += _section(command, ctx)
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        ctx = command.make_context(name, [], parent=context, resilient_parsing=True)
        yield command, ctx
        if hasattr(command, "commands"):
            yield from _commands(command, ctx)


def _section(command: Any, ctx: Any) -> Iterator[str]:
    yield f"## {ctx.command_path}"
    yield f"`{' '.join([ctx.command_path, *command.collect_usage_pieces(ctx)])}`"
    for part in (command.help or "").split("\n\n"):
        if part.startswith(AS_IS):
            yield "```sh\n" + "\n".join(line.strip() for line in part.splitlines()[2:]) + "\n```"
        elif part.strip():
            yield " ".join(part.split())
    yield from _parameters(command, ctx)


def _parameters(command: Any, ctx: Any) -> Iterator[str]:
    records = [p.get_help_record(ctx) for p in command.params]
    rows = [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in filter(None, records)]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """`--check` fails when the page is stale; `--write`, the default, renews it."""
    mode = arguments[0] if arguments else "--write"
    path = Path(arguments[1]) if len(arguments) > 1 else PAGE
    if mode not in ("--check", "--write"):
        print(
            "usage: python -m nvsx.commands.cli_reference [--check|--write [PAGE]]", file=sys.stderr
        )
        return 2
    current = markdown()
    if path.is_file() and path.read_text("utf-8") == current:
        return 0
    if mode == "--check":
        print(f"{path} is stale: run python -m nvsx.commands.cli_reference", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(current, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
