"""Puts `nvsx` on the PATH of a run's scripts: this very nvsx, however it was started.

A hook's `nvsx notify` goes to a copy of `notify_call`, which starts in a few milliseconds; all
else goes to the whole nvsx, on the same interpreter. The copy stands in the run's own folders, so
that an nvsx that is replaced meanwhile, or lies in an archive, changes nothing for a running hook.
"""

from __future__ import annotations

import shlex
import sys
from importlib import resources
from pathlib import Path

import nvsx
from nvsx.core.errors import StoreError

FOLDER = "nvsx-bin"
CALL_FILE = "notify_call.py"
#: `--incident` names another incident than the hook's: the whole command finds it.
_SHIM = """\
#!/bin/sh
# nvsx, as the scripts of a run find it on their PATH.
if [ "$1" = notify ] && [ -n "$NVSX_NOTIFY_DIR" ]; then
  case $2 in
    page | post | ticket | resolve)
      case " $* " in
        *" --incident"* | *" --help "* | *" -h "*) ;;
        *) exec {python} -I -S {call} "$@" ;;
      esac
      ;;
  esac
fi
exec {whole} "$@"
"""


def install_nvsx(folder: Path) -> Path:
    """Put `nvsx` under `folder` (made if missing, 0700); returns what goes on PATH.

    Raises StoreError when it cannot be written there now.
    """
    target = folder / FOLDER
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = resources.files("nvsx.follow.processes").joinpath(CALL_FILE).read_bytes()
        _replace_file(target / CALL_FILE, source, 0o600)
        shim = _SHIM.format(
            python=shlex.quote(sys.executable),
            call=shlex.quote(str(target / CALL_FILE)),
            whole=shlex.join(find_whole_nvsx()),
        )
        _replace_file(target / "nvsx", shim.encode(), 0o700)
    except OSError as error:
        raise StoreError(
            f"nvsx cannot be put on the path of hooks: {error.strerror}",
            f"make room in {folder}, and make it writable for you",
        ) from error
    return target


def find_whole_nvsx() -> list[str]:
    """The command line that starts this nvsx again: from its archive, or as a module."""
    for folder in Path(nvsx.__file__).parents:
        if folder.is_file():
            return [sys.executable, str(folder)]
    # -P: a folder called nvsx in a team's project is not nvsx.
    return [sys.executable, "-P", "-m", "nvsx"]


def _replace_file(path: Path, content: bytes, mode: int) -> None:
    """A new file and a rename: another script may be executing the old one right now."""
    if path.exists() and path.read_bytes() == content:
        return
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.chmod(mode)
    new.replace(path)
