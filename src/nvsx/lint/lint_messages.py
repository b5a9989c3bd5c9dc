"""Lint rules about what hooks ask people to be told: calls of `nvsx notify`, as far as they can be
read off, and the bash library that projects of earlier versions have a copy of.

    nvsx notify pge --title x             there is no such kind
    nvsx notify page --to onkall …        no target is called so (targets: nvsx.yaml)
    nvsx notify "$kind" --title x         cannot be read off: nothing is said
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from nvsx.core.errors import Problem
from nvsx.core.notify.message import SEVERITIES
from nvsx.core.notify.spool_format import CALL_OPTIONS
from nvsx.lint.bash_tree import read_script
from nvsx.lint.findings import Finding, Severity
from nvsx.lint.shell_script import ShellWord

OTHER_KINDS = ("list", "test")
"""What people call; a hook may list as well."""
_OLD_LIBRARY = re.compile(r"^slack_post\(\)", re.MULTILINE)
_HOW_TO_MOVE = (
    "write `nvsx notify page|post|ticket|resolve` in the hooks and remove runbooks/hooks/lib: "
    "docs/hooks.md"
)


def check_messages(
    file: str, text: str, runbook: str, targets: Collection[str] | None
) -> Iterator[Finding]:
    """What is wrong with the calls in a shell script. `targets` are the names of those that can be
    told, None where they are not known."""
    for command in read_script(text).commands:
        words = command.words
        if command.program != "nvsx" or len(words) < 2 or words[1].literal != "notify":
            continue
        for rule, message, hint in _judge_call(words[2:], targets):
            yield _make_finding("error", rule, file, command.line, runbook, message, hint)
    if old := _OLD_LIBRARY.search(text):
        line = text.count("\n", 0, old.start()) + 1
        message = "nvsx tells people itself, and this copied library is no longer kept"
        yield _make_finding("warning", "copied-library", file, line, runbook, message, _HOW_TO_MOVE)


def _make_finding(
    severity: Severity, rule: str, file: str, line: int, runbook: str, message: str, hint: str
) -> Finding:
    return Finding(severity, rule, Problem(message, file, line, hint=hint), runbook)


def _judge_call(
    words: Sequence[ShellWord], targets: Collection[str] | None
) -> Iterator[tuple[str, str, str]]:
    """(rule, message, hint) for the words after `nvsx notify`."""
    kinds = ", ".join(CALL_OPTIONS)
    if not words:
        yield "message-kind", "nvsx notify without saying what", f"one of {kinds}"
        return
    kind = words[0].literal
    if kind is None or kind in OTHER_KINDS:
        return
    if kind not in CALL_OPTIONS:
        yield "message-kind", f"nvsx notify knows no {kind}", f"one of {kinds}"
        return
    given, certain = _read_options(words[1:])
    for name, value in given:
        if name == "--incident":
            continue  # for people, and allowed
        if name not in CALL_OPTIONS[kind]:
            known = ", ".join(sorted(CALL_OPTIONS[kind]))
            yield "message-option", f"nvsx notify {kind} has no option {name}", f"it has {known}"
        elif name == "--severity" and value is not None and value not in SEVERITIES:
            yield "message-option", f"no severity is called {value}", " or ".join(SEVERITIES)
        elif name == "--to" and value is not None and targets is not None and value not in targets:
            known = ", ".join(sorted(targets)) or "there are none"
            yield "unknown-target", f"no target is called {value}", f"in nvsx.yaml: {known}"
    if certain and kind != "resolve" and "--title" not in {name for name, _ in given}:
        yield "message-option", f"nvsx notify {kind} needs --title", "the words people read first"


def _read_options(words: Sequence[ShellWord]) -> tuple[list[tuple[str, str | None]], bool]:
    """The options with their values (None where they hold a variable), and whether that is all:
    of `"${options[@]}"` nobody can tell."""
    given: list[tuple[str, str | None]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lead.partition("=")
        if not name.startswith("--") or (not equals and word.literal is None):
            return given, False
        if equals:
            given.append((name, value if word.literal is not None else None))
        elif name == "--wait" and (not rest or not rest[0].lead[:1].isdigit()):
            given.append((name, ""))
        else:
            given.append((name, rest.pop(0).literal if rest else None))
    return given, True
