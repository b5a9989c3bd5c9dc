"""What each target was told so far about one incident or storm: a fold over its deliveries.

    1 page  oncall   delivered "open page" watch        watch is open at oncall
    2 page  oncall   delivered "open page" people       people too
    3 post  gpu-ops  delivered, opened a thread         later posts are replies in it
    4 resolve oncall delivered "close page" watch       people is still open: an orphan, if it stays

What an incident that continues another ("again, 3 min after") takes over is the thread and the
ticket, and never a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from nvsx.core.notify.message import SEVERITIES, Severity
from nvsx.core.notify.outbox import Delivery, PageRole


class PageStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A page at a pager, as far as its receipts tell. `orphan`: it was closed with another account
    than it was opened with, which a pager does not heed."""

    role: PageRole
    key: str = ""
    ref: str = ""
    link: str = ""
    account: str = ""
    severity: Severity = "warning"
    opened: float = 0.0
    is_open: bool = True
    orphan: bool = False


class TicketStanding(msgspec.Struct, frozen=True, kw_only=True):
    """`said` is when it was opened or commented last; `continued`: an earlier incident's."""

    key: str = ""
    ref: str = ""
    link: str = ""
    account: str = ""
    opened: float = 0.0
    said: float = 0.0
    is_open: bool = True
    continued: bool = False


class TargetLedger(msgspec.Struct, frozen=True, kw_only=True):
    """What one target knows. `maybe_paged`: roles of which a try was cut, with the key it had (""
    for not known); the pager may have a page that no receipt tells of. `trying`: pages and tickets
    that somebody is sending at this moment, by number."""

    pages: Mapping[PageRole, PageStanding] = {}
    ticket: TicketStanding | None = None
    thread: str = ""
    thread_link: str = ""
    maybe_paged: Mapping[PageRole, str] = {}
    trying: tuple[int, ...] = ()

    def open_page(self, role: PageRole) -> PageStanding | None:
        page = self.pages.get(role)
        return page if page is not None and page.is_open else None


class PageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The pager's own word that a page was closed there, by a person or by itself."""

    target: str
    role: PageRole
    at: float


class ToldLedger(msgspec.Struct, frozen=True, kw_only=True):
    """`paged` are the calls of pages that a target of the list (no fallback) was told of.
    `titles` are those that were posted anywhere."""

    targets: Mapping[str, TargetLedger] = {}
    paged: frozenset[str] = frozenset()
    titles: frozenset[str] = frozenset()

    def at(self, target: str) -> TargetLedger:
        return self.targets.get(target, TargetLedger())

    def without_ref(self, target: str, ref: str) -> ToldLedger:
        """As if `ref` (a thread, a ticket) had never been there: the vendor says it is gone."""
        known = self.at(target)
        if known.thread == ref:
            known = replace(known, thread="", thread_link="")
        if known.ticket is not None and known.ticket.ref == ref:
            known = replace(known, ticket=None)
        return replace(self, targets={**self.targets, target: known})


def fold_ledger(
    own: Iterable[Delivery],
    continued: Sequence[Delivery] = (),
    answers: Sequence[PageAnswer] = (),
) -> ToldLedger:
    """`own` are the deliveries of the subject, `continued` those of the incident whose thread and
    ticket it continues."""
    deliveries = list(own)
    targets = {
        name: TargetLedger(
            ticket=replace(known.ticket, continued=True) if known.ticket is not None else None,
            thread=known.thread,
            thread_link=known.thread_link,
        )
        for name, known in (fold_ledger(continued).targets if continued else {}).items()
    }
    for delivery in _in_order_of_telling(deliveries):
        name = delivery.target
        targets[name] = _after_delivery(targets.get(name, TargetLedger()), delivery)
    for delivery in deliveries:
        name = delivery.target
        targets[name] = _after_cut_try(targets.get(name, TargetLedger()), delivery)
    for answer in answers:
        if answer.target in targets:
            targets[answer.target] = _after_answer(targets[answer.target], answer)
    told = [d for d in deliveries if d.state in ("delivered", "would")]
    return ToldLedger(
        targets=targets,
        paged=frozenset(
            d.message.call for d in told if d.message.kind == "page" and not d.fallback
        ),
        titles=frozenset(d.message.title for d in told if d.action == "post"),
    )


class OpenThing(msgspec.Struct, frozen=True, kw_only=True):
    """A page or a ticket that is open at a target. `orphan`: it cannot be closed with the account
    that nvsx has now."""

    target: str
    what: str
    key: str
    ref: str = ""
    link: str = ""
    account: str = ""
    opened: float = 0.0
    orphan: bool = False


