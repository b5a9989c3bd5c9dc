"""What an answer to /version makes of a cluster."""

from __future__ import annotations

import pytest

from nvsentinel_sandbox.kube import discovery
from nvsx.core.whereabouts import (
    SANDBOX_MARK,
    SPEED_FIELD,
    Whereabouts,
    decide_whereabouts,
)


def _decided(version: dict[str, object] | None, name: str = "prod") -> Whereabouts:
    return decide_whereabouts(version, cluster="uid-1", name=name, in_pod=False)


@pytest.mark.parametrize(
    ("version", "sandbox"),
    [
        (discovery.version(), True),
        ({"gitVersion": "v1.40.0+nvsx-sandbox"}, True),
        ({"gitVersion": "v1.32.4"}, False),
        ({"gitVersion": "v1.32.4+k3s1"}, False),
        ({"gitVersion": "v1.32.4+nvsx-sandbox.7"}, False),
        ({"nvsxSandboxSpeed": 4.0, "gitVersion": "v1.32.4"}, False),
        ({"gitVersion": None}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_the_servers_own_mark_makes_a_sandbox(
    version: dict[str, object] | None, sandbox: bool
) -> None:
    """The end of gitVersion decides, in any version; whatever is unknown or not told is real."""
    assert _decided(version).sandbox is sandbox


def test_a_name_proves_nothing() -> None:
    """A context called as the sandbox's is real when its server has no mark."""
    assert not _decided({"gitVersion": "v1.32.4"}, "nvsx-sandbox").sandbox


@pytest.mark.parametrize(
    ("version", "speed"),
    [
        (discovery.version(4.0), 4.0),
        (discovery.version(), 1.0),
        ({"gitVersion": "v1.32.4+nvsx-sandbox"}, 1.0),
        ({"gitVersion": "v1.32.4+nvsx-sandbox", "nvsxSandboxSpeed": 0}, 1.0),
        ({"gitVersion": "v1.32.4+nvsx-sandbox", "nvsxSandboxSpeed": 0.5}, 0.5),
        ({"gitVersion": "v1.32.4+nvsx-sandbox", "nvsxSandboxSpeed": "fast"}, 1.0),
        ({"gitVersion": "v1.32.4", "nvsxSandboxSpeed": 4.0}, 1.0),
    ],
)
def test_a_sandbox_tells_its_speed_and_a_real_cluster_has_none(
    version: dict[str, object], speed: float
) -> None:
    """Limits shrink by the sandbox's own speed, and never on a real cluster."""
    assert _decided(version).speed == speed


def test_the_sandbox_and_nvsx_agree_on_the_mark() -> None:
    """Neither package knows the other: mark and speed are told and read by the same words."""
    assert (discovery.SANDBOX_MARK, discovery.SPEED_FIELD) == (SANDBOX_MARK, SPEED_FIELD)
    assert _decided(discovery.version(speed=4.0)).speed == 4.0
