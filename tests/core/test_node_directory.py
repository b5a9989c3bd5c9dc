"""Every form by which people and senders name a node."""

import pytest

from nvsx.core.aliases import alias_of
from nvsx.core.node_directory import NodeDirectory, could_name_node
from nvsx.core.watches.snapshot import Node

A1 = Node(
    "gpu-node-a1",
    labels={"kubernetes.io/hostname": "bm-r07-u3"},
    addresses=("10.0.0.3", "fd00::3", "gpu-node-a1", "r07u3.dc1.example"),
    provider_id="aws:///us-west-2a/i-0abcd1234",
)
A2 = Node(
    "gpu-node-a2",
    addresses=("10.0.0.4",),
    provider_id="azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"
    "/virtualMachineScaleSets/aks-gpu-1/virtualMachines/3",
)
EKS = Node("ip-10-0-1-5.us-west-2.compute.internal", addresses=("10.0.1.5",))
CLUSTER = NodeDirectory([A1, A2, EKS])


@pytest.mark.parametrize(
    ("word", "node", "how"),
    [
        ("gpu-node-a1", A1.name, "its name"),
        ("GPU-Node-A1", A1.name, "its name"),
        ("bm-r07-u3", A1.name, "its hostname label"),
        ("10.0.0.3", A1.name, "an address of it"),
        ("10.0.0.3:9400", A1.name, "an address of it"),
        ("http://10.0.0.3:9400/metrics", A1.name, "an address of it"),
        ("[fd00::3]:9400", A1.name, "an address of it"),
        ("FD00:0:0::3", A1.name, "an address of it"),
        ("r07u3.dc1.example", A1.name, "an address of it"),
        ("gpu-node-a1:9100", A1.name, "its name"),
        ("i-0abcd1234", A1.name, "its provider's id"),
        ("aws:///us-west-2a/i-0abcd1234", A1.name, "its provider's id"),
        ("aks-gpu-1_3", A2.name, "its provider's id"),
        ("gpu-node-a1.corp.example", A1.name, "the first part of its full name"),
        ("gpu-node-a1.corp.example.", A1.name, "the first part of its full name"),
        ("ip-10-0-1-5", EKS.name, "the first part of its full name"),
        (alias_of("gpu-node-a2").upper(), A2.name, "its alias"),
    ],
)
def test_each_form_finds_its_node(word: str, node: str, how: str) -> None:
    """By name, host name, address with and without port, provider id, full name, alias."""
    found = CLUSTER.find(word)
    assert (found.node, found.how) == (node, how)


@pytest.mark.parametrize(
    "word",
    [
        "ip-10-0-1-5.eu-central-1.compute.internal",  # the same label in another domain
        "3",  # Azure counts machines from 0
        "10",
        "10.0.0.30",
        "10.0.0",
        "gpu-node-a",
        "",
        "gpu node a1",
        "../gpu-node-a1",
        "gpu-node-a1\n",
        "x" * 600,
    ],
)
def test_what_only_resembles_a_node_is_none(word: str) -> None:
    """Another domain, a part of a name, a bare number, and what is no name at all."""
    found = CLUSTER.find(word)
    assert found.node == ""
    assert found.reason


def test_several_nodes_are_refused_by_name() -> None:
    """Two nodes with one host name: neither is taken, both are named."""
    twins = [Node(name, labels={"kubernetes.io/hostname": "localhost"}) for name in ("n1", "n2")]
    found = NodeDirectory(twins).find("localhost")
    assert (found.node, found.several) == ("", ("n1", "n2"))
    assert "n1, n2" in found.reason


def test_a_surer_form_wins() -> None:
    """A node's name goes before the same text as another node's host name."""
    nodes = [Node("n1", labels={"kubernetes.io/hostname": "n2"}), Node("n2")]
    assert NodeDirectory(nodes).find("n2").node == "n2"


def test_the_nearest_name_is_said() -> None:
    """A misspelt name is told with the one it resembles."""
    found = CLUSTER.find("gpu-node-a9")
    assert found.nearest in (A1.name, A2.name)
    assert (
        found.reason == f"this cluster has no node called gpu-node-a9; nearest is {found.nearest}"
    )


def test_what_could_name_a_node_has_one_word() -> None:
    """Spaces, control characters and steps upwards never reach the look-up."""
    assert could_name_node("10.0.0.3:9400")
    assert could_name_node("aws:///us-west-2a/i-0abcd")
    assert not any(map(could_name_node, ("a b", "../../etc", "a\x00", "{host}", "<none>")))
