"""What must hold for every object that NVSentinel writes, at every moment of every branch.

The names, formats and key orders are those of the recorded objects. `check` takes the
change of an object as it was seen and raises AssertionError for what no NVSentinel writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.nvsentinel.fixtures import load
from tests.nvsentinel_sandbox.likeness import LIFECYCLE
from tests.nvsentinel_sandbox.simulation import STATE, Object

PREFIX = "k8saas.nvidia.com/"
_STATES = {
    "quarantined", "draining", "drain-succeeded", "drain-failed", "remediating",
    "remediation-succeeded", "remediation-failed",
}  # fmt: skip
_DASHED = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
_LABELS = {
    PREFIX + "cordon-by": r"NVSentinel|[a-z-]+-sre",
    PREFIX + "cordon-reason": r"[A-Za-z0-9_.-]{1,63}",
    PREFIX + "cordon-timestamp": _DASHED,
    PREFIX + "uncordon-by": r"NVSentinel",
    PREFIX + "uncordon-reason": r"[A-Za-z0-9_.-]{1,55}-removed",
    PREFIX + "uncordon-timestamp": _DASHED,
    PREFIX + "ManagedByNVSentinel": "false",
    "nvsentinel.dgxc.nvidia.com/managed": "false",
    "nvsentinel.dgxc.nvidia.com/dcgm.version": r"4\.x",
    "nvsentinel.dgxc.nvidia.com/driver.installed": "true",
    STATE: "|".join(_STATES),
}
_QUARANTINE = "quarantineHealthEvent"
_MARKS = {
    _QUARANTINE, _QUARANTINE + "IsCordoned", _QUARANTINE + "CordonPreExisting",
    _QUARANTINE + "AppliedTaints", "quarantinedNodeUncordonedManually",
    "quarantinedNodeUntaintedManually", "latestFaultRemediationState",
}  # fmt: skip
# data-models/protobufs/health_event.proto, in the order of its fields
_EVENT = (
    "version", "agent", "componentClass", "checkName", "isFatal", "isHealthy", "message",
    "recommendedAction", "errorCode", "entitiesImpacted", "metadata", "generatedTimestamp",
    "nodeName", "quarantineOverrides", "drainOverrides", "processingStrategy", "id",
    "customRecommendedAction",
)  # fmt: skip
_FRAGMENT = re.compile(r"(ErrorCode:\S+ )*([A-Za-z_]+:\S+ )*[^;]*Recommended Action=[A-Z_]+")
_STATUS = LIFECYCLE["fault"]["cr_created"]
_QUARANTINED = ("", "Quarantined", "AlreadyQuarantined", "UnQuarantined", "Cancelled")
_EVICTIONS = ("", "InProgress", "Succeeded", "Failed", "AlreadyDrained", "Cancelled")
_CONDITIONS = {
    "RebootNode": {"SignalSent", "NodeReady", "ManualMode"},
    "TerminateNode": {"SignalSent", "NodeTerminated", "ManualMode"},
    "GPUReset": {
        "Ready", "ServicesTornDown", "ResetJobCreated", "ResetJobCompleted",
        "ServicesRestored", "Complete",
    },
    "ExternalRemediationRequest": {"NVSentinelOwnershipReleased", "ExternalRemediationComplete"},
}  # fmt: skip


def check(plural: str, obj: Object) -> None:
    """Raise AssertionError when the object is not one of NVSentinel's."""
    rule = _RULES.get(plural)
    if rule is not None:
        rule(obj)


def _node(node: Object) -> None:
    labels, marks = node["metadata"]["labels"], node["metadata"]["annotations"]
    for key, value in labels.items():
        if key.startswith(PREFIX) or "dgxc.nvidia.com/" in key:
            assert re.fullmatch(_LABELS[key], value), (key, value)
    for kind in ("cordon-", "uncordon-"):
        found = [k for k in labels if k.startswith(PREFIX + kind)]
        assert len(found) in (0, 3), found
    assert set(marks) <= _MARKS
    assert all(v == "True" for k, v in marks.items() if k.endswith(("ed", "ing", "Manually")))
    if _QUARANTINE in marks:
        found = json.loads(marks[_QUARANTINE])
        for event in found if isinstance(found, list) else [found]:
            _event(event, node["metadata"]["name"])
        assert marks[_QUARANTINE + "IsCordoned"] == "True"
    if "latestFaultRemediationState" in marks:
        _remediation(json.loads(marks["latestFaultRemediationState"]))
    for condition in node["status"]["conditions"]:
        if condition.get("reason", "").endswith("Healthy"):
            _condition(condition)


