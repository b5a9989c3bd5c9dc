"""What lies in a run's spool folder: how a hook's call travels to the run's owner.

    about.json                    the owner's word: which run, node, incident
    <time>-<call hash>.json       one call of `nvsx notify`, flushed to disk before the call returns
    claims/<start>.<place>        which places among a hook's calls are taken, one for each start
    bell                          a FIFO: whoever stored a call rings it
    <call hash>.wait              somebody waits for the receipt of this call
    <call hash>.receipt.json      what became of it

`follow.processes.notify_call` writes the calls. It imports nothing of nvsx, so it has these names
once more; a test holds the two together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

import msgspec

from nvsx.core import plain_text
from nvsx.core.notify.message import Message, MessageKind, Severity
from nvsx.core.notify.outbox import NOBODY, Delivery

ABOUT = "about.json"
BELL = "bell"
CALL_SUFFIX = ".json"
RECEIPT_SUFFIX = ".receipt.json"
WAIT_SUFFIX = ".wait"
LARGEST_CALL = 1024 * 1024
"""Bytes of a file that is read. A call is cut to a tenth of that when it is written."""
TITLE_KEPT, TEXT_KEPT = 1_000, 100_000
"""Characters. A long text is cut and never refused: a page must not be lost for its length."""


CALL_OPTIONS: dict[str, frozenset[str]] = {
    "page": frozenset({"--severity", "--title", "--text", "--to", "--key", "--wait"}),
    "post": frozenset({"--title", "--text", "--to", "--key", "--wait"}),
    "ticket": frozenset({"--title", "--text", "--to", "--field", "--key", "--wait"}),
    "resolve": frozenset({"--text", "--key", "--wait"}),
}
"""What a hook's `nvsx notify KIND` takes."""


class SpoolAbout(msgspec.Struct, frozen=True, kw_only=True):
    """Whose calls these are. `owner` is the process's name in the journal's leases."""

    owner: str = ""
    run: str = ""
    runbook: str = ""
    incident: str = ""
    node: str = ""
    rehearsal: Literal["", "sandbox", "drill"] = ""
    live: bool = False


class SpooledCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call as the hook's process wrote it; the hook's own variables stand for what may have
    changed by the time it is read."""

    call: str
    kind: MessageKind
    title: str = ""
    text: str = ""
    severity: Severity = "error"
    to: str = ""
    fields: dict[str, str] = {}
    stage: str = ""
    incident: str = ""
    node: str = ""
    cause: str = ""
    repair: int = 0
    late: bool = False
    asked: float = 0.0


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call at one target."""

    target: str
    state: str
    ref: str = ""
    link: str = ""
    reason: str = ""


class CallReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call; without lines nobody was to be told."""

    call: str
    deliveries: tuple[ReceiptLine, ...] = ()


def call_hash(call: str) -> str:
    """A call as a part of a file's name."""
    return hashlib.sha256(call.encode()).hexdigest()[:24]


def message_of_call(spooled: SpooledCall, about: SpoolAbout, mask: Callable[[str], str]) -> Message:
    """The message that a hook's call asks for, its words plain and masked."""

    def clean(text: str, kept: int) -> str:
        return mask(plain_text.lines(text))[:kept]

    return Message(
        call=spooled.call,
        kind=spooled.kind,
        title=clean(" ".join(spooled.title.split()), TITLE_KEPT),
        text=clean(spooled.text, TEXT_KEPT),
        severity=spooled.severity,
        to=spooled.to,
        fields={clean(k, TITLE_KEPT): clean(v, TEXT_KEPT) for k, v in spooled.fields.items()},
        by="hook",
        incident=about.incident or spooled.incident,
        node=about.node or spooled.node,
        run=about.run,
        runbook=about.runbook,
        stage=spooled.stage,
        cause=spooled.cause,
        repair=spooled.repair,
        late=spooled.late,
        rehearsal=about.rehearsal,
        live=about.live,
        asked=spooled.asked,
    )


def receipt_of_call(call: str, deliveries: tuple[Delivery, ...]) -> CallReceipt | None:
    """The receipt of a call; None while one of its deliveries is still under way.

    A fallback that waits for the page to fail is not waited for once the page has arrived.
    """
    arrived = any(d.state in ("delivered", "would") for d in deliveries)
    counted = [
        d for d in deliveries if d.target != NOBODY and not (d.fallback and arrived and d.is_open)
    ]
    if any(d.is_open for d in counted):
        return None
    return CallReceipt(call=call, deliveries=tuple(map(_make_line, counted)))


def _make_line(delivery: Delivery) -> ReceiptLine:
    receipt = delivery.receipt
    return ReceiptLine(
        target=delivery.target,
        state=delivery.state,
        ref=receipt.ref if receipt else "",
        link=receipt.link if receipt else "",
        reason=delivery.reason,
    )
