from pathlib import Path

import pytest
from tests.core.senders.bodies import NODE, body, encoded, raw

from nvsx.core.errors import UsageError
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.senders.sources import Source
from nvsx.nvsentinel import decoding
from nvsx.project import cel, loader
from nvsx.serve.webhook.explain_message import Explained, explain_offline

ROOT = Path(__file__).parents[2]
TITLE = {"from": "event.data.title", "pattern": r"XID (?P<errorCode>\d+) .* on (?P<node>\S+)"}


def explained(
    source: str, content: bytes, settings: dict[str, object] | None = None, **headers: str
) -> Explained:
    """Explained with the starter runbooks and these settings of the source."""
    books = [e.runbook for e in loader.discover(ROOT) if isinstance(e, LoadedRunbook)]
    sources = {source: Source.model_validate(settings)} if settings is not None else {}
    return explain_offline(
        source,
        content,
        headers,
        sources,
        books,
        read_health_event=decoding.decode_cloudevent,
        evaluate=cel.evaluate,
        compute=cel.value,
    )


def test_a_fault_is_told_with_every_rule() -> None:
    """The event, how it was read, each runbook's rules with yes or no, and the verdict."""
    text = explained("nvsentinel", raw("nvsentinel/fault")).text()
    for line in (
        "source nvsentinel (nvsentinel)",
        f"  node:       {NODE}",
        "    cluster: data.metadata.cluster is 'prod-us-west-2'",
        "  runbook gpu-off-bus",
        "    yes triggers[0]: triggers[0] matches check SysLogsXIDError, errorCode 79",
        "    no  triggers[1]: check is SysLogsXIDError, not SysLogsGPUFallenOff",
        "  runbook thermal-throttle",
    ):
        assert line in text.splitlines()
    assert "  → would fire gpu-off-bus: " in text


def test_the_operators_rules_are_told_step_by_step() -> None:
    """What a pattern was tried on and what it gave, and what was missing."""
    content = body("pagerduty/fault")
    content["event"]["data"]["incident_key"] = "opaque"
    found = explained("pagerduty", encoded(content), {"node": TITLE})
    assert found.events[0].facts.node == NODE
    assert any(
        "with pattern" in step and f"gives '{NODE}'" in step for step in found.events[0].steps
    )
    content["event"]["data"]["title"] = "Disk full"
    missed = explained("pagerduty", encoded(content), {"node": TITLE}).text()
    assert "'Disk full'; pattern" in missed
    assert "does not match" in missed
    assert (
        "would fire nothing: no node in it: say where with serve.sources.pagerduty.node" in missed
    )


@pytest.mark.parametrize(
    ("sample", "source", "would"),
    [
        ("nvsentinel/recovered", "nvsentinel", "note"),
        ("alertmanager/resolved", "alertmanager", "note"),
        ("jira/moved", "jira", "ignore"),
        ("generic/fault", "generic", "fire"),
        ("generic/fault", "webhook", "fire"),
    ],
)
def test_what_would_happen(sample: str, source: str, would: str) -> None:
    """Fire, note or ignore, with a reason each."""
    (event,) = explained(source, raw(sample)).events
    assert event.would == would
    assert event.reason


def test_a_batch_is_told_event_by_event() -> None:
    """The content type is guessed from the body."""
    found = explained("nvsentinel", raw("nvsentinel/batch"))
    assert len(found.events) == 3
    assert "event 3 of 3" in found.text()


def test_a_refused_message_says_with_what() -> None:
    """As the sender would see it."""
    found = explained("alertmanager", b'{"alerts": 7}')
    assert (found.status, found.events) == (422, ())
    assert "refused with 422: alerts is no list" in found.text()
    assert explained("alertmanager", b"{}", None, **{"Content-Type": "text/plain"}).status == 415


def test_an_unknown_source_or_runbook_is_said() -> None:
    """With what is known."""
    with pytest.raises(UsageError) as caught:
        explained("absent", b"{}", None)
    assert "pagerduty" in caught.value.hint
    (event,) = explained("webhook", b'{"runbook": "no-such"}').events
    assert (event.would, event.reason) == ("ignore", "there is no runbook 'no-such'")


def test_it_can_be_read_by_machines() -> None:
    """Plain data with the same content."""
    data = explained("nvsentinel", raw("nvsentinel/fault")).json()
    event = data["events"][0]
    assert (event["would"], event["runbook"], event["facts"]["node"]) == (
        "fire",
        "gpu-off-bus",
        NODE,
    )
    rules = {e["runbook"]: e["rules"] for e in event["explanations"]}
    assert rules["gpu-off-bus"][0]["matched"] is True
