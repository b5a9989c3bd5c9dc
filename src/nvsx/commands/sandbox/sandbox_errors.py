"""The edge to the sandbox's own errors: the package knows nothing of nvsx."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nvsentinel_sandbox.errors import SandboxError
from nvsx.core.errors import NotReady, NvsxError, UsageError

_BY_EXIT_CODE: dict[int, type[NvsxError]] = {2: UsageError, 3: NotReady}


@contextmanager
def translate_sandbox_errors() -> Iterator[None]:
    """Raise what the sandbox refuses as an NvsxError with the same words and exit code."""
    try:
        yield
    except SandboxError as error:
        kind = _BY_EXIT_CODE.get(error.exit_code, NvsxError)
        raise kind(error.message, error.hint) from error
