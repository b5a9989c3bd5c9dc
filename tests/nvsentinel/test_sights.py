"""What a snapshot shows, in the terms in which incidents are decided."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from nvsx.core.incident.sight import EVENTS, NODE, REPAIRS, VALIDATIONS, SeenFault, Sight
from nvsx.core.watches.snapshot import (
    NOT_INSTALLED,
    NOT_YET,
    Condition,
    Event,
    Node,
    Resource,
    Snapshot,
)
from nvsx.nvsentinel import names
from nvsx.nvsentinel.installation import Installation, Repair
from nvsx.nvsentinel.sights import program_of, sight_of
from nvsx.nvsentinel.workloads import Fact, Module

AT = 1772452800.0
READY = Condition("Ready", "True", transition=AT - 86400)
LISTED = {
    "checkName": "SysLogsXIDError",
    "isFatal": True,
    "recommendedAction": 24,
    "errorCode": ["79"],
    "entitiesImpacted": [{"entityType": "GPU", "entityValue": "0"}],
    "processingStrategy": 1,
    "id": "e7212be4-7cfe-463a-bbf9-d1b082a8b5d7",
}
XID = Condition(
    "SysLogsXIDError",
    "True",
    "SysLogsXIDErrorIsNotHealthy",
    "ErrorCode:79 GPU:0 fell off the bus Recommended Action=RESTART_BM;",
    transition=AT - 10,
    heartbeat=AT - 5,
)


def node(*conditions: Condition, **more: Any) -> Node:
    """A Ready node with these conditions besides."""
    return Node("gpu-1", uid="n1", boot_id="b1", conditions=(READY, *conditions), **more)


def marked(*events: dict[str, Any], **more: Any) -> Node:
    """A node that NVSentinel holds for these events."""
    annotations = {
        names.QUARANTINE_ANNOTATION: json.dumps(events),
        names.IS_CORDONED_ANNOTATION: "True",
        **more.pop("annotations", {}),
    }
    labels = {
        names.STATE_LABEL: "quarantined",
        "k8saas.nvidia.com/cordon-by": "NVSentinel",
        "k8saas.nvidia.com/cordon-timestamp": "2026-03-02T11-59-50Z",
        **more.pop("labels", {}),
    }
    given: dict[str, Any] = {"unschedulable": True} | more
    return node(XID, annotations=annotations, labels=labels, **given)


def sight(found: Node | None, *, seen: dict[str, Any] | None = None, **more: Any) -> Sight:
    """The sight of a snapshot with this node."""
    return sight_of(Snapshot(AT, "gpu-1", found, **more), 0.0, **(seen or {}))


def resource(kind: str, name: str = "r1", **more: Any) -> Resource:
    """A custom resource about the node."""
    found = next((k for k in names.MAINTENANCE_KINDS if k.kind == kind), None)
    group = found.group if found else "nvsentinel.nvidia.com"
    plural = found.plural if found else f"{kind.lower()}s"
    return Resource(group, "v1", plural, kind, name, "gpu-1", uid="u1", **more)


def test_condition_and_annotation_are_one_fault() -> None:
    """The same check, code and entity in both, with the annotation's id."""
    (fault,) = sight(marked(LISTED)).faults
    assert (fault.by, fault.ids) == (frozenset({"condition", "annotation"}), (LISTED["id"],))
    assert (fault.fatal, fault.action, fault.start) == (True, "RESTART_BM", AT - 10)


def test_two_codes_on_one_gpu_are_two_faults() -> None:
    """An Event about XID 94 beside the quarantine for XID 79."""
    event = Event(
        "default",
        "gpu-1.1",
        "Node",
        "gpu-1",
        type="SysLogsXIDError",
        reason="SysLogsXIDErrorIsNotHealthy",
        message="ErrorCode:94 GPU:0 contained Recommended Action=NONE;",
        count=2,
        last=AT - 60,
    )
    found = sight(marked(LISTED), events=(event,)).faults
    assert [(f.error_codes, f.only_event, f.fatal) for f in found] == [
        (("79",), False, True),
        (("94",), True, False),
    ]


def test_a_fragment_that_was_cut_is_the_annotation_s_fault() -> None:
    """The message ends in the middle of it."""
    cut = Condition(XID.type, "True", XID.reason, "ErrorCode:79 GPU:...", transition=AT)
    found = marked(LISTED)
    (fault,) = sight(
        Node("gpu-1", conditions=(READY, cut), annotations=found.annotations, labels=found.labels)
    ).faults
    assert fault.entities == (("GPU", "0"),)


