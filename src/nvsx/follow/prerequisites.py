"""What must hold before the first stage: commands, and objects nvsx reads itself."""

from __future__ import annotations

import asyncio

from nvsx.core.errors import NvsxError
from nvsx.core.journal import entries as j
from nvsx.core.ports import ProcessIdentity, Script
from nvsx.core.runbook.schema import Prerequisite
from nvsx.follow.run_context import RunContext


async def check(run: RunContext) -> list[j.PrerequisiteChecked]:
    """Check all that have no answer yet, side by side, and write the answers in order.

    Returns those that are not met. A check that cannot be made is not met, and says why.
    """
    known = {p.name for p in run.state.prerequisites}
    todo = [p for p in run.runbook.prerequisites if p.label not in known]
    answers = await asyncio.gather(*(_check_one(run, p) for p in todo))
    await run.record(
        *(
            j.PrerequisiteChecked(name=p.label, ok=ok, detail=detail, required=p.required)
            for p, (ok, detail) in zip(todo, answers, strict=True)
        )
    )
    return [p for p in run.state.prerequisites if not p.ok]


async def _check_one(run: RunContext, wanted: Prerequisite) -> tuple[bool, str]:
    limit = run.patience.prerequisite
    try:
        async with asyncio.timeout(limit + 1):
            if wanted.kind == "check":
                return await _run_check_command(run, wanted, limit)
            return await run.ports.observer.prerequisite(
                wanted.kind, wanted.subject, wanted.namespace or ""
            )
    except TimeoutError:
        return False, f"no answer within {limit:g}s"
    except NvsxError as error:
        return False, str(error)


async def _run_check_command(
    run: RunContext, wanted: Prerequisite, limit: float
) -> tuple[bool, str]:
    said: list[tuple[str, str]] = []

    async def started(_: ProcessIdentity) -> None:
        return None

    script = Script(
        kind="prerequisite",
        command=wanted.subject,
        facts=run.facts("preflight"),
        timeout=limit,
    )
    result = await run.ports.scripts.run(
        script, lambda stream, line: said.append((stream, line)), started
    )
    out = "\n".join(line for stream, line in said if stream == "stdout")
    err = next((line for stream, line in reversed(said) if stream == "stderr"), "")
    if not result.ok:
        return False, result.detail or err or f"exit code {result.exit_code}"
    if wanted.satisfied_by(out):
        return True, out.strip()[:200]
    return False, f"printed {out.strip()[:200]!r}, expected {wanted.expect}"
