"""One daemon a cluster and state folder: the lock it holds, and who holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nvsx.core.errors import Conflict


@contextmanager
def hold_daemon_lock(folder: Path, cluster_id: str) -> Iterator[None]:
    """Be the daemon of this cluster and state folder. Raises Conflict when there is one."""
    path = _lock_of(folder, cluster_id)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"nvsx serve is running already for this cluster (pid {lock.read().strip()})",
                "stop it first, or give this one its own NVSX_STATE_DIR",
            ) from None
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def find_serving_daemon(folder: Path, cluster_id: str) -> str:
    """The process id of the daemon that serves this cluster from this folder; "" for none.

    Asked of the lock and not of the number in the file, which a killed daemon leaves behind.
    A shared lock, so that two who ask do not take each other for the daemon.
    """
    try:
        lock = _lock_of(folder, cluster_id).open(encoding="ascii")
    except FileNotFoundError:
        return ""
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return lock.read().strip() or "unknown"
        return ""


def _lock_of(folder: Path, cluster_id: str) -> Path:
    return folder / f"serve-{cluster_id[:36]}.lock"
