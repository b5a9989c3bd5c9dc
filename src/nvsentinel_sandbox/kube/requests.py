"""What a request asks for: path, verb and options read once; and the log of requests.

Used by the API server before anything else. Verbs are those authorization and audit use
(https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb).
The log is bounded and holds no tokens; tests ask it who wrote.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from nvsentinel_sandbox.kube.resources import Registry, Resource
from nvsentinel_sandbox.kube.statuses import BadRequest, forbidden, invalid, unsupported

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OWN_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Target:
    """The object or collection of a resource request. `resource` is None: no such kind."""

    verb: str
    group: str
    version: str
    plural: str
    resource: Resource | None
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def qualified(self) -> str:
        """As errors name it: `rebootnodes.janitor.dgxc.nvidia.com`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def described(self) -> str:
        """`pods/log` in API group "" in the namespace "default"."""
        what = f"{self.plural}/{self.subresource}" if self.subresource else self.plural
        within = self.namespace or (self.name if self.plural == "namespaces" else "")
        place = f'in the namespace "{within}"' if within else "at the cluster scope"
        return f'resource "{what}" in API group "{self.group}" {place}'


def target_of(
    registry: Registry, method: str, path: str, query: Mapping[str, str]
) -> Target | None:
    """What a path under /api/v1 or /apis names, or None when it names no resource."""
    parts = [p for p in path.split("/") if p]
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in _OWN_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    if rest[2:3] == ["proxy"]:
        rest = rest[:3]  # what follows is the path behind the proxy
    if not 1 <= len(rest) <= 3:
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    verb = _VERBS.get(method, "get" if name else "list")
    if verb == "list" and flag(query, "watch"):
        verb = "watch"
    elif verb == "delete" and not name:
        verb = "deletecollection"
    resource = registry.find_served(group, version, plural)
    return Target(verb, group, version, plural, resource, namespace, name, subresource)


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter; given without a value it is true, as in Kubernetes."""
    return query.get(name, "false").lower() in ("", "1", "t", "true")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number parameter, or None; BadRequest."""
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdigit():
        raise BadRequest(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def dry_run(query: Mapping[str, str]) -> bool:
    """Whether nothing may be stored; Invalid for anything but `All`."""
    asked = query.get("dryRun", "")
    if asked not in ("", "All"):
        fault = unsupported("dryRun", asked, ("All",))
        raise invalid("CreateOptions", "meta.k8s.io", "", [fault])
    return asked == "All"


def check_list_options(query: Mapping[str, str], *, watch: bool) -> None:
    """Invalid for options that do not go together (meta/v1 ListOptions)."""
    match, initial = query.get("resourceVersionMatch", ""), "sendInitialEvents" in query
    at, fault = "resourceVersionMatch", None
    if initial and not watch:
        fault = forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
    elif initial and match != "NotOlderThan":
        needs = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        fault = forbidden(at, needs)
    elif match and watch and not initial:
        told = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        fault = forbidden(at, told)
    elif match and not watch and not query.get("resourceVersion"):
        told = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        fault = forbidden(at, told)
    elif match not in ("", "Exact", "NotOlderThan"):
        fault = unsupported(at, match, ("Exact", "NotOlderThan", ""))
    if fault is not None:
        raise invalid("ListOptions", "meta.k8s.io", "", [fault])


@dataclass(frozen=True, slots=True)
class Request:
    """One request, noted before it is answered. `verb` is empty when it names no resource."""

    method: str
    path: str
    verb: str
    account: str
    user_agent: str


class RequestLog:
    """The latest requests, and counts of all of them by account and method."""

    def __init__(self, size: int = 10_000) -> None:
        self.latest: deque[Request] = deque(maxlen=size)
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, request: Request) -> None:
        self.latest.append(request)
        self.counts[request.account, request.method] += 1

    def methods(self, account: str = "", user_agent: str = "") -> set[str]:
        """The HTTP methods used by an account, or by user agents beginning so."""
        return {
            r.method
            for r in self.latest
            if (not account or r.account == account) and r.user_agent.startswith(user_agent)
        }
