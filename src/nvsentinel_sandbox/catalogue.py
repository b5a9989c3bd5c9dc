"""What a list of faults and variants says of each."""

from __future__ import annotations

from nvsentinel_sandbox.world.reports import Fault
from nvsentinel_sandbox.world.variants import Variant


def checks_of(fault: Fault) -> list[str]:
    """The checks that see the fault, the first to see it first."""
    return [*dict.fromkeys(report.check for report in fault.reports)]


def actions_of(fault: Fault) -> list[str]:
    """What they recommend."""
    return [*dict.fromkeys(report.action for report in fault.reports)]


def given_to(variant: Variant) -> str:
    """Where a variant is chosen: one of the installation only when the sandbox starts."""
    return "start, inject" if variant.scope == "node" else "start"
