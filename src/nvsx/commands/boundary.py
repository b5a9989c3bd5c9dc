"""Where every error of a command ends: one message, one exit code, no traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from nvsx.core import plain_text
from nvsx.core.errors import NvsxError
from nvsx.project import locate

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What writing to a full disk fails with. The store's own files never get here with it."""


def run_in_boundary(build_application: Callable[[], Any], args: list[str]) -> int:
    """Build the application and run it on `args`; the process's exit code.

    Raises OSError when our output cannot be written, most often since whoever read it has
    left: `nvsx.commands.main` ends that for every command in the same way.
    """
    try:
        code = build_application()(args=args, prog_name="nvsx", standalone_mode=False)
    except NvsxError as error:
        return _print_error(error.message, error.hint, error.exit_code)
    except typer.Exit as done:
        return done.exit_code
    except typer.exceptions.TyperException as error:
        return _print_usage_error(error)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as ended:  # Typer makes exit code 1 of a broken pipe
        cause = ended.__context__
        if not isinstance(cause, BrokenPipeError):
            raise
        return _raise_if_output_failed(cause)
    except OSError as error:
        return _raise_if_output_failed(error)
    except Exception as error:  # noqa: BLE001 - the boundary: nobody sees a traceback
        return _record_bug(error)
    return code if isinstance(code, int) else 0


def _print_error(message: str, hint: str, code: int) -> int:
    from nvsx.core.masking import Masker

    mask = Masker(os.environ).mask
    print(f"nvsx: {plain_text.lines(mask(message))}", file=sys.stderr)
    if hint:
        print(f"  {plain_text.lines(mask(hint))}", file=sys.stderr)
    return code


def _print_usage_error(error: typer.exceptions.TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "nvsx"
    return _print_error(error.format_message(), f"see `{path} --help`", 2)


def _raise_if_output_failed(error: OSError) -> int:
    """Pass on that our output cannot be written. Any other one should not have come here: a
    pipe to somebody else that broke, a file that cannot be opened."""
    no_room = error.errno in NO_ROOM and error.filename is None
    if no_room or (isinstance(error, BrokenPipeError) and _reader_has_left()):
        raise error
    return _record_bug(error)


def _reader_has_left() -> bool:
    """Whether the other end of standard output or error is closed: the system says so at once."""
    streams = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            streams.register(stream.fileno(), 0)
    return any(what & (select.POLLERR | select.POLLHUP) for _, what in streams.poll(0))


def _record_bug(error: Exception) -> int:
    """A fault of ours: the details go to a file, the user is told which."""
    import traceback  # a tenth of what a quick command may take

    from nvsx.core.masking import Masker

    where, masker = "", Masker(os.environ)
    with contextlib.suppress(NvsxError, OSError):
        path: Path = locate.state_dir(os.environ) / "crash.log"
        with path.open("a", encoding="utf-8") as file:
            path.chmod(0o600)
            file.write(time.strftime("%Y-%m-%dT%H:%M:%S%z\n"))
            file.write(masker.mask("".join(traceback.format_exception(error))))
        where = f"details are in {path}; please report it with them"
    return _print_error(f"internal error: {type(error).__name__}: {error}", where, 1)
