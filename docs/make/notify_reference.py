"""The published schema of what a webhook target is sent.

Made from `notify.targets.webhook_event`, so that it cannot differ from what is sent. Receivers of
teams read it, so it only ever grows.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from docs.make.event_reference import FOLDER as FOLDER  # noqa: PLC0414
from docs.make.event_reference import Json, find_removed, with_clean_description

from nvsx.notify.targets.webhook_event import WebhookEvent

WEBHOOK_SCHEMA = "notify-webhook.schema.json"


def webhook_json_schema() -> Json:
    """JSON Schema (2020-12) of the body."""
    (ref,), components = msgspec.json.schema_components(
        [WebhookEvent], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a webhook target of nvsx is sent",
        **ref,
        "$defs": {name: with_clean_description(schema) for name, schema in components.items()},
    }


def make(root: Path) -> dict[str, bytes]:
    """The schema. Raises SystemExit when something that was published is lost."""
    schema, published = webhook_json_schema(), root / FOLDER / WEBHOOK_SCHEMA
    if published.is_file():
        lost = list(find_removed(json.loads(published.read_bytes()), schema))
        if lost:
            raise SystemExit(f"the published format only grows, but: {'; '.join(lost)}")
    text = json.dumps(schema, indent=1) + "\n"
    return {f"{FOLDER}/{WEBHOOK_SCHEMA}": text.encode()}
