import pytest

from nvsx.core import selectors

LABELS = {"app": "trainer", "tier": "gpu", "example.com/team": "ml"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("app=trainer", True),
        ("app==trainer", True),
        ("app=train", False),
        ("app!=trainer", False),
        ("other!=x", True),
        ("app in (a, trainer)", True),
        ("app notin (a,b)", True),
        ("other notin (a)", True),
        ("app", True),
        ("!app", False),
        ("!other", True),
        ("example.com/team=ml,tier in (gpu,cpu),!x", True),
        ("app=trainer,tier=cpu", False),
        ("app=", False),
    ],
)
def test_selectors_match_as_the_api_server_does(text: str, holds: bool) -> None:
    """Equality, sets and presence select what kubectl -l would."""
    assert selectors.matches(selectors.parse(text), LABELS) is holds


@pytest.mark.parametrize(
    "text", ["", "  ", "a in (", "a in b", "=b", "a=b c", "a,,b", "a=-b", "ä=b"]
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    """Text outside the grammar is an error that quotes the wrong part."""
    with pytest.raises(ValueError, match="selector"):
        selectors.parse(text)
