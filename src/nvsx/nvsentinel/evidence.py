"""Evidence: a node's objects as the API server has them now, for a run's artifacts.

The observer's `evidence` calls it at every transition, since NVSentinel deletes its marks
at the end. Raw JSON, bounded in number. Never kept: Secrets (never read), the values of
environment variables in pods, and bookkeeping fields nobody reads afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from nvsx.cluster.door import Cluster
from nvsx.cluster.projections import LAST_APPLIED
from nvsx.core.errors import ClusterError, NotFound
from nvsx.core.watches.snapshot import Resource

#: Objects of one list. A node runs some hundred pods; without a bound a wrong selector would
#: copy a whole cluster into a run's artifacts.
LIMIT = 500
#: The newest requests of a node. Completed ones stay for 14 days.
MOST_RESOURCES = 20
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


async def gather(cluster: Cluster, node: str, resources: Iterable[Resource]) -> dict[str, bytes]:
    """File name → indented JSON. What cannot be read is named in `unread.json`, with why.

    Raises ClusterError when nothing at all can be read.
    """
    wanted: dict[str, tuple[str, dict[str, str]]] = {
        "node.json": (f"/api/v1/nodes/{node}", {}),
        "pods.json": ("/api/v1/pods", {"fieldSelector": f"spec.nodeName={node}"}),
        "events.json": (
            "/api/v1/events",
            {"fieldSelector": f"involvedObject.kind=Node,involvedObject.name={node}"},
        ),
    }
    newest = sorted(resources, key=lambda r: (r.created, r.name))[-MOST_RESOURCES:]
    wanted.update((f"{r.plural}-{r.name}.json", (_resource_path(r), {})) for r in newest)
    files: dict[str, bytes] = {}
    unread: dict[str, str] = {}
    last: ClusterError | None = None
    for name, (path, params) in wanted.items():
        try:
            bounded = {**params, "limit": str(LIMIT)} if params else params
            files[name] = _indent_json(_trim_answer(await cluster.read(path, bounded)))
        except NotFound as error:
            unread[name] = error.message
        except ClusterError as error:
            unread[name], last = error.message, error
    if not files and last is not None:
        raise last
    if unread:
        files["unread.json"] = _indent_json(unread)
    return files


def _resource_path(r: Resource) -> str:
    inside = f"/namespaces/{r.namespace}" if r.namespace else ""
    return f"/apis/{r.group}/{r.version}{inside}/{r.plural}/{r.name}"


def _indent_json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _trim_answer(answer: Any) -> Any:
    if not isinstance(answer, Mapping):
        return answer
    items = answer.get("items")
    if isinstance(items, list):
        return {**answer, "items": [_without_noise(i) for i in items]}
    return _without_noise(answer)


def _without_noise(item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    kept = dict(item)
    meta = dict(kept.get("metadata") or {})
    meta.pop("managedFields", None)
    notes = meta.get("annotations")
    if isinstance(notes, Mapping):
        meta["annotations"] = {k: v for k, v in notes.items() if k != LAST_APPLIED}
    kept["metadata"] = meta
    spec = kept.get("spec")
    if isinstance(spec, Mapping) and "containers" in spec:
        kept["spec"] = {k: _drop_values(v) if k in _CONTAINERS else v for k, v in spec.items()}
    return kept


def _drop_values(containers: Any) -> Any:
    """Containers with the names of their variables only: values are often passwords."""
    if not isinstance(containers, list):
        return containers
    return [
        {**c, "env": [{"name": e.get("name")} for e in c["env"] if isinstance(e, Mapping)]}
        if isinstance(c, Mapping) and isinstance(c.get("env"), list)
        else c
        for c in containers
    ]
