"""Answers that took long to find, kept in the state folder by all they were found from.

The key of an answer is a digest of what was read and of the code that read it, so that a kept
answer is what reading again would give. One that cannot be read is found anew, and one that
cannot be written is no reason to complain.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from nvsx.core.errors import UsageError
from nvsx.project import locate

MOST_UNUSED = 200
"""Answers that stay though nobody asked for them this time: of another project, or of a file as
it was before. Reading so many takes a millisecond."""
CODE = Path(__file__).resolve().parents[1]


class KeptAnswers:
    """Answers by key, as JSON has them; without a file they are kept for this process only."""

    def __init__(self, file: str = "", env: Mapping[str, str] | None = None) -> None:
        self._file, self._env = file, env
        self._kept: dict[str, Any] = {}
        self._used: dict[str, Any] = {}
        self._changed = False
        with suppress(OSError, ValueError, UsageError):
            if file and env is not None:
                stored = json.loads((locate.state_path(env).expanduser() / file).read_bytes())
                self._kept = stored if isinstance(stored, dict) else {}

    def get(self, key: str) -> Any:
        """The answer, None for one that is not known."""
        answer = self._used.get(key, self._kept.get(key))
        if answer is not None:
            self._used[key] = answer
        return answer

    def keep(self, key: str, answer: Any) -> None:
        """Remember an answer that is not None."""
        self._used[key] = answer
        self._changed = True

    def save(self) -> None:
        """Write what was asked for, and some of what was not, when there is something new."""
        if not self._changed or not self._file or self._env is None:
            return
        unused = ((k, v) for k, v in self._kept.items() if k not in self._used)
        answers = self._used | dict(islice(unused, MOST_UNUSED))
        with suppress(OSError, UsageError):
            path = locate.state_dir(self._env) / self._file
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(answers), "utf-8")
            draft.replace(path)


def digest_of(*parts: str | bytes) -> str:
    """The key for an answer that was found from these; it tells their borders apart."""
    told = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else os.fsencode(part)
        told.update(b"%d:" % len(data) + data)
    return told.hexdigest()


def fingerprint_of_code(*packages: str) -> str:
    """Another one after each upgrade of these packages of nvsx, in a checkout after each change."""
    files = [p for package in packages for p in (CODE / package).rglob("*.py")]
    return f"{len(files)}-{max(p.stat().st_mtime_ns for p in files)}"
