"""The incidents' tables as they are now; migrations tell how they came to be.

`incident_journal` has the truth; the index and the keys are folded from it in the transaction
that appends. `number` counts a node's entries over all of its incidents: it is what an append
is checked against.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, PrimaryKeyConstraint, Table, Text

from nvsx.store.journal_tables import metadata

incident_journal = Table(
    "incident_journal",
    metadata,
    Column("cluster", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("incident", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("t", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "node", "number"),
)

incident_index = Table(
    "incident_index",
    metadata,
    Column("incident", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("opened", Float, nullable=False),
    Column("ended", Float),
    # The IncidentRow as JSON; the columns above are for finding.
    Column("body", Text, nullable=False),
)

incident_keys = Table(
    "incident_keys",
    metadata,
    Column("cluster", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("incident", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "key"),
)

incident_runs = Table(
    "incident_runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("incident", Text, nullable=False),
)
