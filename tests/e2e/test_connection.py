"""What happens to a run when its connection to the API server does not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.live import SPEED, STAGES, STEP_BEFORE, Event, Live, Nvsx, Project, until
from tests.e2e.sandboxed import Seen

from nvsentinel_sandbox.host import Sandbox
from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.streamfaults import StreamFaults
from nvsx.cluster.reflector import Reflector
from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.core.journal import entries as j
from nvsx.project.home import Home

pytestmark = pytest.mark.timeout(240)

_OFTEN = 12
FAULTS: dict[str, Callable[[StreamFaults], None]] = {
    "closed": lambda f: f.end_watch("close", times=_OFTEN, after=1),
    "torn": lambda f: f.end_watch("tear", times=_OFTEN, after=1),
    "reset": lambda f: f.end_watch("reset", times=_OFTEN, after=1),
    "silent": lambda f: f.end_watch("silent", times=_OFTEN, after=1),
    "gone-in-stream": lambda f: f.end_watch("gone", times=_OFTEN, after=1),
    "gone-as-status": lambda f: f.refuse(410, times=3, verbs=("watch",)),
    "throttled": lambda f: f.refuse(429, times=3, verbs=("list", "watch")),
    "overloaded": lambda f: f.refuse(503, times=3, verbs=("list", "watch")),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_run_passes_whatever_happens_to_its_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Watches closed, torn, reset, silent or refused with 410 during a run: it passes, each
    stage once, its hooks once, and the fault did strike."""
    servers: list[ApiServer] = []

    class Faulty(Sandbox):
        async def start(self) -> None:
            await super().start()
            assert self._server is not None
            servers.append(self._server)

    class Arming(Seen):
        """Lets the fault strike once the run is under way."""

        def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
            super().show(entry, replayed=replayed)
            if isinstance(entry.body, j.StageBegin) and entry.body.stage == "detect":
                FAULTS[fault](servers[0].faults)
                servers[0].end_watches()

    monkeypatch.setattr("nvsentinel_sandbox.host.Sandbox", Faulty)
    # Real silence is noticed after 70 s; here after half a second.
    monkeypatch.setitem(Reflector.__init__.__kwdefaults__ or {}, "idle", 0.5)
    project = Project(tmp_path / "project")
    book = project.chain()
    view = Arming()
    finish = await run_by_hand(
        Home(str(project.root)), RunOptions(runbook=book, sandbox=True, speed=SPEED), [view]
    )
    assert (finish.status, finish.degraded) == ("passed", False)
    assert [s.status for s in view.state.stages] == ["pass"] * 7
    assert [e[1] for e in project.log("end")] == list(STAGES)
    assert servers[0].faults.used


@pytest.mark.kubectl
@pytest.mark.slow
async def test_api_server_goes_and_comes_back(live: Live) -> None:
    """The API server is away in the middle of a run, then back with an empty watch cache:
    the run says it cannot read the node, and passes."""
    live.steps.hold(STEP_BEFORE["drain"])
    run = await live.run(live.project.chain())
    await run.until("stage_begin", stage="preflight")
    await live.inject()
    await run.until("stage_begin", stage="drain")
    await live.without_server()
    await until(lambda: _told(run, "nvsx-sandbox cannot be reached"), "a note that says so")
    await live.server_back()
    asked = live.server.requests.latest
    await until(lambda: any(r.verb == "watch" and "/nodes" in r.path for r in asked), "a watch")
    live.steps.go(STEP_BEFORE["drain"])
    assert await run.end() == 0
    assert run.statuses() == dict.fromkeys(STAGES, "pass")
    assert [e[1] for e in live.project.log("end")] == list(STAGES)
    await live.nothing_left()


def _told(run: Nvsx, words: str) -> list[Event]:
    return [note for note in run.of("note") if words in note["text"]]


@pytest.mark.kubectl
@pytest.mark.slow
async def test_dead_proxy_is_replaced(live: Live) -> None:
    """Somebody kills nvsx's kubectl proxy during a run: it is started again, the run passes."""
    live.steps.hold(STEP_BEFORE["quarantine"])
    run = await live.run(live.project.chain())
    await run.until("stage_begin", stage="preflight")
    await live.inject()
    await run.until("stage_begin", stage="quarantine")
    proxy = next(p for p in live.processes() if p.name() == "kubectl")
    proxy.kill()
    live.steps.go(STEP_BEFORE["quarantine"])
    assert await run.end() == 0
    assert run.statuses() == dict.fromkeys(STAGES, "pass")
    await live.nothing_left()
