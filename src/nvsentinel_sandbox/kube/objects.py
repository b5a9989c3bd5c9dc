"""The sandbox's object store: what etcd and the registry code do for a real API server.

The API server serves it and the simulated NVSentinel works on it directly. It belongs to
one event loop (or to one thread without a loop) and every call is synchronous. Each
change raises one global resource version, is encoded once and is told to subscribers in
order, also when a subscriber changes objects itself.
Objects are kept encoded only: 10,000 nodes fit in memory, and what a caller reads is
always its own copy. The store does no authorization and keeps no history.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from nvsentinel_sandbox.kube import admission, selectors
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.customkinds import RESOURCES, definition_of, resource_from
from nvsentinel_sandbox.kube.podlogs import PodLogs
from nvsentinel_sandbox.kube.resources import Registry, Resource
from nvsentinel_sandbox.kube.statuses import AlreadyExists, NotFound

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
Cascade = Literal["Background", "Foreground", "Orphan"]
Key = tuple[str, str]

SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_CRDS = "customresourcedefinitions.apiextensions.k8s.io"
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True):
    """One version of one object. `encoded` is its JSON, apiVersion and kind first."""

    resource: Resource
    key: Key
    version: int
    encoded: bytes
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    uid: str
    owners: tuple[str, ...] = ()

    def decode(self) -> Object:
        """A private copy of the object."""
        found: Object = msgspec.json.decode(self.encoded)
        return found


Entries = list[Entry]


class Change(msgspec.Struct, frozen=True):
    """One committed change. A deletion's `entry` is the last state at a new version."""

    type: ChangeType
    entry: Entry
    before: Entry | None = None


