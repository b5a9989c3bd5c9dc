"""What the starters' hooks ask people to be told. That it is delivered is nvsx's part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.starters.conftest import HOOKS, Hook

ALL_HOOKS = sorted(f"{p.parent.name}/{p.stem}" for p in HOOKS.glob("*/on-*.sh"))
PLANNED = "csp-maintenance"
#: Of these NVSentinel repairs some by itself, others it leaves to people.
LEFT_TO_PEOPLE = sorted(
    p.parent.name for p in HOOKS.glob("*/on-remediate.sh") if "needs people" in p.read_text()
)
FAILURES = sorted(p.parent.name for p in HOOKS.glob("*/on-failure.sh") if p.parent.name != PLANNED)
FAULTS = sorted(p.parent.name for p in HOOKS.glob("*/on-quarantine.sh") if p.parent.name != PLANNED)


@pytest.mark.parametrize("name", ALL_HOOKS)
def test_every_hook_asks_for_something_in_few_words(hook: Hook, name: str) -> None:
    """It succeeds without any variable of the run's story, is short, and prints nothing."""
    done = hook.run(name)
    assert (done.stdout, done.stderr) == ("", "")
    assert hook.asked
    assert all(len(call.title) < 80 for call in hook.asked)
    assert len((HOOKS / f"{name}.sh").read_text().splitlines()) <= 16


@pytest.mark.parametrize("name", FAULTS)
def test_quarantine_pages_posts_and_opens_a_ticket(hook: Hook, name: str) -> None:
    """The page is a warning: NVSentinel repairs by itself."""
    hook.run(f"{name}/on-quarantine")
    assert [call.kind for call in hook.asked] == ["page", "post", "ticket"]
    page, _, ticket = hook.asked
    assert page.severity == "warning"
    assert page.title == ticket.title


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_wakes_somebody_with_the_reason(hook: Hook, name: str) -> None:
    """The page is critical, and its words are nvsx's own reason."""
    reason = "RebootNode: timed out after 25m"
    hook.run(f"{name}/on-failure", NVSX_FAILED_STAGE="remediate", NVSX_REASON=reason)
    page = hook.asked[0]
    assert (page.kind, page.severity, page.text) == ("page", "critical", reason)
    assert page.title.endswith("remediate did not pass")


@pytest.mark.parametrize("name", LEFT_TO_PEOPLE)
@pytest.mark.parametrize(("state", "kind"), [("needs people", "page"), ("recovering", "post")])
def test_people_are_woken_only_where_they_are_needed(
    hook: Hook, name: str, state: str, kind: str
) -> None:
    """After NVSentinel's part: a page with what to look at where the node is theirs."""
    hook.run(f"{name}/on-remediate", NVSX_INCIDENT_STATE=state)
    (asked,) = hook.asked
    assert asked.kind == kind
    assert bool(asked.text) is (kind == "page")


@pytest.mark.parametrize("name", [*FAULTS, PLANNED, "thermal-throttle"])
def test_recovery_withdraws_the_runs_claim(hook: Hook, name: str) -> None:
    """Without words of its own: nvsx tells the end, with how it ended."""
    hook.run(f"{name}/on-recover")
    last = hook.asked[-1]
    assert (last.kind, last.text) == ("resolve", "")


@pytest.mark.parametrize(
    ("gpu", "count", "titles"),
    [
        ("GPU-1", "2", ["XID 79: GPU fell off the bus: time 2 on this GPU", ""]),
        ("GPU-1", "1", [""]),
        ("", "2", [""]),
    ],
)
def test_a_second_time_on_one_card_is_pointed_out(
    hook: Hook, gpu: str, count: str, titles: list[str]
) -> None:
    """Only where it is the same GPU, and not the first time."""
    hook.run("gpu-off-bus/on-recover", NVSX_REPEAT_GPU=gpu, NVSX_REPEAT_COUNT=count)
    assert [call.title for call in hook.asked] == titles


@pytest.mark.parametrize(
    ("name", "event", "kind"),
    [
        ("thermal-throttle/on-detect", {"action": "CONTACT_SUPPORT"}, "page"),
        ("thermal-throttle/on-detect", {"action": "NONE"}, "post"),
        ("driver-hang/on-detect", {"strategy": "STORE_ONLY"}, "page"),
        ("driver-hang/on-detect", {"strategy": "EXECUTE_REMEDIATION"}, "post"),
        ("driver-hang/on-detect", None, "post"),
    ],
)
def test_what_nobody_will_act_upon_is_paged_at_once(
    hook: Hook, tmp_path: Path, name: str, event: object, kind: str
) -> None:
    """An event that NVSentinel only stores, or leaves to people, wakes somebody."""
    file = tmp_path / "event.json"
    if event is not None:
        file.write_text(json.dumps(event))
    hook.run(name, NVSX_EVENT_FILE=str(file))
    assert [call.kind for call in hook.asked] == [kind]


@pytest.mark.parametrize("name", [n for n in ALL_HOOKS if n.startswith(f"{PLANNED}/")])
def test_planned_work_pages_nobody(hook: Hook, name: str) -> None:
    """Each turn of planned maintenance is posted or in the ticket, and no page is asked for."""
    hook.run(name)
    assert {call.kind for call in hook.asked} <= {"post", "ticket", "resolve"}
    titled = [call.title for call in hook.asked if call.kind != "resolve"]
    assert all(title.startswith("Planned maintenance") for title in titled)
