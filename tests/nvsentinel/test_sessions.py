import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.nvsentinel import fixtures as f

from nvsx.core.incident.session import Session
from nvsx.core.watches.snapshot import Node
from nvsx.nvsentinel import names, sessions
from nvsx.nvsentinel.sessions import SessionTracker

CHAIN = (
    "healthy",
    "detected",
    "quarantined",
    "draining",
    "drain_succeeded",
    "cr_created_rebooting",
    "rebooted_condition_clear_not_yet_uncordoned",
    "recovered",
)
T0 = 1755706600.0


def walk(tracker: SessionTracker, *stages: str | Node, at: float = T0) -> list[Session]:
    """The session after each stage, ten seconds apart."""
    return [
        tracker.observe(s if isinstance(s, Node) else f.node(s), at + 10 * i)
        for i, s in enumerate(stages)
    ]


def annotated(stage: str, *events: dict[str, Any], **labels: str) -> Node:
    """The node of a stage with other events in its annotation, and labels changed."""
    raw = f.raw_node(stage)
    raw["metadata"]["annotations"][names.QUARANTINE_ANNOTATION] = json.dumps(events)
    raw["metadata"]["labels"].update({k.replace("__", "/"): v for k, v in labels.items()})
    return f.node_of(raw)


def event(id_: str, seconds: int, check: str = "SysLogsXIDError") -> dict[str, Any]:
    """An annotation event."""
    return {
        "id": id_,
        "checkName": check,
        "nodeName": f.NODE,
        "isFatal": True,
        "recommendedAction": 24,
        "generatedTimestamp": {"seconds": seconds},
    }


def test_a_whole_incident() -> None:
    """From healthy to recovered: one session, its states in order, ended by NVSentinel."""
    seen = walk(SessionTracker(), *CHAIN)
    assert [s.open for s in seen] == [False, False, True, True, True, True, True, False]
    assert {s.key for s in seen[2:]} == {f.KEY}
    assert [name for name, _ in seen[-1].states] == [
        "quarantined",
        "draining",
        "drain-succeeded",
        "remediation-succeeded",
    ]
    last = seen[-1]
    assert last.generated_at == pytest.approx(f.GENERATED)
    assert last.quarantined_at == f.QUARANTINED
    assert (last.ending, last.ended_at) == ("recovered", f.RECOVERED)


def test_state_times_prefer_nvsentinels_own() -> None:
    """`quarantined` has the cordon's timestamp, later states the time they were seen."""
    last = walk(SessionTracker(), *CHAIN[:4])[-1]
    assert last.states == (("quarantined", f.QUARANTINED), ("draining", T0 + 30))


def test_a_late_first_look_has_the_same_key() -> None:
    """Somebody who first sees the node while it reboots finds the same session."""
    late = SessionTracker().observe(f.node("cr_created_rebooting"), T0)
    assert (late.key, late.open, late.state) == (f.KEY, True, "remediation-succeeded")
    assert late.quarantined_at == f.QUARANTINED


def test_joining_events_keep_the_key() -> None:
    """The id set grows, even with an event generated earlier; the key and earliest time stay."""
    tracker = SessionTracker()
    first = tracker.observe(annotated("quarantined", event("b" * 24, 200)), T0)
    grown = tracker.observe(
        annotated("quarantined", event("b" * 24, 200), event("a" * 24, 100)), T0 + 1
    )
    assert (first.key, grown.key) == ("b" * 24, "b" * 24)
    assert [e.id for e in grown.events] == ["a" * 24, "b" * 24]
    assert grown.generated_at == 100.0


def test_cleared_events_stay_part_of_the_session() -> None:
    """Partial recovery removes an event from the annotation, not from the session."""
    tracker = SessionTracker()
    tracker.observe(annotated("quarantined", event("a" * 24, 1), event("b" * 24, 2)), T0)
    left = tracker.observe(annotated("quarantined", event("b" * 24, 2)), T0 + 1)
    assert left.open
    assert len(left.events) == 2


