"""The project's error tree, and the exit code each branch ends a command with.

    NvsxError                     one clear message, an optional next step
    ├── UsageError            2   the command line, a name, a file: fix the call
    │   └── InvalidRunbook    2   a runbook or nvsx.yaml, with its problems
    ├── NotReady              3   prerequisites not met
    ├── ClusterError          3   Kubernetes could not be read
    │   ├── Unreachable           nobody answered; trying again can help
    │   ├── Unauthorized          401, or no usable credentials
    │   ├── Forbidden             403: a right is missing
    │   ├── NotFound              404: no such object, or no such resource kind
    │   └── Gone                  410: the resource version is too old; list again
    ├── StoreError            1   the journal could not be read or written
    │   ├── StoreBusy             locked or full for now; trying again can help
    │   ├── StaleOwner            another process took this run over
    │   └── NodeClaimed       2   another run is on this node
    └── Conflict              2   it exists already; nvsx refuses to overwrite

Foreign exceptions are translated once, at the edge that calls the foreign library.
The command line prints `message` and `hint` and exits with `exit_code`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class NvsxError(Exception):
    """An error with a message for a person.

    `message` says what is wrong, `hint` what to do next. `retryable` is true when the
    same call can succeed later with nothing changed.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(NvsxError):
    exit_code = 2


class Conflict(NvsxError):
    exit_code = 2


class NotReady(NvsxError):
    exit_code = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a file. `line` and `column` count from 1; 0 when unknown."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""

    def __str__(self) -> str:
        where = ":".join(str(p) for p in (self.file, self.line, self.column) if p)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} ({self.hint})" if self.hint else text


class InvalidRunbook(UsageError):
    """A runbook or project file that cannot be used; `problems` has all of them."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name = name
        self.problems = problems
        super().__init__("\n".join(str(p) for p in problems) or f"{name} is not valid")


class ClusterError(NvsxError):
    exit_code = 3


class Unreachable(ClusterError):
    retryable = True


class Unauthorized(ClusterError):
    pass


class Forbidden(ClusterError):
    pass


class NotFound(ClusterError):
    pass


class Gone(ClusterError):
    """410: the resource version is too old; list again."""

    retryable = True


class StoreError(NvsxError):
    pass


class StoreBusy(StoreError):
    retryable = True


class StaleOwner(StoreError):
    """Another process took the run over; this one must stop appending to it."""


class NodeClaimed(StoreError):
    """Another run is on this node; `run_id` names it, `runbook` what it runs.

    `interrupted` is true when that run's process has died: nobody works on the node, and
    the run waits to be resumed or dropped.
    """

    exit_code = 2

    def __init__(
        self, node: str, run_id: str, *, interrupted: bool = False, runbook: str = ""
    ) -> None:
        where = node or "no node yet"
        if interrupted:
            message = f"run {run_id} ({where}) was interrupted: its process died before the end"
            hint = (
                f"go on with it: `nvsx run {runbook or 'RUNBOOK'} --resume {run_id}`, "
                f"or drop it: `nvsx runs cancel {run_id}`"
            )
        else:
            message = f"run {run_id} is on {where} already" if node else f"run {run_id} is alive"
            hint = f"follow it with `nvsx attach {run_id}`"
        super().__init__(message, hint)
        self.node = node
        self.run_id = run_id
        self.interrupted = interrupted
        self.runbook = runbook
