"""Which targets a message goes to: pure, from the message and `notify:`.

    page  --to ""       → all of default.page at once, and those of pageFallback 2 minutes later
    post  --to gpu-ops  → gpu-ops
    post  --to gpuops   → default.post, with "asked for target gpuops" in the text; degraded
    resolve of nvsx     → every target that has, or may have, a page or a ticket of it
    page  without any   → nobody: it is given up in sight of everybody

A message that nobody takes is addressed to NOBODY, so that it ends somewhere, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from nvsx.core.notify.message import Closes, Message
from nvsx.core.notify.outbox import NOBODY, Addressed, AddressedTarget, Delivery

FALLBACK_AFTER = 120.0
"""Seconds. No page of the list could be delivered for so long: then the fallback is told."""
CLOSED_AT_THE_END: tuple[Closes, ...] = ("watch", "people", "ticket")


class NotifyBook(msgspec.Struct, frozen=True, kw_only=True):
    """The targets there are, (name, kind), and the default lists, by name."""

    kinds: Mapping[str, str] = {}
    page: tuple[str, ...] = ()
    page_fallback: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    ticket: tuple[str, ...] = ()

    def list_for(self, kind: str) -> tuple[str, ...]:
        lists = {"page": self.page, "ticket": self.ticket}
        return lists.get(kind, self.post)


def address(message: Message, book: NotifyBook, known: Sequence[Delivery] = ()) -> Addressed:
    """The message with its targets. `known` are the deliveries of its subject: what was told
    where is closed there."""
    if message.to and message.to not in book.kinds:
        message = replace(message, to="", wanted=message.to)
    if message.kind == "resolve" and message.closes:
        names = _find_told_targets(message, known, book)
        return Addressed(message=message, targets=_name_targets(names, book))
    if message.kind == "resolve" and not message.text:
        return Addressed(message=message, targets=_name_targets((), book))
    if message.to:
        return Addressed(message=message, targets=_name_targets((message.to,), book))
    targets = list(_name_targets(book.list_for(message.kind), book))
    if message.kind == "page" and message.by != "test":
        listed = {t.name for t in targets}
        targets += [
            AddressedTarget(name=name, kind=book.kinds[name], fallback=True, after=FALLBACK_AFTER)
            for name in book.page_fallback
            if name in book.kinds and name not in listed
        ]
    return Addressed(message=message, targets=tuple(targets))


def is_degraded(addressed: Addressed) -> bool:
    """Whether somebody who was to be told is not known, or there is nobody at all."""
    nobody = all(t.name == NOBODY for t in addressed.targets)
    claim = addressed.message.kind == "resolve" and not addressed.message.text
    return bool(addressed.message.wanted) or (nobody and not claim)


def split_resolve(message: Message) -> tuple[Message, ...]:
    """A person's `resolve --incident I` as what it does: close both pages and the ticket, and say
    so in the thread. A hook's is a claim withdrawn, and stays as it is."""
    if message.kind != "resolve" or message.closes or message.by == "hook":
        return (message,)
    title = message.title or f"resolved by {message.author or 'a person'}"
    closing = tuple(
        replace(message, call=f"{message.call}/{closes}", closes=closes, title=title)
        for closes in CLOSED_AT_THE_END
    )
    said = replace(message, call=f"{message.call}/post", kind="post", title=title, broadcast=True)
    return (*closing, said)


def _find_told_targets(
    message: Message, known: Iterable[Delivery], book: NotifyBook
) -> tuple[str, ...]:
    """Where a page (or a ticket) went, or may be on its way: delivered, waiting, cut. A target
    that nvsx.yaml has no more can close nothing."""
    kind = "ticket" if message.closes == "ticket" else "page"
    verbs = (f"open {kind}", f"note {kind}", f"comment {kind}")
    told = [
        d.target
        for d in known
        if d.message.subject == message.subject
        and (d.action in verbs or (d.message.kind == kind and (d.is_open or d.unsure)))
    ]
    wanted = [t for t in dict.fromkeys(told) if t in book.kinds]
    return tuple(t for t in wanted if message.to in ("", t))


def _name_targets(names: Iterable[str], book: NotifyBook) -> tuple[AddressedTarget, ...]:
    unique = [n for n in dict.fromkeys(names) if n in book.kinds]
    if not unique:
        return (AddressedTarget(name=NOBODY),)
    return tuple(AddressedTarget(name=n, kind=book.kinds[n]) for n in unique)
