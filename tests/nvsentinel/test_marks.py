"""What each mark on a node proves, on both sides of every rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel import fixtures as f

from nvsx.core.watches.snapshot import Node
from nvsx.nvsentinel import marks, names

CORDONED = {
    "k8saas.nvidia.com/cordon-by": "NVSentinel",
    "k8saas.nvidia.com/cordon-timestamp": "2025-08-20T10-00-00Z",
}


def uncordoned(clock: str) -> dict[str, str]:
    """The labels of an uncordon at that time of the same day."""
    return {
        "k8saas.nvidia.com/uncordon-by": "NVSentinel",
        "k8saas.nvidia.com/uncordon-timestamp": f"2025-08-20T{clock}Z",
    }


def with_annotation(text: str | None) -> Node:
    """A node under NVSentinel's cordon with this text as its quarantine annotation."""
    annotations = {} if text is None else {names.QUARANTINE_ANNOTATION: text}
    return fake.node(cordoned=True, labels=CORDONED, annotations=annotations)


@pytest.mark.parametrize(
    ("text", "annotated", "emptied", "handed_over"),
    [
        (None, False, False, True),
        ("[]", False, True, False),
        (" [ ] ", False, True, False),
        ("null", False, True, False),
        ("", False, True, False),
        ("[{", True, False, False),
        ("{}", True, False, False),
        ('[{"checkName": "X"}]', True, False, False),
    ],
)
def test_an_empty_annotation_counts_as_gone(
    text: str | None, annotated: bool, emptied: bool, handed_over: bool
) -> None:
    """A list without events holds nothing; one that cannot be read does. Only a node without
    the annotation was handed over."""
    seen = marks.read(with_annotation(text))
    assert (seen.annotated, seen.emptied, seen.handed_over) == (annotated, emptied, handed_over)
    assert seen.held == (not annotated)


@pytest.mark.parametrize(
    ("cordoned", "labels", "held"),
    [(True, CORDONED, True), (False, CORDONED, False), (True, {}, False)],
)
def test_only_a_cordon_of_nvsentinels_holds(
    cordoned: bool, labels: dict[str, str], held: bool
) -> None:
    """Held takes both: the node unschedulable, and NVSentinel's label that says by whom."""
    assert marks.read(fake.node(cordoned=cordoned, labels=labels)).held == held


@pytest.mark.parametrize(
    ("uncordon", "counts"),
    [
        ({}, True),
        (uncordoned("09-59-59"), True),
        (uncordoned("10-00-00"), True),
        (uncordoned("10-00-01"), False),
    ],
)
def test_a_later_uncordon_outdates_the_cordon_labels(
    uncordon: dict[str, str], counts: bool
) -> None:
    """A cordon's labels count until a later uncordon; in one second the cordon came after."""
    seen = marks.read(fake.node(cordoned=True, labels=CORDONED | uncordon))
    assert bool(seen.cordoned_at) == bool(seen.cordoned_by) == counts


def test_a_cordon_without_its_time_is_never_outdated() -> None:
    """Without a timestamp nothing says that the uncordon came later."""
    labels = {"k8saas.nvidia.com/cordon-by": "NVSentinel"} | uncordoned("10-00-00")
    assert marks.read(fake.node(cordoned=True, labels=labels)).cordoned_by == "NVSentinel"


def test_an_uncordon_time_needs_its_author() -> None:
    """The timestamp alone is nobody's uncordon."""
    labels = uncordoned("10-00-00")
    assert marks.read(fake.node(labels=labels)).uncordoned_at > 0
    del labels["k8saas.nvidia.com/uncordon-by"]
    assert marks.read(fake.node(labels=labels)).uncordoned_at == 0.0


@pytest.mark.parametrize(
    ("cordoned", "labels", "text", "preexisting"),
    [
        (True, {}, '[{"checkName": "X"}]', True),
        (False, {}, '[{"checkName": "X"}]', False),
        (True, CORDONED, '[{"checkName": "X"}]', False),
        (True, {}, "[]", False),
    ],
)
def test_a_cordon_without_labels_was_there_before(
    cordoned: bool, labels: dict[str, str], text: str, preexisting: bool
) -> None:
    """Versions before July 2026 only leave the labels out for a cordon they found."""
    annotations = {names.QUARANTINE_ANNOTATION: text}
    node = fake.node(cordoned=cordoned, labels=labels, annotations=annotations)
    assert marks.read(node).cordon_preexisting == preexisting


