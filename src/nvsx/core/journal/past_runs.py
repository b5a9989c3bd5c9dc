"""Past runs: which ones are asked for, and what statistics know of each.

The store answers in these, `ops.stats` counts them. Lengths are seconds, times Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Kind = Literal["real", "sandbox", "all"]
By = Literal["runbook", "fault", "node"]


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs; "" and None for any. `node` is a name or an alias, `outcome` a run status or
    `degraded`, `incident` an incident's id. `kind` is `real` for incidents, `sandbox` for sandbox
    and drill runs. `active` are those under way.
    """

    node: str = ""
    runbook: str = ""
    outcome: str = ""
    tag: str = ""
    incident: str = ""
    since: float | None = None
    until: float | None = None
    kind: Kind = "real"
    active: bool = False


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One finished run, and the group it counts in. `lengths` are those of the stages that
    passed, None for others, in the order of core.schema.STAGE_ORDER."""

    run_id: str
    group: str
    status: str
    degraded: bool
    total_s: float
    mttr_s: float | None
    lengths: Sequence[float | None]


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A run on a node, with the GPUs its incident struck: (`gpu`, UUID) and (`pci`, address)."""

    run_id: str
    node: str
    cluster: str
    session_key: str
    created: float
    gpus: Sequence[tuple[str, str]] = ()
