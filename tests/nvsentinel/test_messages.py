import msgspec
import pytest
from tests.nvsentinel import fixtures as f

from nvsx.core.watches.snapshot import Condition
from nvsx.nvsentinel import messages

ONE = "ErrorCode:79 PCI:0000:b3:00 NVRM: Xid (PCI:0000:b3:00): 79 Recommended Action=RESTART_BM"
TWO = "ErrorCode:48 ErrorCode:63 GPU:3 double bit error Recommended Action=COMPONENT_RESET"


def test_fragments_of_a_condition() -> None:
    """Each `;` part gives its codes, entities, text and action."""
    one, two = messages.parse_fragments(f"{ONE};{TWO};")
    assert one.error_codes == ("79",)
    assert one.entities == (("PCI", "0000:b3:00"),)
    assert one.text == "NVRM: Xid (PCI:0000:b3:00): 79"
    assert one.action == "RESTART_BM"
    assert two.error_codes == ("48", "63")
    assert not two.truncated


def test_healthy_message_has_no_fragments() -> None:
    """`No Health Failures` and an empty message report nothing."""
    assert messages.parse_fragments("No Health Failures") == []
    assert messages.parse_fragments("") == []


@pytest.mark.parametrize("length", range(len(f"{ONE};"), len(f"{ONE};{TWO}")))
def test_what_is_cut_is_left_out(length: int) -> None:
    """Wherever the message is cut, no half code, entity or action appears."""
    cut = f"{ONE};{TWO};"[:length] + "..."
    fragments = messages.parse_fragments(cut)
    assert fragments[0].action == "RESTART_BM"
    for fragment in fragments[1:]:
        assert fragment.truncated
        assert set(fragment.error_codes) <= {"48", "63"}
        assert set(fragment.entities) <= {("GPU", "3")}
        assert fragment.action == ""


def test_a_cut_fragment_is_the_same_fault() -> None:
    """A fault whose fragment was cut by a growing message is not a new one; another is."""
    whole = messages.parse_fragments(TWO)[0]
    cut = messages.parse_fragments(TWO[:20] + "...")[0]
    other = messages.parse_fragments(ONE)[0]
    assert messages.same_fault(whole, cut)
    assert messages.same_fault(cut, whole)
    assert not messages.same_fault(whole, other)


def test_error_codes_of_a_condition() -> None:
    """All fragments' codes together, exactly as written."""
    condition = Condition("GpuNvlinkWatch", "True", message=f"ErrorCode:145.RLW_REMAP x;{TWO};")
    assert messages.error_codes(condition) == {"145.RLW_REMAP", "48", "63"}


def test_non_fatal_events_carry_the_check_as_type() -> None:
    """A thermal Event becomes a non-fatal health event of its check."""
    event = f.event("GpuThermalWatchIsNotHealthy")
    assert messages.is_check_event(event)
    found = messages.event_of_kubernetes_event(event)
    assert (found.check, found.action, found.fatal) == ("GpuThermalWatch", "NONE", False)
    assert found.error_codes == ("DCGM_FR_CLOCK_THROTTLE_THERMAL",)
    assert found.entities == (("GPU", "2"),)
    assert found.generated_at == event.last
    assert not messages.is_check_event(f.event("AwaitingPodCompletion"))


def test_drain_events_name_pods_and_the_time_of_deletion() -> None:
    """Both drain messages give pods as namespace/name; only one a time."""
    waiting = messages.parse_drain_wait(f.event("AwaitingPodCompletion"))
    forced = messages.parse_drain_wait(f.event("WaitingBeforeForceDelete"))
    assert waiting is not None
    assert forced is not None
    assert (waiting.pods, waiting.force_delete_at) == (("ml/train-0", "ml/train-1"), 0.0)
    assert (forced.pods, forced.force_delete_at) == (("ml/train-0",), 1755710131.0)
    assert messages.parse_drain_wait(f.event("GpuThermalWatchIsNotHealthy")) is None


def test_only_nvsentinels_conditions_count() -> None:
    """The kubelet's conditions are True when healthy; they are none of NVSentinel's."""
    node = f.node("quarantined")
    sick = [c.type for c in node.conditions if messages.is_unhealthy(c)]
    assert sick == ["SysLogsXIDError"]
    ready = node.condition("Ready")
    assert ready is not None
    assert not messages.is_check(ready)
    assert not messages.is_unhealthy(msgspec.structs.replace(ready, status="True"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "x" + " " * 1_000_000 + "y",
        "GPU:1 " * 150_000,
        "ErrorCode:1 " * 80_000,
        "Recommended Action=" * 50_000 + "!",
    ],
)
def test_a_megabyte_of_hostile_text_is_read_at_once(text: str) -> None:
    """Any tenant may write an Event: one text that is tried again at each of its characters
    would take minutes, for all nodes."""
    [fragment] = messages.parse_fragments(text)
    assert fragment.action == ""


@pytest.mark.timeout(20)
def test_an_event_full_of_brackets_is_read_at_once() -> None:
    """The same for the drainer's list of pods."""
    event = f.event("AwaitingPodCompletion", message="[" * 1_000_000)
    waiting = messages.parse_drain_wait(event)
    assert waiting is not None
    assert waiting.pods == ()
