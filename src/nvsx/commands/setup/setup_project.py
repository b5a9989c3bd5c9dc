"""`nvsx setup`: which starter runbooks fit an installation, and the files of a project.

Values in, values out: `recommend` marks starters, `plan` compares the files to be with the
folder, and `newfiles.write` writes what is new. The wizard around it belongs to the command.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from nvsx.core.runbook.schema import Runbook
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.reportable_faults import REPORTABLE_FAULTS
from nvsx.project.new_files import NewFile

#: Which module reports a check or an error code.
_MODULES = {name: f.module for f in REPORTABLE_FAULTS for name in (f.check, f.code) if name}

State = Literal["new", "there", "kept", "conflict"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A starter runbook: whether it fits what is installed, and why or why not."""

    runbook: Runbook
    recommended: bool
    reason: str = ""

    @property
    def name(self) -> str:
        return self.runbook.name


def recommend(starters: Sequence[Runbook], inst: Installation | None) -> list[Choice]:
    """Each starter with a verdict. All are recommended when nothing is known."""
    if inst is None or not inst.found.value:
        return [Choice(book, recommended=True) for book in starters]
    found = {name for name, module in inst.modules.items() if module.desired}
    choices = []
    for book in starters:
        needed = monitors_of(book)
        if needed and not needed & found:
            what = " and ".join(sorted(needed))
            choices.append(Choice(book, recommended=False, reason=f"{what} is not installed"))
        else:
            choices.append(Choice(book, recommended=True))
    return choices


def caveat(inst: Installation | None) -> str:
    """What holds for every runbook on this installation; "" when nothing does."""
    if inst is None or not inst.found.value:
        return "NVSentinel was not seen, so all are marked."
    if inst.monitor_only.value:
        return (
            "This NVSentinel only monitors: runs tell people and end in quarantine, "
            "since nothing takes the node out of service or repairs it."
        )
    if inst.dry_run.value:
        return "NVSentinel runs dry here: runs wait for a quarantine that is not carried out."
    return ""


def monitors_of(book: Runbook) -> set[str]:
    """The modules that can report what a runbook's triggers name."""
    names = [n for t in book.triggers for n in (t.check or t.error_code)]
    names += [m for t in book.triggers if t.when for m in re.findall(r'"(\w+)"', t.when)]
    return {_MODULES[name] for name in names if name in _MODULES}


# --- the project folder -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """A file to be and what the folder has in its place: nothing (new), the same (there),
    one of the user's that stays (kept), or one that is in the way (conflict)."""

    file: NewFile
    state: State
    theirs: str = ""


@dataclass(frozen=True, slots=True)
class ProjectPlan:
    root: Path
    files: tuple[Planned, ...]

    def of(self, *states: State) -> list[NewFile]:
        return [p.file for p in self.files if p.state in states]

    def shown(self) -> Iterator[str]:
        """Every file in full, or as the difference to the one that stays."""
        for planned in self.files:
            file = planned.file
            mode = ", executable" if file.executable else ""
            if planned.state == "new":
                yield f"=== {file.path} (new{mode})"
                yield from file.text.splitlines()
            elif planned.state == "there":
                yield f"=== {file.path} (there already, unchanged)"
            else:
                yield f"=== {file.path} (yours stays; the shipped one differs)"
                yield from difflib.unified_diff(
                    planned.theirs.splitlines(),
                    file.text.splitlines(),
                    "yours",
                    "shipped",
                    lineterm="",
                )
            yield ""


@dataclass(frozen=True, slots=True)
class Learned:
    """What is worth writing down of a cluster. "" and None stand for "not seen"."""

    context: str = ""
    namespace: str = ""
    version: str = ""
    provider: str = ""
    monitor_only: bool | None = None

    @classmethod
    def of(cls, context: str, inst: Installation | None) -> Learned:
        if inst is None or not inst.found.value:
            return cls(context)
        versions = sorted({m.version for m in inst.modules.values() if m.version})
        return cls(
            context,
            inst.namespace,
            " and ".join(versions),
            str(inst.provider.value or ""),
            None if inst.monitor_only.value is None else bool(inst.monitor_only.value),
        )