def test_stored_only_faults_are_not_fatal() -> None:
    """STORE_ONLY changes nothing on a node."""
    stored = LISTED | {"checkName": "GpuMemWatch", "processingStrategy": 2}
    assert {f.check: f.fatal for f in sight(marked(stored)).faults} == {
        "GpuMemWatch": False,
        "SysLogsXIDError": True,
    }


@pytest.mark.parametrize(
    ("check", "passing"),
    [
        ("GpuDcgmConnectivityFailure", True),
        ("node-not-ready", True),
        ("InfiniBandStateCheck", True),
        ("EthernetStateCheck", True),
        ("GpuNvlinkWatch", True),
        ("SysLogsXIDError", False),
        ("GpuMemWatch", False),
    ],
)
def test_what_a_reboot_itself_causes(check: str, passing: bool) -> None:
    """Connectivity, not ready and link faults."""
    condition = Condition(check, "True", f"{check}IsNotHealthy", "ErrorCode:X GPU:0 y;")
    (fault,) = sight(node(condition)).faults
    assert fault.passing is passing


def test_a_warning_is_nobody_s_when_no_runbook_is_asked() -> None:
    """One that only needs people is shown and begins nothing."""
    event = Event(
        "default", "e", "Node", "gpu-1", type="A", reason="AIsNotHealthy", message="ErrorCode:1 x"
    )
    assert [f.routed for f in sight(node(), events=(event,)).faults] == [False]


@pytest.mark.parametrize("wanted", [True, False])
def test_whether_a_runbook_wants_a_warning_is_asked(wanted: bool) -> None:
    """Fatal faults are always somebody's."""
    event = Event(
        "default", "e", "Node", "gpu-1", type="A", reason="AIsNotHealthy", message="ErrorCode:1 x"
    )

    def routes(_fault: SeenFault) -> bool:
        return wanted

    found = sight(node(XID), seen={"routes": routes}, events=(event,)).faults
    assert [f.routed for f in found] == [True, wanted]


def test_an_emptied_annotation_is_no_mark() -> None:
    """The first half of a release; label and cordon are still there."""
    seen = sight(marked(annotations={names.QUARANTINE_ANNOTATION: "[]"})).session
    assert (seen.marked, seen.emptied, seen.labelled) == (False, True, False)


def test_a_state_label_alone_is_no_mark() -> None:
    """It can be written after the end."""
    seen = sight(node(labels={names.STATE_LABEL: "remediation-succeeded"})).session
    assert (seen.marked, seen.labelled) == (False, True)


def test_a_maintenance_request_is_planned() -> None:
    """Its event names the request."""
    planned = LISTED | {"isFatal": False, "metadata": {"maintenanceRequestName": "fw-7"}}
    seen = sight(marked(planned))
    assert seen.session.planned
    assert [(h.kind, h.name) for h in seen.holds] == [("quarantine", ""), ("maintenance", "fw-7")]


@pytest.mark.parametrize(("events", "planned"), [((), False), ((LISTED,), False)])
def test_a_fault_beside_it_is_not_planned(events: tuple[Any, ...], planned: bool) -> None:
    """A session is planned when all of its events are, and it has some."""
    assert sight(marked(*events)).session.planned is planned


def test_nvsentinel_s_cordon_is_its_own_though_it_came_in_the_second_of_the_last_release() -> None:
    """Both labels have whole seconds."""
    labels = {
        "k8saas.nvidia.com/uncordon-by": "NVSentinel",
        "k8saas.nvidia.com/uncordon-timestamp": "2026-03-02T11-59-50Z",
    }
    assert [h.who for h in sight(marked(LISTED, labels=labels)).holds] == ["NVSentinel"]


def test_somebody_s_cordon_is_told_with_the_program_that_made_it() -> None:
    """managedFields name a program."""
    cordoned = node(unschedulable=True, cordoned_with="kubectl-cordon", cordoned_at=AT - 60)
    (hold,) = sight(cordoned).holds
    assert (hold.kind, hold.who, hold.since, hold.keeps_open) == (
        "cordon",
        "somebody with kubectl",
        AT - 60,
        False,
    )


