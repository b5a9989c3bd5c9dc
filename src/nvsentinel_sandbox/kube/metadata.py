"""What object metadata may say: names, labels, annotations, finalizers, and node taints.

Words are those of a Kubernetes 1.32 API server (apimachinery pkg/util/validation,
pkg/api/validation). Used for everything that is stored, whoever writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from nvsentinel_sandbox.kube.resources import Resource
from nvsentinel_sandbox.kube.statuses import (
    BadRequest,
    Fault,
    forbidden,
    required,
    unfit,
    unsupported,
)

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_ENDS = "and must start and end with an alphanumeric character"
_LABEL_RULE = (
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    f"{_ENDS} (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_RULE = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    f"'.', {_ENDS} (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_PART_RULE = (
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS} (e.g. 'MyName',  or "
    f"'my.name',  or '123-abc', regex used for validation is '{_PART}')"
)
_VALUE_RULE = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    f"'.', {_ENDS} (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE}')"
)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_STANDARD_FINALIZERS = frozenset(("foregroundDeletion", "kubernetes", "orphan"))


def faults_of(
    resource: Resource, meta: Mapping[str, Any], was: Mapping[str, Any] | None
) -> list[Fault]:
    """What is wrong with an object's metadata; `was` is that of the object it replaces.

    Raises BadRequest for labels or annotations that are not maps of strings.
    """
    for name in ("labels", "annotations"):
        found = meta.get(name) or {}
        if not isinstance(found, Mapping) or not all(isinstance(v, str) for v in found.values()):
            raise BadRequest(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a '
                f"{resource.kind}: metadata.{name} must map strings to strings"
            )
    return [
        *_check_name(resource, meta),
        *_check_labels(meta),
        *_check_finalizers(meta, was or {}, new=was is None),
    ]


def taint_faults(node: Mapping[str, Any]) -> Iterator[Fault]:
    """Effects of taints that there are not."""
    for index, taint in enumerate((node.get("spec") or {}).get("taints") or ()):
        if taint.get("effect") not in _EFFECTS:
            path = f"metadata.taints[{index}].effect"  # so the server calls it
            yield unsupported(path, taint.get("effect", ""), _EFFECTS)


def _check_name(resource: Resource, meta: Mapping[str, Any]) -> Iterator[Fault]:
    name = meta.get("name")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif resource.group == "rbac.authorization.k8s.io":
        if not re.fullmatch(r"[^/%]+", str(name)):
            yield unfit("metadata.name", name, "may not contain '/' or '%'")
    elif resource.plural in ("namespaces", "services"):
        if len(str(name)) > 63:
            yield unfit("metadata.name", name, "must be no more than 63 characters")
        elif not re.fullmatch(_LABEL, str(name)):
            yield unfit("metadata.name", name, _LABEL_RULE)
    elif len(str(name)) > 253:
        yield unfit("metadata.name", name, "must be no more than 253 characters")
    elif not re.fullmatch(_SUBDOMAIN, str(name)):
        yield unfit("metadata.name", name, _SUBDOMAIN_RULE)


def _check_labels(meta: Mapping[str, Any]) -> Iterator[Fault]:
    for key, value in (meta.get("labels") or {}).items():
        if told := key_fault(key):
            yield unfit("metadata.labels", key, told)
        if told := value_fault(value):
            yield unfit("metadata.labels", value, told)
    for key in meta.get("annotations") or ():
        if told := key_fault(key.lower()):
            yield unfit("metadata.annotations", key, told)


@lru_cache(maxsize=4096)
def key_fault(key: str) -> str:
    """What is wrong with a qualified name, or nothing."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return (
            f"a qualified name {_PART_RULE} with an optional DNS subdomain prefix and '/' (e.g. "
            "'example.com/MyName')"
        )
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        return f"prefix part {_SUBDOMAIN_RULE}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    return "" if re.fullmatch(_PART, name) else f"name part {_PART_RULE}"


@lru_cache(maxsize=4096)
def value_fault(value: str) -> str:
    """What is wrong with the value of a label, or nothing."""
    if len(value) > 63:
        return "must be no more than 63 characters"
    return "" if re.fullmatch(_VALUE, value) else _VALUE_RULE


def _check_finalizers(
    meta: Mapping[str, Any], was: Mapping[str, Any], *, new: bool
) -> Iterator[Fault]:
    found = meta.get("finalizers") or ()
    for index, name in enumerate(found):
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            told = "name is neither a standard finalizer name nor is it fully qualified"
            yield unfit(f"metadata.finalizers[{index}]", name, told)
    fresh = [f for f in found if f not in (was.get("finalizers") or ())]
    if not new and "deletionTimestamp" in was and fresh:
        listed = ", ".join(f'"{f}"' for f in fresh)
        yield forbidden(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}",
        )
