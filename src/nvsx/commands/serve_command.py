"""`nvsx serve`: the daemon, from its options to its log on standard error."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from nvsx.core import durations
from nvsx.core.errors import UsageError
from nvsx.project.home import Home
from nvsx.screens.report.past_reports import ReportView
from nvsx.serve.logs import say_at_once, start_logging
from nvsx.serve.serve_options import ServeOptions
from nvsx.serve.service_process import serve as run_daemon
from nvsx.serve.watchdog import watched_loop


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("serve")(serve)


def serve(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="webhook, poll or watch; several with commas or repeated.",
            metavar="MODE",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address for webhooks and probes.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port for webhooks and probes.", min=0, max=65535, show_default="8080"),
    ] = None,
    poll_interval: Annotated[
        str | None,
        typer.Option(help="Seconds (or 1m) between polls.", metavar="N", show_default="10"),
    ] = None,
    require_auth: Annotated[
        bool, typer.Option("--require-auth", help="A token also for the operator at the keyboard.")
    ] = False,
    tls_cert: Annotated[
        str | None, typer.Option(help="Certificate chain (PEM).", metavar="FILE")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its key (PEM).", metavar="FILE")] = None,
    live_hooks: Annotated[
        bool, typer.Option("--live-hooks", help="On a sandbox: let its runs page people.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="json: the log as JSON lines.", metavar="FORMAT"),
    ] = None,
) -> None:
    """Fire the right runbook for each fault, once, until Ctrl-C or SIGTERM.

    Examples:
      nvsx serve --mode watch
      nvsx serve --mode watch,webhook --port 8080
    """
    home: Home = ctx.obj
    if output not in (None, "json", "jsonl"):
        raise UsageError(f"output format {output!r} is not known here", "use -o json")
    options = ServeOptions(
        modes=collect_modes(mode) if mode else None,
        host=host,
        port=port,
        poll_interval=_parse_interval(poll_interval) if poll_interval else None,
        require_auth=require_auth or None,
        live_hooks=live_hooks,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    stop_log = start_logging(sys.stderr, as_json=bool(output), mask=home.masker.mask)
    say = say_at_once(sys.stderr.fileno(), as_json=bool(output))
    try:
        asyncio.run(
            run_daemon(
                home,
                options,
                ReportView,
                _log_announcement,
                _show_secret,
                lambda: watched_loop(home.state_dir, say),
            )
        )
    finally:
        stop_log()


def collect_modes(given: Sequence[str]) -> tuple[str, ...]:
    """The modes of every `--mode`, each once: `watch` and `webhook,watch` are watch and webhook."""
    words = (word.strip() for text in given for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def _parse_interval(text: str) -> float:
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else durations.parse(text)
    except ValueError as exc:
        raise UsageError(f"--poll-interval {text!r}: {exc}", "for example 10 or 1m") from None
    if seconds <= 0:
        raise UsageError("--poll-interval is longer than nothing", "for example 10 or 1m")
    return seconds


def _log_announcement(text: str) -> None:
    logging.getLogger("nvsx.serve").info("%s", text)


def _show_secret(secret: str) -> None:
    """To a person at a terminal, and past the log, which masks it and may be kept."""
    if secret and sys.stderr.isatty():
        typer.echo(f"  {secret}", err=True)
