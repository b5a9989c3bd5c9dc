"""`nvsx` that waits for less of what only time can tell.

Run as a program: `python tests/e2e/briskly.py [argument …]`. An incident on a real cluster is over
when its node has been well for 30 seconds, and each run there waits for that; here for two. Limits
themselves are tested in virtual time.
"""

from __future__ import annotations

import sys

from nvsx.core.incident import tolerances

QUIET = 2.0


class BriskLimits(tolerances.IncidentLimits, frozen=True):
    quiet: float = QUIET


if __name__ == "__main__":
    # Before anything else of nvsx is loaded: all of it takes the limits from there.
    tolerances.IncidentLimits = BriskLimits  # type: ignore[misc]
    from nvsx.commands.main import main

    sys.argv[0] = "nvsx"
    sys.exit(main())
