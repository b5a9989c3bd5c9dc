"""nvsx matches labels by itself; it and an API server select the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from nvsentinel_sandbox.kube import labelselectors
from nvsx.core import selectors

_WORDS = some.sampled_from(["a", "b", "in", "notin", "=", "==", "!=", "!", ">", "<", "(", ")"])
_PIECES = _WORDS | some.sampled_from([",", " ", "5", "-", "", "a/b", "exists", "\t"])
_LABELS = some.dictionaries(
    some.sampled_from(["a", "b", "in", "a/b"]), some.sampled_from(["", "a", "5", "7"])
)


@given(some.lists(_PIECES, max_size=12).map("".join), _LABELS)
def test_both_read_and_match_alike(text: str, labels: dict[str, str]) -> None:
    """What one refuses the other refuses, and what is selected is selected by both.

    But for an empty selector, which selects all on an API server and is a slip in a runbook.
    """
    if not text.strip():
        return
    try:
        wanted = labelselectors.parse(text)
    except ValueError:
        with pytest.raises(ValueError, match="not a label selector"):
            selectors.parse(text)
        return
    assert selectors.matches(selectors.parse(text), labels) is labelselectors.matches(
        wanted, labels
    )
