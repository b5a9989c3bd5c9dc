"""`nvsx notify`: page, post, ticket, resolve, list, test.

In a hook the first four are answered by `follow.processes.notify_call`, which loads nothing of
this; here is the same for a person, who says of which incident.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, Any

import msgspec
import typer

from nvsx.commands.incidents_desk import open_incident_desk
from nvsx.commands.notify import notify_desk
from nvsx.commands.output_option import Output, wants_json
from nvsx.core.errors import NvsxError, UsageError
from nvsx.core.notify.outbox import NOBODY, Delivery
from nvsx.core.notify.told_words import tell_delivery
from nvsx.core.plain_text import one_line
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.processes.notify_call import Asked, CallError, store_call
from nvsx.notify.message_desk import open_message_desk, take_in_left_messages
from nvsx.notify.targets.target_registry import make_targets
from nvsx.notify.telling import open_telling
from nvsx.project.home import Home
from nvsx.project.settings import choose_notify_settings
from nvsx.screens.text_tables import print_table
from nvsx.store import open_store, outbox_of

SECONDS = 15.0
"""How long a person is shown what becomes of a message."""

notify_app = typer.Typer(
    help="Tell people about an incident: page, post, ticket, resolve; list who was told; test.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Title = Annotated[str, typer.Option(help="The few words people read first.", metavar="WORDS")]
Words = Annotated[str, typer.Option(help="More, below it; - reads standard input.", metavar="TEXT")]
To = Annotated[str, typer.Option(help="A target of nvsx.yaml; its lists by default.")]
Key = Annotated[str, typer.Option(help="Calls with one key are one message.", metavar="KEY")]
Of = Annotated[
    str,
    typer.Option("--incident", help="Outside of a hook: its id, or its node.", metavar="INCIDENT"),
]
Wait = Annotated[
    str,
    typer.Option(help="Wait for the receipt and print its reference (20 s).", metavar="[SECONDS]"),
]


def register(app: typer.Typer) -> None:
    """Add the command, and those below it, to `app`."""
    app.add_typer(notify_app, name="notify")


@notify_app.command()
def page(
    ctx: typer.Context,
    title: Title,
    severity: Annotated[str, typer.Option(help="warning, error or critical.")] = "error",
    text: Words = "",
    to: To = "",
    key: Key = "",
    wait: Wait = "",
    incident: Of = "",
) -> None:
    """The incident's page. While one is open, this is a note on it, also posted.

    Examples:
      nvsx notify page --severity critical --title "GPU lost for good"
      nvsx notify page --incident brave-gazelle --title "power cycle it, please" --to dc-hands
    """
    given = {"--title": title, "--severity": severity, "--text": text, "--to": to, "--key": key}
    _tell_people(ctx.obj, "page", given, wait, incident)


@notify_app.command()
def post(
    ctx: typer.Context,
    title: Title,
    text: Words = "",
    to: To = "",
    key: Key = "",
    wait: Wait = "",
    incident: Of = "",
) -> None:
    """A message in the incident's thread; the first one opens it.

    Example: nvsx notify post --title "drained" --text "The reboot is next."
    """
    given = {"--title": title, "--text": text, "--to": to, "--key": key}
    _tell_people(ctx.obj, "post", given, wait, incident)


@notify_app.command()
def ticket(
    ctx: typer.Context,
    title: Title,
    text: Words = "",
    field: Annotated[
        list[str] | None,
        typer.Option(help="A field of the ticket; again for another.", metavar="NAME=VALUE"),
    ] = None,
    to: To = "",
    key: Key = "",
    wait: Wait = "",
    incident: Of = "",
) -> None:
    """The incident's ticket, once; later calls comment on it.

    Example: nvsx notify ticket --title "XID 79" --field component=gpu
    """
    given = {"--title": title, "--text": text, "--to": to, "--key": key}
    _tell_people(
        ctx.obj, "ticket", given, wait, incident, [("--field", each) for each in field or ()]
    )


@notify_app.command()
def resolve(
    ctx: typer.Context, text: Words = "", key: Key = "", wait: Wait = "", incident: Of = ""
) -> None:
    """In a hook: withdraw the run's claim; page and ticket close when the incident is over. With
    --incident: close them now.

    Example: nvsx notify resolve --incident brave-gazelle --text "false alarm"
    """
    _tell_people(ctx.obj, "resolve", {"--text": text, "--key": key}, wait, incident)


def _tell_people(
    home: Home,
    kind: str,
    given: dict[str, str],
    wait: str,
    incident: str,
    more: Sequence[tuple[str, str]] = (),
) -> None:
    options = [(name, value) for name, value in given.items() if value or name == "--title"]
    options += [*more, *([("--wait", wait)] if wait else [])]
    try:
        asked = Asked(kind, options)
        if not incident and os.environ.get("NVSX_NOTIFY_DIR"):
            raise typer.Exit(store_call(asked, os.environ))
    except CallError as error:
        raise (UsageError if error.code == 2 else NvsxError)(str(error)) from None
    if not incident:
        raise UsageError(
            "outside of a hook nvsx must know of which incident this is",
            "add --incident with its node or its id: nvsx incidents list",
        )
    if not asked.title and kind != "resolve":
        raise UsageError(f"notify {kind} needs a --title: the few words people read first")
    raise typer.Exit(asyncio.run(_tell_of_incident(home, asked, incident)))


async def _tell_of_incident(home: Home, asked: Asked, incident: str) -> int:
    async with open_incident_desk(home) as desk:
        row = await desk.find(incident)
    with closing(open_store(home.state_dir)) as journal:
        rows = await notify_desk.tell_and_see(
            open_message_desk(home, journal),
            outbox_of(journal),
            notify_desk.make_persons_message(row, asked, home.masker.mask),
            lambda: open_telling(home, journal, SystemClock()),
            SECONDS if asked.wait is None else asked.wait,
        )
    if all(d.target == NOBODY for d in rows):
        if asked.kind == "resolve":
            raise NvsxError("no target has a page or ticket of it", "nvsx notify list --open")
        raise NvsxError(
            f"nobody is told: no target takes a {asked.kind}",
            f"name one in nvsx.yaml under notify.default.{asked.kind}, or with --to",
        )
    for delivery in (d for d in rows if d.target != NOBODY):
        typer.echo(tell_delivery(delivery))
    if any(d.is_open and d.target != NOBODY for d in rows):
        typer.echo(
            "stored; it goes out as soon as an nvsx of this state folder delivers: `nvsx serve`, "
            "or the next run",
            err=True,
        )
    return 1 if all(d.state == "given up" for d in rows) else 0


@notify_app.command("list")
def list_messages(
    ctx: typer.Context,
    incident: Annotated[
        str, typer.Argument(help="Its id, or its node; all without one.", show_default=False)
    ] = "",
    only_open: Annotated[
        bool, typer.Option("--open", help="What is open at targets, and what waits.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", help="At most so many.", min=1, max=10_000)
    ] = 50,
    output: Output = None,
) -> None:
    """Who was told what, when, with the receipt; with --open what is still open there.

    Examples:
      nvsx notify list brave-gazelle
      nvsx notify list --open -o json
    """
    as_json = wants_json(output)
    asyncio.run(_print_list(ctx.obj, incident, limit, only_open=only_open, as_json=as_json))


async def _print_list(
    home: Home, wanted: str, limit: int, *, only_open: bool, as_json: bool
) -> None:
    async with open_incident_desk(home) as desk:
        row = await desk.find(wanted) if wanted else None
        with closing(open_store(home.state_dir)) as journal:
            await take_in_left_messages(home, journal)
            outbox = outbox_of(journal)
            if only_open:
                still, waiting = await notify_desk.list_still_open(outbox, desk, row)
                _print_open(still, waiting, as_json=as_json)
            else:
                _print_told(await notify_desk.list_told(outbox, row, limit), as_json=as_json)


def _print_told(deliveries: Sequence[Delivery], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(d) for d in deliveries], indent=2))
    elif not deliveries:
        typer.echo("nobody was told of anything yet")
    for delivery in () if as_json else deliveries:
        incident = delivery.message.subject
        typer.echo(
            f"{incident}  {tell_delivery(delivery)}" if incident else tell_delivery(delivery)
        )


def _print_open(
    still: Sequence[notify_desk.StillOpen], waiting: Sequence[Delivery], *, as_json: bool
) -> None:
    if as_json:
        told: dict[str, Any] = {
            "open": [
                {"incident": s.incident, "incident_over": s.is_over, **msgspec.to_builtins(s.thing)}
                for s in still
            ],
            "waiting": [msgspec.to_builtins(d) for d in waiting],
        }
        typer.echo(json.dumps(told, indent=2))
        return
    if still:
        head = ("incident", "target", "open", "reference", "")
        print_table(head, [_cells_of_open(each) for each in still])
    for delivery in waiting:
        typer.echo(tell_delivery(delivery))
    if not still and not waiting:
        typer.echo("nothing is open at any target, and nothing waits")


def _cells_of_open(each: notify_desk.StillOpen) -> tuple[str, ...]:
    thing = each.thing
    why = "the incident is over" if each.is_over else ""
    if thing.orphan:
        why = "cannot be closed with the key that nvsx has now: close it there"
    return (each.incident, thing.target, thing.what, thing.link or thing.ref or thing.key, why)


@notify_app.command("test")
def send_tests(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(help="A target; all without one.", show_default=False)
    ] = "",
    output: Output = None,
) -> None:
    """Send one message, marked as a test, to a target or to all, and show the receipt.

    What a pager or a ticket system opened for it is closed again at once. Exit code 1 when a
    target could not be reached.

    Example: nvsx notify test oncall
    """
    home: Home = ctx.obj
    as_json = wants_json(output)
    settings = choose_notify_settings(home.settings, home.env)
    made = make_targets(settings, home.env, home.project.root, home.masker)
    chosen = notify_desk.choose_targets(made, target)
    tested = asyncio.run(_send_tests(chosen))
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(t._asdict()) for t in tested], indent=2))
    for each in () if as_json else tested:
        _print_tested(each, home)
    if any(each.problem for each in tested):
        raise typer.Exit(1)


async def _send_tests(chosen: Sequence[Any]) -> list[notify_desk.Tested]:
    return list(await asyncio.gather(*map(notify_desk.send_test, chosen)))


def _print_tested(each: notify_desk.Tested, home: Home) -> None:
    for receipt in each.receipts:
        parts = [receipt.action, receipt.link or receipt.ref, receipt.account, receipt.note]
        typer.echo(one_line(f"{each.target} ({each.kind}): {' · '.join(filter(None, parts))}"))
    if each.problem:
        mark = "NOT REACHED" if not each.receipts else "NOT CLOSED"
        problem = home.masker.mask(": ".join(map(str.strip, each.problem.split("\n"))))
        print(one_line(f"{each.target} ({each.kind}): {mark}: {problem}"), file=sys.stderr)
