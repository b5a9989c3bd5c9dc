"""nvsx.yaml is read again while the daemon runs."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.core.senders.bodies import JSON
from tests.fakes.fake_intake import FakeIntake
from tests.webhook.serving import StillClock

from nvsx.core.senders.http_request import Headers, RawRequest
from nvsx.core.senders.registry import decode
from nvsx.project.secret_masker import masker_of
from nvsx.project.settings import load
from nvsx.serve.serve_options import ServeOptions
from nvsx.serve.webhook.web_service import Webhooks

HEAD = "apiVersion: nvsx/v1\nkind: Project\n"
GRID = HEAD + "serve: {sources: {grid: {kind: generic, node: {from: host}}}}\n"


@pytest.fixture
def webhooks(tmp_path: Path) -> Webhooks:
    """The HTTP side of a daemon on a project without nvsx.yaml."""
    settings = load(tmp_path, {})
    home: Any = SimpleNamespace(
        settings=settings,
        project=SimpleNamespace(root=tmp_path),
        env={},
        state_dir=tmp_path,
        masker=masker_of({}, tmp_path, tmp_path, settings),
    )
    world = SimpleNamespace(home=home, where=SimpleNamespace(in_pod=False))
    metrics = SimpleNamespace(render=bytes, count_request=lambda *_: None)
    daemon: Any = SimpleNamespace(
        world=world, modes=("webhook",), door=FakeIntake(), clock=StillClock(), metrics=metrics
    )
    return Webhooks(daemon, ServeOptions())


def test_a_source_that_was_added_is_in_use(
    webhooks: Webhooks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its rules read the next body; what cannot change while running is named."""
    caplog.set_level(logging.INFO, "nvsx.webhook")
    assert "grid" not in webhooks._server._channels
    (tmp_path / "nvsx.yaml").write_text(GRID + "limits: {maxEventAge: 5m}\n")
    webhooks.reread_settings()
    channel = webhooks._server._channels["grid"]
    request = RawRequest(body=b'{"host": "n1"}', headers=Headers(JSON))
    (event,) = decode(request, channel.setup)
    assert event.facts.node == "n1"
    assert "sources in use: grid" in caplog.text
    assert "what changed of limits counts at the next start" in caplog.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "serve: {sources: {grid: {kind: nothing}}}\n", "kind"),
        (HEAD + "serve: [\n", "nvsx.yaml"),
        (HEAD + "serve: {sources: {grid: {kind: generic, secretFile: gone}}}\n", "source grid"),
    ],
)
def test_a_broken_file_keeps_the_old_settings_and_is_said_once(
    webhooks: Webhooks, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, says: str
) -> None:
    """The sources of before go on; mended, the file is used."""
    (tmp_path / "nvsx.yaml").write_text(GRID)
    webhooks.reread_settings()
    before = webhooks._server._channels
    (tmp_path / "nvsx.yaml").write_text(text)
    for _ in range(3):
        webhooks.reread_settings()
    assert webhooks._server._channels is before
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "the old settings stay" in errors[0]
    assert says in errors[0]
    (tmp_path / "nvsx.yaml").write_text(GRID.replace("grid", "lattice"))
    webhooks.reread_settings()
    assert "lattice" in webhooks._server._channels


def test_a_new_secret_is_masked_before_it_is_used(webhooks: Webhooks, tmp_path: Path) -> None:
    """No log line and no record may hold the secret of a source that was added later."""
    (tmp_path / "secret").write_text("a-secret-of-a-later-source")
    (tmp_path / "nvsx.yaml").write_text(
        HEAD + "serve: {sources: {grid: {kind: generic, secretFile: secret}}}\n"
    )
    webhooks.reread_settings()
    masked = webhooks._daemon.world.home.masker.mask("x a-secret-of-a-later-source x")
    assert masked == "x *** x"
