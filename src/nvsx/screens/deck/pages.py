"""The deck's full pages as lines: watches of all stages, the raw object, help.

Pure. They are shown in the same pager as the log, with the same search.
"""

from __future__ import annotations

import msgspec

from nvsx.core.journal.fold import RunState
from nvsx.core.watches.snapshot import Snapshot
from nvsx.screens.deck import deck_words, stage_pane
from nvsx.screens.deck.rows import safe, text_of, wrap
from nvsx.screens.deck.scrollback import ScreenLine

_HELP = """
Stages
  j k ↓ ↑         next, previous stage; the output pane then shows that stage
  esc             back: to the running stage, out of a page, out of a search
Panes
  tab shift-tab   next, previous pane; j k scroll the pane in focus
  space b         page down, page up in the output; also PgDn PgUp
  g G             top, bottom (following again)
  ← →             sideways in long lines
Search
  /               only lines that contain …; small letters match both cases
  enter           keep the filter
  n N             next, previous match among its neighbours
Pages
  l               full log of the run
  w               watches of all stages, with verdicts and reasons
  y               raw object: the node and its session as last read, as JSON
  ?               this page
Run
  c               cancel, after a question: postmortem still runs
  Ctrl-C          cancel without a question; a second one stops at once
  q               leave the deck; the run goes on as plain text
  Ctrl-Z          stop nvsx and the run with it; fg goes on

Marks
  ✓ passed, holds   ▶ running   ○ not begun   · not yet   ✗ failed
  ? could not be read   ! note   → what to do   ■ cancelled   - skipped
  » script   ┆ what it says on stderr   “ narration

nvsx only reads the cluster. NVSentinel goes on with its work whether you cancel, leave
or kill nvsx.
"""


def help_page(*, can_cancel: bool, owns_run: bool) -> list[ScreenLine]:
    """The keys; without those that do nothing here."""
    lines = _HELP.strip("\n").split("\n")
    if not can_cancel:
        lines = [line for line in lines if not line.startswith(("  c  ", "  Ctrl-C"))]
    if not owns_run:
        lines = [
            line.replace("the run goes on as plain text", "the run goes on without you")
            for line in lines
        ]
    return [ScreenLine(text, "head" if text[:1].isalpha() else "plain") for text in lines]


def watches_page(state: RunState, now: float, width: int) -> list[ScreenLine]:
    """Every stage with its watches; marks as in the stage pane."""
    lines: list[ScreenLine] = []
    for stage in state.stages:
        mark, tone, word = deck_words.STAGE_MARK.get(stage.status, ("?", "plain", stage.status))
        seconds = deck_words.stage_seconds(stage, now)
        took = f" {deck_words.length(seconds)}" if seconds is not None else ""
        late = ", overdue" if stage.overdue else ""
        label = f"{stage.id}  {word or 'not begun'}{took}{late}"
        lines.append(ScreenLine(safe(label), "head" if tone == "plain" else tone, mark))
        rows = stage_pane.watches(stage, width - 6)
        lines += [ScreenLine("  " + text_of(row), row[0].tone) for row in rows]
        if not rows:
            lines.append(ScreenLine("  no watches", "dim"))
        lines.append(ScreenLine(""))
    return lines


def raw_page(state: RunState, snapshot: Snapshot | None, width: int) -> list[ScreenLine]:
    """The snapshot as JSON; without one, what the journal knows of the session."""
    if snapshot is None:
        about = (
            "This process does not read the cluster itself: below is what the run's journal "
            "says of the session and its times."
        )
        known: dict[str, object] = {"session": state.session, "times": state.times}
    else:
        about = f"As last read at {deck_words.clock(snapshot.at)}."
        known = {
            "node": snapshot.node or snapshot.node_name,
            "session": snapshot.session,
            "pods": snapshot.pods,
            "resources": snapshot.resources,
            "events": snapshot.events,
            "health_events": snapshot.health_events,
            "unread": dict(snapshot.unread),
        }
    raw = msgspec.json.encode(known, enc_hook=lambda o: dict(o) if hasattr(o, "keys") else str(o))
    text = msgspec.json.format(raw, indent=2).decode()
    head = [ScreenLine(part, "dim") for part in wrap(about, width - 2)]
    return [*head, ScreenLine(""), *(ScreenLine(safe(line)) for line in text.split("\n"))]