@pytest.mark.parametrize(
    ("manager", "who"),
    [
        ("", "somebody or something"),
        ("kubectl-edit", "somebody with kubectl"),
        ("nvidia-gpu-operator", "the GPU operator"),
        ("my-controller", "my-controller"),
    ],
)
def test_a_manager_is_a_program_and_never_a_person(manager: str, who: str) -> None:
    """A known controller is named; an unknown one by its own name."""
    assert program_of(manager) == who


def test_a_node_handed_over_is_held_without_the_annotation() -> None:
    """NVSentinel's cordon stays until a validation succeeds."""
    found = marked()
    handed = Node("gpu-1", labels=found.labels, unschedulable=True, conditions=(READY,))
    seen = sight(handed)
    assert seen.session.handed_over
    assert [(h.kind, h.since, h.keeps_open) for h in seen.holds] == [("handed over", 0.0, True)]


@pytest.mark.parametrize(
    ("phase", "cordoned", "holds"),
    [
        ("Running", False, [False]),
        ("", False, [False]),
        ("Failed", True, [True]),
        ("Failed", False, []),
        ("Succeeded", True, []),
    ],
)
def test_a_validation_holds_until_it_has_succeeded(
    phase: str, cordoned: bool, holds: list[bool]
) -> None:
    """Failed is terminal; such a request stays, and holds nothing on a node in service."""
    found = sight(
        node(unschedulable=cordoned), resources=(resource("ValidationRequest", "v1", phase=phase),)
    )
    assert [h.failed for h in found.holds if h.kind == "validation"] == holds
    assert found.repairs == ()


def test_the_newest_validation_counts() -> None:
    """It was tried again after a failure."""
    both = (
        resource("ValidationRequest", "v1", phase="Failed", created=AT - 600),
        resource("ValidationRequest", "v2", phase="Running", created=AT - 60),
    )
    found = sight(node(unschedulable=True), resources=both).holds
    assert [h.name for h in found if h.kind == "validation"] == ["v2"]


def test_a_cordon_from_before_stands_beside_nvsentinel_s_quarantine() -> None:
    """NVSentinel notes it and leaves it alone."""
    before = {names.CORDON_PREEXISTING_ANNOTATION: "True"}
    found = sight(marked(LISTED, annotations=before)).holds
    assert [(h.kind, h.who) for h in found] == [
        ("quarantine", "NVSentinel"),
        ("cordon", "somebody or something"),
    ]


def test_dry_run_holds_nothing() -> None:
    """It says cordoned and does nothing."""
    annotations = {
        names.QUARANTINE_ANNOTATION: json.dumps([LISTED]),
        names.IS_CORDONED_ANNOTATION: "True",
    }
    found = sight(node(XID, annotations=annotations))
    assert (found.session.dry_run, found.holds) == (True, ())


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        ({"nvidia.com/gpu-driver-upgrade-state": "drain-required"}, True),
        ({"nvidia.com/gpu-driver-upgrade-state": "upgrade-done"}, False),
        ({"nvidia.com/gpu-driver-upgrade-state": "upgrade-required"}, False),
        ({"nvidia.com/gpu.deploy.client": "paused-for-driver-upgrade"}, True),
        ({"nvidia.com/gpu.deploy.client": "true"}, False),
    ],
)
def test_a_driver_upgrade_holds_while_it_is_at_work(labels: dict[str, str], held: bool) -> None:
    """Neither before it begins nor after it is done."""
    assert ("driver upgrade" in [h.kind for h in sight(node(labels=labels)).holds]) is held


@pytest.mark.parametrize(
    ("conditions", "completed", "shown"),
    [
        ([], 0.0, ("", "in progress", "")),
        ([("SignalSent", "True", "")], 0.0, ("sent", "in progress", "")),
        ([("SignalSent", "False", "Failed")], AT, ("refused", "failed", "refused")),
        ([("SignalSent", "True", ""), ("NodeReady", "True", "")], AT, ("sent", "succeeded", "")),
        (
            [("SignalSent", "True", ""), ("NodeReady", "False", "Timeout")],
            AT,
            ("sent", "failed", "timeout"),
        ),
        (
            [("SignalSent", "True", ""), ("NodeReady", "False", "Failed")],
            AT,
            ("sent", "failed", "poll error"),
        ),
        ([("ManualMode", "True", "")], 0.0, ("", "manual", "")),
    ],
)
def test_how_a_reboot_went(
    conditions: list[tuple[str, str, str]], completed: float, shown: tuple[str, str, str]
) -> None:
    """Signal, outcome, and how it failed."""
    made = resource(
        "RebootNode",
        "maintenance-gpu-1-e7212be4-7cfe-463a-bbf9-d1b082a8b5d7",
        conditions=tuple(Condition(t, s, r) for t, s, r in conditions),
        completed=completed,
    )
    (repair,) = sight(node(), resources=(made,)).repairs
    assert (repair.signal, repair.outcome, repair.failure) == shown
    assert (repair.event_id, repair.effect) == (LISTED["id"], "boot")


