"""Which run the code at hand works for: set by the dispatcher, read by the watchdog."""

from __future__ import annotations

from contextvars import ContextVar

#: The id of a run; "" outside of all. Tasks that a run starts inherit it.
WORKED_RUN: ContextVar[str] = ContextVar("nvsx_worked_run", default="")
