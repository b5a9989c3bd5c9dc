"""A converted runbook before it is written: its files as text, nothing on the disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from nvsx.convert.splitter import HookLine
from nvsx.core.errors import UsageError
from nvsx.core.runbook.schema import NAME_PATTERN

HOOKS = "runbooks/hooks"


@dataclass(frozen=True, slots=True)
class RunbookDraft:
    """The runbook and its hooks. `files` maps a path in the project to its text.

    `reviewed` is false when a model wrote the shell: then no run uses it before a person
    has accepted it. `notes` is what the converter has to say about its own work.
    """

    name: str
    by: str
    files: Mapping[str, str]
    reviewed: bool = True
    unplaced: tuple[HookLine, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def runbook_file(self) -> str:
        return runbook_file(self.name)

    @property
    def hooks(self) -> dict[str, str]:
        """The shell scripts among the files."""
        return {path: text for path, text in self.files.items() if path != self.runbook_file}


def runbook_file(name: str) -> str:
    return f"runbooks/{name}.yaml"


def hook_file(name: str, file: str) -> str:
    return f"{HOOKS}/{name}/{file}"


def name_for(wanted: str | None, source: str) -> str:
    """The runbook's name: as wanted, else from the file's. Raises UsageError for a bad one."""
    if wanted:
        if not re.match(NAME_PATTERN, wanted):
            hint = "use lower-case letters, digits and hyphens, such as gpu-off-bus"
            raise UsageError(f"'{wanted}' cannot be a runbook's name", hint)
        return wanted
    stem = unicodedata.normalize("NFKD", PurePosixPath(source).stem)
    slug = re.sub(r"[^a-z0-9]+", "-", stem.encode("ascii", "ignore").decode().lower()).strip("-")
    slug = slug[:60].strip("-")
    if not re.search(r"[a-z]", slug):
        raise UsageError(f"no runbook name can be made of '{source}'", "give one with --name")
    return slug
