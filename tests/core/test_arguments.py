"""`$NVSX_…` in the arguments of an action."""

from __future__ import annotations

import pytest

from nvsx.core.runbook.arguments import expand, explain_unset

VARIABLES = {"NVSX_NODE": "gpu-1", "NVSX_EMPTY": ""}


@pytest.mark.parametrize(
    ("argument", "value", "unset"),
    [
        ("--node=$NVSX_NODE", "--node=gpu-1", []),
        ("${NVSX_NODE}x", "gpu-1x", []),
        ("$NVSX_NODEX", "", ["NVSX_NODEX"]),
        ("$NVSX_EMPTY", "", []),
        ("$NVSX_SANDBOX", "", []),
        ("$NVSX_NOD-$NVSX_NODE", "-gpu-1", ["NVSX_NOD"]),
        ("$HOME `id` $(id) $NVSX_", "$HOME `id` $(id) $NVSX_", []),
    ],
)
def test_variables_are_expanded_and_nothing_else(
    argument: str, value: str, unset: list[str]
) -> None:
    """Names that have no value are told, but for those that only some runs set."""
    assert expand([argument], VARIABLES) == ([value], unset)


def test_the_refusal_names_each_variable_once() -> None:
    """In the order of the arguments."""
    assert explain_unset(["NVSX_B", "NVSX_A", "NVSX_B"]) == (
        "not started: its arguments name $NVSX_B, $NVSX_A, which is not set"
    )
