"""A daemon and shell that a model wrote and nobody has accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.serve.conftest import until
from tests.serve.test_operating import post, url_of

from nvsx.core.runbook.review import UNREVIEWED

if TYPE_CHECKING:
    from tests.serve.conftest import Site

    from nvsx.core.journal.fold import HookState

pytestmark = [pytest.mark.kubectl, pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_marked_hook_does_not_run_even_if_executable(site: Site) -> None:
    """serve warns at its start, and the run says how to accept instead of running the hook."""
    site.quick_hooks()
    hook = site.project / "runbooks/hooks/gpu-off-bus/on-preflight.sh"
    hook.write_text(f"#!/bin/sh\n# {UNREVIEWED}: a model wrote this\ntouch fired\n")
    book = site.project / "runbooks/gpu-off-bus.yaml"
    exists = "      - {kind: node, field: exists}\n"
    named = f"{exists}    hook: hooks/gpu-off-bus/on-preflight.sh\n"
    book.write_text(book.read_text().replace(exists, named, 1))
    hook.chmod(0o755)
    daemon = await site.serve("--mode", "webhook", "--port", "0")
    assert "nvsx convert --accept gpu-off-bus" in daemon.output
    body = {"runbook": "gpu-off-bus", "target_node": site.sandbox.default_node}
    _, fired = await post(url_of(daemon), body)

    async def ended() -> HookState | None:
        stages = (await site.run_state(fired["run_id"])).stages
        scripts = [s for stage in stages for s in stage.scripts]
        return next((s for s in scripts if s.ended is not None), None)

    refused = await until(ended)
    assert refused.script.endswith("on-preflight.sh")
    assert refused.exit_code is None
    assert "nvsx convert --accept gpu-off-bus" in refused.detail
    assert not (site.project / "fired").exists()
    await site.nvsx("runs", "cancel", fired["run_id"])
    assert await daemon.stop() == 0