def list_open_things(ledger: ToldLedger) -> tuple[OpenThing, ...]:
    """What one incident or storm has open, for `notify list --open`, doctor and the metric."""
    found: list[OpenThing] = []
    for target, known in ledger.targets.items():
        standing: list[tuple[str, PageStanding | TicketStanding]] = [
            (f"{role} page", page) for role, page in known.pages.items()
        ]
        if known.ticket is not None:
            standing.append(("ticket", known.ticket))
        for what, one in standing:
            if one.is_open:
                found.append(
                    OpenThing(
                        target=target,
                        what=what,
                        key=one.key,
                        ref=one.ref,
                        link=one.link,
                        account=one.account,
                        opened=one.opened,
                        orphan=isinstance(one, PageStanding) and one.orphan,
                    )
                )
    return tuple(found)


def highest_severity(severities: Iterable[Severity]) -> Severity:
    """Severity only rises."""
    return max(severities, key=SEVERITIES.index, default="warning")


def _in_order_of_telling(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """What was merged into another was not told by itself."""
    told = [d for d in deliveries if d.state in ("delivered", "would") and not d.merged_into]
    return sorted(told, key=lambda d: (d.settled or 0.0, d.number))


def _after_delivery(known: TargetLedger, delivery: Delivery) -> TargetLedger:
    verb, _, thing = delivery.action.partition(" ")
    if thing == "page":
        return _after_page(known, delivery, verb)
    if thing == "ticket":
        return _after_ticket(known, delivery, verb)
    if delivery.message.digest or delivery.receipt is None:
        return known  # a post over many incidents is nobody's thread
    if delivery.action == "post" and not delivery.key:
        # A post is kept with the thread that it went to: one without opened another.
        receipt = delivery.receipt
        return replace(known, thread=receipt.ref, thread_link=receipt.link)
    return known


def _after_page(known: TargetLedger, delivery: Delivery, verb: str) -> TargetLedger:
    role, receipt = delivery.role, delivery.receipt
    page = known.pages.get(role)
    account = receipt.account if receipt is not None else ""
    if verb == "close":
        if page is None:
            return known
        orphan = page.is_open and account != page.account
        page = replace(page, is_open=orphan, orphan=orphan)
    elif verb == "note" and page is not None:
        severity = highest_severity((page.severity, delivery.message.severity))
        page = replace(page, severity=severity)
    else:
        page = PageStanding(
            role=role,
            key=delivery.key,
            ref=receipt.ref if receipt is not None else "",
            link=receipt.link if receipt is not None else "",
            account=account,
            severity=delivery.message.severity,
            opened=delivery.settled or 0.0,
        )
    return replace(known, pages={**known.pages, role: page})


def _after_ticket(known: TargetLedger, delivery: Delivery, verb: str) -> TargetLedger:
    ticket, receipt, at = known.ticket, delivery.receipt, delivery.settled or 0.0
    if verb == "close":
        return known if ticket is None else replace(known, ticket=replace(ticket, is_open=False))
    if verb == "comment" and ticket is not None:
        return replace(known, ticket=replace(ticket, said=at))
    opened = TicketStanding(
        key=delivery.key,
        ref=receipt.ref if receipt is not None else "",
        link=receipt.link if receipt is not None else "",
        account=receipt.account if receipt is not None else "",
        opened=at,
        said=at,
    )
    return replace(known, ticket=opened)


def _after_cut_try(known: TargetLedger, delivery: Delivery) -> TargetLedger:
    """A page of which a try was cut may be open at the pager, also when it was dropped since, or
    delivered as another."""
    kind = delivery.message.kind
    if kind == "page" and delivery.merged_into and delivery.role in known.pages:
        page = known.pages[delivery.role]
        severity = highest_severity((page.severity, delivery.message.severity))
        return replace(
            known, pages={**known.pages, delivery.role: replace(page, severity=severity)}
        )
    trying = known.trying
    if kind in ("page", "ticket") and delivery.is_open and delivery.begun is not None:
        trying = (*trying, delivery.number)
    maybe = dict(known.maybe_paged)
    if kind == "page" and delivery.unsure:
        # Delivered or marked as one, it may still have arrived as the other before. A close of what
        # was never opened is passed over by every pager.
        roles: tuple[PageRole, ...] = ("watch", "people")
        for role in roles:
            maybe[role] = delivery.key if delivery.role == role else maybe.get(role, "")
    return replace(known, trying=trying, maybe_paged=maybe)


def _after_answer(known: TargetLedger, answer: PageAnswer) -> TargetLedger:
    page = known.pages.get(answer.role)
    if page is None or answer.at < page.opened:
        return known
    return replace(
        known, pages={**known.pages, answer.role: replace(page, is_open=False, orphan=False)}
    )
