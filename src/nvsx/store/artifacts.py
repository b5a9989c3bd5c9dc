"""A run's artifacts as files in one folder, private to the operator.

Names come from the engine and from what the cluster calls its objects: one that would
leave the folder is refused. A file is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath

from nvsx.core.errors import StoreBusy, StoreError


def file_artifacts(folder: Path) -> FileArtifacts:
    """The artifacts in `folder`, which is made (0700) with the first file."""
    return FileArtifacts(folder)


def listing(folder: Path) -> list[tuple[str, int, str]]:
    """(path, bytes, SHA-256) of each file in `folder`, by path; [] when it is not there.

    Symbolic links are left out: they may lead anywhere; hidden files are nvsx's own.
    Raises StoreError.
    """
    found = []
    try:
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and not path.is_symlink() and not hidden:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                name = path.relative_to(folder).as_posix()
                found.append((name, path.stat().st_size, digest))
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be read: {error.strerror}", "check the folder and its files"
        ) from error
    return found


class FileArtifacts:
    """Implements the Artifacts port on a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        return self._folder

    async def write(self, name: str, data: bytes) -> str:
        """Write one file; `name` may have folders in it, separated by `/`.

        Raises StoreError for a name that leaves the folder and when it cannot be written.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
            raise StoreError(f"{name!r} is no name for an artifact: it leaves the folder")
        import asyncio  # opening the store for a quick look costs no event loop

        return await asyncio.to_thread(self._write_file, "/".join(parts), data)

    def _write_file(self, name: str, data: bytes) -> str:
        import tempfile

        target = self._folder / name
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(self._folder.resolve()):
                raise StoreError(f"{name!r} leaves the artifact folder through a symbolic link")
            # mkstemp makes the file 0600.
            descriptor, temporary = tempfile.mkstemp(prefix=".", dir=target.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _translate_error(error, target) from error
        return name


def _translate_error(error: OSError, target: Path) -> StoreError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreBusy(f"{target} was not written: the disk is full", "free some space there")
    return StoreError(
        f"{target} was not written: {error.strerror}", f"check the folder {target.parent}"
    )
