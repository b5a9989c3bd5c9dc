"""Asks each target of `notify:` whether it would take a message, by its least harmful call."""

from __future__ import annotations

import asyncio

from nvsx.commands.doctor.doctor_facts import TargetSeen, TellingSeen, Trouble
from nvsx.core.errors import NvsxError
from nvsx.core.notify.target_port import MessageTarget
from nvsx.core.notify.usual_variables import missing_variables
from nvsx.notify.targets.target_registry import make_targets
from nvsx.project.home import Home
from nvsx.project.settings import choose_notify_settings


async def survey_targets(home: Home) -> TellingSeen:
    """Every target at once: one that hangs costs its own time limit only."""
    try:
        settings = home.settings
        root = home.project.root
    except NvsxError:
        return TellingSeen()  # the project's own check tells why
    notify = choose_notify_settings(settings, home.env)
    targets = make_targets(notify, home.env, root, home.masker)
    seen = await asyncio.gather(*(_try_target(target) for target in targets.values()))
    lists = notify.default
    return TellingSeen(
        pages=lists.page,
        fallback=lists.page_fallback,
        posts=lists.post,
        tickets=lists.ticket,
        missing=missing_variables(home.env) if settings.notify is None else (),
        targets=tuple(seen),
    )


async def _try_target(target: MessageTarget) -> TargetSeen:
    try:
        proved = await target.check()
    except NvsxError as error:
        said = error.message.removeprefix(f"{target.name}: ")
        return TargetSeen(target.name, target.kind, trouble=Trouble(said, error.hint))
    finally:
        await target.close()
    return TargetSeen(target.name, target.kind, proved)
