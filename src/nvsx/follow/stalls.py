"""The runs that were being worked when the daemon stalled, in a file of the state folder.

A file and not a row: it is written while the event loop stands, by a process that ends next.
One line a stall; one line where a person took the run up again, from which counting begins
anew.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

#: A run in which the daemon stalled so often is set aside: once may be chance.
ENOUGH = 2


class StallBook:
    """Reads and writes `stalls/runs.jsonl` in a state folder.

    Example: the daemon stalls in run r-1, is restarted, resumes it and stalls in it again:
    r-1 is set aside. `nvsx run … --resume r-1` takes it up and forgives it: it is set aside
    again only after two more stalls.
    """

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "stalls"
        self._file = self.folder / "runs.jsonl"

    def add(self, run_id: str, at: float, dump: str) -> None:
        """The daemon stalled in this run at `at` (Unix seconds); `dump` says where."""
        self._append_line({"t": round(at, 3), "run_id": run_id, "dump": dump})

    def forgive(self, run_id: str) -> None:
        """A person took the run up again."""
        if self.count(run_id):
            self._append_line({"run_id": run_id, "forgiven": True})

    def count(self, run_id: str) -> int:
        return self._count_stalls()[run_id]

    def is_set_aside(self, run_id: str) -> bool:
        return self.count(run_id) >= ENOUGH

    def note_of(self, run_id: str) -> str:
        """What a resumed run's record says about it; "" when nothing stalled."""
        if not self.count(run_id):
            return ""
        return "nvsx stalled while it worked this run, and was restarted; once more sets it aside"

    def _count_stalls(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except OSError:
            return counts  # none so far, or unreadable: then every run is resumed
        for line in lines:
            try:
                told = json.loads(line)
                run_id, forgiven = str(told["run_id"]), bool(told.get("forgiven"))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # cut by a power failure
            counts[run_id] = 0 if forgiven else counts[run_id] + 1
        return counts

    def _append_line(self, told: dict[str, object]) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (json.dumps(told) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
