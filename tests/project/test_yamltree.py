import math
from pathlib import Path

import pytest
import yaml

from nvsx.core.errors import InvalidRunbook
from nvsx.project import yaml_tree

SHIPPED = sorted((Path(__file__).parents[2] / "runbooks").glob("*.yaml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("79", 79),
        ("-1", -1),
        ("0o17", 15),
        ("0x1f", 31),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-08-20", "2026-08-20"),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("1.2.3", "1.2.3"),
        ("!!str 79", "79"),
        ("! 79", "79"),
        ("'79'", "79"),
        ('"true"', "true"),
        ("[a, 1, true]", ["a", 1, True]),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    """Plain words follow the core schema of YAML 1.2; quoted ones are text."""
    assert yaml_tree.load(f"a: {text}\n".encode(), "f").data == {"a": value}


def test_keys_and_values_have_places() -> None:
    """Every key and value is found by its path; an empty value is at its key."""
    places = yaml_tree.load("a:\n  - b: caf\u00e9\n    c:\n".encode(), "f").positions
    assert places.key(("a",)) == (1, 1)
    assert places.key(("a", 0, "b")) == (2, 5)
    assert places.value(("a", 0, "b")) == (2, 8)
    assert places.value(("a", 0, "c")) == (3, 5)
    assert places.value(("a", 0, "nowhere", 7)) == (2, 5)


@pytest.mark.parametrize("unit", ["[", "- ", "? ", "{a: ", "[{"])
def test_endless_nesting_is_refused(unit: str) -> None:
    """However deep a file nests, it is refused with its place, by nvsx or by the YAML library
    before it, and the process lives."""
    with pytest.raises(InvalidRunbook, match=r"f:1:\d+: .*nest"):
        yaml_tree.load(unit.encode() * 60_000, "f")


@pytest.mark.parametrize("text", ["a: !!int x\n", "a: !!bool yes\n", "a: !!null x\n"])
def test_a_tag_must_fit_its_value(text: str) -> None:
    """A value tagged as a number that is none is an error, not a guess."""
    with pytest.raises(InvalidRunbook, match=r"1:4: .* is not a"):
        yaml_tree.load(text.encode(), "f")


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    """A number too long to read is a finding like any other."""
    with pytest.raises(InvalidRunbook, match="too long a number"):
        yaml_tree.load(b"a: " + b"9" * 9000, "f")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_without_libyaml_nothing_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML built without libyaml reads the same data at the same places."""
    fast = yaml_tree.load(path.read_bytes(), "f")
    monkeypatch.setattr(yaml_tree, "_make_parser", yaml.SafeLoader)
    slow = yaml_tree.load(path.read_bytes(), "f")
    assert slow.data == fast.data
    assert slow.positions == fast.positions
