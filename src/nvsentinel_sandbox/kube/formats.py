"""The representations of objects: plain JSON, Tables, and metadata alone.

Chosen by the Accept header as a Kubernetes API server does; protobuf and CBOR are passed
over, since every client that asks for them takes JSON as well. Used for single objects,
lists and watch events alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from nvsentinel_sandbox.kube import tables
from nvsentinel_sandbox.kube.objects import Entry
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.statuses import NotAcceptable


class Format:
    """Plain JSON: what is stored is what is sent."""

    name = "json"

    def one(self, entry: Entry) -> bytes:
        """One object."""
        return entry.encoded

    def many(self, resource: Resource, entries: Iterable[Entry], meta: dict[str, Any]) -> bytes:
        """A list; `meta` is its ListMeta. Items of built-in kinds carry no kind of their own."""
        skip = b""
        if not resource.custom:
            kind = {"apiVersion": resource.api_version, "kind": resource.kind}
            skip = msgspec.json.encode(kind)[:-1] + b","
        items = (b"{" + e.encoded[len(skip) :] if skip else e.encoded for e in entries)
        return _encode_list(resource.api_version, f"{resource.kind}List", meta, items)


class MetadataFormat(Format):
    """meta/v1 PartialObjectMetadata, for clients that follow metadata only."""

    name = "metadata"

    def one(self, entry: Entry) -> bytes:
        return msgspec.json.encode(tables.partial(entry.decode()))

    def many(self, _resource: Resource, entries: Iterable[Entry], meta: dict[str, Any]) -> bytes:
        kind = "PartialObjectMetadataList"
        return _encode_list("meta.k8s.io/v1", kind, meta, (self.one(e) for e in entries))


class TableFormat(Format):
    """meta/v1 Table. `include` says what a row carries: None, Metadata or Object."""

    def __init__(self, include: str, now: Callable[[], float]) -> None:
        self.name = f"table/{include}"
        self._include = include
        self._now = now

    def one(self, entry: Entry) -> bytes:
        obj = entry.decode()
        meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return self._encode_table(entry.resource, [obj], meta)

    def many(self, resource: Resource, entries: Iterable[Entry], meta: dict[str, Any]) -> bytes:
        return self._encode_table(resource, [e.decode() for e in entries], meta)

    def _encode_table(self, resource: Resource, objects: list[Any], meta: dict[str, Any]) -> bytes:
        now = self._now()
        columns = tables.columns(resource)
        rows = []
        for obj in objects:
            row: dict[str, Any] = {"cells": [c.cell(obj, now) for c in columns]}
            if self._include == "Object":
                row["object"] = obj
            elif self._include != "None":
                row["object"] = tables.partial(obj)
            rows.append(row)
        return msgspec.json.encode(
            {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": meta,
                "columnDefinitions": [c.definition() for c in columns],
                "rows": rows,
            }
        )


def negotiate(accept: str, include: str, now: Callable[[], float]) -> Format:
    """The first representation of `accept` the server has; NotAcceptable when none."""
    for offer in (accept or "*/*").split(","):
        media, *rest = (part.strip() for part in offer.split(";"))
        options = dict(p.split("=", 1) for p in rest if "=" in p)
        if media not in ("application/json", "application/*", "*/*"):
            continue
        wanted = options.get("as", "")
        if wanted and options.get("v", "v1") != "v1":
            continue
        if wanted == "Table":
            return TableFormat(include or "Metadata", now)
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return MetadataFormat()
        if not wanted:
            return Format()
    message = "only the following media types are accepted: application/json"
    raise NotAcceptable(message)


def _encode_list(version: str, kind: str, meta: dict[str, Any], items: Iterable[bytes]) -> bytes:
    head = msgspec.json.encode({"kind": kind, "apiVersion": version, "metadata": meta})
    return b'%s,"items":[%s]}\n' % (head[:-1], b",".join(items))
