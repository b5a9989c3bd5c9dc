"""Where a command writes, said before it does; a person agrees when it is not where they are."""

from __future__ import annotations

import sys

import typer

from nvsx.core.errors import NvsxError, UsageError
from nvsx.project.locate import Project


def name_folder(project: Project) -> str:
    """The project's folder in a sentence; that it is nvsx's own clone is said when nobody chose
    it: there is no project around the working directory, and none was named."""
    if project.kind == "clone":
        return f"{project.root}, nvsx's own clone, which is not where you are"
    return str(project.root)


def agree_to_clone(project: Project, *, yes: bool) -> None:
    """Go on, unless the project is nvsx's own clone by default and nobody agrees to it.

    In /home/me, without a project: asks. In the clone, in a project, or with --project: does
    not. Raises UsageError where nobody can be asked, NvsxError after a no.
    """
    if project.kind != "clone" or yes:
        return
    where, instead = name_folder(project), "name another folder with --project, or go to it"
    if not sys.stdin.isatty():
        raise UsageError(f"nothing was written: it would go to {where}", f"{instead}; or add --yes")
    if not typer.confirm(f"write to {where}?", default=False, err=True):
        raise NvsxError("nothing was written", instead)
