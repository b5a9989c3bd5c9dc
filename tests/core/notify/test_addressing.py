"""Which targets a message goes to."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.core.notify.playhouse import BOOK

from nvsx.core.notify.addressing import (
    FALLBACK_AFTER,
    NotifyBook,
    address,
    is_degraded,
    split_resolve,
)
from nvsx.core.notify.message import Closes, Message, MessageKind
from nvsx.core.notify.outbox import NOBODY, Delivery, DeliveryState

TWO = replace(BOOK, page=("oncall", "lab"), kinds={**BOOK.kinds, "lab": "pagerduty"})


def message(kind: MessageKind, **more: object) -> Message:
    """One of an incident."""
    return Message(call="c/1", kind=kind, title="t", incident="i-1", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("page", [("oncall", False, 0.0), ("lab", False, 0.0), ("dc-hands", True, FALLBACK_AFTER)]),
        ("post", [("gpu-ops", False, 0.0)]),
        ("ticket", [("tickets", False, 0.0)]),
    ],
)
def test_a_list_is_told_all_at_once_and_the_fallback_later(
    kind: MessageKind, names: list[tuple[str, bool, float]]
) -> None:
    """Only a page has a fallback."""
    found = address(message(kind), TWO)
    assert [(t.name, t.fallback, t.after) for t in found.targets] == names
    assert not is_degraded(found)


def test_a_named_target_is_told_alone() -> None:
    """No default, no fallback: somebody wanted it so."""
    found = address(message("page", to="dc-hands"), BOOK)
    assert [(t.name, t.kind, t.fallback) for t in found.targets] == [
        ("dc-hands", "opsgenie", False)
    ]


def test_an_unknown_target_goes_to_the_default_and_degrades() -> None:
    """The name that was wanted goes with the message."""
    found = address(message("post", to="gpuops"), BOOK)
    assert [t.name for t in found.targets] == ["gpu-ops"]
    assert (found.message.to, found.message.wanted) == ("", "gpuops")
    assert is_degraded(found)


def test_what_nobody_takes_is_addressed_to_nobody() -> None:
    """So that it ends somewhere; a target that is in both lists is told once."""
    found = address(message("page"), NotifyBook())
    assert [t.name for t in found.targets] == [NOBODY]
    assert is_degraded(found)
    both = address(message("page"), replace(BOOK, page_fallback=("oncall",)))
    assert [(t.name, t.fallback) for t in both.targets] == [("oncall", False)]


def test_a_test_page_has_no_fallback() -> None:
    """It tests what it names."""
    assert [t.name for t in address(message("page", by="test"), BOOK).targets] == ["oncall"]


@pytest.mark.parametrize(
    ("state", "unsure", "closed"),
    [
        ("delivered", False, True),
        ("waiting", False, True),
        ("dropped", False, False),
        ("dropped", True, True),
    ],
)
def test_a_resolve_goes_where_a_page_is_or_may_be(
    state: DeliveryState, *, unsure: bool, closed: bool
) -> None:
    """Also where a try was cut; not where it was surely never sent."""
    page = Delivery(
        number=1,
        target="lab",
        kind="pagerduty",
        message=message("page"),
        state=state,
        unsure=unsure,
        action="open page" if state == "delivered" else "",
    )
    found = address(message("resolve", by="nvsx", closes="watch"), TWO, [page])
    assert [t.name for t in found.targets] == ["lab" if closed else NOBODY]
    ticket = address(message("resolve", by="nvsx", closes="ticket"), TWO, [page])
    assert [t.name for t in ticket.targets] == [NOBODY]
    other = replace(message("resolve", by="nvsx", closes="watch"), incident="i-2")
    assert [t.name for t in address(other, TWO, [page]).targets] == [NOBODY]


def test_a_hooks_resolve_with_words_is_read_where_posts_are() -> None:
    """Without words it goes nowhere, and that degrades nothing."""
    assert [t.name for t in address(message("resolve", text="x"), BOOK).targets] == ["gpu-ops"]
    silent = address(message("resolve"), BOOK)
    assert [t.name for t in silent.targets] == [NOBODY]
    assert not is_degraded(silent)


def test_a_persons_resolve_closes_all_and_says_so() -> None:
    """A hook's stays what it is."""
    parts = split_resolve(message("resolve", by="person", author="ada"))
    expected: list[tuple[str, MessageKind, Closes]] = [
        ("c/1/watch", "resolve", "watch"),
        ("c/1/people", "resolve", "people"),
        ("c/1/ticket", "resolve", "ticket"),
        ("c/1/post", "post", ""),
    ]
    assert [(p.call, p.kind, p.closes) for p in parts] == expected
    assert len(split_resolve(message("resolve"))) == 1
    assert len(split_resolve(message("page", by="person"))) == 1
