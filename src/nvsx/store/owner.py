"""Who is alive: each process that owns runs holds a lock on a file of its own.

The operating system lets go of the lock when the process ends, however it ends, so there
is no heartbeat to miss and no pid to be reused. Used by the journal alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Container
from pathlib import Path


class Owner:
    """This process, for as long as it holds its lock. `name` goes into leases."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError when the file cannot be made or locked."""
        folder.mkdir(mode=0o700, exist_ok=True)
        host = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname())
        self.name = f"{host[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
        self._path = _lock_file(folder, self.name)
        # Locked before it has its name: nobody can ever see it unlocked while we live.
        hidden = folder / f".{self.name}"
        self._descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self._path)
        except BaseException:
            os.close(self._descriptor)
            hidden.unlink(missing_ok=True)
            raise

    def is_called(self, name: str) -> bool:
        """Whether this is that owner, alive: it need not look for its own lock."""
        return name == self.name and self._descriptor >= 0

    def release(self) -> None:
        """Let go of the lock; what this owner has not finished is interrupted from now on."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def is_alive(folder: Path, name: str) -> bool:
    """Whether the process called `name` still runs."""
    try:
        descriptor = os.open(_lock_file(folder, name), os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # cannot tell: never take a run from someone who may be at work
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def sweep(folder: Path, needed: Container[str]) -> None:
    """Remove the locks of dead processes, but for those in `needed`."""
    for path in folder.glob("*.lock"):
        if path.stem not in needed and not is_alive(folder, path.stem):
            path.unlink(missing_ok=True)


def _lock_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
