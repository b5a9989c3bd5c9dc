"""Whether the URI of NVSentinel's store says what its writer meant.

A password with `@`, `:` or `/` as it is moves the end of the credentials: what is left of it would
be taken for the host, and shown as one.
"""

from __future__ import annotations

import re

_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2}|[^%:/?#\[\]@\s])*")
_HINT = (
    "percent-encode user and password: @ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25"
)


def why_credentials_unreadable(uri: str) -> str:
    """What is wrong with the user or the password in a URI, never quoting it; "" for nothing.

    mongodb://nvsx:secret@db:27017/nvsentinel       right
    mongodb://nvsx:p@ss@db:27017/nvsentinel         its credentials have an @ too many
    mongodb://nvsx:p%40ss@db:27017/nvsentinel       right
    """
    _, scheme, rest = uri.partition("://")
    if not scheme or "@" not in rest:
        return ""
    # The last @ before the query ends the credentials; a query's own @ has to be encoded as well.
    user, _, password = rest.rpartition("@")[0].partition(":")
    if _ENCODED.fullmatch(user) and _ENCODED.fullmatch(password):
        return ""
    return f"the user or password in the URI of NVSentinel's store is not encoded: {_HINT}"
