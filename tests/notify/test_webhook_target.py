"""The signed webhook: what a receiver verifies, reads, and counts once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from docs.make import notify_reference
from tests.fakes.vendors import WebhookStandIn, resets_after_accept

from nvsx.core.notify.order import FactsBlock, Order
from nvsx.core.notify.target_port import DeliveryDelayed, DeliveryRefused
from nvsx.notify.target_secrets import TargetSecret
from nvsx.notify.targets.webhook_target import Webhook

ORDER = Order(
    delivery=3,
    identity="nvsx-0123",
    action="open page",
    key="nvsx/6f1e/people",
    title="GPU fell off the bus",
    severity="critical",
    facts=FactsBlock(headline="gpu-7 · XID 79", rows=(("Attempt", "1"),), as_of=1764299520.0),
    incident="01JD5T",
    node="gpu-7",
    at=1764299521.0,
)


def make_target(vendor: WebhookStandIn, folder: Path, secret: str | None = None) -> Webhook:
    """The target; its secret is the receiver's unless another is given."""
    env = {"SECRET": secret or vendor.secret}
    return Webhook("audit", vendor.hook_url, TargetSecret("audit", None, "SECRET", folder, env))


async def test_a_receiver_reads_the_published_event(tmp_path: Path) -> None:
    """The body, field by field; every field is in the published schema."""
    async with WebhookStandIn() as vendor:
        target = make_target(vendor, tmp_path)
        receipt = await target.deliver(ORDER)
        await target.close()
    assert receipt.ref == "nvsx-0123"
    assert vendor.events == [
        {
            "type": "nvsx.page.opened",
            "timestamp": "2025-11-28T03:12:01Z",
            "data": {
                "key": "nvsx/6f1e/people",
                "incident": "01JD5T",
                "node": "gpu-7",
                "cluster": "",
                "severity": "critical",
                "title": "GPU fell off the bus",
                "text": "",
                "broadcast": False,
                "fields": {},
                "facts": {
                    "headline": "gpu-7 · XID 79",
                    "rows": [{"name": "Attempt", "value": "1"}],
                    "asOf": "2025-11-28T03:12:00Z",
                },
            },
        }
    ]
    definitions = notify_reference.webhook_json_schema()["$defs"]
    assert vendor.events[0]["data"].keys() == definitions["EventData"]["properties"].keys()


async def test_a_repeat_has_the_same_id_and_is_told_once(tmp_path: Path) -> None:
    """The answer is lost; the receiver knows the id already."""
    async with WebhookStandIn() as vendor:
        target = make_target(vendor, tmp_path)
        vendor.misbehave(resets_after_accept())
        with pytest.raises(DeliveryDelayed):
            await target.deliver(ORDER)
        await target.deliver(ORDER)
        await target.close()
        assert (len(vendor.events), vendor.repeats) == (1, 1)


async def test_a_secret_that_is_no_base64_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    """With the command that makes a right one, and without the secret."""
    async with WebhookStandIn() as vendor:
        target = make_target(vendor, tmp_path, "not base64 at all!")
        with pytest.raises(DeliveryRefused, match="variable SECRET is not whsec_") as caught:
            await target.deliver(ORDER)
        await target.close()
        assert "openssl rand" in caught.value.hint
        assert "not base64" not in str(caught.value)
        assert vendor.requests == []


async def test_without_a_secret_it_is_sent_unsigned(tmp_path: Path) -> None:
    """The id is there all the same."""
    async with WebhookStandIn(secret="") as vendor:
        target = Webhook("audit", vendor.hook_url, None)
        receipt = await target.deliver(ORDER)
        await target.close()
        assert receipt.account == "unsigned"
        assert vendor.ids == ["nvsx-0123"]


def test_a_field_that_was_published_is_never_dropped(tmp_path: Path) -> None:
    """Where a field of the published schema is gone, nothing is made, and the field is named."""
    schema = notify_reference.webhook_json_schema()
    schema["$defs"]["EventData"]["properties"]["weather"] = {"type": "string"}
    (tmp_path / notify_reference.FOLDER).mkdir()
    path = tmp_path / notify_reference.FOLDER / notify_reference.WEBHOOK_SCHEMA
    path.write_text(json.dumps(schema), "utf-8")
    with pytest.raises(SystemExit, match="weather is gone"):
        notify_reference.make(tmp_path)
