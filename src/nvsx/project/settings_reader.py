"""nvsx.yaml while a daemon runs: read again when it changes, and what of a change waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nvsx.project import settings as project_settings
from nvsx.project.settings import FILE, Settings


class SettingsReader:
    """The settings as they are now. `current` are the last that were valid."""

    def __init__(self, root: Path, env: Mapping[str, str], current: Settings) -> None:
        self._root, self._env = root, env
        self.current = current
        self._mark = self._mark_file()

    def read_if_changed(self) -> Settings | None:
        """The new settings; None where the file is as it was.

        Raises InvalidRunbook and UsageError, once for each change of the file: a broken one
        leaves the settings of before in force, and is not said again every few seconds.
        """
        mark = self._mark_file()
        if mark == self._mark:
            return None
        self._mark = mark
        found = project_settings.load(self._root, self._env)
        return found if found != self.current else None

    def _mark_file(self) -> tuple[int, int, int]:
        try:
            at = (self._root / FILE).stat()
        except OSError:
            return (0, 0, 0)  # a project without the file has every default
        return (at.st_ino, at.st_mtime_ns, at.st_size)


def list_waiting_changes(before: Settings, after: Settings) -> Iterator[str]:
    """The settings that differ and count at the next start only: all but `serve.sources`."""
    for name in Settings.model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if name != "serve" and old != new:
            yield _name_key(Settings, name)
    for name in type(before.serve).model_fields:
        if name != "sources" and getattr(before.serve, name) != getattr(after.serve, name):
            yield f"serve.{_name_key(type(before.serve), name)}"


def _name_key(model: type[Settings | project_settings.Serve], name: str) -> str:
    """The key as the file has it."""
    return model.model_fields[name].alias or name
