"""Places in a runbook's file, and names of files as people see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nvsx.core.runbook.catalog import Positions, SourceMark, YamlPath, shown

TREE = Positions(
    keys={("stages", 0, "id"): SourceMark(5, 3)},
    values={(): SourceMark(1, 2), ("stages",): SourceMark(4, 1), ("stages", 0): SourceMark(5, 1)},
)


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        (("stages", 0), (5, 1)),
        (("stages", 0, "id", "x"), (5, 1)),
        (("stages", 1), (4, 1)),
        (("metadata", "name"), (1, 2)),
        ((), (1, 2)),
    ],
)
def test_a_value_or_the_nearest_thing_around_it(path: YamlPath, mark: tuple[int, int]) -> None:
    """What does not exist is told at what it would be in."""
    assert TREE.value(path) == mark


def test_a_key_or_its_value() -> None:
    """Items of a list have no key; a file without places begins at its first character."""
    assert TREE.key(("stages", 0, "id")) == (5, 3)
    assert TREE.key(("stages", 0)) == (5, 1)
    assert Positions().key(("stages",)) == (1, 1)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/p/runbooks/a.yaml", "runbooks/a.yaml"), ("/other/a.yaml", "/other/a.yaml")],
)
def test_a_file_is_named_from_the_project(path: str, name: str) -> None:
    """One outside of the project keeps its whole path."""
    assert shown(Path(path), Path("/p")) == name
