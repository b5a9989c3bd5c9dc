"""Faults of the connection to an API server, on demand: what a client must survive.

Tests and drills arm them, the API server consumes each once per request it fits. They
cover what real servers, load balancers and networks do to lists and watches: clean and
torn ends, silence, expired versions, refusals. They never change an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StreamEnd = Literal["close", "gone", "reset", "silent", "tear"]


@dataclass(slots=True)
class StreamFault:
    """What happens to a watch after it sent `after` events."""

    end: StreamEnd
    path: str
    times: int
    after: int


@dataclass(slots=True)
class Refusal:
    """What requests are answered with instead. `verbs` empty: all of them."""

    code: int
    path: str
    times: int
    verbs: tuple[str, ...]


class StreamFaults:
    """Armed faults, used up in the order they were armed.

    `path` is a prefix of the URL path, such as `/api/v1/nodes`; `times` is how many
    requests are hit, -1 for all until `clear`.
    """

    def __init__(self) -> None:
        self._ends: list[StreamFault] = []
        self._refusals: list[Refusal] = []
        self._expired_continues = 0
        self.used: list[str] = []

    def end_watch(self, end: StreamEnd, *, path: str = "", times: int = 1, after: int = 0) -> None:
        """Let the next watches end badly.

        `close`: a clean end. `tear`: a clean end in the middle of a line. `reset`: the
        connection is cut in the middle of a line. `silent`: nothing is sent any more, the
        connection stays open. `gone`: an ERROR event with a 410 Status, then the end.
        """
        self._ends.append(StreamFault(end, path, times, after))

    def refuse(
        self, code: int, *, path: str = "", times: int = 1, verbs: tuple[str, ...] = ()
    ) -> None:
        """Answer with 401, 403, 410, 429, 500, 503 or 504; verbs as in authorization."""
        self._refusals.append(Refusal(code, path, times, verbs))

    def expire_continue(self, times: int = 1) -> None:
        """Answer the next `continue` tokens with 410."""
        self._expired_continues += times

    def clear(self) -> None:
        """Disarm everything."""
        self._ends.clear()
        self._refusals.clear()
        self._expired_continues = 0

    # --- what the server asks -------------------------------------------------------------

    def take_end(self, path: str) -> StreamFault | None:
        for fault in self._ends:
            if path.startswith(fault.path) and fault.times:
                fault.times -= 1
                self.used.append(fault.end)
                return fault
        return None

    def take_refusal(self, path: str, verb: str) -> int:
        for fault in self._refusals:
            if path.startswith(fault.path) and fault.times and verb in (fault.verbs or (verb,)):
                fault.times -= 1
                self.used.append(str(fault.code))
                return fault.code
        return 0

    def take_expired_continue(self) -> bool:
        if self._expired_continues:
            self._expired_continues -= 1
            self.used.append("continue")
            return True
        return False
