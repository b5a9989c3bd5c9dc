"""Lint rule about patterns that are too slow: they are tried on texts made for them.

Only what needs lookaround, back references or possessive repeats can be; see core.patterns.
"""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core import patterns
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.catalog import LoadedRunbook, YamlPath
from nvsx.core.watches.health_event_watch import HealthEventWatch
from nvsx.core.watches.kinds import AnyOf, Watch
from nvsx.lint.findings import Finding, error

_HINT = "a run would end there: give it no repeat within or beside another of the same characters"


def find_slow_patterns(book: LoadedRunbook, words: Vocabulary) -> Iterator[Finding]:  # noqa: ARG001
    """Patterns of watches and $regex filters that take too long over some text."""
    for s, stage in enumerate(book.runbook.stages):
        for w, item in enumerate(stage.watch):
            place: YamlPath = ("stages", s, "watch", w)
            if not isinstance(item, AnyOf):
                yield from _slow_in(item, place, book)
                continue
            for i, inner in enumerate(item.any_of):
                yield from _slow_in(inner, (*place, "anyOf", i), book)


def _slow_in(watch: Watch, place: YamlPath, book: LoadedRunbook) -> Iterator[Finding]:
    for pattern, path in _patterns_of(watch):
        if text := patterns.slow_text(pattern):
            message = f"pattern /{pattern}/ takes too long over {text}"
            yield error("slow-pattern", book, message, *place, *path, hint=_HINT)


def _patterns_of(watch: Watch) -> Iterator[tuple[str, YamlPath]]:
    """Each pattern of a watch, with its path in the watch."""
    if isinstance(watch, HealthEventWatch):
        yield from _regexes_of(watch.filter, ("filter",))
    elif pattern := getattr(watch, "pattern", None):
        yield pattern, ("pattern",)


def _regexes_of(condition: object, path: YamlPath) -> Iterator[tuple[str, YamlPath]]:
    if isinstance(condition, dict):
        for key, value in condition.items():
            if key == "$regex":
                yield str(value), (*path, key)
            else:
                yield from _regexes_of(value, (*path, key))
    elif isinstance(condition, list | tuple):
        for index, value in enumerate(condition):
            yield from _regexes_of(value, (*path, index))
