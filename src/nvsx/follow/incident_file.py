"""`incident.json` of a run: the incident as it is now, for its hooks (NVSX_INCIDENT_FILE)."""

from __future__ import annotations

import msgspec

from nvsx.core.errors import NvsxError
from nvsx.core.incident.incident_document import NodeJob, document_of
from nvsx.core.watches.snapshot import Pod
from nvsx.follow.evidence_keeper import note_lost_evidence
from nvsx.follow.run_context import RunContext

INCIDENT_FILE = "incident.json"


async def write_incident(run: RunContext) -> None:
    """Write the file anew, as every script finds it; written once for each state.

    A file that cannot be written is noted: the run goes on without it.
    """
    if run.incident is None:
        return
    incident = run.incident.current
    _remember_jobs(run)
    jobs = [p for p in run.jobs if not p.owner.startswith("DaemonSet/")]
    daemons = [p for p in run.jobs if p.owner.startswith("DaemonSet/")]
    document = document_of(
        run.incident.incident,
        incident,
        jobs=tuple(map(_make_job, jobs)),
        daemons=tuple(map(_make_job, daemons)),
    )
    text = msgspec.json.format(msgspec.json.encode(document))
    if text == run.incident_written:
        return
    try:
        await run.artifacts.write(INCIDENT_FILE, text)
    except (NvsxError, OSError) as error:
        await note_lost_evidence(run, "", error)
    run.incident_written = text


def _remember_jobs(run: RunContext) -> None:
    """The pods as of the quarantine: the drain takes them away. Until then those there now."""
    if run.feed is None or run.jobs_are_final:
        return
    snap = run.feed.current
    if "pods" in snap.unread:
        return
    pods = snap.pods_on_node()
    if pods or not run.jobs:
        run.jobs = tuple(pods)
    run.jobs_are_final = bool(run.jobs) and snap.session.open


def _make_job(pod: Pod) -> NodeJob:
    return NodeJob(
        namespace=pod.namespace, name=pod.name, owner=pod.owner, phase=pod.phase, gpus=pod.gpus
    )