class ObjectStore:
    """All objects of one sandbox.

    Args:
        now: the clock, Unix seconds.
        rng: makes uids and generated names; seed it for repeatable worlds.
        resources: the kinds to begin with; custom ones get their CRD objects.

    A `plural` argument may carry its group: `rebootnodes.janitor.dgxc.nvidia.com`.
    `namespace` defaults to `default` for namespaced kinds when naming one object, and to
    all namespaces when listing. Every method raises errors of `statuses`.

    With `graceful_pods` set, deleting a pod that has a node only marks it terminating;
    whoever plays the kubelet ends it with `delete(..., grace=0)`.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        resources: Iterable[Resource] = RESOURCES,
    ) -> None:
        self.registry = Registry(resources)
        self.logs = PodLogs(now)
        self.graceful_pods = False
        self.version = 0
        self.now = now
        self._rng = rng or random.Random()  # noqa: S311 - identities, not secrets
        self._objects: dict[str, dict[Key, Entry]] = {}
        self._order: dict[str, list[Key]] = {}
        self._alive: dict[str, Entry] = {}
        self._dependents: dict[str, dict[str, None]] = {}
        self._subscribers: list[Callable[[Change], None]] = []
        self._queue: deque[Change] = deque()
        self._telling = False
        for name in SYSTEM_NAMESPACES:
            self.create("namespaces", {"metadata": {"name": name}})
        for resource in [r for r in self.registry if r.custom]:
            self.create(_CRDS, definition_of(resource))

    # --- reading ------------------------------------------------------------------------

    def resource(self, plural: str) -> Resource:
        """The kind called `plural`; NotFound when it is not served."""
        found = self.registry.find(plural)
        if found is None:
            raise NotFound("the server could not find the requested resource")
        return found

    def entry(self, resource: Resource, name: str, namespace: str = "") -> Entry:
        """The stored version of one object."""
        found = self._objects.get(resource.name, {}).get((namespace, name))
        if found is None:
            message = f'{resource.name} "{name}" not found'
            raise NotFound(message, name=name, group=resource.group, kind=resource.plural)
        return found

    def entries(self, resource: Resource, selection: selectors.Selection) -> Entries:
        """The stored versions selected, ordered by namespace and name."""
        objects = self._objects.get(resource.name, {})
        order = self._order.get(resource.name)
        if order is None:
            order = self._order[resource.name] = sorted(objects)
        if selection.everything:
            return [objects[key] for key in order]
        found = (objects[key] for key in order)
        return [e for e in found if selection.matches(e.key[0], e.labels, e.fields)]

    def get(self, plural: str, name: str, *, namespace: str | None = None) -> Object:
        """A copy of the object; NotFound."""
        resource = self.resource(plural)
        return self.entry(resource, name, _namespace_for(resource, namespace)).decode()

    def find(self, plural: str, name: str, *, namespace: str | None = None) -> Object | None:
        """A copy of the object, or None."""
        try:
            return self.get(plural, name, namespace=namespace)
        except NotFound:
            return None

    def list(
        self,
        plural: str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Object]:
        """Copies of the selected objects, by namespace and name. BadRequest: a selector."""
        resource = self.resource(plural)
        selection = selectors.select(
            resource,
            namespace=namespace or "",
            label_selector=label_selector,
            field_selector=field_selector,
        )
        return [e.decode() for e in self.entries(resource, selection)]

    # --- changing -----------------------------------------------------------------------

    def create(
        self,
        plural: str,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Store a new object and return it with its identity set.

        Honours metadata.generateName. AlreadyExists, Invalid, BadRequest.
        """
        resource = self.resource(plural)
        new = admission.prepare(
            resource, obj, namespace=namespace, created=self.timestamp(), rng=self._rng
        )
        key = (new["metadata"].get("namespace", ""), new["metadata"]["name"])
        if key in self._objects.get(resource.name, {}):
            message = f'{resource.name} "{key[1]}" already exists'
            raise AlreadyExists(message, name=key[1], group=resource.group, kind=resource.plural)
        declared = resource_from(new) if resource.name == _CRDS else None
        if dry_run:
            return new
        entry = self._commit_change("ADDED", resource, new, None)
        if declared:
            self.registry.add(declared)
        return entry.decode()

    def update(
        self,
        plural: str,
        name: str,
        change: Callable[[Object], None],
        *,
        namespace: str | None = None,
        subresource: Literal["", "status"] = "",
        dry_run: bool = False,
    ) -> Object:
        """Let `change` edit a copy in place, then store it; nothing happens when it is equal.

        `subresource="status"` keeps only the change to status. Setting another
        metadata.resourceVersion than the current one raises Conflict; removing the last
        finalizer of a terminating object deletes it. NotFound, Invalid.
        """
        resource = self.resource(plural)
        entry = self.entry(resource, name, _namespace_for(resource, namespace))
        edited = entry.decode()
        change(edited)
        new = admission.revise(resource, entry.decode(), edited, subresource)
        if new is None:
            return entry.decode()
        declared = resource_from(new) if resource.name == _CRDS else None
        if dry_run:
            return new
        if admission.is_finished(new):
            self._remove_entry(entry, new)
            return new
        if declared:
            self.registry.add(declared)
        return self._commit_change("MODIFIED", resource, new, entry).decode()

    def delete(
        self,
        plural: str,
        name: str,
        *,
        namespace: str | None = None,
        grace: int | None = None,
        cascade: Cascade = "Background",
    ) -> None:
        """Delete an object and, unless `cascade` is Orphan, what it alone owns.

        An object with finalizers is marked terminating and goes when the last one is
        removed; so is a pod on a node with `graceful_pods`, until `grace` is 0 (seconds).
        """
        resource = self.resource(plural)
        entry = self.entry(resource, name, _namespace_for(resource, namespace))
        obj = entry.decode()
        meta, spec = obj["metadata"], obj.get("spec") or {}
        if cascade == "Orphan":
            for dependent in self._owned_by(entry.uid):
                self._remove_owner(dependent, entry.uid)
        elif cascade == "Foreground":
            self._collect_garbage(entry.uid)
        waits = 0
        if resource.plural == "pods" and self.graceful_pods and spec.get("nodeName"):
            waits = spec.get("terminationGracePeriodSeconds", 30) if grace is None else grace
        if not (meta.get("finalizers") or waits):
            self._remove_entry(entry, obj)
        elif waits < meta.get("deletionGracePeriodSeconds", waits + 1):
            meta["deletionTimestamp"] = self.timestamp(waits)
            meta["deletionGracePeriodSeconds"] = waits
            self._commit_change("MODIFIED", resource, obj, entry)

    def append_log(self, namespace: str, pod: str, container: str, line: str) -> None:
        """One more line in a container's log, at the store's clock."""
        self.logs.append(namespace, pod, container, line)

    # --- telling ------------------------------------------------------------------------

    def on_change(self, callback: Callable[[str, str, Object], None]) -> Callable[[], None]:
        """Call back with (ADDED|MODIFIED|DELETED, plural, a copy) after every change."""
        return self.subscribe(
            lambda change: callback(
                change.type, change.entry.resource.plural, change.entry.decode()
            )
        )

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """As on_change, without decoding. Returns what ends the subscription."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def timestamp(self, ahead: float = 0) -> str:
        """The store's time, as Kubernetes writes it (RFC 3339, whole seconds)."""
        return datetime.fromtimestamp(self.now() + ahead, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- inside -------------------------------------------------------------------------

    def _commit_change(
        self, kind: ChangeType, resource: Resource, obj: Object, before: Entry | None
    ) -> Entry:
        self.version += 1
        meta = obj["metadata"]
        meta["resourceVersion"] = str(self.version)
        entry = Entry(
            resource=resource,
            key=(meta.get("namespace", ""), meta["name"]),
            version=self.version,
            encoded=msgspec.json.encode(obj),
            labels=meta.get("labels") or {},
            fields=selectors.field_values(resource, obj),
            uid=meta["uid"],
            owners=tuple(o["uid"] for o in meta.get("ownerReferences") or () if o.get("uid")),
        )
        objects = self._objects.setdefault(resource.name, {})
        if kind == "DELETED":
            del objects[entry.key], self._alive[entry.uid]
        else:
            objects[entry.key] = self._alive[entry.uid] = entry
        if kind != "MODIFIED":
            self._order.pop(resource.name, None)
        for owner in before.owners if before else ():
            self._dependents.get(owner, {}).pop(entry.uid, None)
        for owner in entry.owners if kind != "DELETED" else ():
            self._dependents.setdefault(owner, {})[entry.uid] = None
        self._tell_subscribers(Change(kind, entry, before))
        return entry

    def _tell_subscribers(self, change: Change) -> None:
        self._queue.append(change)
        if self._telling:
            return
        self._telling = True
        try:
            while self._queue:
                told = self._queue.popleft()
                for callback in list(self._subscribers):
                    try:
                        callback(told)
                    except Exception:  # noqa: BLE001
                        # A broken subscriber must not undo the change or starve the others.
                        _log.exception("a subscriber failed on %s %s", told.type, told.entry.key)
        finally:
            self._telling = False

    def _remove_entry(self, entry: Entry, last: Object) -> None:
        self._commit_change("DELETED", entry.resource, last, entry)
        namespace, name = entry.key
        if entry.resource.plural == "pods":
            self.logs.drop(namespace, name)
        elif entry.resource.plural == "namespaces":
            self._delete_all_that(lambda e: e.key[0] == name)
        elif entry.resource.name == _CRDS:
            self._delete_all_that(lambda e: e.resource.name == name)
            self.registry.remove(name)
        self._collect_garbage(entry.uid)
        self._dependents.pop(entry.uid, None)

    def _delete_all_that(self, condemned: Callable[[Entry], bool]) -> None:
        for entry in [e for e in self._alive.values() if condemned(e)]:
            if entry.uid in self._alive:
                self.delete(entry.resource.name, entry.key[1], namespace=entry.key[0], grace=0)

    def _owned_by(self, uid: str) -> Entries:
        return [self._alive[u] for u in self._dependents.get(uid, {}) if u in self._alive]

    def _collect_garbage(self, owner: str) -> None:
        """Garbage collection: what has no other owner goes, the rest loses the reference."""
        for dependent in self._owned_by(owner):
            if any(o in self._alive for o in dependent.owners if o != owner):
                self._remove_owner(dependent, owner)
            elif dependent.uid in self._alive:
                namespace, name = dependent.key
                self.delete(dependent.resource.name, name, namespace=namespace)

    def _remove_owner(self, dependent: Entry, owner: str) -> None:
        def strip(obj: Object) -> None:
            references = obj["metadata"].pop("ownerReferences", [])
            if left := [r for r in references if r.get("uid") != owner]:
                obj["metadata"]["ownerReferences"] = left

        namespace, name = dependent.key
        self.update(dependent.resource.name, name, strip, namespace=namespace)


def _namespace_for(resource: Resource, namespace: str | None) -> str:
    return (namespace or "default") if resource.namespaced else ""
