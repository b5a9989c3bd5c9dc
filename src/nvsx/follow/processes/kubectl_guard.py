"""Installs the kubectl guard where a run's scripts find it.

The guard is package data. An installed wheel may have lost its executable bit, or lie in
a folder that other programs share, so it is written into a private folder of its own.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from nvsx.core.errors import StoreError

FOLDER = "nvsx-guard"
"""The guard knows itself and its like by the name of this folder, and passes them over."""


def install_guard(folder: Path) -> Path:
    """Put the guard under `folder` (made if missing, 0700); returns what goes on PATH.

    Raises StoreError when it cannot be written there now.
    """
    try:
        return _write_guard(folder / FOLDER)
    except OSError as error:
        raise StoreError(
            f"the guard of kubectl cannot be written: {error.strerror}",
            f"make room in {folder}, and make it writable for you",
        ) from error


def _write_guard(target: Path) -> Path:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    guard = target / "kubectl"
    source = resources.files("nvsx.follow.processes").joinpath("guard", "kubectl").read_bytes()
    if not guard.exists() or guard.read_bytes() != source:
        # A new file and a rename: another process may be executing the old one right now.
        new = target / ".kubectl.new"
        new.write_bytes(source)
        new.chmod(0o700)
        new.replace(guard)
    guard.chmod(0o700)
    return target
