"""Who was told what: on the deck's facts, and with the stage whose hook asked. Pure.

✉ 03:12:07 told oncall (pagerduty): page opened: "gpu-7 fell off the bus" · Q1K2
✗ 03:12:09 gpu-ops (slack): post not delivered yet (try 3, again 03:14Z): 503
"""

from __future__ import annotations

from nvsx.core.journal import entries as j
from nvsx.core.journal.fold import RunState
from nvsx.screens.deck import deck_words
from nvsx.screens.deck.rows import Row, Tone, hang, span

TOLD_SHOWN = 8
"""The newest, and all that fail; `nvsx notify list` has the rest."""


def told_facts(state: RunState, width: int) -> list[Row]:
    """All of a run, what fails first."""
    known = sorted(state.told.values(), key=lambda told: told[0])
    known = [told for told in known if told[1].state != "dropped"]
    if not known:
        return []
    failing = [told for told in known if told[1].failing]
    others = [told for told in known if not told[1].failing]
    rows: list[Row] = [(), span("Told", "head")]
    for at, told in [*failing, *reversed(others[-TOLD_SHOWN:])]:
        rows += _told_rows(at, told, width)
    return rows


def told_of_stage(state: RunState, stage: str, width: int) -> list[Row]:
    """What the hooks of one stage asked for, in order."""
    known = sorted(state.told.values(), key=lambda told: told[0])
    shown = [t for t in known if t[1].stage == stage and t[1].state != "dropped"]
    return [row for at, told in shown for row in _told_rows(at, told, width)]


def _told_rows(at: float, told: j.Told, width: int) -> list[Row]:
    tone: Tone = "bad" if told.failing else "dim" if told.state == "would" else "plain"
    mark = "✗" if told.failing else "✉"
    return hang(f"  {mark}", f"{deck_words.clock(at)} {told.words}", width, tone, lines=3)
