"""The words NVSentinel uses, as lint needs to know them.

The values live in `nvsentinel.names`; this is only their shape, so that rules about
runbooks need not know where NVSentinel's facts are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: How planned work shows: the provider's maintenance by its check, a MaintenanceRequest by the
#: metadata of the event it makes.
_PLANNED_CHECK = "CSPMaintenance"
PLANNED_METADATA = "maintenanceRequestName"


def is_planned_work(check: str, metadata: Mapping[str, str]) -> bool:
    """Whether an event announces work that somebody planned, and not a fault."""
    return check == _PLANNED_CHECK or bool(metadata.get(PLANNED_METADATA))


@dataclass(frozen=True, slots=True)
class ReportableFault:
    """A fault that NVSentinel's `agent` can report, with the action it recommends.

    A `code` of "" stands for every error code that has no row of its own. `fatal` and `strategy`
    decide whether anything follows: a fault that only leaves an Event or a document wakes nobody.
    """

    check: str
    code: str
    action: str
    agent: str
    fatal: bool = True
    strategy: str = "EXECUTE_REMEDIATION"
    component_class: str = "GPU"

    @property
    def calls_for_runbook(self) -> bool:
        """Whether people should hear of it: NVSentinel may take a node out of service for it."""
        return self.fatal and self.strategy == "EXECUTE_REMEDIATION"

    @property
    def module(self) -> str:
        """The module that has to be installed; each preflight check is an agent of its own."""
        return "preflight" if self.agent.startswith("preflight-") else self.agent

    @property
    def label(self) -> str:
        """`SysLogsXIDError 48`, or the check alone."""
        return f"{self.check} {self.code}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What exists, and what is often assumed to exist but does not.

    `invented` maps names from old documents to the real ones. `silent` maps a subject
    (`taint nvidia.com/gpu-error`, `condition GpuDriverWatch`) to what to wait for instead.
    `no_repair` maps (check, error code or "" for any) to the action that creates no
    custom resource.
    """

    checks: frozenset[str]
    check_prefixes: tuple[str, ...]
    invented: Mapping[str, str]
    states: tuple[str, ...]
    actions: frozenset[str]
    collections: frozenset[str]
    document_roots: frozenset[str]
    silent: Mapping[str, str]
    no_repair: Mapping[tuple[str, str], str]

    def knows_check(self, name: str) -> bool:
        return name in self.checks or name.startswith(self.check_prefixes)