@pytest.mark.parametrize(
    ("changes", "dry"),
    [
        ({}, True),
        ({"cordoned": True}, False),
        ({"labels": CORDONED}, False),
        ({"taints": '[{"key": "a"}]'}, False),
        ({"taints": "not json"}, False),
        ({"taints": "[]"}, True),
        ({"said": "False"}, False),
        ({"text": "[]"}, False),
        ({"labels": {names.STATE_LABEL: "remediation-succeeded"}}, True),
    ],
)
def test_a_dry_run_says_cordoned_and_does_nothing(changes: dict[str, Any], dry: bool) -> None:
    """Any trace of a deed is no dry run; the state label is none, it moves in a dry run too."""
    annotations = {
        names.QUARANTINE_ANNOTATION: changes.get("text", '[{"checkName": "X"}]'),
        names.IS_CORDONED_ANNOTATION: changes.get("said", "True"),
        names.APPLIED_TAINTS_ANNOTATION: changes.get("taints", ""),
    }
    node = fake.node(
        cordoned=bool(changes.get("cordoned")),
        labels=changes.get("labels", {}),
        annotations=annotations,
    )
    assert marks.read(node).dry_run == dry


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"nvsentinel.dgxc.nvidia.com/managed": "false"}, "nvsentinel.dgxc.nvidia.com/managed"),
        ({"k8saas.nvidia.com/ManagedByNVSentinel": "false"}, "k8saas.nvidia.com/Managed"),
        ({"nvsentinel.dgxc.nvidia.com/managed": "true"}, ""),
        ({}, ""),
    ],
)
def test_opting_out_takes_the_word_false(labels: dict[str, str], found: str) -> None:
    """Either label keeps a node away from NVSentinel, with the value false and no other."""
    said = marks.opted_out(fake.node(labels=labels))
    assert bool(said) == bool(found)
    assert said.startswith(found)


@pytest.mark.parametrize("hand", names.BY_HAND)
def test_a_mark_of_a_hand_counts_when_it_is_true(hand: str) -> None:
    """Only the value True is a person's uncordon."""
    assert marks.read(fake.node(annotations={hand: "True"})).by_hand == {hand}
    assert marks.read(fake.node(annotations={hand: "False"})).by_hand == frozenset()


@pytest.mark.parametrize(
    ("stage", "marked"), [("healthy", False), ("quarantined", True), ("recovered", False)]
)
def test_the_first_look_is_cheap(stage: str, marked: bool) -> None:
    """The annotation or the state label is what makes a node worth a tracker."""
    assert marks.is_marked(f.node(stage)) == marked


def test_the_usual_prefix_wins_over_another() -> None:
    """Two prefixes carry the same label: the default's is believed."""
    labels = {"other.io/cordon-by": "somebody", "k8saas.nvidia.com/cordon-by": "NVSentinel"}
    assert marks.read(fake.node(cordoned=True, labels=labels)).cordoned_by == "NVSentinel"
    del labels["k8saas.nvidia.com/cordon-by"]
    assert marks.read(fake.node(cordoned=True, labels=labels)).cordoned_by == "somebody"


@pytest.mark.parametrize(
    ("labels", "annotations", "marked"),
    [
        ({names.STATE_LABEL: "draining"}, {}, True),
        ({}, {names.QUARANTINE_ANNOTATION: "[]"}, True),
        ({}, {}, False),
    ],
)
def test_either_mark_makes_a_node_worth_a_look(
    labels: dict[str, str], annotations: dict[str, str], marked: bool
) -> None:
    """The label without the annotation, or the annotation without the label."""
    assert marks.is_marked(fake.node(labels=labels, annotations=annotations)) == marked


def test_a_node_without_marks_proves_nothing() -> None:
    """What stands for a Node that is gone is what an untouched node gives."""
    assert marks.read(fake.node()) == marks.Marks()
    assert not any(msgspec.structs.astuple(marks.Marks()))
