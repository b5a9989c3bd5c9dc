"""Puts nvsx's impact file into a few words, for the notification hooks.

The argument is the file: JSON with `pods` (namespace, name, owner as `Kind/name`, gpus) and
`unread`, why they could not be read. Prints lines of text, or exits 1 when the file is not
understood. Runs on the operator's own python3, so only the standard library.
"""

import json
import sys
from pathlib import Path

SHOWN = 10


def lines(data):
    """The lines for a decoded impact file; raises when it has another shape."""
    pods = sorted(data["pods"], key=lambda pod: (-pod["gpus"], pod["namespace"], pod["name"]))
    if not pods:
        why = data["unread"]
        return [f"Impact: not known: {why}." if why else "Impact: no pods on the node."]
    owners = {(pod["namespace"], pod["owner"] or pod["name"]) for pod in pods}
    gpus = sum(pod["gpus"] for pod in pods)
    text = [f"Impact: {len(pods)} pods of {len(owners)} owners, {gpus} GPUs."]
    for pod in pods[:SHOWN]:
        owner = f", of {pod['owner']}" if pod["owner"] else ""
        text.append(f"- {pod['namespace']}/{pod['name']}: {pod['gpus']} GPUs{owner}")
    if len(pods) > SHOWN:
        text.append(f"- and {len(pods) - SHOWN} more")
    return text


if __name__ == "__main__":
    try:
        answer = lines(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        sys.exit(1)
    sys.stdout.buffer.write(("\n".join(answer) + "\n").encode())
