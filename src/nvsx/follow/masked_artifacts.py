"""Where a run's files lose their secrets. Its events do in `RunContext.record`."""

from __future__ import annotations

from pathlib import Path

from nvsx.core.masking import Masker
from nvsx.core.ports import Artifacts


class MaskedArtifacts:
    """The Artifacts port, with the secrets of every file and of its name masked."""

    def __init__(self, artifacts: Artifacts, masker: Masker) -> None:
        self._artifacts, self._masker = artifacts, masker

    @property
    def folder(self) -> Path:
        return self._artifacts.folder

    async def write(self, name: str, data: bytes) -> str:
        text = data.decode(errors="surrogateescape")
        masked = self._masker.mask(text)
        if masked != text:
            data = masked.encode(errors="surrogateescape")
        return await self._artifacts.write(self._masker.mask(name), data)
