"""Which project folder and which state folder this command works with.

First hit wins: `--project`, `NVSX_PROJECT_ROOT`, the nearest parent of the working
directory that is a project, the source checkout nvsx runs from, `~/.config/nvsx`, and
last the starter runbooks inside the installed package. A folder that was named but is
not there is an error, never a reason to look further.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nvsx.core.errors import UsageError

ProjectKind = Literal["flag", "env", "cwd", "clone", "config", "packaged"]

_API_VERSION = re.compile(rb"^apiVersion:\s*[\"']?nvsx/", re.MULTILINE)
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder. `kind` says why it was chosen; `root` is absolute."""

    root: Path
    kind: ProjectKind

    @property
    def runbooks_dir(self) -> Path:
        return self.root / "runbooks"

    @property
    def writable(self) -> bool:
        """Whether artifacts and new runbooks can go here. The package's own folder never is,
        even when root could: the next upgrade would take everything along."""
        return self.kind != "packaged" and os.access(self.root, os.W_OK)

    def artifacts_dir(self, state: Path) -> Path:
        """Where runs keep their artifacts: in the project, or in `state` if it is read-only."""
        return (self.root if self.writable else state) / "nvsx-artifacts"


def find_project(flag: str | Path | None, env: Mapping[str, str], cwd: Path) -> Project:
    """The project folder. Raises UsageError when the one that was named does not exist."""
    if flag:
        return Project(_require_folder(cwd / Path(flag).expanduser(), "--project"), "flag")
    if named := env.get("NVSX_PROJECT_ROOT"):
        folder = _require_folder(cwd / Path(named).expanduser(), "NVSX_PROJECT_ROOT")
        return Project(folder, "env")
    here = cwd.absolute()
    for folder in (here, *here.parents):
        if is_project(folder):
            return Project(folder, "cwd")
    if (clone := source_checkout()) is not None:
        return Project(clone, "clone")
    if (config := config_project(env)) is not None and is_project(config):
        return Project(config, "config")
    return Project(packaged_root(), "packaged")


def _require_folder(folder: Path, source: str) -> Path:
    if not folder.is_dir():
        raise UsageError(f"{source} names {folder}, which is not a folder")
    return folder.absolute()


def is_project(folder: Path) -> bool:
    """A folder with `nvsx.yaml`, or with a runbook of ours in `runbooks/`."""
    try:
        if (folder / "nvsx.yaml").is_file():
            return True
        return any(_is_ours(path) for path in (folder / "runbooks").glob("*.yaml"))
    except OSError:
        return False


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return bool(_API_VERSION.search(file.read(_HEAD_BYTES)))
    except OSError:
        return False


def runbook_files(root: Path) -> list[Path]:
    """The files that are to be runbooks, by name. Raises UsageError."""
    folder = root.absolute() / "runbooks"
    try:
        return sorted(
            p for p in folder.glob("*.yaml") if not p.name.startswith((".", "_")) and p.is_file()
        )
    except OSError as exc:
        raise UsageError(f"{folder} cannot be read: {exc.strerror or exc}") from None


def source_checkout() -> Path | None:
    """The checkout this code runs from; None when nvsx was installed from a wheel."""
    root = Path(__file__).absolute().parents[3]
    ours = (root / "src" / "nvsx").is_dir() and (root / "pyproject.toml").is_file()
    return root if ours and (root / "runbooks").is_dir() else None


def config_project(env: Mapping[str, str]) -> Path | None:
    """`~/.config/nvsx`, whether it exists or not; None without a home."""
    home = env.get("HOME")
    return Path(home) / ".config" / "nvsx" if home else None


def packaged_root() -> Path:
    """The starter runbooks of the installed package; the checkout's own, in a checkout.

    Installers unpack wheels into plain files and keep their executable bits, so hooks run
    from there as they are. Raises UsageError when the package was zipped or stripped.
    """
    from importlib import resources  # a third of what completing a word may take

    starter = resources.files("nvsx") / "_starter"
    if isinstance(starter, Path) and (starter / "runbooks").is_dir():
        return starter
    if (clone := source_checkout()) is not None:
        return clone
    raise UsageError("this installation of nvsx has no starter runbooks", "reinstall the wheel")


def state_dir(env: Mapping[str, str]) -> Path:
    """The folder of `state_path`; made, and kept, with mode 0700.

    Raises UsageError when it cannot be made or belongs to somebody else.
    """
    folder = state_path(env).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise UsageError(
                f"the state folder {folder} belongs to another user",
                "set NVSX_STATE_DIR to a folder of yours",
            )
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as exc:
        raise UsageError(
            f"the state folder {folder} cannot be used: {exc.strerror or exc}",
            "set NVSX_STATE_DIR to a folder you can write to",
        ) from None
    return folder


def state_path(env: Mapping[str, str]) -> Path:
    """Where database, sockets, token and logs are, whether it exists or not.

    `NVSX_STATE_DIR`, else `$XDG_STATE_HOME/nvsx`, else `~/.local/state/nvsx`.
    Raises UsageError without a home.
    """
    if named := env.get("NVSX_STATE_DIR"):
        return Path(named)
    if xdg := env.get("XDG_STATE_HOME"):
        return Path(xdg) / "nvsx"
    if home := env.get("HOME"):
        return Path(home) / ".local" / "state" / "nvsx"
    raise UsageError("no HOME to keep state in", "set NVSX_STATE_DIR")


def leads_out(path: Path, real_root: Path) -> bool:
    """Whether links lead from inside the project to outside."""
    try:
        return not path.resolve().is_relative_to(real_root)
    except (OSError, RuntimeError):  # links in a circle
        return True
