"""Process groups: whether one lives, how it is stopped, and whose it is.

Every script leads a session of its own, so its pid names its group. Stopping is TERM,
a time to clean up, then KILL, always to the whole group. A group is only ever signalled
when it is known to be ours: by its leader's start time, or by the idempotency key in
the environment of a member.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from nvsx.core.ports import ProcessIdentity

START_TOLERANCE = 1.0
"""Seconds two readings of one process's start may differ: clocks are adjusted."""


def identify(pid: int, fallback: float) -> ProcessIdentity:
    """The identity of a child just started; `fallback` is its start when it cannot be read."""
    try:
        return ProcessIdentity(pid, psutil.Process(pid).create_time())
    except (OSError, psutil.Error):  # it has ended, or there is no file descriptor to look
        return ProcessIdentity(pid, fallback)


def send_signal(group: int, signum: signal.Signals) -> bool:
    """Signal a whole group; false when nobody is left in it."""
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS answers so for a group of zombies; a member that changed its user is out of
        # reach as well.
        return False
    return True


def is_alive(group: int) -> bool:
    """Whether a group has a member that is more than an unreaped zombie."""
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    try:
        return any(_in_group(pid, group) for pid in psutil.pids())
    except OSError:
        return True  # no file descriptor to look closer


def _in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


async def stop_groups(groups: Sequence[int], grace: float) -> None:
    """TERM, up to `grace` seconds to end, then KILL. Cancelled while it waits: KILL at once."""
    left = [group for group in groups if send_signal(group, signal.SIGTERM)]
    try:
        await _wait_until_gone(left, grace)
    finally:
        for group in left:
            send_signal(group, signal.SIGKILL)


async def _wait_until_gone(groups: Iterable[int], limit: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    pause = 0.01
    left = list(groups)
    while left := [group for group in left if is_alive(group)]:
        remaining = deadline - loop.time()
        if remaining <= 0:
            return
        await asyncio.sleep(min(pause, remaining))
        pause = min(pause * 1.5, 0.2)


def find_orphans(identity: ProcessIdentity | None, idempotency_key: str) -> set[int]:
    """The groups a dead owner left running for one script.

    The leader is recognised by pid and start time. On Linux members are found by the
    idempotency key in their environment too: also when the owner died before it could
    write the identity down, and when a child has outlived the leader.
    """
    found: set[int] = set()
    if identity is not None:
        try:
            started = psutil.Process(identity.pid).create_time()
            if abs(started - identity.started) <= START_TOLERANCE:
                found.add(os.getpgid(identity.pid))
        except (OSError, psutil.Error):
            pass
    if idempotency_key and sys.platform == "linux":
        found.update(_groups_with(f"NVSX_IDEMPOTENCY_KEY={idempotency_key}".encode()))
    found.discard(os.getpgrp())
    return {group for group in found if group > 1 and is_alive(group)}


def _groups_with(variable: bytes) -> Iterable[int]:
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for pid in psutil.pids():
        if pid in spared:
            continue
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            if variable in environment.split(b"\0"):
                yield os.getpgid(pid)
        except OSError:
            continue  # another user's process, or one that has just ended
