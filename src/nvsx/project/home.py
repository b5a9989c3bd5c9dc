"""Where a command works: its project, settings, state folder and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nvsx.core.errors import NvsxError
from nvsx.project import locate
from nvsx.project.locate import Project

if TYPE_CHECKING:
    from nvsx.core.journal.run_rows import RunRow
    from nvsx.core.masking import Masker
    from nvsx.project.settings import Settings


@dataclass
class Home:
    """What the global options come to. Reads nothing before it is asked for.

    `context` is the kubeconfig context named on the command line, None for the current
    one. Raises UsageError and InvalidRunbook from the properties that read files.
    """

    project_flag: str | None = None
    context: str | None = None

    @property
    def env(self) -> Mapping[str, str]:
        return os.environ

    @cached_property
    def project(self) -> Project:
        return locate.find_project(self.project_flag, self.env, Path.cwd())

    @cached_property
    def settings(self) -> Settings:
        from nvsx.project import settings

        return settings.load(self.project.root, self.env)

    @property
    def nvsentinel_namespace(self) -> str:
        """Where the project says that NVSentinel is; "" to look for it, which is better than
        the settings' default: any release namespace is possible."""
        said = self.settings.nvsentinel
        return said.namespace if "namespace" in said.model_fields_set else ""

    @cached_property
    def state_dir(self) -> Path:
        return locate.state_dir(self.env)

    @cached_property
    def masker(self) -> Masker:
        """What keeps the secrets nvsx can know of out of everything shown and stored."""
        from nvsx.project.secret_masker import masker_of

        state_dir = root = settings = None
        with suppress(NvsxError, OSError):  # what cannot be read is told by whoever needs it
            state_dir = self.state_dir
            root, settings = self.project.root, self.settings
        return masker_of(self.env, state_dir, root, settings)

    @property
    def artifacts_dir(self) -> Path:
        return self.project.artifacts_dir(self.state_dir)

    def artifacts_of(self, row: RunRow) -> Path:
        """The folder of a run's artifacts; its project need not be the one we are in."""
        here = self.artifacts_dir / row.run_id
        there = Path(row.project) / self.artifacts_dir.name / row.run_id
        return there if row.project and not here.is_dir() and there.is_dir() else here
