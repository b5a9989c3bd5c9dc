"""The sandbox and the project each end-to-end test has for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.e2e.live import Live, living


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """A sandbox in this process and a project; `live.run` starts real `nvsx` processes."""
    async with living(tmp_path) as made:
        yield made
