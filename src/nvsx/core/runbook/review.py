"""The mark of shell that a model wrote and no person has accepted yet.

It is a comment line of the script, so it travels with the file: neither a copy nor a
`chmod +x` takes it off, only `nvsx convert --accept`. Whatever starts a script looks for it.
"""

from __future__ import annotations

import re

UNREVIEWED = "nvsx:unreviewed"

_MARK = re.compile(rb"^[ \t]*#[ \t]*" + UNREVIEWED.encode(), re.MULTILINE)


def is_unreviewed(content: bytes) -> bool:
    """Whether a script carries the mark, on any of its lines."""
    return _MARK.search(content) is not None


def explain_unreviewed(runbook: str) -> str:
    """Why a marked hook does not run, and what lets it."""
    return f"was converted and not reviewed yet; run: nvsx convert --accept {runbook or 'RUNBOOK'}"
