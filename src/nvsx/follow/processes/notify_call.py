"""What a hook runs for `nvsx notify page|post|ticket|resolve`: store the call, and return.

Every hook of every run starts it, so it is one file that needs nothing but Python's own library,
nvsx's packages neither: `nvsx_on_path` puts a copy where hooks find it. It returns 0 only when the
call is on disk in the run's spool folder, from where the run's owner takes it, also after the owner
was killed. The names of files are those of `core.notify.spool_format`.

    12:00:00.00 on-quarantine.sh calls `nvsx notify page`: the first page of this start of the hook
    12:00:00.03 r-1.quarantine.hook/page/1 is flushed, the bell is rung, 0
    12:00:00.05 nvsx is killed; the hook runs again at 12:00:09: the same call, so the same message
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from contextlib import suppress

KINDS = ("page", "post", "ticket", "resolve")
SEVERITIES = ("warning", "error", "critical")
#: What each kind takes besides --text, --key and --wait.
OPTIONS = {
    "page": ("--severity", "--title", "--to"),
    "post": ("--title", "--to"),
    "ticket": ("--title", "--to", "--field"),
    "resolve": (),
}
WAIT = 20.0
"""Seconds that --wait waits: a hook has 30 altogether."""
LOOK_AGAIN = 0.05
TITLE_KEPT, TEXT_KEPT = 1_000, 100_000
"""Characters. A long text is cut and never refused: a page must not be lost for its length."""
MOST_CALLS = 1_000
"""Calls of one kind by one start of a hook. A hook that calls in an endless loop ends here."""


TYPE_CHECKING = False  # typing itself costs as much as all that is done here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class CallError(Exception):
    """One clear line for the author of the hook. `code` is 2 for a wrong call."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


class Asked:
    """A call that is right in itself. `wait` is in seconds, None for no waiting."""

    def __init__(self, kind: str, options: list[tuple[str, str]]) -> None:
        """Check what was given, as the full command does too. Raises CallError."""
        given = dict(options)
        if kind != "resolve" and "--title" not in given:
            raise CallError(f"notify {kind} needs --title: the few words people read first")
        severity = given.get("--severity", "error")
        if severity not in SEVERITIES:
            raise CallError(f"--severity is {', '.join(SEVERITIES[:-1])} or {SEVERITIES[-1]}")
        if "--key" in given and not given["--key"].strip():
            raise CallError("--key is empty: it is what makes this call known when it comes again")
        self.kind = kind
        self.title = to_plain(given.get("--title", "").strip(), TITLE_KEPT)
        self.severity = severity
        self.to = given.get("--to", "").strip()
        self.fields = dict(read_field(value) for name, value in options if name == "--field")
        self.key = given.get("--key", "").strip()
        self.wait = read_wait(given["--wait"]) if "--wait" in given else None
        text = given.get("--text", "")
        self.text = read_input() if text == "-" else to_plain(text, TEXT_KEPT)


def main(argv: list[str]) -> int:
    """Store the call that `argv` (after `nvsx notify`) asks for; the exit code."""
    try:
        return store_call(Asked(*read_options(argv)), os.environ)
    except CallError as error:
        sys.stderr.write(f"nvsx: {error}\n")
        return error.code


def read_options(argv: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """The kind, and the options as (name, value) in their order. Raises CallError."""
    if not argv or argv[0] not in KINDS:
        given = f", not {argv[0]}" if argv else ""
        raise CallError(f"notify takes {', '.join(KINDS[:-1])} or {KINDS[-1]}{given}")
    kind, words = argv[0], list(argv[1:])
    options: list[tuple[str, str]] = []
    known = ("--text", "--key", "--wait", *OPTIONS[kind])
    while words:
        name, equals, value = words.pop(0).partition("=")
        if not name.startswith("--"):
            raise CallError(
                f"notify {kind}: '{name}' belongs to no option: quote a text with spaces"
            )
        if name not in known:
            raise CallError(f"notify {kind} has no option {name}: it has {', '.join(known)}")
        if not equals and name == "--wait":
            value = words.pop(0) if words and words[0][:1].isdigit() else str(WAIT)
        elif not equals:
            if not words:
                raise CallError(f"notify {kind}: {name} needs a value")
            value = words.pop(0)
        options.append((name, value))
    return kind, options


def read_field(text: str) -> tuple[str, str]:
    """`component=gpu` as a pair. Raises CallError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise CallError(f"--field is NAME=VALUE, not '{to_plain(text, 80)}'")
    return to_plain(name.strip(), TITLE_KEPT), to_plain(value, TEXT_KEPT)


def read_wait(text: str) -> float:
    """Seconds. Raises CallError."""
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise CallError(f"--wait is a number of seconds up to 3600, not '{to_plain(text, 80)}'")
    return seconds


def read_input() -> str:
    """The text of `--text -`."""
    return to_plain(sys.stdin.buffer.read(4 * TEXT_KEPT).decode("utf-8", "replace"), TEXT_KEPT)


def to_plain(text: str, kept: int) -> str:
    """What a shell may have given as bytes that are no text, as text; cut."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")
    return text if len(text) <= kept else text[: kept - 1] + "…"


