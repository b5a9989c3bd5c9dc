"""What reading a shell script as bash tells of it, kept by the script's text.

Reading a hundred hooks takes a quarter of a second, and few change between two looks.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from nvsx.lint.bash_tree import read_script
from nvsx.lint.kube_writes import ClusterWrite, judge_script
from nvsx.project.kept_answers import KeptAnswers, digest_of, fingerprint_of_code


class ScriptReading(NamedTuple):
    """`sourced` are the ends of paths behind `source` that can be read off; the rest is of writes
    to the cluster: those it makes, and what reading cannot tell."""

    sourced: tuple[str, ...]
    writes: tuple[ClusterWrite, ...]
    unjudged: tuple[ClusterWrite, ...]


def read_shell(content: bytes, answers: KeptAnswers) -> ScriptReading:
    """One script's reading, from `answers` where the same text was read before."""
    key = digest_of(_fingerprint_of_lint(), content)
    kept = answers.get(key)
    if kept is None:
        kept = _read_anew(content.decode("utf-8", "replace"))
        answers.keep(key, kept)
    sourced, *writes = kept
    surely, perhaps = (tuple(ClusterWrite(*write) for write in told) for told in writes)
    return ScriptReading(tuple(sourced), surely, perhaps)


@cache
def _fingerprint_of_lint() -> str:
    return fingerprint_of_code("lint")


def _read_anew(text: str) -> list[list[object]]:
    """As JSON has it. `source "$(dirname "$0")/../lib/notify.sh"` sources `../lib/notify.sh`."""
    sourced = [
        re.sub(r"^.*(\$\(\)|\$\{[^}]*\}|\$\w+)", "", command.words[1].shown).lstrip("/")
        for command in read_script(text).commands
        if command.program in ("source", ".") and len(command.words) > 1
    ]
    verdict = judge_script(text)
    return [
        [*sourced],
        [(w.line, w.command) for w in verdict.writes],
        [(w.line, w.command) for w in verdict.unjudged],
    ]
