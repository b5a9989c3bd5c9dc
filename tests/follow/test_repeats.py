"""What scripts learn of earlier incidents on their node and their GPU."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.fake_scripts import FakeScripts

from nvsx.core.incident.session import HealthEvent, Session
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import NewRun
from nvsx.core.ports import Script, ScriptResult
from nvsx.follow.cluster_access import SystemClock
from nvsx.follow.repeats import RepeatScripts
from nvsx.store import open_store
from nvsx.store.sqlite_journal import SqliteJournal

NOW = 1_767_600_000.0
HOUR = 3600.0
_sessions = itertools.count(1)


class Past:
    """A store with a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.at = NOW
        self.store: SqliteJournal = open_store(folder, lambda: self.at)

    async def incident(
        self,
        hour: float,
        *,
        gpu: str = "GPU-1",
        pci: str = "0000:b3:00",
        node: str = "n1",
        cluster: str = "c",
        session: str | None = None,
        sandbox: bool = False,
        ends: bool = True,
    ) -> str:
        """A run of an incident that began `hour` hours from NOW; its id."""
        self.at = NOW + hour * HOUR
        new = NewRun(runbook="gpu-off-bus", cluster=cluster, node=node, sandbox=sandbox)
        lease = await self.store.create(new)
        struck = (("GPU_UUID", gpu), ("PCI", pci))
        fault = HealthEvent(check="SysLogsXIDError", node=node, entities=struck, fatal=True)
        key = f"s-{next(_sessions)}" if session is None else session
        events: list[j.RunEvent] = [
            j.Start(runbook="gpu-off-bus", nickname="x", target_node=node),
            j.SessionSeen(session=Session(key=key, open=True, events=(fault,))),
        ]
        end = j.Finish(ok=True, status="passed")
        await self.store.append(lease, [*events, *([end] if ends else [])])
        return lease.run_id

    async def told(self, run_id: str, kind: j.ScriptKind = "hook") -> dict[str, str]:
        """The repeat variables of a script of that run."""
        fake = FakeScripts(SystemClock())
        scripts = RepeatScripts(fake, self.store, 72 * HOUR)
        script = Script(kind=kind, path="/hook.sh", facts={"NVSX_RUN_ID": run_id})
        result: ScriptResult = await scripts.run(script, lambda *_: None, _begun)
        assert result.exit_code == 0
        (call,) = fake.calls
        return {k: v for k, v in call.script.facts.items() if k.startswith("NVSX_REPEAT")}


async def _begun(_: object) -> None:
    return None


@pytest.fixture(name="past")
async def _past(tmp_path: Path) -> AsyncIterator[Past]:
    past = Past(tmp_path / "state")
    yield past
    past.store.close()


def _are(count: int, gpu: str = "") -> dict[str, str]:
    return {"NVSX_REPEAT_COUNT": str(count), "NVSX_REPEAT_GPU": gpu}


async def test_the_first_time_is_one(past: Past) -> None:
    """A run with no past is told 1 and no GPU."""
    assert await past.told(await past.incident(0, ends=False)) == _are(1)


async def test_a_gpu_that_moved_is_known_by_its_uuid(past: Past) -> None:
    """The same card in another node and slot within 72 h is the second time."""
    await past.incident(0)
    run = await past.incident(71, node="n2", pci="0000:01:00", ends=False)
    assert await past.told(run) == _are(2, "GPU-1")
    assert await past.told(run, "action") == _are(2, "GPU-1")


async def test_a_slot_is_known_by_its_address_on_its_node(past: Past) -> None:
    """A new card in the same slot is the slot's second time; the same address elsewhere is not."""
    await past.incident(0, gpu="GPU-old")
    assert await past.told(await past.incident(1, ends=False)) == _are(2, "0000:b3:00")
    assert await past.told(await past.incident(1, gpu="GPU-3", node="n2")) == _are(1)


async def test_another_gpu_of_the_node_names_none(past: Past) -> None:
    """The node's second time with another card: the count, and no GPU to blame."""
    await past.incident(0)
    run = await past.incident(1, gpu="GPU-2", pci="0000:01:00", ends=False)
    assert await past.told(run) == _are(2)


@pytest.mark.parametrize(
    "earlier",
    [
        {"hour": -73},
        {"hour": -1, "sandbox": True},
        {"hour": -1, "session": ""},
        {"hour": -1, "session": "same"},
        {"hour": -1, "node": "n1", "cluster": "d", "gpu": "GPU-9"},
    ],
)
async def test_what_is_no_repeat(past: Past, earlier: dict[str, object]) -> None:
    """Too long ago, in a sandbox, without a quarantine, of the same incident, elsewhere."""
    await past.incident(**earlier)  # type: ignore[arg-type]
    assert await past.told(await past.incident(0, session="same", ends=False)) == _are(1)


async def test_what_comes_later_is_no_past(past: Past) -> None:
    """A run is told of what was before it, whenever its script asks."""
    first = await past.incident(0)
    await past.incident(1)
    assert await past.told(first) == _are(1)


async def test_a_sandbox_run_counts_its_own_cluster_only(past: Past) -> None:
    """Cards have the same UUIDs in each sandbox: another cluster's do not count."""
    await past.incident(0, sandbox=True, cluster="other")
    await past.incident(0, sandbox=True, cluster="mine")
    run = await past.incident(1, sandbox=True, cluster="mine", ends=False)
    assert await past.told(run) == _are(2, "GPU-1")


async def test_a_prerequisite_asks_nothing(past: Past) -> None:
    """Nothing is looked up before the incident is known."""
    assert await past.told(await past.incident(0, ends=False), "prerequisite") == {}


async def test_a_broken_history_breaks_no_script(
    past: Past, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The script runs without the two variables, and the log says so."""
    run = await past.incident(0, ends=False)

    async def broken(_: object) -> None:
        raise OSError("disk")

    monkeypatch.setattr(past.store, "look", broken)
    assert await past.told(run) == {}
    assert "the past of" in caplog.text
