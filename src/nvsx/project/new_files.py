"""Files that are about to be written, and writing them all or not at all.

init and setup plan files as values, show them, and write them here. Nothing that exists is
ever overwritten; when writing fails half-way, what was made is taken back.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nvsx.core.errors import Conflict, UsageError


@dataclass(frozen=True, slots=True)
class NewFile:
    """One file to be. `path` is relative to the folder, with forward slashes."""

    path: str
    text: str
    executable: bool = False

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644

    def there(self, root: Path) -> bool | None:
        """Whether `root` has this very file: True the same, False another one, None nothing."""
        path = root / self.path
        if not os.path.lexists(path):
            return None
        try:
            return path.read_bytes() == self.text.encode()
        except OSError:
            return False


def write(root: Path, files: Sequence[NewFile]) -> list[Path]:
    """Write all files under `root`, which is made when missing. All or nothing.

    Raises Conflict when one exists already, UsageError when the disk does not let us.
    """
    taken = [f.path for f in files if os.path.lexists(root / f.path)]
    if taken:
        raise Conflict(
            f"nothing was written: {root} has {', '.join(taken)} already",
            "move them away, or choose another name or folder",
        )
    made: list[Path] = []
    try:
        _make_folder(root, made)
        staged = Path(tempfile.mkdtemp(prefix=".nvsx-new-", dir=root))
        try:
            for file in files:
                _write_draft(staged / file.path, file)
            for file in files:
                _make_folder((root / file.path).parent, made)
                _move_into_place(staged / file.path, root / file.path)
                made.append(root / file.path)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except FileExistsError as error:
        _take_back(made)
        raise Conflict(f"nothing was written: {error.filename2 or error.filename} exists") from None
    except OSError as error:
        _take_back(made)
        raise UsageError(
            f"nothing was written: {error.filename or root}: {error.strerror or error}",
            "choose a folder you can write to",
        ) from None
    except BaseException:
        _take_back(made)
        raise
    return [root / f.path for f in files]


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make `folder` and its parents, noting each that was made."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)


def _write_draft(path: Path, file: NewFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.text.encode())
    path.chmod(file.mode)


def _move_into_place(staged: Path, path: Path) -> None:
    """Move a file to where nothing is. A link never overwrites; a rename would."""
    try:
        os.link(staged, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(17, "exists", str(path)) from None
        staged.rename(path)


def _take_back(made: list[Path]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