def test_array_order_does_not_matter() -> None:
    """The annotation's order is not stable; the key is the earliest event's."""
    one, two = event("b" * 24, 100), event("a" * 24, 200)
    keys = {
        SessionTracker().observe(annotated("quarantined", *order), T0).key
        for order in ((one, two), (two, one))
    }
    assert keys == {"b" * 24}


def test_events_without_ids_get_a_stable_stand_in() -> None:
    """Annotations of 2025 have no ids: the stand-in is the same for two observers."""
    bare = {k: v for k, v in event("", 100).items() if k != "id"}
    one = SessionTracker().observe(annotated("quarantined", bare), T0)
    two = SessionTracker().observe(annotated("draining", bare), T0 + 500)
    assert one.key == two.key
    assert one.key.startswith("event-")


def test_label_moving_backwards() -> None:
    """A second fault sets the label back: `state` follows, what was reached stays reached."""
    seen = walk(SessionTracker(), "cr_created_rebooting", "draining")[-1]
    assert seen.state == "draining"
    assert seen.reached() == {"remediation-succeeded", "draining"}
    assert seen.open


def test_manual_uncordon_cancels() -> None:
    """The mark of a manual uncordon ends the session as cancelled, not as recovered."""
    last = walk(SessionTracker(), "quarantined", "draining", "alt_manual_uncordon")[-1]
    assert (last.open, last.ending) == (False, "cancelled")
    assert "uncordoned" in last.ending_detail
    assert last.ended_at == T0 + 20


def test_manual_untaint_cancels() -> None:
    """Removing NVSentinel's taint by hand cancels too, and says so."""
    raw = f.raw_node("alt_manual_uncordon")
    raw["metadata"]["annotations"] = {names.UNTAINTED_BY_HAND_ANNOTATION: "True"}
    last = walk(SessionTracker(), "quarantined", f.node_of(raw))[-1]
    assert last.ending == "cancelled"
    assert "untainted" in last.ending_detail


def test_an_old_manual_mark_does_not_cancel_a_later_session() -> None:
    """A mark that was there during the session is an earlier one's: recovery is recovery."""
    quarantined = f.raw_node("quarantined")
    quarantined["metadata"]["annotations"][names.UNCORDONED_BY_HAND_ANNOTATION] = "True"
    recovered = f.raw_node("recovered")
    recovered["metadata"]["annotations"][names.UNCORDONED_BY_HAND_ANNOTATION] = "True"
    seen = walk(SessionTracker(), f.node_of(quarantined), f.node_of(recovered))
    assert seen[0].open
    assert seen[1].ending == "recovered"


def test_node_gone_is_terminated() -> None:
    """The Node object disappears: the session ends as terminated."""
    tracker = SessionTracker()
    tracker.observe(f.node("cr_created_rebooting"), T0)
    last = tracker.observe(None, T0 + 5)
    assert (last.ending, last.ended_at, last.key) == ("terminated", T0 + 5, f.KEY)


def _renewed(stage: str) -> Node:
    raw = f.raw_node(stage)
    raw["metadata"] |= {"uid": "another", "creationTimestamp": "2025-08-20T17:00:00Z"}
    return f.node_of(raw)


def test_a_new_node_of_the_same_name_is_told() -> None:
    """A Node comes back after it was gone: the session stays terminated, and says so."""
    seen = SessionTracker()
    seen.observe(f.node("cr_created_rebooting"), T0)
    seen.observe(None, T0 + 5)
    last = seen.observe(_renewed("healthy"), T0 + 60)
    assert (last.open, last.ending, last.ended_at) == (False, "terminated", T0 + 5)
    assert last.replaced_at == 1755709200.0
    assert "a new one of the same name was created 2025-08-20 17:00:00 UTC" in last.ending_detail


