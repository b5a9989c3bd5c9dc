"""One line for each thing that people were told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.incident.timelines import NOON

from nvsx.core.notify.message import Message
from nvsx.core.notify.order import Receipt
from nvsx.core.notify.outbox import NOBODY, Delivery
from nvsx.core.notify.told_words import is_failing, tell_delivery

RECEIPT = Receipt(
    target="oncall", kind="pagerduty", action="open page", ref="k/watch", account="…a91f"
)
OF: dict[str, Any] = {"number": 1, "target": "oncall", "kind": "pagerduty", "accepted": NOON}


@pytest.mark.parametrize(
    ("fields", "line", "failing"),
    [
        (
            {
                "state": "delivered",
                "action": "open page",
                "receipt": RECEIPT,
                "settled": NOON + 60,
            },
            '12:01Z oncall (pagerduty): page opened: "t" · k/watch · …a91f',
            False,
        ),
        (
            {
                "state": "delivered",
                "action": "post",
                "settled": NOON,
                "receipt": Receipt(
                    target="", kind="", action="post", ref="r", link="https://x", repeat=True
                ),
            },
            '12:00Z oncall (pagerduty): posted: "t" · https://x · possibly twice',
            False,
        ),
        ({}, '12:00Z oncall (pagerduty): page not delivered yet: "t"', False),
        (
            {"tries": 3, "reason": "503", "due": NOON + 120},
            '12:00Z oncall (pagerduty): page not delivered yet (try 3, again 12:02Z): 503: "t"',
            True,
        ),
        (
            {"state": "given up", "reason": "401", "settled": NOON},
            '12:00Z oncall (pagerduty): page NOT DELIVERED, given up: 401: "t"',
            True,
        ),
        (
            {"state": "dropped", "reason": "a page of the list was delivered", "fallback": True},
            (
                "12:00Z oncall (pagerduty), the fallback: page not sent, a page of the list was "
                'delivered: "t"'
            ),
            False,
        ),
        (
            {"state": "delivered", "reason": "claim withdrawn", "settled": NOON},
            '12:00Z oncall (pagerduty): claim withdrawn: "t"',
            False,
        ),
        (
            {"state": "delivered", "action": "post", "receipt": RECEIPT, "merged_into": 7},
            '12:00Z oncall (pagerduty): said together with others (see 7): "t"',
            False,
        ),
        (
            {"state": "would", "action": "open page", "receipt": RECEIPT},
            'would tell oncall (pagerduty): page opened: "t"',
            False,
        ),
        (
            {"state": "given up", "target": NOBODY, "kind": "", "reason": "no target"},
            '12:00Z nobody: page NOT DELIVERED, given up: no target: "t"',
            True,
        ),
    ],
)
def test_each_outcome_has_its_words(fields: dict[str, Any], line: str, *, failing: bool) -> None:
    """Who, what in its words, when, and the receipt or what is in the way."""
    delivery = Delivery(message=Message(call="c", kind="page", title="t"), **(OF | fields))
    assert tell_delivery(delivery) == line
    assert is_failing(delivery) is failing
