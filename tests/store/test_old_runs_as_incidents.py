"""Runs of an nvsx that knew no incidents, after an upgrade."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.store.older_state import claim_nodes_as_before

from nvsx.core.errors import NodeClaimed
from nvsx.core.incident.incident_store import IncidentFilter
from nvsx.core.journal.entries import Finish
from nvsx.core.journal.run_rows import NewRun
from nvsx.store import incidents_of, migrations, open_store


async def test_a_run_of_before_is_an_incident_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passed run recovered, a failed one says that nobody looked further, one under way is
    open; its number and its time are the run's, and a sandbox stays one."""
    with monkeypatch.context() as older:
        steps = [step.__name__ for step in migrations.STEPS].index("incidents_of_nodes")
        older.setattr(migrations, "STEPS", migrations.STEPS[:steps])
        claim_nodes_as_before(older)
        journal = open_store(tmp_path, lambda: 1000.0)
        runs = [
            await journal.create(
                NewRun(runbook="gpu-off-bus", cluster="c", node=node, sandbox=sand)
            )
            for node, sand in (("n1", False), ("n2", False), ("n3", True))
        ]
        await journal.append(runs[0], [Finish(ok=True, status="passed", mttr_s=44.0)])
        await journal.append(runs[1], [Finish(ok=False, status="failed", reason="no boot")])
        journal.close()
    journal = open_store(tmp_path, lambda: 2000.0)
    store = incidents_of(journal)
    rows = {row.node: row for row in await store.rows(IncidentFilter())}
    found = {n: (r.incident, r.opened, r.how, r.state, r.sandbox) for n, r in rows.items()}
    ids = {f"n{k}": run.run_id.replace("r-", "i-", 1) for k, run in enumerate(runs, 1)}
    assert found == {
        "n1": (ids["n1"], 1000.0, "recovered", "over", False),
        "n2": (ids["n2"], 1000.0, "closed", "over", False),
        "n3": (ids["n3"], 1000.0, "", "observing", True),
    }
    assert rows["n1"].repair_s == 44.0
    assert rows["n2"].cause == "an earlier nvsx followed it no further than its run"
    assert await store.runs_of(ids["n1"]) == [runs[0].run_id]
    story = await store.story("c", "n3")
    assert story.open_id == ids["n3"]
    assert story.story.open is not None
    assert story.story.open.working_runs == (runs[2].run_id,)
    again = NewRun(runbook="gpu-off-bus", cluster="c", node="n3", sandbox=True)
    with pytest.raises(NodeClaimed):
        await journal.create(again)
    await journal.create(msgspec.structs.replace(again, runbook="another"))
    journal.close()
