"""Which of NVSentinel's modules run in a cluster, and where: Deployments and DaemonSets.

`installation` builds on it. A module is recognised by its label or name, also by the names
of October 2025; DaemonSets that come once for each DCGM version or runtime are one module.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from nvsx.core.errors import ClusterError, NotFound
from nvsx.nvsentinel import names

Read = Callable[[str], Awaitable[Any]]

MODULES = (
    "platform-connectors",
    "gpu-health-monitor",
    "syslog-health-monitor",
    "nic-health-monitor",
    "csp-health-monitor",
    "kubernetes-object-monitor",
    "labeler",
    "metadata-collector",
    "fault-quarantine",
    "node-drainer",
    "fault-remediation",
    "janitor",
    "janitor-provider",
    "lifecycle-manager",
    "health-events-analyzer",
    "event-exporter",
    "preflight",
)
NAME_LABEL = "app.kubernetes.io/name"
#: The chart of platform-connectors is the umbrella chart, and labels its pods so.
_OTHER_LABEL = {"platform-connectors": "nvsentinel"}


class Fact(msgspec.Struct, frozen=True):
    """Something known, or not: `value` is None when it could not be read. `evidence` says
    where it was read, or why not."""

    value: bool | str | None
    evidence: str

    @property
    def known(self) -> bool:
        return self.value is not None


class Module(msgspec.Struct, frozen=True):
    """A module: one Deployment, or DaemonSets taken together (one for each DCGM version)."""

    name: str
    kind: str
    objects: tuple[str, ...]
    desired: int
    ready: int
    version: str = ""
    args: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        return self.ready > 0 and self.ready >= self.desired

    @property
    def evidence(self) -> str:
        return f"{self.kind} {', '.join(self.objects)}: {self.ready} of {self.desired} ready"


class Reader:
    """Lists, remembering what could not be read and why."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.unread: dict[str, str] = {}

    async def items(self, path: str, what: str) -> list[Mapping[str, Any]]:
        try:
            answer = await self._read(path)
        except NotFound:
            return []
        except ClusterError as error:
            self.unread[what] = error.message
            return []
        found = answer.get("items") if isinstance(answer, Mapping) else None
        return [item for item in found or () if isinstance(item, Mapping)]


def as_map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class Workload(NamedTuple):
    kind: str
    namespace: str
    name: str
    label: str
    desired: int
    ready: int
    version: str
    args: tuple[str, ...]


async def find_nvsentinel(reader: Reader, namespace: str) -> tuple[str, Fact, list[Workload]]:
    """The namespace, whether NVSentinel is there, and its workloads."""
    for tried in (namespace,) if namespace else (names.NAMESPACE, ""):
        where = tried
        scope = f"/namespaces/{where}" if where else ""
        found = [
            *_read_workloads(
                "Deployment", await reader.items(f"/apis/apps/v1{scope}/deployments", "workloads")
            ),
            *_read_workloads(
                "DaemonSet", await reader.items(f"/apis/apps/v1{scope}/daemonsets", "workloads")
            ),
        ]
        ours = [w for w in found if _module_of(w)]
        if not where and ours:
            votes = [w.namespace for w in ours]
            where = max(sorted(set(votes)), key=votes.count)
            ours = [w for w in ours if w.namespace == where]
        if ours:
            reader.unread.pop("workloads", None)
            text = f"{len(ours)} workloads of NVSentinel in namespace {where}"
            return where, Fact(True, text), ours
    where = namespace or names.NAMESPACE
    if "workloads" in reader.unread:
        return where, Fact(None, reader.unread["workloads"]), []
    place = f"in namespace {namespace}" if namespace else "in any namespace"
    return where, Fact(False, f"no workload of NVSentinel {place}"), []


def _read_workloads(kind: str, items: list[Mapping[str, Any]]) -> list[Workload]:
    return [_read_workload(kind, item) for item in items]


def _read_workload(kind: str, item: Mapping[str, Any]) -> Workload:
    meta, spec = as_map(item.get("metadata")), as_map(item.get("spec"))
    template = as_map(as_map(spec.get("template")).get("spec"))
    containers = [as_map(c) for c in template.get("containers") or ()]
    image = str(containers[0].get("image") or "") if containers else ""
    words = [w for c in containers for key in ("command", "args") for w in c.get(key) or ()]
    desired, ready = count_pods(kind, item)
    return Workload(
        kind,
        str(meta.get("namespace") or ""),
        str(meta.get("name") or ""),
        str(as_map(meta.get("labels")).get(NAME_LABEL) or ""),
        desired,
        ready,
        _image_tag(image),
        tuple(str(w) for w in words),
    )


def count_pods(kind: str, item: Mapping[str, Any]) -> tuple[int, int]:
    """Pods that a Deployment or DaemonSet wants, and those that are ready."""
    spec, status = as_map(item.get("spec")), as_map(item.get("status"))
    if kind == "Deployment":
        # An absent `replicas` means one.
        replicas = spec.get("replicas")
        return (1 if replicas is None else int(replicas)), int(status.get("readyReplicas") or 0)
    return int(status.get("desiredNumberScheduled") or 0), int(status.get("numberReady") or 0)


def _image_tag(image: str) -> str:
    """The tag of an image reference: the version that counts, chart labels lag behind.

    The two GPU monitors are one version, built for two versions of DCGM: v1.19.0-dcgm-3.x
    and v1.19.0-dcgm-4.x are both v1.19.0.
    """
    last = image.split("@", 1)[0].rsplit("/", 1)[-1]
    return re.sub(r"-dcgm-[0-9.x]+$", "", last.partition(":")[2])


def _module_of(workload: Workload) -> str:
    """Which module it is: by its label, its name, or `<release>-<name>` as of October 2025."""
    for module in MODULES:
        if workload.name == module:
            return module
        if workload.label == module and module not in _OTHER_LABEL:
            return module
    stem = re.sub(r"-(dcgm-[0-9.x]+|regular|kata)$", "", workload.name)
    # The longest name that fits: janitor-provider is not janitor.
    fits = [m for m in MODULES if stem == m or stem.endswith(f"-{m}")]
    exact = max(fits, key=len, default="")
    labelled = workload.label in ("", exact, _OTHER_LABEL.get(exact, exact))
    return exact if labelled else ""


def group_into_modules(workloads: list[Workload]) -> dict[str, Module]:
    grouped: dict[str, list[Workload]] = {}
    for workload in workloads:
        grouped.setdefault(_module_of(workload), []).append(workload)
    return {
        name: Module(
            name=name,
            kind=group[0].kind,
            objects=tuple(sorted(w.name for w in group)),
            desired=sum(w.desired for w in group),
            ready=sum(w.ready for w in group),
            version=next((w.version for w in group if w.version), ""),
            args=tuple(a for w in group for a in w.args),
        )
        for name, group in grouped.items()
    }
