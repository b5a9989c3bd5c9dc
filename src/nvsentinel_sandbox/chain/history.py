"""Health events of the past month, for an exporter that starts with a backfill.

Invented, repeatable with the seed: faults of nodes and the recoveries that followed. A
receiver has to drop them for their age, or old faults would fire runbooks again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from nvsentinel_sandbox.world.cluster_world import gpus_of
from nvsentinel_sandbox.world.health import HealthEvent
from nvsentinel_sandbox.world.identities import Identities
from nvsentinel_sandbox.world.reports import SYSLOG

INCIDENTS = 12
_DAYS = (1.0, 29.0)
_REPAIR_SECONDS = 900
_DAY = 86_400
_NANO = 1_000_000_000


def past_events(ids: Identities, nodes: Sequence[str]) -> list[HealthEvent]:
    """Faults and their recoveries, oldest first."""
    rng, now = ids.rng("history"), time.time()
    events = []
    for _ in range(INCIDENTS):
        node, began = rng.choice(nodes), now - rng.uniform(*_DAYS) * _DAY
        gpu = rng.choice(gpus_of(ids, node))
        lost = "79, pid=4242, name=train, GPU has fallen off the bus."
        fault = HealthEvent(
            node=node,
            check="SysLogsXIDError",
            agent=SYSLOG,
            component="GPU",
            generated=int(began) * _NANO,
            message=f"NVRM: Xid (PCI:{gpu.pci}): {lost}",
            fatal=True,
            action="RESTART_BM",
            codes=("79",),
            entities=(("PCI", gpu.pci), ("GPU_UUID", gpu.uuid)),
        )
        recovery = HealthEvent(
            node=node,
            check=fault.check,
            agent=SYSLOG,
            component="GPU",
            generated=fault.generated + _REPAIR_SECONDS * _NANO,
            healthy=True,
        )
        events += [fault, recovery]
    return sorted(events, key=lambda e: e.generated)