def plan(
    root: Path,
    source: Path,
    chosen: Collection[str],
    learned: Learned,
    *,
    is_project: bool = False,
) -> ProjectPlan:
    """The files of a project at `root` with the starters `chosen` from `source`.

    In a folder that `is_project` already, the user's versions stay. In any other, a file
    in the way is a conflict, but for README.md and .gitignore, which most repositories have.
    """
    planned = [
        _plan_file(root, file, stays=is_project or file.path != "nvsx.yaml")
        for file in _make_settings(learned, chosen)
    ]
    for name in sorted(chosen):
        book = _copy_files(source, f"runbooks/{name}.yaml")
        planned += [_plan_file(root, file, stays=is_project) for file in book]
    for name in sorted(chosen):
        present = is_project and (root / "runbooks" / f"{name}.yaml").exists()
        for file in _copy_files(source, f"runbooks/hooks/{name}"):
            one = _plan_file(root, file, stays=is_project)
            # A hook missing from a runbook of the user's was taken out by the user.
            if not (present and one.state == "new"):
                planned.append(one)
    planned += [_plan_file(root, file, stays=is_project) for file in _copy_files(source, "scripts")]
    return ProjectPlan(root, tuple(planned))


def _plan_file(root: Path, file: NewFile, *, stays: bool) -> Planned:
    there = file.there(root)
    if there is None:
        return Planned(file, "new")
    if there:
        return Planned(file, "there")
    path = root / file.path
    theirs = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return Planned(file, "kept" if stays else "conflict", theirs)


def _copy_files(source: Path, where: str) -> Iterator[NewFile]:
    """A file, or the files of a folder, as they ship."""
    start = source / where
    paths = [start] if start.is_file() else sorted(p for p in start.rglob("*") if p.is_file())
    for path in paths:
        if path.suffix == ".pyc":
            continue
        executable = bool(path.stat().st_mode & 0o111)
        text = path.read_text(encoding="utf-8")
        yield NewFile(path.relative_to(source).as_posix(), text, executable)


def _make_settings(learned: Learned, chosen: Collection[str]) -> Iterator[NewFile]:
    words = {
        "NVSENTINEL": _format_nvsentinel(learned),
        "SERVE": _format_serve(learned),
        "RUNBOOKS": ", ".join(sorted(chosen)) or "none yet",
        "FIRST": min(chosen, default="my-fault"),
    }
    for path, template in (
        ("nvsx.yaml", "nvsx.yaml"),
        (".gitignore", "gitignore"),
        ("README.md", "README.md"),
    ):
        raw = resources.files("nvsx.commands.setup").joinpath("templates", template)
        text = re.sub(
            r"@([A-Z_]+)@\n?", lambda m: words[m[1]] + m[0][len(m[1]) + 2 :], raw.read_text("utf-8")
        )
        yield NewFile(path, text)


def _format_nvsentinel(learned: Learned) -> str:
    if not learned.namespace:
        where = "# nvsentinel: {namespace: nvsentinel}"
        return f"# NVSentinel was not seen. Where it runs, when not in this namespace:\n{where}"
    seen = f"NVSentinel {learned.version}".strip()
    only = ", which only monitors: nothing is quarantined" if learned.monitor_only else ""
    return f"# Seen there: {seen}{only}.\nnvsentinel: {{namespace: {learned.namespace}}}"


def _format_serve(learned: Learned) -> str:
    lines = [
        "serve:",
        "  modes: [watch, webhook] # watch follows the nodes and needs no database",
    ]
    if learned.provider and learned.provider != "none":
        store = f"# NVSentinel keeps its events in {learned.provider}; mode poll reads them there."
        lines.insert(0, store)
    return "\n".join(lines)
