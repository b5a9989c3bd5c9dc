"""What the targets that speak HTTP have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.targets.vendor_http import VendorHttp, find_host

log = logging.getLogger(__name__)
Target = TypeVar("Target", bound="HttpTarget")
P = ParamSpec("P")
T = TypeVar("T")
Calls = Callable[Concatenate[Target, P], Coroutine[Any, Any, T]]


def understand_answers(calls: Calls[Target, P, T]) -> Calls[Target, P, T]:
    """For calls that read what a vendor answered: one that answers 200 with something else is no
    reason to fall over. A proxy or a wrong address does so, and a later try may find the vendor.

    `url` of jira leads to a wiki: `{"ok": true}` for the new ticket → delayed, "what answers there
    is no jira", and not KeyError: 'key'
    """

    @wraps(calls)
    async def understanding(self: Target, /, *args: P.args, **named: P.kwargs) -> T:
        try:
            return await calls(self, *args, **named)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            log.debug("%s: an answer was not understood", self.name, exc_info=True)
            said = f"{self.name}: what answers there is no {self.kind}: see the target's url"
            raise DeliveryDelayed(said, unsure=True) from error

    return understanding


class HttpTarget:
    """A target with a name and a way to its vendor."""

    kind: ClassVar[str]
    has_threads = False

    def __init__(self, name: str, http: VendorHttp) -> None:
        self.name = name
        self.http = http

    def make_receipt(
        self,
        order: Order,
        text: str,
        *,
        ref: str = "",
        link: str = "",
        account: str = "",
        repeat: bool = False,
        note: str = "",
    ) -> Receipt:
        return Receipt(
            target=self.name,
            kind=self.kind,
            action=order.action,
            ref=ref,
            link=link if find_host(link) else "",  # Slack's begins with what Slack answered
            t=order.at,
            text=self.http.mask(text),
            account=account,
            repeat=repeat,
            note=note,
        )

    def refuse_action(self, order: Order, takes: str) -> DeliveryRefused:
        hint = "name another target with --to, or under default: in nvsx.yaml"
        return DeliveryRefused(f"{self.name}: {self.kind} takes {takes}: no {order.action}", hint)

    async def close(self) -> None:
        await self.http.close()