def test_a_replacement_nobody_watched_is_no_recovery() -> None:
    """Node gone and back between two looks of two processes: terminated, not recovered."""
    open_ = SessionTracker().observe(f.node("cr_created_rebooting"), T0)
    last = SessionTracker(open_).observe(_renewed("healthy"), T0 + 600)
    assert (last.ending, last.ended_at, last.key) == ("terminated", 1755709200.0, f.KEY)


def test_a_missing_node_without_session_is_nothing() -> None:
    """A node that goes away without an incident ends nothing."""
    assert not SessionTracker().observe(None, T0).known


def test_first_seen_after_the_end() -> None:
    """A node first seen after its session: closed, recovered, with NVSentinel's time, no key."""
    seen = SessionTracker().observe(f.node("recovered"), T0)
    assert (seen.key, seen.open, seen.ending) == ("", False, "recovered")
    assert seen.ended_at == seen.previous_end == f.RECOVERED


def test_a_new_session_after_the_end() -> None:
    """The next quarantine has a key of its own, and knows when the one before it ended."""
    tracker = SessionTracker()
    walk(tracker, "quarantined", "recovered")
    again = annotated(
        "quarantined",
        event("c" * 24, 1755710000),
        k8saas__x="",
        **{"k8saas.nvidia.com/cordon-timestamp": "2025-08-20T17-13-25Z"},
    )
    seen = tracker.observe(again, 1755710010.0)
    assert (seen.key, seen.open, seen.previous_end) == ("c" * 24, True, f.RECOVERED)
    assert seen.states[0][0] == "quarantined"
    assert len(seen.events) == 1


def test_first_look_at_a_second_session_knows_the_first_ones_end() -> None:
    """A lingering uncordon label tells when the session before this one ended."""
    raw = f.raw_node("quarantined")
    raw["metadata"]["labels"].update(
        {
            "k8saas.nvidia.com/uncordon-by": "NVSentinel",
            "k8saas.nvidia.com/uncordon-timestamp": "2025-08-19T10-00-00Z",
        }
    )
    seen = SessionTracker().observe(f.node_of(raw), T0)
    assert seen.open
    assert seen.previous_end == 1755597600.0
    assert seen.quarantined_at == f.QUARANTINED


def test_preexisting_cordon() -> None:
    """A cordon found by NVSentinel is named so, and outlives the session as recovered."""
    raw = f.raw_node("quarantined")
    labels = raw["metadata"]["labels"]
    for name in [k for k in labels if "cordon-" in k]:
        del labels[name]
    raw["metadata"]["annotations"][names.CORDON_PREEXISTING_ANNOTATION] = "True"
    after = f.raw_node("recovered")
    after["metadata"]["labels"] = {"nvidia.com/gpu.present": "true"}
    after["spec"]["unschedulable"] = True
    seen = walk(SessionTracker(), "detected", f.node_of(raw), f.node_of(after))
    assert seen[1].cordon_preexisting
    assert seen[1].quarantined_at == T0 + 10
    assert (seen[2].open, seen[2].ending) == (False, "recovered")


def test_preexisting_cordon_before_it_was_annotated() -> None:
    """Early versions only leave the cordon labels out: that tells the same."""
    raw = f.raw_node("quarantined")
    labels = raw["metadata"]["labels"]
    for name in [k for k in labels if "cordon-" in k]:
        del labels[name]
    assert SessionTracker().observe(f.node_of(raw), T0).cordon_preexisting


def test_dry_run_is_a_session_without_cordon() -> None:
    """A dry run leaves the annotation alone: open, but not cordoned and without a state."""
    seen = SessionTracker().observe(f.node("alt_dry_run"), T0)
    assert (seen.key, seen.open, seen.cordoned, seen.state) == (f.KEY, True, False, "")


def handed_over(**keep: bool) -> Node:
    """The node after v1.20 took the annotation off and kept its cordon."""
    raw = f.raw_node("rebooted_condition_clear_not_yet_uncordoned")
    raw["metadata"]["annotations"] = {}
    if not keep.get("label"):
        del raw["metadata"]["labels"][names.STATE_LABEL]
    return f.node_of(raw)


