import pytest

from nvsx.core.runbook import narration


def test_tokens_are_replaced() -> None:
    """Known tokens become their values, with or without spaces inside the braces."""
    text = narration.render(
        "{{targetAlias}} after {{ elapsed }}", {"targetAlias": "a", "elapsed": "3s"}
    )
    assert text == "a after 3s"


def test_values_are_never_expanded_again() -> None:
    """A value that looks like a token stays text."""
    assert (
        narration.render("{{runbook}}", {"runbook": "{{elapsed}}", "elapsed": "x"}) == "{{elapsed}}"
    )


def test_a_token_without_value_shows() -> None:
    """A gap is visible instead of reading as a fact."""
    assert narration.render("took {{elapsed}}", {}) == "took {{elapsed}}"


def test_unknown_tokens_are_named_once_in_order() -> None:
    """Unknown tokens are listed in the order of the text, each once."""
    text = "{{foo}} {{elapsed}} {{ bar }} {{foo}}"
    assert narration.find_unknown_tokens(text) == ("foo", "bar")


def test_every_documented_token_is_known() -> None:
    """The tokens of the runbook reference are exactly those nvsx renders."""
    everything = "".join(f"{{{{{t}}}}}" for t in narration.TOKENS)
    assert narration.find_unknown_tokens(everything) == ()
    assert len(narration.TOKENS) == 6


@pytest.mark.timeout(20)
def test_a_text_full_of_braces_is_read_at_once() -> None:
    """A page that was converted may hold anything."""
    assert narration.find_unknown_tokens("{{ " * 20_000) == ()
