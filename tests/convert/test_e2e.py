"""Converted runbooks on the embedded sandbox, from the page to what people are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


async def _play(project: Project) -> RunState:
    seen = Seen()
    options = RunOptions(runbook=NAME, sandbox=True, speed=6.0)
    await run_by_hand(Home(str(project.root)), options, [seen])
    return seen.state


async def test_offline_result_runs_and_posts_the_pages_words(project: Project) -> None:
    """Converted by rules, linted clean, run to the end; people are told the page's own words."""
    assert project.nvsx("convert", SAMPLE, "--offline", "--yes") == 0
    assert project.nvsx("lint") == 0
    state = await _play(project)
    assert state.finish is not None
    assert state.finish.status == "passed"
    assert not state.finish.degraded
    asked = [asked for _, asked in state.asked.values()]
    posts = [each.text for each in asked if each.kind == "post"]
    node = state.start.target_node if state.start else ""
    assert posts[0].startswith(f"XID 79 on {node}: GPU fell off the bus. Node goes out of service")
    assert "Tell #batch-users which jobs are affected." in posts[0]
    assert posts[-1].startswith(f"{node} is back in service. Thanks for your patience.")
    assert asked[-1].kind == "resolve"


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
