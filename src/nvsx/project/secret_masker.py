"""The secrets a project knows of, and the masker that keeps them out of what is shown.

Three lists come together here: variables whose names look like a secret's (core/masking), what
nvsx authenticates with, and the files and variables that the settings name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nvsx.core.masking import Masker, is_own_secret
from nvsx.project.secret_files import TOKEN_FILE, FileMark, mark_of

if TYPE_CHECKING:
    from nvsx.project.settings import Settings

LARGEST = 64 * 1024
"""Bytes of a secret's file. What is larger is no secret, and would be searched in every line."""

_SECRETS = ("bot_token", "webhook_url", "routing_key", "api_key", "token", "secret", "url")
_SECRET_FILES = frozenset(f"{name}_file" for name in _SECRETS)
_SECRET_VARIABLES = frozenset(f"{name}_env" for name in _SECRETS)
"""Fields of targets: where a secret is. `user_file` is none: it is shown as the account."""


def masker_of(
    env: Mapping[str, str], state_dir: Path | None, root: Path | None, settings: Settings | None
) -> Masker:
    """Masks the secrets of the environment, the daemon's token and those the settings name.

    Relative names of files start at `root`. What could not be read (None) is not known to nvsx,
    so it cannot pass it on either.
    """
    environ = dict(env)
    extra = [value for name, value in env.items() if is_own_secret(name)]
    files = [state_dir / TOKEN_FILE] if state_dir is not None else []
    if settings is not None:
        environ["healthEvents.uri"] = settings.health_events.uri
        files += [(root or Path()) / Path(name).expanduser() for name in secret_files(settings)]
        named = [*secret_variables(settings), *told_variables(settings)]
        extra += [env[name] for name in named if name in env]
    return FileMasker(files, environ, extra)


class FileMasker(Masker):
    """A masker that also knows what is in `files`, those made or rotated later too: it looks
    whether one changed before it masks a text or a record. What one held before stays known.

    For example: a sender's secret is rotated at 12:00 and its old value is printed by a script
    at 12:01. Both are masked: the new one was read before that line was.
    """

    def __init__(
        self, files: Iterable[Path], environ: Mapping[str, str] = {}, extra: Iterable[str] = ()
    ) -> None:
        super().__init__(environ, extra)
        self._marks: dict[str, FileMark | None] = {str(path): None for path in files}
        self.refresh()

    def add_files(self, files: Iterable[Path]) -> None:
        """Know what is in these, too, from now on."""
        for path in files:
            self._marks.setdefault(str(path), None)
        self.refresh()

    def refresh(self) -> None:
        for path, known in self._marks.items():
            with suppress(OSError):
                if (found := mark_of(os.stat(path))) != known:  # noqa: PTH116 - for every line
                    self._learn_file(path, found)

    def _learn_file(self, path: str, found: FileMark) -> None:
        if found.size <= LARGEST and Path(path).is_file():
            self.learn([Path(path).read_bytes().decode(errors="replace")])
        self._marks[path] = found


def learn_settings(masker: Masker, env: Mapping[str, str], root: Path, settings: Settings) -> None:
    """Mask the secrets that new settings name, before anything uses one of them."""
    masker.learn(env[name] for name in secret_variables(settings) if name in env)
    if isinstance(masker, FileMasker):
        masker.add_files(root / Path(name).expanduser() for name in secret_files(settings))


def secret_files(settings: Settings) -> Iterator[str]:
    """The files that the settings name as the place of a secret of nvsx's own."""
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
    for target in settings.notify.targets.values() if settings.notify else ():
        yield from (value for name, value in target if name in _SECRET_FILES and value)


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


def told_variables(settings: Settings) -> Iterator[str]:
    """The variables that `notify:` names. Masked, but scripts keep them: a team's own hooks may use
    what the operator exported."""
    for target in settings.notify.targets.values() if settings.notify else ():
        yield from (value for name, value in target if name in _SECRET_VARIABLES and value)
