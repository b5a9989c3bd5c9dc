"""`nvsx init` put together: the sandbox's faults and the project's runbooks, for the scaffolder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.reports import UNRULED
from nvsx.commands.init.scaffolder import (
    SCHEMA_FILE,
    FaultSigns,
    KnownFault,
    Scaffold,
    pick_fault,
    scaffold,
    schema_file,
)
from nvsx.core.errors import Conflict, UsageError
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.nvsentinel.names import EXECUTE_REMEDIATION, REPAIRING_ACTIONS
from nvsx.project import cel, loader, new_files
from nvsx.project.home import Home

_COLLECT = "scripts/collect-metrics.sh"


@dataclass(frozen=True, slots=True)
class Begun:
    """A runbook that was begun in `root`; `written` are paths relative to it."""

    root: Path
    made: Scaffold
    written: tuple[str, ...]


def known_faults() -> dict[str, KnownFault]:
    """The faults a sandbox can inject, which therefore can be tried."""
    return {
        fault.name: KnownFault(
            fault.name,
            fault.title,
            tuple(
                FaultSigns(
                    check=r.check,
                    codes=r.codes,
                    action=r.action,
                    fatal=r.fatal,
                    agent=r.agent,
                    shown=r.strategy == EXECUTE_REMEDIATION,
                    repaired=r.action in REPAIRING_ACTIONS,
                    quarantined=r.agent not in UNRULED,
                )
                for r in fault.reports
            ),
        )
        for fault in FAULTS.values()
    }


def begin(
    home: Home,
    slug: str,
    *,
    fault: str | None = None,
    title: str | None = None,
    summary: str | None = None,
) -> Begun:
    """Write a new runbook into the project; without one, into the working directory.

    Raises UsageError (name, fault, folder) and Conflict (it exists already).
    """
    root = Path.cwd() if home.project.kind == "packaged" else home.project.root
    catalog = loader.discover(root)
    made = scaffold(
        slug,
        pick_fault(fault, known_faults()),
        [e.runbook for e in catalog if isinstance(e, LoadedRunbook)],
        title=title,
        summary=summary,
        collects=(root / _COLLECT).is_file(),
        evaluate=cel.evaluate,
    )
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", "name one with --project")
    hooks = root / "runbooks" / "hooks" / slug
    if hooks.exists():
        raise Conflict(f"{hooks} exists already", "choose another name; nothing was written")
    files = list(made.files)
    if not (root / SCHEMA_FILE).exists():
        files.append(schema_file())
    new_files.write(root, files)
    return Begun(root, made, tuple(f.path for f in files))
