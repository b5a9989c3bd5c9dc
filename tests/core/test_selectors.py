import re

import pytest

from nvsx.core import selectors

LABELS = {"cores": "8", "app": "trainer", "tier": "gpu", "example.com/team": "ml"}


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
        ("app in(trainer,)", True),
        ("other in ()", False),
        ("cores>7", True),
        ("cores>8", False),
        ("cores<9,cores<10", True),
        ("app>1", False),
    ],
)
def test_selectors_match_as_the_api_server_does(text: str, holds: bool) -> None:
    """Equality, sets and presence select what kubectl -l would."""
    assert selectors.matches(selectors.parse(text), LABELS) is holds


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "a in (", "a in b", "=b", "a=b c", "a,,b", "a=-b", "ä=b", "a,", "a>b"),
        *("!a=b", "a)", "ain(b)", "a in (b c)", "a in (b),(c)"),
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    """Text outside the grammar is an error that quotes the wrong part."""
    with pytest.raises(ValueError, match="selector"):
        selectors.parse(text)


def test_an_error_says_what_to_write() -> None:
    """The whole text, what was found in it, and the forms there are."""
    told = (
        "'app trainer' is not a label selector: found 'app trainer'; "
        "write key=value, key in (a,b), key or !key"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        selectors.parse("app trainer")
