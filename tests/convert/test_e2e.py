"""Converted runbooks on the embedded sandbox, from the page to the post in Slack."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tests.convert import answers
from tests.convert.conftest import SAMPLE, tool
from tests.e2e.sandboxed import Seen

from nvsx.commands.run.by_hand import run_by_hand
from nvsx.commands.run.run_options import RunOptions
from nvsx.core.journal.fold import RunState
from nvsx.project.home import Home

if TYPE_CHECKING:
    from tests.convert.conftest import Claude, Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
NAME = "sample-runbook"


@pytest.fixture
def slack() -> Iterator[tuple[str, list[Any]]]:
    """A stand-in for Slack: its webhook, and what was posted."""
    posts: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/services/T0/B0/x", posts
    server.shutdown()
    thread.join()
    server.server_close()


async def _play(project: Project, *, live_hooks: bool = False) -> RunState:
    seen = Seen()
    options = RunOptions(runbook=NAME, sandbox=True, speed=6.0, live_hooks=live_hooks)
    await run_by_hand(Home(str(project.root)), options, [seen])
    return seen.state


async def test_offline_result_runs_and_posts_the_pages_words(
    project: Project, slack: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converted by rules, linted clean, run to the end; Slack gets the page's own words."""
    url, posts = slack
    monkeypatch.setenv("SLACK_WEBHOOK_URL", url)
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    assert project.nvsx("lint") == 0
    state = await _play(project, live_hooks=True)
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert not state.finish.degraded
    texts = [post["blocks"][1]["text"]["text"] for post in posts]
    node = state.start.target_node if state.start else ""
    assert texts[0].startswith(f"XID 79 on {node}: GPU fell off the bus. Node goes out of service")
    assert "Tell #batch-users which jobs are affected." in texts[0]
    assert texts[-1].startswith(f"{node} is back in service. Thanks for your patience.")
    assert "Time to repair: " in texts[-1]


async def test_a_models_result_runs_once_accepted(project: Project, claude: Claude) -> None:
    """The same page through the model: unreviewed, accepted, linted clean, run to the end."""
    claude.answers = [tool(answers.good([SAMPLE], NAME, project.desk()))]
    assert project.nvsx("convert", SAMPLE, "--yes") == 0
    assert project.nvsx("lint") == 1
    assert project.nvsx("convert", "--accept", NAME, "--yes") == 0
    assert project.nvsx("lint") == 0
    state = await _play(project)
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert not state.finish.degraded
