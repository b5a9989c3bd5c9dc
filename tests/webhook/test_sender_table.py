"""Bodies of every kind of sender through the whole way in, over the starter runbooks.

Each file of `senders` has a body made after a shape that is documented in public, the lines of
nvsx.yaml that go with it (none for most), and what shall come of it. What starts nothing has to
say the true reason.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.webhook.test_samples_for_real import whole

from nvsx.core.watches.snapshot import Node
from nvsx.project.settings import Settings

TABLE = sorted((Path(__file__).parent / "senders").glob("*.json"))
NODES = (
    *(
        Node(
            f"gpu-node-a{n}",
            labels={"kubernetes.io/hostname": f"bm-a{n}"},
            addresses=(f"10.0.0.{n}",),
            provider_id=f"aws:///us-east-2a/i-0abc{n}",
        )
        for n in range(1, 9)
    ),
    Node("ip-10-0-1-5.ec2.internal", addresses=("10.0.1.5",)),
    Node("twin-1", labels={"kubernetes.io/hostname": "shared"}),
    Node("twin-2", labels={"kubernetes.io/hostname": "shared"}),
)


def read(path: Path) -> Any:
    """One row of the table."""
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", TABLE, ids=lambda p: p.stem)
async def test_a_senders_body_ends_in_its_run_or_in_the_true_reason(path: Path) -> None:
    """The right runbook on the right node, or 202 and why not; never anything else."""
    row = read(path)
    source, expected = row["source"], row["expect"]
    sources = {source: row["settings"]} if "settings" in row else None
    headers = {"Content-Type": row.get("content_type", "application/json")}
    async with whole(sources, nodes=NODES) as (daemon, inbox):
        content = json.dumps(row["body"]).encode()
        reply = await daemon.post(f"/hooks/{source}", content, headers)
        assert reply.status == 202
        assert reply.body["status"] == expected["status"], reply.body
        if "events" in expected:
            assert [e["status"] for e in reply.body["events"]] == expected["events"]
            return
        stored = await inbox.event(reply.body["event_id"])
        assert expected.get("reason", "") in reply.body["reason"]
        assert stored.reason == reply.body["reason"]
        if expected["status"] == "fired":
            assert (stored.runbook, stored.facts.node) == (expected["runbook"], expected["node"])


@pytest.mark.parametrize("path", TABLE, ids=lambda p: p.stem)
async def test_the_same_body_again_starts_nothing_more(path: Path) -> None:
    """A repeat is a duplicate, or joins the incident; what was refused is refused again."""
    row = read(path)
    source = row["source"]
    sources = {source: row["settings"]} if "settings" in row else None
    headers = {"Content-Type": row.get("content_type", "application/json")}
    content = json.dumps(row["body"]).encode()
    async with whole(sources, nodes=NODES) as (daemon, _):
        await daemon.post(f"/hooks/{source}", content, headers)
        again = await daemon.post(f"/hooks/{source}", content, headers)
    assert again.body["status"] in ("duplicate", "attached", "ignored")


def test_the_table_has_every_kind_of_sender() -> None:
    """At least 60 bodies of 18 sources, each with the public shape it is made after; at most
    five settings each."""
    rows = [read(path) for path in TABLE]
    assert len(rows) >= 60
    assert len({row["source"] for row in rows}) >= 18
    assert all(row["made_after"].startswith("https://") for row in rows)
    assert all(len(row.get("settings", {})) <= 5 for row in rows)


PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
EXAMPLES = re.findall(
    r"<!-- body: (\S+) -->\n```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
)


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
async def test_the_pages_settings_fire_on_a_recorded_body(name: str, example: str) -> None:
    """What docs/webhooks.md tells people to write is valid, and a body of the table fires by it."""
    (path,) = (p for p in TABLE if p.stem.partition("-")[2] == name)
    row = read(path)
    settings = Settings.model_validate(yaml.safe_load(example), by_alias=True, by_name=False)
    [(source, found)] = settings.serve.sources.items()
    rules = found.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
    open_to_all = {k: v for k, v in rules.items() if k not in ("secretFile", "signature")}
    headers = {"Content-Type": row.get("content_type", "application/json")}
    content = json.dumps(row["body"]).encode()
    async with whole({source: open_to_all}, nodes=NODES) as (daemon, _):
        reply = await daemon.post(f"/hooks/{source}", content, headers)
    assert (reply.body["status"], reply.body["runbook"]) == ("fired", row["expect"]["runbook"])


def test_every_set_up_on_the_page_is_tried() -> None:
    """A YAML block of the set-up pages without a body beside it would be tried by nobody."""
    text = PAGE.read_text("utf-8")
    pages = text[text.index("## Setting up") : text.index("## Answers")]
    assert pages.count("```yaml") == len(EXAMPLES) >= 12
