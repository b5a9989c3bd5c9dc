"""Short ways to write the rules that come with a kind of sender."""

from __future__ import annotations

from collections.abc import Mapping

from nvsx.core.senders.message_fields import Extract

#: What says XID 79 in a text for people, in a field that is known to be about it.
XID_PATTERN = r"(?i)(?:^|[^a-z])xid[ :=#_-]{1,3}(\d{2,3})\b"


def take_path(path: str, pattern: str = "") -> Extract:
    """The text at a path, or what a pattern finds in it."""
    return Extract.model_validate({"from": path, **({"pattern": pattern} if pattern else {})})


def take_cel(expression: str) -> Extract:
    """What an expression over `body` comes to."""
    return Extract.model_validate({"cel": expression})


def list_rules(**places: tuple[str | Extract, ...]) -> Mapping[str, tuple[Extract, ...]]:
    """Rules by the value they find; a text is a path."""
    return {
        name: tuple(rule if isinstance(rule, Extract) else take_path(rule) for rule in found)
        for name, found in places.items()
    }
