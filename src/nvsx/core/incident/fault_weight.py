"""Which of two faults of a node is the heavier one: its run acts first.

XID 79, fatal, RESTART_BM      13
XID 48, fatal, COMPONENT_RESET 11
a thermal warning               0
"""

from __future__ import annotations

from nvsx.core.incident.incident_state import FaultRecord
from nvsx.core.incident.session import HealthEvent

_FATAL = 10
#: What NVSentinel wants done about a fault says how deep it goes.
_BY_ACTION = {"REPLACE_VM": 4, "RESTART_BM": 3, "RESTART_VM": 2, "COMPONENT_RESET": 1}


def weigh_fault_of_run(fault: FaultRecord | None, trigger: HealthEvent | None) -> int:
    """The weight of what a run is for: the incident's fault, else what fired it; 0 for neither."""
    if fault is not None:
        return _weigh_fault(fault.latest.fatal, fault.latest.action)
    return _weigh_fault(trigger.fatal, trigger.action) if trigger is not None else 0


def _weigh_fault(fatal: bool, action: str) -> int:
    return _FATAL * fatal + _BY_ACTION.get(action, 0)
