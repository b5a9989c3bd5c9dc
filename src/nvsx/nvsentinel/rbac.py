"""What nvsx reads of a cluster, as one list: the least roles are written from it, and
doctor tries each entry.

`nvsx doctor --print-rbac` prints `manifest()`, and `deploy/kubernetes/rbac.yaml` is the same
text. Only get, list and watch; never a Secret, never a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

NAME = "nvsx-reader"
SERVICE_ACCOUNT = "nvsx"
NAMESPACE = "nvsx"
_FOLLOW = ("get", "list", "watch")
_LOOK = ("get", "list")


@dataclass(frozen=True, slots=True)
class Right:
    """One resource and what nvsx does with it. `inside` rights are needed in NVSentinel's
    namespace alone, the others in the whole cluster."""

    resource: str
    group: str
    version: str
    verbs: tuple[str, ...]
    why: str
    inside: bool = False

    @property
    def root(self) -> str:
        """The API path above collections: `/api/v1`, `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def _core_right(resource: str, verbs: tuple[str, ...], why: str, *, inside: bool = False) -> Right:
    return Right(resource, "", "v1", verbs, why, inside)


def _apps_right(resource: str, why: str) -> Right:
    return Right(resource, "apps", "v1", _LOOK, why, inside=True)


_REPAIRS = "repair requests; add other kinds your NVSentinel maps actions to"

RIGHTS = (
    _core_right("nodes", _FOLLOW, "conditions, labels, annotations and taints of nodes"),
    _core_right("pods", _FOLLOW, "pods on a node, and watches of kind pod"),
    _core_right("events", _FOLLOW, "watches of kind node-event and pod-event"),
    _core_right("pods/log", ("get",), "watches of kind log and training-log"),
    _core_right("namespaces", ("get",), "the UID of kube-system, which identifies the cluster"),
    Right(
        "poddisruptionbudgets",
        "policy",
        "v1",
        _FOLLOW,
        "which budget refuses the evictions of a drain",
    ),
    Right("rebootnodes", "janitor.dgxc.nvidia.com", "v1alpha1", _FOLLOW, _REPAIRS),
    Right("terminatenodes", "janitor.dgxc.nvidia.com", "v1alpha1", _FOLLOW, _REPAIRS),
    Right("gpuresets", "janitor.dgxc.nvidia.com", "v1alpha1", _FOLLOW, _REPAIRS),
    Right(
        "validationrequests",
        "nvsentinel.nvidia.com",
        "v1alpha1",
        _FOLLOW,
        "whether a validation holds a node",
    ),
    Right("externalremediationrequests", "nvsentinel.dgxc.nvidia.com", "v1", _FOLLOW, _REPAIRS),
    _apps_right("deployments", "which modules are installed, prerequisites"),
    _apps_right("daemonsets", "which modules are installed, prerequisites"),
    _apps_right("statefulsets", "NVSentinel's datastore"),
    _core_right("configmaps", _LOOK, "breaker, drain modes, repairs, datastore", inside=True),
    _core_right("services", _LOOK, "NVSentinel's datastore", inside=True),
)


def render_manifest(nvsentinel: str = "nvsentinel", namespace: str = NAMESPACE) -> str:
    """The roles and their bindings as YAML, for the service account `nvsx` in `namespace`.

    `nvsentinel` is the namespace NVSentinel runs in.
    """
    subject = _SUBJECT.format(account=SERVICE_ACCOUNT, namespace=namespace)
    cluster = _render_rules(r for r in RIGHTS if not r.inside)
    inside = _render_rules(r for r in RIGHTS if r.inside)
    return (
        f"{_HEAD}"
        f"{_object_head('ClusterRole')}rules:\n{cluster}---\n"
        f"{_object_head('ClusterRoleBinding')}{_role_reference('ClusterRole')}{subject}---\n"
        f"{_object_head('Role', nvsentinel)}rules:\n{inside}---\n"
        f"{_object_head('RoleBinding', nvsentinel)}{_role_reference('Role')}{subject}"
    )


_HEAD = """\
# All that nvsx reads: get, list and watch, no Secrets, no writes.
# `nvsx doctor --print-rbac` prints this. To give the same to a person, name them
# under `subjects` (kind: User or Group, apiGroup: rbac.authorization.k8s.io).
"""
_SUBJECT = """\
subjects:
  - kind: ServiceAccount
    name: {account}
    namespace: {namespace}
"""


def _object_head(kind: str, namespace: str = "") -> str:
    where = f"  namespace: {namespace}\n" if namespace else ""
    return (
        f"apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\n"
        f"metadata:\n  name: {NAME}\n{where}"
    )


def _role_reference(kind: str) -> str:
    return f"roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {NAME}\n"


def _render_rules(rights: Iterable[Right]) -> str:
    """One rule for neighbours of the same API group and verbs, with what they are for."""
    return "".join(
        _render_rule(list(group)) for _, group in groupby(rights, lambda r: (r.group, r.verbs))
    )


def _render_rule(rights: list[Right]) -> str:
    lines = [*_comment_reasons(rights)]
    lines += [
        f'  - apiGroups: ["{rights[0].group}"]',
        f"    resources: [{', '.join(r.resource for r in rights)}]",
        f"    verbs: [{', '.join(rights[0].verbs)}]",
    ]
    return "".join(f"{line}\n" for line in lines)


def _comment_reasons(rights: list[Right]) -> Iterator[str]:
    for why, group in groupby(rights, lambda r: r.why):
        yield f"  # {', '.join(r.resource for r in group)}: {why}"
