"""Keeps what is seen while it is there: by postmortem NVSentinel has deleted much of it."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from nvsx.core.errors import NvsxError
from nvsx.core.journal import entries as j
from nvsx.core.watches.snapshot import Snapshot
from nvsx.follow.run_context import RunContext

log = logging.getLogger(__name__)

EVENT_FILE = "event.json"


def capture(run: RunContext, stage: str, moment: str) -> None:
    """Begin to keep the node's objects as they are now, beside the run."""
    if not run.node or run.feed is None:
        return
    task = asyncio.create_task(_capture_objects(run, stage, moment))
    run.background.add(task)
    task.add_done_callback(run.background.discard)


async def _capture_objects(run: RunContext, stage: str, moment: str) -> None:
    try:
        async with asyncio.timeout(run.patience.evidence):
            files = await run.ports.observer.evidence(run.node)
        stamp = f"{run.state.seq:05d}-{stage}-{moment}"
        kept = [
            j.EvidenceKept(
                path=await run.artifacts.write(f"evidence/{stamp}/{name}", data), stage=stage
            )
            for name, data in sorted(files.items())
        ]
        await run.record(*kept)
    except (TimeoutError, NvsxError, OSError) as error:
        await note_lost_evidence(run, stage, error)


async def note_lost_evidence(run: RunContext, stage: str, error: Exception) -> None:
    why = error.message if isinstance(error, NvsxError) else error or type(error).__name__
    note = j.NoteMade(
        stage=stage,
        code="evidence-lost",
        text=f"evidence was not kept: {why}",
        remedy=error.hint if isinstance(error, NvsxError) else "",
    )
    try:
        await run.record(note)
    except NvsxError:
        log.exception("evidence of %s was not kept, nor could that be written", run.run_id)


async def wait_for_captures(run: RunContext) -> None:
    """Wait for all captures that are under way; each is bounded by itself."""
    while run.background:
        await asyncio.wait(set(run.background))


async def write_event(run: RunContext) -> None:
    """`event.json`: what the source sent, else the event that fired the run, else the first
    one of the node's session, once that was seen; `{}` while nothing is known.

    A resumed run that knows no more keeps the file it finds.
    """
    first = next(iter(run.state.session.events), None)
    known = run.request.payload or run.trigger or first
    if run.event_told or (known is None and (run.artifacts.folder / EVENT_FILE).exists()):
        return
    data = msgspec.json.encode(msgspec.to_builtins(known) if known is not None else {})
    try:
        await run.artifacts.write(EVENT_FILE, data)
    except (NvsxError, OSError) as error:
        await note_lost_evidence(run, "", error)
        run.event_told = True
    run.event_told = run.event_told or known is not None


async def write_impact(run: RunContext, snap: Snapshot) -> None:
    """`impact.json`: the pods on the node with owners and GPUs, as of quarantine.

    A file that cannot be written is noted: the incident goes on without it.
    """
    pods = [
        {
            "namespace": p.namespace,
            "name": p.name,
            "owner": p.owner,
            "phase": p.phase,
            "gpus": p.gpus,
        }
        for p in snap.pods_on_node()
    ]
    unread = snap.unread.get("pods", "")
    data = {"node": run.node, "at": snap.at, "pods": pods, "unread": unread}
    try:
        text = msgspec.json.format(msgspec.json.encode(data))
        path = await run.artifacts.write("impact.json", text)
    except (NvsxError, OSError) as error:
        await note_lost_evidence(run, "quarantine", error)
        return
    await run.record(j.EvidenceKept(path=path, stage="quarantine"))
