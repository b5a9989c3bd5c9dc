"""`nvsx sandbox start|inject|heal|faults|status|stop`: a cluster in a process.

All but `start` and `faults` talk to the running sandbox over its private socket, whatever
KUBECONFIG says. Libraries are imported when a command runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from nvsentinel_sandbox import control
from nvsentinel_sandbox.catalogue import actions_of, checks_of, given_to
from nvsentinel_sandbox.chain.exporter import Destination
from nvsentinel_sandbox.host import Outlets, Sandbox
from nvsentinel_sandbox.scenario import Scenario, Setting, play
from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.variants import VARIANTS
from nvsx.commands.output_option import Output, wants_json
from nvsx.commands.sandbox.sandbox_errors import translate_sandbox_errors
from nvsx.commands.sandbox.scenario_files import load_scenario
from nvsx.core.aliases import alias_of
from nvsx.core.errors import UsageError
from nvsx.project.home import Home
from nvsx.screens.text_tables import print_table

sandbox_app = typer.Typer(
    help="A cluster in a process, with a simulated NVSentinel, to try and to teach with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Variant = Annotated[
    str,
    typer.Option(help="A way the chain can go wrong; see `nvsx sandbox faults`.", metavar="V"),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(sandbox_app, name="sandbox")


@sandbox_app.command()
def start(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    nodes: Annotated[
        int | None, typer.Option(help="GPU nodes (4).", metavar="N", show_default=False)
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="2 is twice as fast.", metavar="X", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Same seed, same names and ids.", metavar="S", show_default=False),
    ] = None,
    variant: Variant = "",
    scenario: Annotated[
        Path | None,
        typer.Option(help="A file that says what happens when.", metavar="FILE"),
    ] = None,
    store: Annotated[
        str,
        typer.Option(help="Store health events: mongodb://… or postgresql://…", metavar="URI"),
    ] = "",
    layout: Annotated[
        str, typer.Option(help="2025: documents and annotations of autumn 2025.", metavar="YEAR")
    ] = "",
    events_to: Annotated[
        str, typer.Option(help="Send health events there as CloudEvents.", metavar="URL")
    ] = "",
    events_token_file: Annotated[
        Path | None,
        typer.Option(help="Bearer token; else NVSX_EVENTS_TOKEN.", metavar="FILE"),
    ] = None,
    events_token_url: Annotated[
        str,
        typer.Option(
            help="OAuth token endpoint; NVSX_EVENTS_CLIENT_ID and _CLIENT_SECRET go with it.",
            metavar="URL",
        ),
    ] = "",
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Send events of the past month first.")
    ] = False,
) -> None:
    """Start a sandbox and keep it until Ctrl-C, SIGTERM or `nvsx sandbox stop`.

    Prints `export KUBECONFIG=…` for other terminals, where kubectl and nvsx then see it.

    Examples:
      nvsx sandbox start
      nvsx sandbox start --nodes 8 --speed 5 --seed 7
      nvsx sandbox start --scenario examples/scenarios/two-faults.yaml
    """
    played = load_scenario(scenario) if scenario else None
    wanted = played.sandbox if played else Setting()
    given = {"nodes": nodes, "speed": speed, "seed": seed, "variant": variant or None}
    wanted = wanted.model_copy(update={k: v for k, v in given.items() if v is not None})
    if layout not in ("", "2025"):
        raise UsageError(f"there is no layout {layout!r}", "give 2025, or leave it out")
    if backfill and not events_to:
        raise UsageError("--backfill needs a receiver", "give --events-to URL")
    folder = _folder_of_sandbox(ctx)
    if played:
        played = played.model_copy(update={"sandbox": wanted})
    with translate_sandbox_errors():
        outlets = Outlets(
            store=store,
            layout_2025=layout == "2025",
            events=_destination_of_events(events_to, events_token_file, events_token_url),
            backfill=backfill,
        )
        sandbox = Sandbox(
            state_dir=folder, outlets=outlets, alias_of=alias_of, **wanted.model_dump()
        )
        asyncio.run(_hold_sandbox(sandbox, folder, played))


def _destination_of_events(url: str, token_file: Path | None, token_url: str) -> Destination | None:
    if not url:
        if token_file or token_url:
            raise UsageError("there is no receiver for the token", "give --events-to URL")
        return None
    token = os.environ.get("NVSX_EVENTS_TOKEN", "")
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{token_file} cannot be read: {error}") from None
    return Destination(
        url,
        token="" if token_url else token,
        token_url=token_url,
        client_id=os.environ.get("NVSX_EVENTS_CLIENT_ID", ""),
        client_secret=os.environ.get("NVSX_EVENTS_CLIENT_SECRET", ""),
    )


async def _hold_sandbox(sandbox: Sandbox, folder: Path, scenario: Scenario | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def tell(line: str) -> None:
        _print_note(f"{time.strftime('%H:%M:%S')}  {line}")

    with control.claim_folder(folder):
        playing: asyncio.Task[None] | None = None
        try:
            await sandbox.start()
            async with control.serve(sandbox, folder, stop):
                _print_welcome(sandbox)
                sandbox.narrate(tell)
                if scenario is not None:
                    playing = asyncio.create_task(
                        _play_scenario(scenario, sandbox, tell=tell, stop=stop.set)
                    )
                await stop.wait()
        finally:
            if playing is not None:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            await sandbox.stop()
    _print_note("sandbox stopped")


async def _play_scenario(
    scenario: Scenario,
    sandbox: Sandbox,
    *,
    tell: Callable[[str], None],
    stop: Callable[[], None],
) -> None:
    await play(scenario, sandbox.simulator, tell=tell, stop=stop)
    tell("scenario: the last step was taken")


def _print_welcome(sandbox: Sandbox) -> None:
    found = sandbox.status()
    print(f"export KUBECONFIG={shlex.quote(str(sandbox.kubeconfig))}", flush=True)
    variant = f", variant {found['variant']}" if found["variant"] else ""
    _print_note(f"A sandbox with {len(found['nodes'])} GPU nodes (seed {found['seed']}{variant}).")
    _print_note("In another terminal, after that export:")
    _print_note("  kubectl get nodes")
    _print_note("  nvsx sandbox inject xid-79")
    _print_note("  nvsx sandbox faults")
    _print_note("Ctrl-C ends it.")


@sandbox_app.command()
def inject(
    ctx: typer.Context,
    fault: Annotated[str, typer.Argument(help="See `nvsx sandbox faults`.")],
    node: Annotated[
        str, typer.Option(help="The node to hit; else the sandbox's own choice.", metavar="N")
    ] = "",
    variant: Variant = "",
    people: Annotated[
        bool, typer.Option("--people", help="Someone repairs what NVSentinel leaves to people.")
    ] = False,
) -> None:
    """Let a fault strike a node of the running sandbox.

    Examples:
      nvsx sandbox inject xid-79
      nvsx sandbox inject xid-48 --node gpu-node-a2
    """
    body = {"fault": fault, "node": node, "variant": variant, "people": people}
    hit = _call_sandbox(ctx, "POST", "/inject", body)["node"]
    typer.echo(f"{fault} injected on {hit} ({alias_of(hit)})")


@sandbox_app.command()
def heal(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(help="The node; may be left out when one is broken.")] = "",
) -> None:
    """Repair a node of the running sandbox, as a person would.

    Example: nvsx sandbox heal gpu-node-a2
    """
    if not node:
        nodes = _call_sandbox(ctx, "GET", "/status")["nodes"]
        broken = [n["name"] for n in nodes if n["faults"] or n["state"] or not n["ready"]]
        if len(broken) != 1:
            told = ", ".join(broken) or "no node is"
            raise UsageError(f"which node? broken: {told}", "name one: `nvsx sandbox heal NODE`")
        node = broken[0]
    _call_sandbox(ctx, "POST", "/heal", {"node": node})
    typer.echo(f"someone repairs {node} ({alias_of(node)})")


@sandbox_app.command()
def faults(output: Output = None) -> None:
    """List the faults and variants a sandbox knows.

    Example: nvsx sandbox faults
    """
    if wants_json(output):
        listed = {
            "faults": [
                {
                    "name": fault.name,
                    "title": fault.title,
                    "checks": [report.check for report in fault.reports],
                    "error_codes": sorted({c for r in fault.reports for c in r.codes}),
                    "recommended_actions": sorted({r.action for r in fault.reports}),
                    "fatal": any(r.fatal for r in fault.reports),
                }
                for fault in FAULTS.values()
            ],
            "variants": [
                {"name": v.name, "title": v.title, "scope": v.scope} for v in VARIANTS.values()
            ],
        }
        typer.echo(json.dumps(listed, indent=2))
        return
    rows = [
        (
            fault.name,
            "+".join(checks_of(fault)),
            "+".join(actions_of(fault)),
            fault.title,
        )
        for fault in FAULTS.values()
    ]
    print_table(("FAULT", "CHECKS", "ACTION", "WHAT HAPPENED"), rows)
    typer.echo()
    print_table(
        ("VARIANT", "GIVEN TO", "HOW IT GOES"),
        [(v.name, given_to(v), v.title) for v in VARIANTS.values()],
    )


@sandbox_app.command()
def status(ctx: typer.Context, output: Output = None) -> None:
    """Show the running sandbox and its nodes. Exit code 3 when there is none.

    Example: nvsx sandbox status -o json | jq '.nodes[].name'
    """
    as_json = wants_json(output)
    found = _call_sandbox(ctx, "GET", "/status")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(
        f"pid {found['pid']}, speed {found['speed']:g}, seed {found['seed']}, {found['url']}"
    )
    typer.echo(f"export KUBECONFIG={shlex.quote(found['kubeconfig'])}")
    typer.echo()
    rows = [
        (
            node["name"],
            alias_of(node["name"]),
            ("Ready" if node["ready"] else "NotReady") + (",cordoned" if node["cordoned"] else ""),
            node["state"] or "-",
            ", ".join(node["faults"]) or "-",
        )
        for node in found["nodes"]
    ]
    print_table(("NODE", "ALIAS", "STATUS", "NVSENTINEL", "FAULTS"), rows)


@sandbox_app.command()
def stop(ctx: typer.Context) -> None:
    """End the running sandbox.

    Example: nvsx sandbox stop
    """
    _call_sandbox(ctx, "POST", "/stop")
    typer.echo("sandbox stops")


def _call_sandbox(
    ctx: typer.Context, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    with translate_sandbox_errors():
        return asyncio.run(control.call(_folder_of_sandbox(ctx), method, path, body))


def _folder_of_sandbox(ctx: typer.Context) -> Path:
    home: Home = ctx.obj
    return home.state_dir / "sandbox"


def _print_note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
