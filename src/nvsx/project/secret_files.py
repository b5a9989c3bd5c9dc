"""Secrets from files and environment variables, and the daemon's own token.

A file is read again when it changed, so that a rotated Kubernetes Secret needs no restart;
while it cannot be read, the last good value stays. Values are never logged, printed or put
into an error. Empty secrets are refused: an HMAC with an empty key proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from nvsx.core.errors import NotReady

TOKEN_FILE = "webhook-token"  # noqa: S105 - a file's name
_MAX_BYTES = 64 * 1024


class Secret(Protocol):
    """Something secret that may change while nvsx runs."""

    def values(self) -> Sequence[bytes]:
        """The live values, at least one."""
        ...


class FixedSecret:
    """Values that do not change: from the environment, or made."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._values = tuple(values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def values(self) -> Sequence[bytes]:
        return self._values


class FileSecret:
    """One value a file. Raises NotReady when one cannot be read or is empty at first."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._known: dict[Path, tuple[FileMark, bytes]] = {}
        for path in self._paths:
            self._known[path] = self._read_secret(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self._paths))})"

    def values(self) -> Sequence[bytes]:
        for path in self._paths:
            with contextlib.suppress(NotReady, OSError):  # the last good value stays
                if mark_of(path.stat()) != self._known[path][0]:
                    self._known[path] = self._read_secret(path)
        return [value for _, value in self._known.values()]

    @staticmethod
    def _read_secret(path: Path) -> tuple[FileMark, bytes]:
        try:
            with path.open("rb") as file:
                seen = mark_of(os.fstat(file.fileno()))
                value = file.read(_MAX_BYTES).strip()
        except OSError as exc:
            raise NotReady(f"secret file {path} cannot be read: {exc.strerror or exc}") from None
        if not value:
            raise NotReady(f"secret file {path} is empty", "write the sender's secret into it")
        return seen, value


class FileMark(NamedTuple):
    """By this a file that changed is told from one that did not."""

    inode: int
    modified: int
    size: int


def mark_of(status: os.stat_result) -> FileMark:
    return FileMark(status.st_ino, status.st_mtime_ns, status.st_size)


def open_configured_secret(
    files: Sequence[str], variables: Sequence[str], root: Path, env: Mapping[str, str]
) -> Secret | None:
    """The secret that settings name; None when they name none. Relative paths start at
    `root`. Raises NotReady when a file or variable that is named is missing or empty."""
    if files:
        return FileSecret([root / Path(name).expanduser() for name in files])
    if not variables:
        return None
    for name in variables:
        if not env.get(name, "").strip():
            raise NotReady(f"variable {name} is not set", "it has to hold the sender's secret")
    return FixedSecret([env[name].strip().encode() for name in variables])


def open_own_token(state: Path) -> FileSecret:
    """The daemon's bearer token in the state folder: made once (0600), then reused.

    Raises NotReady when it cannot be made, or when others could read it.
    """
    path = state / TOKEN_FILE
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make_token(path)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as exc:
        raise NotReady(f"token file {path} cannot be made: {exc.strerror or exc}") from None
    if mode & 0o077:
        raise NotReady(
            f"others can read the token in {path} (mode {mode:04o})",
            f"delete it, a new one is made: rm {path}",
        )
    return FileSecret([path])


def _make_token(path: Path) -> None:
    """Whole or not at all, also when two daemons start at once: link() refuses to replace."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(32).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
