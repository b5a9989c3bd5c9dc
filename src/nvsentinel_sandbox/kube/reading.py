"""Get and list: one object, or pages of a consistent list, from the stored bytes.

Called by the API server. A list in pages shows one resource version throughout: the
first page keeps its snapshot (references, not copies) for the later ones, a bounded
number of them, and a `continue` token whose snapshot is gone is Expired, as after a
compaction of etcd.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from nvsentinel_sandbox.kube import requests, selectors
from nvsentinel_sandbox.kube.formats import Format
from nvsentinel_sandbox.kube.objects import Entry, ObjectStore
from nvsentinel_sandbox.kube.requests import Target
from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.selectors import Selection
from nvsentinel_sandbox.kube.statuses import BadRequest, Expired, Timeout, Unreadable

_MAX_SNAPSHOTS = 64  # lists that clients page through at a time; an older one gets 410


class _Token(msgspec.Struct):
    snapshot: str
    at: int


class _Snapshot(msgspec.Struct):
    resource: str
    version: int
    entries: list[Entry]
    counted: bool


def selection_of(target: Target, resource: Resource, query: Mapping[str, str]) -> Selection:
    """What a list or watch request is about; BadRequest for a bad selector."""
    return selectors.select(
        resource,
        namespace=target.namespace,
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
    )


def asked_version(store: ObjectStore, query: Mapping[str, str]) -> int | None:
    """The resourceVersion parameter, None when absent; Unreadable, Timeout when too new."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        raise Unreadable(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
            "invalid syntax"
        )
    if int(text) > store.version:
        raise Timeout(
            f"Too large resource version: {text}, current: {store.version}",
            causes=(
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"},
            ),
            retry_after=1,
        )
    return int(text)


class Reader:
    """Answers get and list requests of one API server."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()

    def get(self, target: Target, resource: Resource, shape: Format) -> bytes:
        """One object; NotFound."""
        return shape.one(self._store.entry(resource, target.name, target.namespace))

    def list(
        self, target: Target, resource: Resource, query: Mapping[str, str], shape: Format
    ) -> bytes:
        """One page, or everything when no limit was asked for. Expired, BadRequest."""
        requests.check_list_options(query, watch=False)
        limit = requests.number(query, "limit") or 0
        if token := query.get("continue"):
            found = self._read_token(token)
            snapshot, start, name = self._snapshots[found.snapshot], found.at, found.snapshot
            if snapshot.resource != resource.name:
                raise BadRequest("continue key is not valid for this resource")
        else:
            snapshot, start, name = self._take_snapshot(target, resource, query), 0, ""
            if query.get("resourceVersion") == "0" and resource.plural != "events":
                limit = 0  # the watch cache of a real server answers these whole
        end = start + limit if limit else len(snapshot.entries)
        meta: dict[str, Any] = {"resourceVersion": str(snapshot.version)}
        if end < len(snapshot.entries):
            name = name or self._keep_snapshot(snapshot)
            meta["continue"] = _encode_token(_Token(name, end))
            if snapshot.counted:
                meta["remainingItemCount"] = len(snapshot.entries) - end
        return shape.many(resource, snapshot.entries[start:end], meta)

    def expire(self) -> None:
        """Let every `continue` token handed out be too old."""
        self._snapshots.clear()

    def _take_snapshot(
        self, target: Target, resource: Resource, query: Mapping[str, str]
    ) -> _Snapshot:
        version = asked_version(self._store, query)
        exact = query.get("resourceVersionMatch") == "Exact"
        if exact and version not in (None, self._store.version):
            raise Expired(f"The resourceVersion for the provided list is too old: {version}")
        selection = selection_of(target, resource, query)
        counted = not (selection.labels or selection.fields)
        entries = self._store.entries(resource, selection)
        return _Snapshot(resource.name, self._store.version, entries, counted)

    def _keep_snapshot(self, snapshot: _Snapshot) -> str:
        name = secrets.token_hex(8)
        self._snapshots[name] = snapshot
        if len(self._snapshots) > _MAX_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return name

    def _read_token(self, text: str) -> _Token:
        try:
            token = msgspec.json.decode(base64.urlsafe_b64decode(text), type=_Token)
        except (msgspec.DecodeError, binascii.Error, ValueError):
            raise BadRequest("continue key is not valid") from None
        if token.snapshot not in self._snapshots:
            raise Expired(
                "The provided continue parameter is too old to display a consistent list "
                "result. You can start a new list without the continue parameter."
            )
        return token


def _encode_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()
