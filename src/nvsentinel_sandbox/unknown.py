"""What to say of a name that the sandbox does not know.

Used for faults, variants and nodes, whether given on the command line or in a scenario.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

LISTING = "nvsx sandbox faults"
_SHOWN = 40


def suggest_names(name: str, known: Iterable[str], where: str = "") -> str:
    """The names probably meant, else those there are; `where` is a command that lists them."""
    listed = list(known)
    wanted = name.lower()
    near = (
        [k for k in listed if k.replace("-", "") == re.sub("[-_ ]", "", wanted)]
        or [k for k in listed if wanted in k.split("-")]
        or get_close_matches(wanted, listed, n=3, cutoff=0.7)
    )
    if near:
        more = f" (`{where}` lists all)" if where else ""
        return f"did you mean {' or '.join(near[:3])}?{more}"
    shown = ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")
    return f"`{where}`: {shown}" if where else f"it has {shown}"
