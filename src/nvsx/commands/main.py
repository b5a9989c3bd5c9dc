"""The entry point of the `nvsx` command, and its single error boundary.

`nvsx --help` and `--version` are answered before anything is imported. All else goes to
the Typer application; whatever it raises becomes one message and an exit code here, and
nowhere else. `make docs` keeps the text of the former current.
"""

from __future__ import annotations

import gc
import os
import sys

from nvsx import __version__

# Not a Path: that import alone would be a fifth of the time `--help` takes.
HELP = os.path.join(os.path.dirname(__file__), "help.txt")  # noqa: PTH118, PTH120
READER_LEFT = 141
"""The exit code after a broken pipe: what a shell reports for a program that SIGPIPE ended."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the process's exit code and never raises.

    Whoever reads the output may leave early (`nvsx history | head -1`). Every command then
    ends without a word and with the same code; what it had not printed was for nobody. A run
    is the exception: it does not depend on its readers, goes on, and has its own code.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us: what is said is for nobody
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    gc.disable()  # until the command begins: loading it makes many objects and no garbage
    try:
        code = _run_command(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # what is left would break in the interpreter's end, with a traceback
    except OSError as error:
        from nvsx.screens.line_writer import point_at_nothing

        point_at_nothing(sys.stdout)
        if isinstance(error, BrokenPipeError):
            point_at_nothing(sys.stderr)
            return READER_LEFT
        sys.stderr.write(f"nvsx: the output cannot be written: {error.strerror}\n")
        return 1
    finally:
        gc.enable()
    return code


def _run_command(args: list[str]) -> int:
    if os.environ.get("_NVSX_COMPLETE", "") in ("complete_bash", "complete_zsh", "complete_fish"):
        from nvsx.commands import completing

        return completing.print_candidates(os.environ)
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    if args in (["--version"], ["-V"]):
        return _print_text(f"nvsx {__version__}\n")
    if args in (["--help"], ["-h"]) and "COLUMNS" not in os.environ and os.path.isfile(HELP):  # noqa: PTH113
        with open(HELP, encoding="utf-8") as file:  # noqa: PTH123
            return _print_text(file.read())
    if _is_hooks_call(args):
        from nvsx.follow.processes import notify_call

        return notify_call.main(args[1:])
    from nvsx.commands.app import build_application
    from nvsx.commands.boundary import run_in_boundary
    from nvsx.commands.global_options import give_bare_wait_its_value, put_global_options_first

    args = put_global_options_first(args)
    return run_in_boundary(build_application, give_bare_wait_its_value(args))


def _is_hooks_call(args: list[str]) -> bool:
    """A hook that calls nvsx by a way of its own: answered as what stands on its PATH does."""
    if args[:1] != ["notify"] or "NVSX_NOTIFY_DIR" not in os.environ:
        return False
    asks = any(a in ("--help", "-h") or a.startswith("--incident") for a in args)
    return args[1:2] in (["page"], ["post"], ["ticket"], ["resolve"]) and not asks


def _print_text(text: str) -> int:
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
