"""The inbox's tables as they are now; migrations tell how they came to be."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, Table, Text

from nvsx.store.journal_tables import metadata

events = Table(
    "events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("received", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("repeats", Integer, nullable=False),
    Column("last_received", Float, nullable=False),
    # The whole event as JSON; the columns above are for finding and counting.
    Column("body", Text, nullable=False),
    # Where its explanations are; "" when it has none, or has them in its body as older ones do.
    Column("explained", Text, nullable=False),
)

# What routing said of every runbook, by the digest of it: many events share one.
explanations = Table(
    "explanations",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

# One row a key: the latest event that came under it.
deliveries = Table(
    "deliveries",
    metadata,
    Column("key", Text, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("at", Float, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

silences = Table(
    "silences",
    metadata,
    Column("silence_id", Integer, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("until", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created", Float, nullable=False),
)

# The faults that fired runs, as storms count them; `leader` is "" outside of a storm.
storm_faults = Table(
    "storm_faults",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("leader", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("seen", Float, nullable=False),
    # The StormFault as JSON; the columns above are for finding.
    Column("body", Text, nullable=False),
)

asks = Table(
    "asks",
    metadata,
    Column("ask_id", Integer, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("code", Text, nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    Column("source", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
