"""words.json: what can be typed, for those who complete words. `make docs` keeps it current.

Reading it takes a fifth of the time that building the application takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from nvsx.screens.shell.grammar import Command, of_data

FILE = Path(__file__).with_name("words.json")


@cache
def _read_words() -> dict[str, Any]:
    words: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return words


def read_grammar(*, inside_shell: bool) -> Command:
    """All that can be typed. Inside the operator shell there is no `shell`."""
    root = of_data(_read_words()["nvsx"])
    if not inside_shell:
        return root
    return replace(root, commands={n: c for n, c in root.commands.items() if n != "shell"})


def read_fixed_names() -> Mapping[str, Sequence[tuple[str, str]]]:
    """The names that never change (faults, variants), by kind."""
    names: Mapping[str, Sequence[tuple[str, str]]] = _read_words()["names"]
    return names
