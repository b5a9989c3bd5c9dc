"""Reads the protobuf bodies that kubectl's typed commands send, such as `create configmap`.

Field numbers are those of the Kubernetes .proto files, by way of shapes. Answers are
always JSON, which every client accepts. What an envelope holds that is not known here is
refused, never dropped (https://kubernetes.io/docs/reference/using-api/api-concepts/
#protobuf-encoding).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from nvsentinel_sandbox.kube import shapes
from nvsentinel_sandbox.kube.shapes import Shape
from nvsentinel_sandbox.kube.statuses import BadRequest, UnsupportedMediaType

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
# Pointers in Go: sent only when set, so that zero is meant.
_ZERO_COUNTS = frozenset({"gracePeriodSeconds", "parallelism", "replicas"})
Wire = Iterator[tuple[int, int | bytes]]


def decode(body: bytes) -> dict[str, Any]:
    """The object in a runtime.Unknown envelope. BadRequest, UnsupportedMediaType."""
    if not body.startswith(_MAGIC):
        raise BadRequest("the body is not a Kubernetes protobuf envelope")
    try:
        envelope = dict(_read_wire(body[len(_MAGIC) :]))
        meta = {n: _read_text(v) for n, v in _read_wire(_require_bytes(envelope.get(1, b"")))}
        version, kind = meta.get(1, ""), meta.get(2, "")
        shape = shapes.built_in(version, kind)
        if kind == "DeleteOptions":
            shape = shapes.type_named("DeleteOptions")
        if shape is None:
            raise UnsupportedMediaType(
                f"the sandbox does not read {version} {kind} as protobuf: send JSON"
            )
        found = _read_message(shape, _require_bytes(envelope.get(2, b"")))
    except (IndexError, ValueError) as error:
        raise BadRequest(f"the body is not the protobuf of an object: {error}") from None
    return {"apiVersion": version, "kind": kind, **found}


def _read_message(shape: Shape, raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _read_wire(raw):
        name = shape.numbers.get(number)
        if name is None:
            if value in (b"", 0):
                continue
            raise UnsupportedMediaType(
                f"the sandbox does not read field {number} of {shape.type} as protobuf: send JSON"
            )
        inner = shape.fields[name]
        if inner.kind == "array":
            found.setdefault(name, []).append(_read_value(inner.item, value))
        elif inner.kind == "map":
            entry = dict(_read_wire(_require_bytes(value)))
            key = _read_text(entry.get(1, b""))
            found.setdefault(name, {})[key] = _read_value(inner.item, entry.get(2, b""))
        else:
            read = _read_value(inner, value)
            # Go sends every field that is not a pointer; JSON leaves the empty ones out.
            if read or name in _ZERO_COUNTS or name in shape.required:
                found[name] = read
    return {k: v for k, v in found.items() if v is not None}


def _read_value(shape: Shape, value: int | bytes) -> Any:
    if shape.kind == "object":
        return _read_message(shape, _require_bytes(value))
    reader = _READERS.get(shape.type if shape.kind == "scalar" else "any")
    if reader is None:
        raise UnsupportedMediaType(f"the sandbox does not read {shape.type} as protobuf")
    return reader(value)


def _read_time(value: int | bytes) -> str | None:
    fields = dict(_read_wire(_require_bytes(value)))
    if not fields:
        return None
    at = datetime.fromtimestamp(_as_signed(fields.get(1, 0)), UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(value: int | bytes) -> str | None:
    """A Lease's times: clients that read one back refuse it without its six decimals."""
    whole = _read_time(value)
    nanoseconds = _as_signed(dict(_read_wire(_require_bytes(value))).get(2, 0))
    return whole and f"{whole.removesuffix('Z')}.{nanoseconds // 1000:06}Z"


def _int_or_string(value: int | bytes) -> int | str:
    fields = dict(_read_wire(_require_bytes(value)))
    return _read_text(fields.get(3, b"")) if fields.get(1) else _as_signed(fields.get(2, 0))


def _as_signed(value: int | bytes) -> int:
    number = value if isinstance(value, int) else 0
    return number - (1 << 64) if number >> 63 else number


def _require_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a message was expected")
    return value


def _read_text(value: int | bytes) -> str:
    return _require_bytes(value).decode()


_READERS: dict[str, Callable[[int | bytes], Any]] = {
    "string": _read_text,
    "integer": _as_signed,
    "boolean": bool,
    "bytes": lambda v: base64.b64encode(_require_bytes(v)).decode(),
    "Time": _read_time,
    "MicroTime": _micro_time,
    "Quantity": lambda v: _read_text(dict(_read_wire(_require_bytes(v))).get(1, b"")),
    "IntOrString": _int_or_string,
    "any": lambda v: msgspec.json.decode(
        _require_bytes(dict(_read_wire(_require_bytes(v))).get(1, b"null"))
    ),
}


def _read_wire(message: bytes) -> Wire:
    """The fields of a message in order: number, and the varint or the bytes."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, form = key >> 3, key & 7
        if form == 0:
            value, at = _read_varint(message, at)
            yield number, value
        elif form == 2:
            size, at = _read_varint(message, at)
            if at + size > len(message):
                raise IndexError("it ends too early")
            yield number, message[at : at + size]
            at += size
        elif form in (1, 5):
            size = 8 if form == 1 else 4
            yield number, int.from_bytes(message[at : at + size], "little")
            at += size
        else:
            raise ValueError(f"wire type {form}")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")
