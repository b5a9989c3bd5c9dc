"""Runbook files: read, checked, found by name or nickname.

Runbooks are discovered in `runbooks/*.yaml`, never registered. A file either becomes a
`LoadedRunbook` or an `InvalidRunbook` error that lists everything wrong with it, with
file, line and column. Names come from people and from the network: they are compared
with names, never joined to a path unchecked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from nvsx.core.errors import InvalidRunbook, Problem, UsageError
from nvsx.core.fields import inside
from nvsx.core.runbook.catalog import BrokenRunbook, LoadedRunbook, YamlPath, shown
from nvsx.core.runbook.schema import NAME_PATTERN, Runbook, find_stage_problems
from nvsx.project import cel, locate, yaml_tree
from nvsx.project.yaml_findings import collect_problems
from nvsx.project.yaml_tree import Tree

Entry = LoadedRunbook | BrokenRunbook


def load_runbook(path: Path, project_root: Path) -> LoadedRunbook:
    """Read one file. Raises InvalidRunbook with all its problems, UsageError when it
    cannot be read at all."""
    root = project_root.absolute()
    path = path.absolute()
    file = shown(path, root)
    raw = _read_runbook(path, file)
    tree = yaml_tree.load(raw, file)
    problems: list[Problem] = []
    runbook: Runbook | None = None
    try:
        runbook = Runbook.model_validate(
            tree.data, by_alias=True, by_name=False, context={"file": True}
        )
    except ValidationError as exc:
        problems += collect_problems(Runbook, tree, exc, file)
    problems += _beyond_the_model(tree, path, root, file)
    if runbook is None or problems:
        problems.sort(key=lambda p: (p.line, p.column, p.message))
        raise InvalidRunbook(path.stem, problems)
    digest = hashlib.sha256(raw).hexdigest()
    return LoadedRunbook(runbook, path, root, tree.positions, digest)


def _read_runbook(path: Path, file: str) -> bytes:
    try:
        if path.stat().st_size > yaml_tree.MAX_BYTES:
            limit = yaml_tree.MAX_BYTES // 1024
            problem = Problem(f"the file is larger than {limit} KB", file, 1, 1)
            raise InvalidRunbook(path.stem, [problem])
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from None


def _beyond_the_model(tree: Tree, path: Path, root: Path, file: str) -> Iterator[Problem]:
    """What needs the whole file, its name or the disk; independent of the model's findings,
    so that one mistake does not hide another."""
    data = tree.data
    if not isinstance(data, dict):
        return
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(name, str) and re.match(NAME_PATTERN, name) and name != path.stem:
        mark = tree.positions.value(("metadata", "name"))
        message = f"name '{name}' differs from the file's, '{path.stem}'"
        yield Problem(message, file, *mark, f"rename the file to {name}.yaml or the runbook")
    stages = data.get("stages")
    items = stages if isinstance(stages, list) else []
    with_id = [(i, s["id"]) for i, s in enumerate(items) if isinstance(s, dict) and "id" in s]
    for index, message in find_stage_problems([stage_id for _, stage_id in with_id]):
        text, _, hint = message.partition("; ")
        mark = tree.positions.value(("stages", with_id[index][0], "id"))
        yield Problem(text, file, *mark, hint)
    triggers = data.get("triggers")
    for index, trigger in enumerate(triggers if isinstance(triggers, list) else []):
        when = trigger.get("when") if isinstance(trigger, dict) else None
        if isinstance(when, str) and when and (wrong := cel.check(when)):
            mark = tree.positions.value(("triggers", index, "when"))
            yield Problem(f"when: {wrong}", file, *mark)
    real_root = root.resolve()
    for where, target in _named_files(data, items):
        if locate.leads_out(root / target, real_root):
            mark = tree.positions.value(where)
            yield Problem(f"'{target}' leads out of the project through a link", file, *mark)


def _named_files(data: dict[str, object], stages: list[object]) -> Iterator[tuple[YamlPath, str]]:
    """Every path a runbook names, with where it stands, relative to the project."""
    named: list[tuple[YamlPath, str, object]] = [
        ((key,), "runbooks", data.get(key)) for key in ("onFailure", "onAttempt")
    ]
    for i, stage in enumerate(stages):
        if not isinstance(stage, dict):
            continue
        named += [
            (("stages", i, key), "runbooks", stage.get(key))
            for key in ("hook", "onOverdue", "onFailure")
        ]
        action = stage.get("action")
        if isinstance(action, dict):
            named.append((("stages", i, "action", "script"), "", action.get("script")))
    for where, base, path in named:
        if isinstance(path, str) and _is_inside(path, base):
            yield where, f"{base}/{path}" if base else path


def _is_inside(path: str, base: str) -> bool:
    """By its text. One that is not is the model's finding already."""
    try:
        inside(path, base)
    except ValueError:
        return False
    return True


def discover(root: Path) -> list[Entry]:
    """Every runbook of a project, by name; files that cannot be used are entries too."""
    return [load_entry(path, root.absolute()) for path in locate.runbook_files(root)]


def load_entry(path: Path, root: Path) -> Entry:
    """One file as an entry, whether it can be used or not."""
    try:
        return load_runbook(path, root)
    except InvalidRunbook as exc:
        return BrokenRunbook(path.stem, path, root, exc)
    except UsageError as exc:
        problem = Problem(exc.message, shown(path, root))
        return BrokenRunbook(path.stem, path, root, InvalidRunbook(path.stem, [problem]))


def find(root: Path, wanted: str) -> LoadedRunbook:
    """The runbook with this name or nickname, with or without a leading `#`.

    Raises UsageError when there is none or a nickname fits two, InvalidRunbook when the
    one that is meant cannot be used.
    """
    word = wanted.removeprefix("#")
    named = [path for path in locate.runbook_files(root) if path.stem == word]
    # A file is named as its runbook, or it is a broken one: no other can have this name.
    return pick([load_entry(path, root.absolute()) for path in named] or discover(root), wanted)


def pick(entries: Iterable[Entry], wanted: str) -> LoadedRunbook:
    """As `find`, among runbooks that were discovered already. A name goes before a nickname."""
    entries = list(entries)
    word = wanted.removeprefix("#")
    for entry in entries:
        if entry.name == word:
            if isinstance(entry, BrokenRunbook):
                raise entry.error
            return entry
    loaded = [e for e in entries if isinstance(e, LoadedRunbook)]
    fitting = [e for e in loaded if e.nickname == word]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(e.name for e in fitting)
        raise UsageError(f"nickname {word} is shared by {names}", "use the name of one")
    known = [e.name for e in entries] + [e.nickname for e in loaded]
    near = get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`nvsx list` shows the runbooks"
    raise UsageError(f"there is no runbook '{wanted}'", hint)
