"""What a sandbox refuses, in words for the person who asked; what its API server answers to a
client is in kube/statuses.py.

    SandboxError          1   it cannot start, or something it needs is not there
    ├── WrongCall         2   an argument, a name, a file: fix the call
    ├── AlreadyRunning    2   another process has the folder
    └── NotRunning        3   nobody answers: start a sandbox first
"""

from __future__ import annotations

from typing import ClassVar


class SandboxError(Exception):
    """`message` says what is wrong, `hint` what to do next; a command that ends with it exits
    with `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class WrongCall(SandboxError):
    exit_code = 2


class AlreadyRunning(SandboxError):
    exit_code = 2


class NotRunning(SandboxError):
    exit_code = 3
