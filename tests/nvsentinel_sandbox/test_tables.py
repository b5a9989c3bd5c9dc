"""The cells of server-side tables: ages, pod status, printer columns."""

from __future__ import annotations

from typing import Any

import pytest

from nvsentinel_sandbox.kube import podcells
from nvsentinel_sandbox.kube.ages import age, human_duration
from nvsentinel_sandbox.kube.formats import TableFormat
from nvsentinel_sandbox.kube.objects import ObjectStore
from nvsentinel_sandbox.kube.tables import columns, json_path

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (11 * 60 + 5, "11m"),
        (5 * HOUR + 12 * 60, "5h12m"),
        (30 * HOUR, "30h"),
        (2 * DAY + 4 * HOUR, "2d4h"),
        (34 * DAY, "34d"),
        (800 * DAY, "2y70d"),
        (10 * 365 * DAY, "10y"),
    ],
)
def test_ages_as_kubectl_writes_them(seconds: float, told: str) -> None:
    """A duration is written in the units kubectl would choose."""
    assert human_duration(seconds) == told


def test_unknown_ages() -> None:
    """An object without a time has an unknown age, one with a bad time an invalid one."""
    assert (age(None, 0), age("yesterday", 0)) == ("<unknown>", "<invalid>")
    assert age("1970-01-01T00:01:00Z", 100) == "40s"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"phase": "Running"}, "Running"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        (
            {
                "phase": "Running",
                "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            },
            "CrashLoopBackOff",
        ),
        (
            {
                "phase": "Succeeded",
                "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}],
            },
            "Completed",
        ),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]},
            "ExitCode:3",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [{"state": {"running": {}}}, {"state": {}}],
            },
            "Init:0/2",
        ),
    ],
)
def test_pod_status(status: dict[str, Any], told: str) -> None:
    """STATUS is the most telling word of a pod's state."""
    assert podcells.status({"metadata": {}, "status": status}, 0) == told


def test_terminating_pods_say_so() -> None:
    """A pod being deleted is Terminating, whatever its phase."""
    pod = {"metadata": {"deletionTimestamp": "t"}, "status": {"phase": "Running"}}
    assert podcells.status(pod, 0) == "Terminating"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".spec.nodeName", "n1"),
        (".spec.nodes[0].name", "a"),
        (".spec.nodes[*].name", "a"),
        (".spec.nodes[9].name", None),
        (".status.conditions[?(@.type=='NodeReady')].status", "True"),
        ('.status.conditions[?(@.type=="Other")].status', None),
        (".metadata.labels.a\\.b/c", "d"),
        (".none.at.all", None),
    ],
)
def test_printer_column_paths(path: str, value: Any) -> None:
    """The JSONPaths that printer columns use find their value or nothing."""
    obj = {
        "metadata": {"labels": {"a.b/c": "d"}},
        "spec": {"nodeName": "n1", "nodes": [{"name": "a"}, {"name": "b"}]},
        "status": {
            "conditions": [
                {"type": "SignalSent", "status": "?"},
                {"type": "NodeReady", "status": "True"},
            ]
        },
    }
    assert json_path(obj, path) == value


def test_every_kind_has_a_table(store: ObjectStore) -> None:
    """A bare object of any stored kind makes a row with a cell for each column."""
    for resource in [
        r for r in store.registry if r.stored and r.plural != "customresourcedefinitions"
    ]:
        spec = {"nodeName": "n", "group": "g", "healthEvent": {}}
        made = store.create(resource.name, {"metadata": {"name": "bare"}, "spec": spec})
        namespace = made["metadata"].get("namespace", "")
        table = TableFormat("None", store.now).one(store.entry(resource, "bare", namespace))
        assert table.count(b'"cells"') == 1
        assert columns(resource)
