"""What lint says of `nvsx notify` in hooks."""

from __future__ import annotations

import pytest

from nvsx.core.notify.spool_format import CALL_OPTIONS
from nvsx.follow.processes import notify_call
from nvsx.lint.lint_messages import check_messages

TARGETS = frozenset({"oncall", "gpu-ops"})


@pytest.mark.parametrize(
    ("line", "rule", "says"),
    [
        ("nvsx notify page --title x --to onkall", "unknown-target", "no target is called onkall"),
        ("nvsx notify page --title x --to=onkall", "unknown-target", "no target is called onkall"),
        ("if ! nvsx notify post --title x --to onkall; then true; fi", "unknown-target", "onkall"),
        ("nvsx notify pge --title x", "message-kind", "knows no pge"),
        ("nvsx notify", "message-kind", "without saying what"),
        ("nvsx notify page --text x", "message-option", "needs --title"),
        (
            "nvsx notify page --title x --severity high",
            "message-option",
            "no severity is called high",
        ),
        (
            "nvsx notify post --title x --severity error",
            "message-option",
            "post has no option --severity",
        ),
        ("nvsx notify resolve --title x", "message-option", "resolve has no option --title"),
    ],
)
def test_a_call_that_would_fail_is_an_error(line: str, rule: str, says: str) -> None:
    """Kind, option, severity and target are known before the night they are needed."""
    (found,) = check_messages("h.sh", f"#!/bin/bash\n{line}\n", "book", TARGETS)
    assert (found.severity, found.rule, found.problem.line) == ("error", rule, 2)
    assert says in found.problem.message


@pytest.mark.parametrize(
    "line",
    [
        "nvsx notify page --severity critical --title x --text - --to oncall --key k --wait=5",
        "nvsx notify ticket --title x --field a=b --field c=d --wait",
        "nvsx notify resolve",
        'nvsx notify "$kind" --sev x',
        'nvsx notify page "${options[@]}"',
        'nvsx notify page --title x --to "$team"',
        "nvsx notify list --open",
        "nvsx notify test oncall",
        "nvsx history --node x",
        "echo nvsx notify pge",
        'nvsx notify post --title "--to onkall"',
    ],
)
def test_a_call_that_is_right_or_cannot_be_read_off_is_left_alone(line: str) -> None:
    """What a variable holds is not guessed."""
    assert not list(check_messages("h.sh", f"#!/bin/bash\n{line}\n", "book", TARGETS))


def test_targets_that_are_not_known_are_not_judged() -> None:
    """With settings that cannot be read nobody can say which there are."""
    line = "nvsx notify page --title x --to onkall\n"
    assert not list(check_messages("h.sh", line, "book", None))


def test_a_copied_library_is_pointed_at_with_the_way_out() -> None:
    """It goes on working: a warning, at the function that posts."""
    (found,) = check_messages("lib/notify.sh", "# old\nslack_post() {\n  :\n}\n", "book", TARGETS)
    assert (found.severity, found.rule, found.problem.line) == ("warning", "copied-library", 2)
    assert "nvsx notify" in found.problem.hint


def test_lint_knows_the_options_that_a_hook_has() -> None:
    """The table that lint goes by is what the call itself takes."""
    assert {
        kind: frozenset({"--text", "--key", "--wait", *options})
        for kind, options in notify_call.OPTIONS.items()
    } == CALL_OPTIONS
