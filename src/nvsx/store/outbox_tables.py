"""The outbox's tables as they are now; migrations tell how they came to be."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, Table, Text

from nvsx.store.journal_tables import metadata

outbox_messages = Table(
    "outbox_messages",
    metadata,
    Column("call", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("accepted", Float, nullable=False),
    # The Message as JSON; the columns above are for finding.
    Column("body", Text, nullable=False),
)

outbox_deliveries = Table(
    "outbox_deliveries",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("call", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("fallback", Boolean, nullable=False),
    # Of the message, for finding.
    Column("incident", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("is_page", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("due", Float, nullable=False),
    # When `due` was set: a due time means nothing to a clock that stands before it was set.
    Column("decided", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("begun", Float),
    Column("owner", Text, nullable=False),
    Column("unsure", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("vendor_key", Text, nullable=False),
    # Of the receipt, for finding: what one key opened, only that key closes.
    Column("account", Text, nullable=False),
    Column("settled", Float),
    Column("merged_into", Integer, nullable=False),
    Column("receipt", Text, nullable=False),
)
