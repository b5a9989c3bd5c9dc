"""Puts a converted runbook into the project: all of its files, or none.

It refuses to overwrite. Everything is prepared in a folder beside its place and moved in
by renames, the YAML last: until then there is no runbook. What fails half-way is undone; what
a killed process left is known by its marker, which nobody holds any more, and cleared away by
the next conversion.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from nvsx.convert.checking import ConversionDesk
from nvsx.convert.draft import HOOKS, RunbookDraft
from nvsx.convert.ledger import FILE
from nvsx.core.errors import Conflict, UsageError

_MARKER = ".unfinished"


def refuse_to_overwrite(root: Path, name: str) -> None:
    """Raises Conflict when the runbook, or a folder for its hooks, is there already."""
    for path in (f"runbooks/{name}.yaml", f"{HOOKS}/{name}"):
        if os.path.lexists(root / path) and not _is_left_over(root, name):
            raise Conflict(
                f"{path} exists already; convert never overwrites",
                "give another name with --name, or remove it first",
            )


def write(draft: RunbookDraft, ledger: str, desk: ConversionDesk) -> list[str]:
    """Write all files; the paths in the project, in order.

    Raises Conflict when one exists, UsageError when the project cannot be written to.
    """
    refuse_to_overwrite(desk.root, draft.name)
    hooks = desk.root / HOOKS
    try:
        hooks.mkdir(parents=True, exist_ok=True)
        _refuse_existing(desk.root, draft.name)
        staging = Path(tempfile.mkdtemp(prefix=f".{draft.name}-", dir=hooks))
    except OSError as exc:
        raise _explain_unwritable(desk.root, exc) from None
    placed: list[Path] = []
    try:
        _prepare_files(draft, ledger, staging)
        with _hold_marker(staging / _MARKER), _hold_marker(staging / "hooks" / _MARKER):
            _place_files(draft, desk, staging, placed)
        (hooks / draft.name / _MARKER).unlink(missing_ok=True)
    except BaseException as exc:
        for path in reversed(placed):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise _explain_unwritable(desk.root, exc) from None
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return [*draft.files, f"{HOOKS}/{draft.name}/{FILE}"]


def _explain_unwritable(root: Path, exc: OSError) -> UsageError:
    return UsageError(
        f"nothing was written: {root} cannot be written to: {exc.strerror or exc}",
        "choose a project with --project",
    )


def _is_left_over(root: Path, name: str) -> bool:
    """Whether a folder of hooks is what a killed conversion left: marked, and no YAML."""
    marker = root / HOOKS / name / _MARKER
    return not os.path.lexists(root / f"runbooks/{name}.yaml") and _is_free(marker)


def _is_free(marker: Path) -> bool:
    """Whether a marker is there and no living process holds it."""
    try:
        with marker.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _refuse_existing(root: Path, name: str) -> None:
    """Remove what killed conversions left behind: half of them, and the marker of whole ones."""
    hooks = root / HOOKS
    for marker in hooks.glob(f"*/{_MARKER}"):
        if os.path.lexists(root / f"runbooks/{marker.parent.name}.yaml") and _is_free(marker):
            marker.unlink()
    if _is_left_over(root, name):
        shutil.rmtree(hooks / name)
    for folder in hooks.glob(".*-*"):
        if _is_free(folder / _MARKER):
            shutil.rmtree(folder)


@contextlib.contextmanager
def _hold_marker(marker: Path) -> Iterator[None]:
    """Hold a marker for as long as this process writes; it moves along with its folder."""
    with marker.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare_files(draft: RunbookDraft, ledger: str, staging: Path) -> None:
    """Write everything in the staging folder, a marker there and in its folder of hooks."""
    folder = staging / "hooks"
    folder.mkdir()
    folder.chmod(0o755)
    for path, text in draft.hooks.items():
        mode = 0o755 if draft.reviewed else 0o644
        _write_file(folder / Path(path).name, text.encode(), mode)
    _write_file(folder / FILE, ledger.encode(), 0o644)
    _write_file(staging / "runbook.yaml", draft.files[draft.runbook_file].encode(), 0o644)
    _write_file(staging / _MARKER, b"", 0o644)
    _write_file(folder / _MARKER, b"", 0o644)


def _place_files(
    draft: RunbookDraft, desk: ConversionDesk, staging: Path, placed: list[Path]
) -> None:
    """Move everything in; each step either happens or raises."""
    hooks = desk.root / HOOKS
    _refuse_folder(hooks / draft.name)
    (staging / "hooks").rename(hooks / draft.name)
    placed.append(hooks / draft.name)
    target = desk.root / draft.runbook_file
    try:
        os.link(staging / "runbook.yaml", target)  # unlike a rename, it never replaces
    except FileExistsError:
        raise Conflict(f"{draft.runbook_file} exists already; convert never overwrites") from None
    placed.append(target)


def _refuse_folder(folder: Path) -> None:
    """A rename would silently take the place of an empty folder."""
    if os.path.lexists(folder):
        raise Conflict(f"{folder} exists already; convert never overwrites")


def _write_file(path: Path, content: bytes, mode: int) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)


def keep_draft(
    draft: RunbookDraft, findings: Mapping[str, str], root: Path, fallback: Path
) -> Path:
    """Keep a draft that did not pass beside the project, never inside; the folder.

    `findings` maps file names to their text. The folder is `<project>.drafts/<name>`, or in
    `fallback` where the project's parent cannot be written to.
    """
    for base in (root.with_name(f"{root.name}.drafts"), fallback / "drafts"):
        try:
            base.mkdir(parents=True, exist_ok=True)
            folder = next(
                f
                for f in (
                    base / f"{draft.name}{n}" for n in ("", *(f"-{i}" for i in range(2, 1000)))
                )
                if not os.path.lexists(f)
            )
            for path, text in {**draft.files, **findings}.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder
    raise UsageError("the draft could not be kept anywhere", f"make {root.parent} writable")
