"""Whether what NVSentinel does not show is known not to be there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.fakes import fake_observer as fake
from tests.nvsentinel.diagnosing import NOW, install

from nvsx.core.watches.snapshot import Node, Pod, Snapshot
from nvsx.nvsentinel.pipeline import is_pipeline_current
from nvsx.nvsentinel.sights import sight_of
from nvsx.nvsentinel.workloads import Module

GPU = "gpu-health-monitor-dcgm-4.x"
INSTALLED = install(
    modules={
        "platform-connectors": Module(
            "platform-connectors", "DaemonSet", ("platform-connectors",), 1, 1
        ),
        "gpu-health-monitor": Module("gpu-health-monitor", "DaemonSet", (GPU,), 1, 1),
    }
)


def reporter(owner: str, **more: Any) -> Pod:
    """A pod of NVSentinel's on the node, Ready since long."""
    given: dict[str, Any] = {"namespace": "nvsentinel", "created": NOW - 9000, "gpus": 0} | more
    return fake.pod(f"{owner}-x", owner=f"DaemonSet/{owner}", **given)


def at_work(
    connector: dict[str, Any] | None = None,
    monitor: dict[str, Any] | None = None,
    node: Node | None = None,
    **more: Any,
) -> Snapshot:
    """A node whose reporters are at work, but for what is changed."""
    pods = (reporter("platform-connectors", **(connector or {})), reporter(GPU, **(monitor or {})))
    of = node or fake.node(conditions=[fake.condition(healthy=True, at=NOW - 86400)])
    return msgspec.structs.replace(fake.snapshot(of=of, pods=pods, **more), at=NOW)


@pytest.mark.parametrize(
    ("snapshot", "known"),
    [
        (at_work(), True),
        (at_work(connector={"ready": False}), False),
        (at_work(monitor={"ready": False}), False),
        (at_work(connector={"created": NOW - 119}), False),
        (at_work(connector={"created": NOW - 120}), True),
        (at_work(monitor={"deleting": NOW}), False),
        (at_work(node=fake.node(ready=False)), False),
        (at_work(node=fake.node()), None),
        (at_work(connector={"node": "gpu-2"}), None),
        (at_work(monitor={"namespace": "ml"}), None),
        (at_work(unread={"pods": "forbidden"}), None),
        (at_work(unread={"events": "forbidden"}), None),
        (at_work(unread={"logs/ml/x": "gone"}), True),
    ],
)
def test_reporters_at_work_on_the_node(snapshot: Snapshot, known: bool | None) -> None:
    """Connector and monitors Ready for two minutes, on a Ready node that they have written to."""
    assert is_pipeline_current(snapshot, INSTALLED) is known
    assert sight_of(snapshot, 0.0, installation=INSTALLED).chain.current is known


def test_without_an_installation_nothing_is_known() -> None:
    """Not seen is not healthy."""
    assert is_pipeline_current(at_work(), None) is None
    assert is_pipeline_current(at_work(), install(modules={})) is None
