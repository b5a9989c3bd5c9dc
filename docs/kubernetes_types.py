"""Write src/nvsentinel_sandbox/kube/kubernetes_types.json from a Kubernetes source tree.

    python docs/kubernetes_types.py KUBERNETES API APIMACHINERY

The arguments are the folders of k8s.io/kubernetes, k8s.io/api and k8s.io/apimachinery in
one version, for example in Go's module cache. Names, types and numbers of the kinds that
the sandbox serves are taken from their OpenAPI documents and protobuf definitions; texts
are not.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "src/nvsentinel_sandbox/kube/kubernetes_types.json"
GROUPS = (
    "api__v1", "apis__apps__v1", "apis__batch__v1", "apis__coordination.k8s.io__v1",
    "apis__policy__v1", "apis__rbac.authorization.k8s.io__v1", "apis__authorization.k8s.io__v1",
    "apis__authentication.k8s.io__v1", "apis__apiextensions.k8s.io__v1",
)  # fmt: skip
KINDS = {
    "v1": "Node Pod Event Namespace ConfigMap Secret Service Endpoints ServiceAccount",
    "apps/v1": "Deployment DaemonSet ReplicaSet StatefulSet",
    "batch/v1": "Job",
    "coordination.k8s.io/v1": "Lease",
    "policy/v1": "PodDisruptionBudget Eviction",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "authorization.k8s.io/v1": "SelfSubjectAccessReview SelfSubjectRulesReview",
    "authentication.k8s.io/v1": "SelfSubjectReview",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
}
SCALARS = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "Time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
}


def numbers(*folders: Path) -> dict[str, dict[str, int]]:
    """Field numbers by package path and message: `core/v1/NodeSpec`."""
    found: dict[str, dict[str, int]] = {}
    for folder in folders:
        for file in folder.rglob("generated.proto"):
            package = "/".join(file.parent.relative_to(folder).parts[-2:])
            text = re.sub(r"//.*", "", file.read_text(encoding="utf-8"))
            for name, body in re.findall(r"message (\w+) \{(.*?)\n\}", text, re.DOTALL):
                fields = re.findall(r"(\w+) = (\d+);", body)
                found[f"{package}/{name}"] = {field: int(number) for field, number in fields}
    return found


def reference(schema: dict[str, Any]) -> str:
    inner = schema.get("$ref") or next((s["$ref"] for s in schema.get("allOf", ())), "")
    return inner.removeprefix("#/components/schemas/")


def type_of(schema: dict[str, Any], seen: list[str]) -> str:
    """The type as one word: a scalar, a type's name, []T or {}T."""
    if name := reference(schema):
        if name in SCALARS:
            return SCALARS[name]
        seen.append(name)
        return short(name)
    if schema.get("type") == "array":
        return "[]" + type_of(schema["items"], seen)
    if "additionalProperties" in schema:
        return "{}" + type_of(schema["additionalProperties"], seen)
    if schema.get("format") == "byte":
        return "bytes"
    return str(schema.get("type", "any"))


def short(name: str) -> str:
    return name.rsplit(".", maxsplit=1)[-1]


def flags(schema: dict[str, Any]) -> str:
    """List and map semantics: `set`, `map=KEYS`, `atomic`, and `patch=KEY` for strategic merge."""
    found = []
    kind = schema.get("x-kubernetes-list-type", "")
    if kind == "map":
        found.append("map=" + ",".join(schema["x-kubernetes-list-map-keys"]))
    elif kind == "set" or schema.get("x-kubernetes-map-type") == "atomic":
        found.append("set" if kind == "set" else "atomic")
    if "merge" in schema.get("x-kubernetes-patch-strategy", ""):
        found.append("patch=" + schema.get("x-kubernetes-patch-merge-key", ""))
    return "".join(f" {flag}" for flag in found)


def proto_name(name: str) -> str:
    """io.k8s.api.core.v1.NodeSpec as core/v1/NodeSpec."""
    return "/".join(name.split(".")[-3:])


def main(kubernetes: Path, api: Path, machinery: Path) -> None:
    schemas: dict[str, Any] = {}
    for group in GROUPS:
        path = kubernetes / f"api/openapi-spec/v3/{group}_openapi.json"
        schemas |= json.loads(path.read_text(encoding="utf-8"))["components"]["schemas"]
    proto = numbers(api, machinery)
    kinds, queue = {}, ["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]
    for version, names in KINDS.items():
        for kind in names.split():
            gvk = {"group": version.rpartition("/")[0], "version": "v1", "kind": kind}
            full = next(
                n for n, s in schemas.items() if gvk in s.get("x-kubernetes-group-version-kind", ())
                and short(n) == kind
            )  # fmt: skip
            kinds[f"{version}/{kind}"] = kind
            queue.append(full)
    types: dict[str, Any] = {}
    known: dict[str, str] = {}
    while queue:
        name = queue.pop()
        if known.setdefault(short(name), name) != name:
            raise SystemExit(f"two types are called {short(name)}: {name}, {known[short(name)]}")
        if short(name) in types:
            continue
        schema, fields = schemas[name], {}
        for field, inner in sorted(schema.get("properties", {}).items()):
            number = proto.get(proto_name(name), {}).get(field, 0)
            need = "!" if field in schema.get("required", ()) else ""
            fields[field] = f"{number} {need}{type_of(inner, queue)}{flags(inner)}"
        if schema.get("x-kubernetes-map-type") == "atomic":
            fields[""] = "atomic"
        types[short(name)] = fields if "properties" in schema else {"*": "any"}
    rows = ",\n".join(f"{json.dumps(n)}: {json.dumps(f)}" for n, f in sorted(types.items()))
    head = f'"kinds": {json.dumps(kinds)}'
    TARGET.write_text(f'{{\n{head},\n"types": {{\n{rows}\n}}\n}}\n', encoding="utf-8")
    print(f"{len(types)} types, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:4]))
