"""Makes the journal write runs as an nvsx wrote them when one run had a whole node."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from nvsx.store import records


def claim_nodes_as_before(patch: pytest.MonkeyPatch) -> None:
    """Claims without a runbook, while `patch` is in force."""

    def put_claim(db: Connection, run_id: str, cluster: str, node: str, *_: str) -> None:
        values = {"c": cluster, "n": node, "r": run_id}
        insert = "INSERT INTO claims (cluster, node, run_id) VALUES (:c, :n, :r)"
        db.execute(text(insert), values)

    patch.setattr(records, "_put_claim", put_claim)
    patch.setattr(records, "holder", lambda *_: None)