def store_call(asked: Asked, environ: Mapping[str, str]) -> int:
    """Put the call into the run's spool, flushed, and ring. Raises CallError."""
    folder = environ.get("NVSX_NOTIFY_DIR", "")
    if not os.path.isdir(folder):  # noqa: PTH112 - pathlib would cost a third of the whole call
        why = f"{folder} is gone: the run has ended" if folder else "NVSX_NOTIFY_DIR is not set"
        raise CallError(f"nobody is told: {why}", 1)
    try:
        call, claim = claim_place(folder, asked, environ)
    except OSError as error:
        raise CallError(f"nobody is told: {folder}: {error.strerror}", 1) from None
    digest = hashlib.sha256(call.encode()).hexdigest()[:24]
    try:
        if asked.wait is not None:
            write_flushed(folder, f"{digest}.wait", {"call": call})
        write_flushed(
            folder, f"{time.time_ns():020d}-{digest}.json", describe(call, asked, environ)
        )
    except OSError as error:
        if claim:
            os.unlink(claim)  # noqa: PTH108 - this place is free for the next try
        raise CallError(f"nobody is told: {folder}: {error.strerror}", 1) from None
    ring(folder)
    return 0 if asked.wait is None else wait_for_receipt(folder, digest, asked.wait)


def claim_place(folder: str, asked: Asked, environ: Mapping[str, str]) -> tuple[str, str]:
    """The identity of the call, and the file that says its place is taken ("" for a --key).

    The place counts the calls of one kind and target, from 1 for each start of the hook: a hook
    that runs again and takes another way through its script repeats no other call's identity.
    """
    key = environ.get("NVSX_IDEMPOTENCY_KEY", "") or f"once-{time.time_ns()}-{os.getpid()}"
    if asked.key:
        return f"{key}/{asked.key}", ""
    place = asked.kind + (f"@{asked.to}" if asked.to else "")
    start = f"{key}|{environ.get('NVSX_ATTEMPT', '1')}|{place}"
    claims = f"{folder}/claims/{hashlib.sha256(start.encode()).hexdigest()[:24]}"
    os.makedirs(f"{folder}/claims", mode=0o700, exist_ok=True)  # noqa: PTH103
    for number in range(1, MOST_CALLS + 1):
        with suppress(FileExistsError):
            claim = f"{claims}.{number}"
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return f"{key}/{place}/{number}", claim
    raise CallError(f"this hook has asked for {place} {MOST_CALLS} times; no more are taken", 1)


def describe(call: str, asked: Asked, environ: Mapping[str, str]) -> dict[str, Any]:
    """The call as it lies in the spool."""
    repair = environ.get("NVSX_REPAIR_NO", "")
    stage = environ.get("NVSX_STAGE", "")
    title = asked.title
    if not title and asked.kind != "resolve":  # a variable that was empty at 3 a.m.
        title = f"{environ.get('NVSX_RUNBOOK', 'nvsx')}: {stage or 'a message'}"
    return {
        "call": call,
        "kind": asked.kind,
        "title": title,
        "text": asked.text,
        "severity": asked.severity,
        "to": asked.to,
        "fields": asked.fields,
        "stage": stage,
        "incident": environ.get("NVSX_INCIDENT_ID", ""),
        "node": environ.get("NVSX_TARGET_NODE", ""),
        "cause": environ.get("NVSX_CAUSE_CODE", ""),
        "repair": int(repair) if repair.isdigit() else 0,
        "late": environ.get("NVSX_LATE", "") == "1",
        "asked": time.time(),
    }


def write_flushed(folder: str, name: str, content: dict[str, Any]) -> None:
    """Write a file so that it is there whole, or not at all, whatever dies. Raises OSError."""
    new = f"{folder}/.{name}.{os.getpid()}.new"
    try:
        with open(new, "xb", opener=open_private) as file:
            file.write(json.dumps(content).encode())
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, f"{folder}/{name}")  # noqa: PTH104
    except OSError:
        with suppress(OSError):
            os.unlink(new)  # noqa: PTH108
        raise
    flush_folder(folder)


def open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def flush_folder(folder: str) -> None:
    """A name is on disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ring(folder: str) -> None:
    """Tell the owner that something has come. Nobody there is no matter: the call is on disk."""
    with suppress(OSError):
        bell = os.open(f"{folder}/bell", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(bell, b"!")
        finally:
            os.close(bell)


def wait_for_receipt(folder: str, digest: str, seconds: float) -> int:
    """Wait for what became of the call and print its references. Raises CallError."""
    ends, path = time.monotonic() + seconds, f"{folder}/{digest}.receipt.json"
    while True:
        with suppress(FileNotFoundError), open(path, encoding="utf-8") as file:  # noqa: PTH123
            return tell_receipt(json.load(file)["deliveries"])
        if time.monotonic() >= ends:
            raise CallError(f"stored, and not delivered after {seconds:g}s; nvsx goes on trying", 1)
        time.sleep(LOOK_AGAIN)


def tell_receipt(deliveries: list[dict[str, Any]]) -> int:
    """Print a reference a line; 0 when the message has reached somebody. Raises CallError."""
    if not deliveries:
        raise CallError("stored, and nobody was told: no target is set up for it", 1)
    for each in deliveries:
        if each["state"] == "would":
            sys.stdout.write(f"would tell {each['target']}\n")
        elif each["state"] == "delivered":
            sys.stdout.write(f"{each.get('ref') or each['target']}\n")
    if any(each["state"] != "given up" for each in deliveries):
        return 0
    why = "; ".join(f"{d['target']}: {d.get('reason') or 'given up'}" for d in deliveries)
    raise CallError(f"nobody was told: {why}", 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:] if sys.argv[1:2] == ["notify"] else sys.argv[1:]))
