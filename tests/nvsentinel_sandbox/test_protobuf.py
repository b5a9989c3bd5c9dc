"""The protobuf bodies of typed clients, byte by byte."""

from __future__ import annotations

import pytest

from nvsentinel_sandbox.kube.protobuf import decode
from nvsentinel_sandbox.kube.statuses import BadRequest, UnsupportedMediaType


def field(number: int, value: bytes | int) -> bytes:
    """One field on the wire; sizes below 128 only."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    """A runtime.Unknown."""
    meta = field(1, version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, meta) + field(2, raw)


def test_maps_bytes_and_numbers() -> None:
    """A Secret's data is base64, labels are a map, empty fields are left out."""
    label = field(11, field(1, b"app") + field(2, b"x"))
    meta = field(1, b"name") + field(2, b"") + label
    data = field(2, field(1, b"key") + field(2, b"\x00\xff"))
    assert decode(envelope("v1", "Secret", field(1, meta) + data + field(5, 1))) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "name", "labels": {"app": "x"}},
        "data": {"key": "AP8="},
        "immutable": True,
    }


def test_times_and_int_or_strings() -> None:
    """A zero time is none, `50%` stays text, and zero replicas are meant."""
    spec = field(1, field(1, 1) + field(3, b"50%"))
    found = decode(
        envelope("policy/v1", "PodDisruptionBudget", field(1, field(8, b"")) + field(2, spec))
    )
    assert (found.get("metadata"), found["spec"]) == (None, {"minAvailable": "50%"})
    found = decode(envelope("apps/v1", "Deployment", field(2, field(1, 0))))
    assert found["spec"] == {"replicas": 0}


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (field(1, 60) + field(2, 0), "1970-01-01T00:01:00.000000Z"),
        (field(1, 60), "1970-01-01T00:01:00.000000Z"),
        (b"\x08\x3c\x10\xd0\x0f", "1970-01-01T00:01:00.000002Z"),
    ],
)
def test_a_lease_keeps_its_microseconds(wire: bytes, text: str) -> None:
    """Leader election writes MicroTime and reads it back with six decimals, zeroes too; what is
    below a microsecond is cut off."""
    lease = decode(envelope("coordination.k8s.io/v1", "Lease", field(2, field(4, wire))))
    assert lease["spec"] == {"renewTime": text}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", BadRequest),
        (b"k8s\x00\x0a\x7f", BadRequest),
        (envelope("v1", "Secret", field(15, b"x")), UnsupportedMediaType),
        (envelope("example/v1", "Widget", b""), UnsupportedMediaType),
    ],
)
def test_what_is_not_understood_is_refused(body: bytes, error: type[Exception]) -> None:
    """No envelope, a torn one, an unknown field and an unknown kind: nothing is dropped."""
    with pytest.raises(error):
        decode(body)
