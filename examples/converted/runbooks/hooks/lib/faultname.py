"""Puts the fault that fired a run into a few words, for hooks that are for any fault.

The argument is nvsx's event file: a health event as nvsx keeps it (check, error_codes), or a
CloudEvent of NVSentinel's exporter. Prints `SysLogsXIDError 110`, or exits 1 when the file says
nothing of the kind. Runs on the operator's own python3, so only the standard library.
"""

import json
import re
import sys
from pathlib import Path


def name_of(event):
    """The check and its error codes; raises when the event has another shape."""
    inner = event.get("data", event)
    inner = inner.get("healthEvent", inner)
    check = inner.get("check") or inner["checkName"]
    codes = inner.get("error_codes") or inner.get("errorCode") or []
    words = [check, *codes]
    if not all(re.fullmatch(r"[\w.:/-]{1,80}", word, re.ASCII) for word in words):
        raise ValueError(words)
    return " ".join(words[:4])


if __name__ == "__main__":
    try:
        print(name_of(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        sys.exit(1)
