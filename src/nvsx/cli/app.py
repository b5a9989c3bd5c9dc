"""The Typer application: global options, and one function a command.

Commands parse, call bootstrap or ops, and print what these return. They import what they
need when they run, so that listing runbooks costs no HTTP, database or terminal library.
"""

from __future__ import annotations

from typing import Annotated

import typer

from nvsx.bootstrap.home import Home
from nvsx.cli import (
    attach_cmd,
    convert_cmd,
    doctor_cmd,
    history_cmds,
    init_cmd,
    run_cmd,
    runbook_cmds,
    sandbox_cmds,
    serve_cmds,
    setup_cmd,
    shell_cmds,
)
from nvsx.cli.examples import keep_examples

app = typer.Typer(
    name="nvsx",
    help=(
        "The operator control plane for NVSentinel: plugs your runbooks into its chain of "
        "detect, quarantine, drain, remediate, recover. It reads the cluster and never writes "
        "to it."
    ),
    epilog="Try it without a cluster: nvsx run gpu-off-bus --sandbox",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    ctx: typer.Context,
    project: Annotated[
        str | None, typer.Option(help="The project folder.", metavar="DIR", show_default=False)
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(help="The kubeconfig context.", metavar="NAME", show_default=False),
    ] = None,
) -> None:
    ctx.obj = Home(project, context)
    if ctx.invoked_subcommand is not None:
        return
    if shell_cmds.on_terminal():
        raise typer.Exit(shell_cmds.start(ctx))
    typer.echo(ctx.get_help())
    raise typer.Exit(2)


runbook_cmds.register(app)
run_cmd.register(app)
doctor_cmd.register(app)
init_cmd.register(app)
convert_cmd.register(app)
setup_cmd.register(app)
serve_cmds.register(app)
attach_cmd.register(app)
app.add_typer(sandbox_cmds.sandbox_app, name="sandbox")
history_cmds.register(app)
shell_cmds.register(app)
keep_examples(app)
