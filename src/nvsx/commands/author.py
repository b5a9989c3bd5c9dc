"""Who asked for something, for the record."""

from __future__ import annotations

import getpass


def who() -> str:
    """The person at the keyboard, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "someone"
