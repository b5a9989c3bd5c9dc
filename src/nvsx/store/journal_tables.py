"""The tables as they are now. How they came to be is told in migrations.

`runs` is an index folded from `journal` in the transaction that appends; `claims` is what
makes one run for each runbook and incident of a node true across processes.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, PrimaryKeyConstraint, Table, Text

from nvsx.core.runbook.stage_order import STAGE_ORDER

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("runbook", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("trigger", Text, nullable=False, quote=True),
    Column("status", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("finished", Float),
    Column("session_key", Text, nullable=False),
    Column("mttr_s", Float),
    Column("degraded", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sandbox", Boolean, nullable=False),
    Column("drill", Boolean, nullable=False),
    Column("project", Text, nullable=False),
    # The owner whose lease is valid, the lease's epoch, and the last sequence number used.
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("last_seq", Integer, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("t", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
)

# How long each stage took that passed, a column a stage: statistics read a row a run. Beside it
# the words a run is found by. Folded like `runs`.
run_lengths = Table(
    "run_lengths",
    metadata,
    Column("run_id", Text, primary_key=True),
    *(Column(stage, Float) for stage in STAGE_ORDER),
)

run_words = Table(
    "run_words",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("word", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "kind", "word"),
)

claims = Table(
    "claims",
    metadata,
    Column("cluster", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("runbook", Text, nullable=False),
    # "" for a run that a person started: it joins the node's incident after it was made.
    Column("incident", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "node", "runbook", "incident"),
)
