"""Cases for the diagnosis: a working installation, and nodes in and out of an incident."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.fakes import fake_observer as fake

from nvsx.core.incident.sight import SeenCause
from nvsx.core.watches.snapshot import Note, Snapshot
from nvsx.nvsentinel.diagnosis import explain
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.seen_causes import find_seen_causes
from nvsx.nvsentinel.workloads import Fact, Module

NOW = fake.AT + 300
INSTALLED = Installation(
    namespace="nvsentinel",
    found=Fact(True, "yes"),
    modules={
        n: Module(n, "Deployment", (n,), 1, 1)
        for n in ("fault-quarantine", "node-drainer", "fault-remediation", "janitor")
    },
    breaker=Fact("CLOSED", "ConfigMap circuit-breaker"),
    dry_run=Fact(False, "no --dry-run"),
)


def install(**changes: Any) -> Installation:
    """A working installation with some facts changed."""
    return msgspec.structs.replace(INSTALLED, **changes)


def notes(
    stage: str, snap: Snapshot, inst: Installation | None = INSTALLED, now: float = NOW
) -> dict[str, Note]:
    """The notes by code, in order."""
    return {n.code: n for n in explain(snap, stage, inst, now)}


def causes(
    snap: Snapshot, inst: Installation | None = INSTALLED, now: float = NOW
) -> dict[str, SeenCause]:
    """What the objects of the cluster explain, by code, in order."""
    return {c.code: c for c in find_seen_causes(snap, inst, now)}


def sick(**changes: Any) -> Snapshot:
    """The usual incident: condition True, session open."""
    node = fake.node(conditions=[fake.condition()], cordoned=True)
    return fake.snapshot(of=node, **{"session": fake.session()} | changes)


def untouched(check: str = "SysLogsXIDError", **changes: Any) -> Snapshot:
    """A fault that NVSentinel has not quarantined the node for."""
    node = fake.node(conditions=[fake.condition(check=check, at=NOW - 10)])
    return fake.snapshot(of=node, **changes)