@pytest.mark.parametrize("label", [True, False])
def test_hand_over_keeps_the_session_open(label: bool) -> None:
    """Since v1.20 the annotation can go while the node waits, cordoned, for its validation."""
    seen = walk(SessionTracker(), "quarantined", handed_over(label=label), "recovered")
    assert (seen[1].open, seen[1].key) == (True, f.KEY)
    assert (seen[2].ending, seen[2].ended_at) == ("recovered", f.RECOVERED)


def test_a_stale_state_label_does_not_hold_a_recovered_session() -> None:
    """A state label written after the uncordon is a leftover: the session is over."""
    raw = f.raw_node("recovered")
    raw["metadata"]["labels"][names.STATE_LABEL] = "remediation-failed"
    stale = f.node_of(raw)
    seen = walk(SessionTracker(), "quarantined", stale, stale)
    assert [s.open for s in seen] == [True, False, False]
    assert not SessionTracker().observe(stale, T0).open


def test_marks_removed_while_unhealthy_is_no_recovery() -> None:
    """Without NVSentinel's uncordon, and with the fault still there, nothing recovered."""
    last = walk(SessionTracker(), "quarantined", "detected")[-1]
    assert last.ending == "cancelled"
    assert "SysLogsXIDError" in last.ending_detail


def test_an_unreadable_annotation_keeps_the_session_open() -> None:
    """A broken annotation is still an annotation: nothing ends because nvsx cannot read it."""
    raw = f.raw_node("quarantined")
    raw["metadata"]["annotations"][names.QUARANTINE_ANNOTATION] = "[{"
    seen = walk(SessionTracker(), "quarantined", f.node_of(raw))[-1]
    assert (seen.open, seen.key) == (True, f.KEY)
    alone = SessionTracker().observe(f.node_of(raw), T0)
    assert alone.open
    assert alone.key


def test_resume_goes_on_with_the_seed() -> None:
    """A resumed run keeps its session: key, states seen and events, though some are gone."""
    before = walk(SessionTracker(), *CHAIN[:4])[-1]
    after = SessionTracker(before).observe(f.node("cr_created_rebooting"), T0 + 900)
    assert after.key == before.key
    assert [name for name, _ in after.states] == [
        "quarantined",
        "draining",
        "remediation-succeeded",
    ]


def test_resume_after_the_session_ended_while_away() -> None:
    """The uncordon label tells when a session ended that nobody watched."""
    before = walk(SessionTracker(), *CHAIN[:4])[-1]
    after = SessionTracker(before).observe(f.node("recovered"), T0 + 9000)
    assert (after.key, after.ending, after.ended_at) == (f.KEY, "recovered", f.RECOVERED)


def test_resume_when_another_session_has_begun() -> None:
    """The seed's session is closed first, its ending unknown; the next look opens the new one."""
    before = walk(SessionTracker(), *CHAIN[:4])[-1]
    other = annotated(
        "quarantined",
        event("d" * 24, 1755790000),
        **{"k8saas.nvidia.com/cordon-timestamp": "2025-08-21T15-26-45Z"},
    )
    tracker = SessionTracker(before)
    ended = tracker.observe(other, 1755790100.0)
    assert (ended.key, ended.open, ended.ending) == (f.KEY, False, "")
    assert ended.ended_at == 1755790005.0
    fresh = tracker.observe(other, 1755790101.0)
    assert (fresh.key, fresh.open, fresh.previous_end) == ("d" * 24, True, 1755790005.0)


def test_other_events_under_the_same_cordon_are_the_same_session() -> None:
    """While a run was away one fault joined and the first was cleared: still one session."""
    tracker = SessionTracker()
    before = tracker.observe(annotated("quarantined", event("a" * 24, 1755706530)), T0)
    after = SessionTracker(before).observe(
        annotated("quarantined", event("b" * 24, 1755706900)), T0 + 600
    )
    assert (after.key, after.open) == ("a" * 24, True)
    assert len(after.events) == 2


