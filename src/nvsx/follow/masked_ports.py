"""Where secrets are masked on the way in: the ports of a run and the daemon's door for events.

What a run stores goes through its context, which masks every event; here are its files, the
triggers, and the list of what nvsx itself authenticates with.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nvsx.core.errors import NvsxError
from nvsx.core.masking import Masker
from nvsx.core.ports import Artifacts
from nvsx.core.routing.trigger_event import Answer, Intake, TriggerEvent
from nvsx.follow.processes.script_environment import is_own_secret
from nvsx.project.secret_files import TOKEN_FILE, Mark, mark

if TYPE_CHECKING:
    from nvsx.project.home import Home
    from nvsx.project.settings import Settings

LARGEST = 64 * 1024
"""Bytes of a secret's file."""


def masker_of(home: Home) -> Masker:
    """Masks the secrets of the environment and those the project's settings name.

    Whatever of them cannot be read is not known to nvsx, so it cannot pass it on either.
    """
    environ: Mapping[str, str] = home.env
    extra = [value for name, value in environ.items() if is_own_secret(name)]
    files: list[Path] = []
    with suppress(NvsxError, OSError):
        files.append(home.state_dir / TOKEN_FILE)
        settings = home.settings
        environ = {**environ, "healthEvents.uri": settings.health_events.uri}
        root = home.project.root
        files += [root / Path(name).expanduser() for name in _named_files(settings)]
        extra += [home.env[name] for name in secret_variables(settings) if name in home.env]
    return FileMasker(files, environ, extra)


class FileMasker(Masker):
    """A masker that also knows what is in `files`, those made or rotated later too: it looks
    whether one changed before it masks a text or a record. What one held before stays known."""

    def __init__(
        self, files: Iterable[Path], environ: Mapping[str, str] = {}, extra: Iterable[str] = ()
    ) -> None:
        super().__init__(environ, extra)
        self._marks: dict[str, Mark | None] = {str(path): None for path in files}
        self.refresh()

    def refresh(self) -> None:
        for path, known in self._marks.items():
            with suppress(OSError):
                if (found := mark(os.stat(path))) != known:  # noqa: PTH116 - for every line
                    self._read(path, found)

    def _read(self, path: str, found: Mark) -> None:
        if found.size <= LARGEST and Path(path).is_file():
            self.learn([Path(path).read_bytes().decode(errors="replace")])
        self._marks[path] = found


def _named_files(settings: Settings) -> Iterator[str]:
    serve, credentials = settings.serve, settings.health_events.credentials
    for source in serve.sources.values():
        yield from source.secret_file
    for place in (
        serve.token.file if serve.token else None,
        serve.oauth.secret_file if serve.oauth else None,
        credentials.file if credentials else None,
    ):
        if place:
            yield place


def secret_variables(settings: Settings) -> Iterator[str]:
    """The variables that the settings name as the place of a secret of nvsx's own."""
    serve, credentials = settings.serve, settings.health_events.credentials
    for source in serve.sources.values():
        yield from source.secret_env
    for name in (
        serve.token.env if serve.token else None,
        serve.oauth.secret_env if serve.oauth else None,
        credentials.env if credentials else None,
    ):
        if name:
            yield name


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


class MaskedIntake:
    """The Intake port: an event loses its secrets before anybody decides about it."""

    def __init__(self, intake: Intake, masker: Masker) -> None:
        self._intake, self._masker = intake, masker

    async def offer(self, event: TriggerEvent) -> Answer:
        if self._masker.hides(msgspec.json.encode(event).decode()):
            event = self._masker.value(event)
            event = msgspec.structs.replace(
                event,
                delivery=self._key(event.delivery),
                idempotency_key=self._key(event.idempotency_key),
            )
        return await self._intake.offer(event)

    def _key(self, text: str) -> str:
        """Two keys that differ in a secret only must stay two."""
        if not self._masker.hides(text):
            return text
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
