"""Nothing that anyone can send makes a decoder raise anything but a refusal."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.core.senders.bodies import BATCH, JSON, STRUCTURED, body, read, setup

from nvsx.core.senders import json_body
from nvsx.core.senders.http_request import Refused
from nvsx.core.senders.message_fields import is_node_name, is_runbook_name
from nvsx.core.senders.registry import SENDERS

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["firing", "resolved", "incident.triggered", "Create", "../..", "n1", "1.0"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
BOUNDED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(content: object, kind: str, headers: dict[str, str]) -> None:
    """Decode, and hold every event to what the intake relies on."""
    rules: dict[str, Any] = {
        "node": [{"from": "alert.labels.node", "pattern": "n(?P<node>.)"}, {"cel": "body.a.b"}]
    }
    for source in (setup(kind), setup(kind, **rules)):
        refusals: list[Refused] = []
        events = []
        try:
            events = read(content, source, headers)
        except Refused as exc:
            refusals.append(exc)
        for refusal in refusals:
            assert refusal.status in (400, 404, 415, 422)
            assert refusal.message.isprintable()
        for event in events:
            assert event.facts.node == "" or is_node_name(event.facts.node)
            assert event.runbook == "" or is_runbook_name(event.runbook)
            assert event.node_words or event.facts.node or event.refusal or event.runbook
            json.dumps(event.payload, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", SENDERS)
@BOUNDED
@given(content=st.binary(max_size=200) | VALUES)
def test_any_body_is_decoded_or_refused(kind: str, content: object) -> None:
    """Random bytes and random JSON, to every decoder in every content mode."""
    for headers in (JSON, STRUCTURED, BATCH) if kind == "nvsentinel" else (JSON,):
        check(content, kind, headers)


@pytest.mark.parametrize("kind", SENDERS)
@BOUNDED
@given(data=st.data())
def test_a_damaged_sample_is_decoded_or_refused(kind: str, data: st.DataObject) -> None:
    """A real body with one value anywhere in it replaced by another, or taken away."""
    content = body(f"{kind}/fault")
    holder, key = data.draw(st.sampled_from(list(places(content))))
    if data.draw(st.booleans()):
        holder[key] = data.draw(VALUES)
    else:
        del holder[key]
    check(content, kind, STRUCTURED if kind == "nvsentinel" else JSON)


def places(value: Any) -> Any:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


@BOUNDED
@given(content=st.binary(max_size=300) | VALUES.map(lambda v: json.dumps(v).encode()))
@example(b"9223372036854775809")  # one beyond 64 bits with a sign, and not to be rounded
def test_the_parser_agrees_with_json(content: bytes) -> None:
    """Whatever it takes, it takes for the same value as the standard library."""
    try:
        value = json_body.parse_json(content)
    except Refused:
        return
    assert value == json.loads(content)


@BOUNDED
@given(
    subject=st.text(
        alphabet=st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30
    )
)
def test_any_attribute_header_is_decoded_or_refused(subject: str) -> None:
    """Percent signs, quotes and bytes beyond ASCII in the headers of a binary CloudEvent."""
    wrapped = body("nvsentinel/binary")
    status = 0
    try:
        read(wrapped["body"], setup("nvsentinel"), {**wrapped["headers"], "ce-subject": subject})
    except Refused as exc:
        status = exc.status
    assert status in (0, 400)