def test_other_label_prefix() -> None:
    """Cordon labels are found under the prefix an operator chose."""
    raw = f.raw_node("quarantined")
    raw["metadata"]["labels"] = {
        k.replace("k8saas.nvidia.com/", "gpu.example.com/"): v
        for k, v in raw["metadata"]["labels"].items()
    }
    assert SessionTracker().observe(f.node_of(raw), T0).quarantined_at == f.QUARANTINED


def test_sessions_survive_the_journal() -> None:
    """A session reads back from JSON as it was written, so a resumed run can be seeded."""
    session = walk(SessionTracker(), *CHAIN)[-1]
    again = msgspec.json.decode(msgspec.json.encode(session), type=Session)
    assert again == session
    assert sessions.session_key_of(again.events) == f.KEY


STAGES = (*CHAIN, "alt_manual_uncordon", "alt_unsupported_action", "alt_dry_run", None)


@given(st.lists(st.sampled_from(STAGES), max_size=12), st.integers(0, 12))
def test_any_order_of_sightings_makes_sense(stages: list[str | None], resumed: int) -> None:
    """Whatever is seen, also across a restart: an open session has a key and no end, an ended
    one an end, and a key changes only after an end."""
    tracker, before = SessionTracker(), Session()
    for i, stage in enumerate(stages):
        if i == resumed:
            tracker = SessionTracker(before)
        now = tracker.observe(f.node(stage) if stage else None, T0 + i)
        if now.open:
            assert now.key
            assert (now.ended_at, now.ending) == (None, "")
        elif now.known:
            assert now.ended_at is not None
        if before.open:
            assert now.key == before.key
        before = now


def found_cordoned(*, hand_mark: bool = False, open_: bool = True) -> Node:
    """A node that was cordoned before NVSentinel came, in its session or after it; the labels
    of an earlier quarantine are still on it."""
    raw = f.raw_node("quarantined" if open_ else "recovered")
    raw["spec"]["unschedulable"] = True
    raw["metadata"]["labels"] = {
        "k8saas.nvidia.com/cordon-by": "NVSentinel",
        "k8saas.nvidia.com/cordon-timestamp": "2025-08-19T09-00-00Z",
        "k8saas.nvidia.com/uncordon-by": "NVSentinel",
        "k8saas.nvidia.com/uncordon-timestamp": "2025-08-19T10-00-00Z",
    }
    if open_:
        raw["metadata"]["annotations"][names.CORDON_PREEXISTING_ANNOTATION] = "True"
    if hand_mark:
        raw["metadata"]["annotations"][names.UNCORDONED_BY_HAND_ANNOTATION] = "True"
    return f.node_of(raw)


def test_cordon_labels_of_an_earlier_session_do_not_count() -> None:
    """Outdated by a later uncordon, they say nothing of when this quarantine began."""
    raw = f.raw_node("quarantined")
    raw["metadata"]["labels"].update(
        {
            "k8saas.nvidia.com/cordon-timestamp": "2025-08-19T09-00-00Z",
            "k8saas.nvidia.com/uncordon-by": "NVSentinel",
            "k8saas.nvidia.com/uncordon-timestamp": "2025-08-19T10-00-00Z",
        }
    )
    seen = walk(SessionTracker(), "detected", f.node_of(raw))[-1]
    assert seen.quarantined_at == T0 + 10
    assert seen.previous_end == 1755597600.0


def test_an_old_manual_mark_without_an_uncordon_label_is_still_old() -> None:
    """Recovered under a cordon that stays: no uncordon time tells, and the mark is not new."""
    open_, over = found_cordoned(hand_mark=True), found_cordoned(hand_mark=True, open_=False)
    seen = walk(SessionTracker(), "detected", open_, over)
    assert [s.open for s in seen] == [False, True, False]
    assert (seen[-1].ending, seen[-1].ended_at) == ("recovered", T0 + 20)
