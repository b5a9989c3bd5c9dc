"""What the targets that speak HTTP have in common."""

from __future__ import annotations

from typing import ClassVar

from nvsx.core.notify.order import Order, Receipt
from nvsx.core.notify.target_port import DeliveryRefused
from nvsx.notify.targets.vendor_http import VendorHttp


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
            link=link,
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