def _event(event: Object, node: str) -> None:
    assert list(event) == [key for key in _EVENT if key in event]
    assert all(event.values()), "zero values are left out"
    assert event["nodeName"] == node
    assert isinstance(event["recommendedAction"], int)
    assert set(event["generatedTimestamp"]) <= {"seconds", "nanos"}
    assert ("customRecommendedAction" in event) == (event["recommendedAction"] == 27)
    for entity in event.get("entitiesImpacted", ()):
        assert list(entity) == ["entityType", "entityValue"]


def _remediation(state: Object) -> None:
    assert list(state) == ["equivalenceGroups"]
    for group, entry in state["equivalenceGroups"].items():
        assert re.fullmatch(r"restart|terminate|external|reset-GPU-[0-9a-f-]{36}", group)
        assert list(entry) == ["maintenanceCR", "createdAt", "actionName"]


def _condition(condition: Object) -> None:
    kind, sick = condition["type"], condition["status"] == "True"
    assert condition["status"] in ("True", "False")
    assert condition["reason"] == kind + ("IsNotHealthy" if sick else "IsHealthy")
    assert condition["lastTransitionTime"] <= condition["lastHeartbeatTime"]
    message = condition["message"]
    if not sick:
        assert message == "No Health Failures"
        return
    assert message.endswith(";")
    assert len(message.encode()) <= 1024
    for fragment in message[:-1].split(";"):
        assert _FRAGMENT.fullmatch(fragment), fragment


def _request(obj: Object) -> None:
    """Name, labels, annotations and owner are of one template, whatever the kind."""
    meta, recorded = obj["metadata"], load("resources")["just_created"]
    event = obj["spec"].get("healthEvent", {})
    node = obj["spec"].get("nodeName") or event["nodeName"]
    assert re.fullmatch(rf"maintenance-{node}-[0-9a-f]{{24}}", meta["name"])
    assert meta["labels"] == recorded["metadata"]["labels"]
    assert meta.get("annotations") in (None, recorded["metadata"]["annotations"])
    (owner,) = meta["ownerReferences"]
    assert {**owner, "name": "", "uid": ""} == {
        **recorded["metadata"]["ownerReferences"][0], "name": "", "uid": "",
    }  # fmt: skip
    assert owner["name"] == node
    if event:
        assert list(event) == [key for key in _EVENT if key in event]
        assert "id" not in event
    for condition in obj.get("status", {}).get("conditions", ()):
        assert condition["type"] in _CONDITIONS[obj["kind"]]
        assert set(condition) == {"type", "status", "reason", "message", "lastTransitionTime"}


def _kubernetes_event(event: Object) -> None:
    component, kind = event["source"]["component"], event["type"]
    if component == "nvsentinel-node-drainer":
        assert kind == "NodeDraining"
        assert event["reason"] in ("AwaitingPodCompletion", "WaitingBeforeForceDelete")
        assert event["involvedObject"]["uid"] != event["involvedObject"]["name"]
    elif event["reason"].endswith("IsNotHealthy"):
        assert event["reason"] == kind + "IsNotHealthy"
        assert event["involvedObject"]["uid"] == event["involvedObject"]["name"]
        assert event["reportingComponent"] == component
        assert _FRAGMENT.fullmatch(event["message"].removesuffix(";"))
    else:
        assert kind in ("Normal", "Warning")
    assert event["reason"] != "Evicted"
    assert event["firstTimestamp"] <= event["lastTimestamp"]


def document(found: Object) -> None:
    """A document of MongoDB, after any write."""
    recorded = load("documents")["inserted"]
    assert list(found["healthevent"]) == list(recorded["healthevent"])
    assert found["healthevent"]["id"] == ""
    status: dict[str, Any] = found["healtheventstatus"]
    assert set(status) == set(_STATUS)
    assert status["nodequarantined"] in _QUARANTINED
    assert set(status["userpodsevictionstatus"]) == {"status", "message"}
    assert status["userpodsevictionstatus"]["status"] in _EVICTIONS
    assert status["faultremediated"] in (None, {"value": True}, {"value": False})
    remediated = status["faultremediated"] == {"value": True}
    assert bool(status["lastremediationtimestamp"]) == remediated
    assert set(status["spanids"]) <= set(_STATUS["spanids"])


_RULES: dict[str, Callable[[Object], None]] = {
    "nodes": _node,
    "events": _kubernetes_event,
    "rebootnodes": _request,
    "terminatenodes": _request,
    "gpuresets": _request,
    "externalremediationrequests": _request,
}