def test_a_repair_is_seen_behind_what_is_none() -> None:
    """A validation and another node's repair stand before it in the list."""
    other = msgspec.structs.replace(resource("RebootNode", "r0"), node="gpu-2")
    none = resource("NodeValidation", "v1")
    none = msgspec.structs.replace(none, plural="validationrequests")
    found = sight(node(), resources=(none, other, resource("RebootNode"))).repairs
    assert [r.name for r in found] == ["r1"]


def test_a_configured_kind_is_a_repair_and_has_no_signal() -> None:
    """What the operator mapped an action to; under way since its startTime."""
    mapped = Repair("RESTART_BM", "acme.example", "v1", "Fix", complete_condition="Fixed")
    installation = Installation("nvsentinel", repairs=(mapped,))
    made = Resource("acme.example", "v1", "fixes", "Fix", "f1", "gpu-1", started=AT)
    found = sight(node(), seen={"installation": installation}, resources=(made,))
    shown = [(r.kind, r.signal, r.signal_at, r.effect) for r in found.repairs]
    assert shown == [("Fix", "sent", AT, "")]
    assert found.chain.repairing == frozenset({"RESTART_BM"})


def test_what_could_not_be_read_is_unknown_and_what_is_not_installed_is_absent() -> None:
    """A source that has not answered yet is unread."""
    unread = {
        "node": NOT_YET,
        "events": "forbidden",
        "resources/rebootnodes": "forbidden",
        "resources/gpuresets": NOT_INSTALLED,
        "resources/validationrequests": "forbidden",
        "pods": "forbidden",
    }
    assert sight(None, unread=unread).unread == {NODE, EVENTS, REPAIRS, VALIDATIONS}
    assert sight(node(), unread={"resources/gpuresets": NOT_INSTALLED}).unread == frozenset()


def test_a_node_that_is_gone_is_not_one_that_cannot_be_read() -> None:
    """None without a reason: the object is gone."""
    assert sight(None).node_is_gone
    assert not sight(None, unread={"node": "no answer"}).node_is_gone


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (NOT_YET, ""),
        ("c cannot be reached: connection refused", "c cannot be reached: connection refused"),
        (
            "read udp 10.1.2.3:45122->10.0.0.10:53: i/o timeout",
            "read udp 10.0.0.10:53: i/o timeout",
        ),
        ("read tcp [fd00::1]:4512->[fd00::2]:443: reset", "read tcp [fd00::2]:443: reset"),
    ],
)
def test_why_a_node_cannot_be_read_is_told_alike_at_each_try(why: str, told: str) -> None:
    """The reason is told without the port of one try; that nothing was read yet is none."""
    assert sight(None, unread={"node": why}).node_unread == told


def test_what_is_known_of_the_installation() -> None:
    """Unknown stays unknown; a module that is not there is missing, except where NVSentinel only
    monitors."""
    module = Module("fault-quarantine", "Deployment", ("fault-quarantine",), 1, 1)
    installation = Installation(
        "nvsentinel",
        found=Fact("nvsentinel", "seen"),
        modules={"fault-quarantine": module},
        breaker=Fact("TRIPPED", "seen"),
        dry_run=Fact(False, "seen"),
    )
    chain = sight(node(), seen={"installation": installation}).chain
    assert (chain.breaker_tripped, chain.dry_run, chain.manual) == (True, False, None)
    assert chain.missing == ("node-drainer", "fault-remediation", "janitor")
    unknown = sight(node()).chain
    assert (unknown.breaker_tripped, unknown.missing) == (None, ())


def test_a_label_that_opts_the_node_out_is_named() -> None:
    """managed=false."""
    labels = {"nvsentinel.dgxc.nvidia.com/managed": "false"}
    assert sight(node(labels=labels)).chain.opted_out == next(iter(labels)) + "=false"


def test_a_healthy_event_is_no_fault() -> None:
    """What says healthy is left out, whatever its condition says."""
    assert sight(marked(LISTED | {"isHealthy": True})).faults[0].by == frozenset({"condition"})
