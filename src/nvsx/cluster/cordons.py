"""Who cordoned a node: the program that managedFields name as the owner of spec.unschedulable."""

from __future__ import annotations

from typing import Any

import msgspec

from nvsx.cluster.wire_values import share_text, unix_seconds
from nvsx.core.watches.snapshot import raw_mapping


class _ManagedFields(msgspec.Struct, rename="camel", gc=False):
    manager: str | None = None
    time: str | None = None
    fields_v1: Any = None


_managed_fields = msgspec.json.Decoder(list[_ManagedFields] | None)


def read_cordon(managed: msgspec.Raw) -> tuple[str, float]:
    """Which program owns spec.unschedulable, and since when.

    An entry's time is that of its manager's last write to anything it owns: it is the cordon's
    only where the manager owns nothing besides (`kubectl cordon` does not). Of two owners the
    later one counts.
    """
    found = _managed_fields.decode(managed) if managed else None
    owners = []
    for entry in found or ():
        fields = raw_mapping(entry.fields_v1)
        if "f:unschedulable" in raw_mapping(fields.get("f:spec")):
            owners.append((unix_seconds(entry.time), entry.manager or "", set(fields)))
    if not owners:
        return "", 0.0
    at, manager, owned = max(owners, key=lambda owner: owner[0])
    return share_text(manager), at if owned == {"f:spec"} else 0.0
