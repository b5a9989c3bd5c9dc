"""Names for completion in the system's shell: found in milliseconds, or not offered.

Every Tab starts a process, so nothing here validates a runbook, opens the store or asks a
cluster: runbooks are read by their first lines, runs and nodes are those of the journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nvsx.core.aliases import alias_of
from nvsx.core.errors import NvsxError
from nvsx.project import locate

if TYPE_CHECKING:
    from nvsx.store.glimpse import Glimpse

Found = Sequence[tuple[str, str]]

_HEAD_BYTES = 4096
_NICKNAME = re.compile(r"\bnickname:\s*[\"']?#?([\w-]+)")
_TITLE = re.compile(r"\btitle:\s*[\"']?([^\n\"'{}#]+)")


class QuickNames:
    """`names(kind)`, as `completion.following` asks. `fixed` are names that never change
    (faults, variants), by kind; `project` is what `--project` said."""

    def __init__(
        self, env: Mapping[str, str], project: str | None, fixed: Mapping[str, Found]
    ) -> None:
        self._env, self._project, self._fixed = env, project, fixed

    def __call__(self, kind: str) -> Found:
        try:
            match kind:
                case "runbook":
                    return list(self._find_runbooks())
                case "run":
                    return self._describe_runs()
                case "incident":
                    return [
                        *self._find_incidents(),
                        *self._find_nodes(),
                        *self._describe_runs(),
                    ]
                case "node":
                    return list(self._find_nodes())
        except (NvsxError, OSError):
            return ()
        return self._fixed.get(kind, ())

    def _find_runbooks(self) -> Iterator[tuple[str, str]]:
        root = locate.find_project(self._project, self._env, Path.cwd()).root
        nicknames = []
        for path in sorted((root / "runbooks").glob("*.yaml")):
            if path.name.startswith((".", "_")):
                continue
            with path.open(encoding="utf-8", errors="replace") as file:
                head = file.read(_HEAD_BYTES).partition("\nstages:")[0]
            nickname = _NICKNAME.search(head)
            title = _TITLE.search(head)
            yield path.stem, title[1].strip() if title else ""
            nicknames.append((nickname[1] if nickname else alias_of(path.stem), path.stem))
        yield from nicknames

    def _describe_runs(self) -> Found:
        return [
            (r.run_id, f"{r.runbook} on {r.node or 'no node yet'} {r.status}")
            for r in self._find_runs()
        ]

    def _find_runs(self) -> Sequence[Glimpse]:
        from nvsx.store import glimpse

        return glimpse.newest(locate.state_path(self._env).expanduser())

    def _find_incidents(self) -> Iterator[tuple[str, str]]:
        from nvsx.store import glimpse

        for found in glimpse.newest_incidents(locate.state_path(self._env).expanduser()):
            yield found.incident, f"on {found.node} {'open' if found.is_open else 'over'}"

    def _find_nodes(self) -> Iterator[tuple[str, str]]:
        nodes = dict.fromkeys(r.node for r in self._find_runs() if r.node)
        for node in nodes:
            yield node, alias_of(node)
        for node in nodes:
            yield alias_of(node), node
