"""`-o json`, the option of commands that programs read too."""

from __future__ import annotations

from typing import Annotated

import typer

from nvsx.core.errors import UsageError

Output = Annotated[
    str | None,
    typer.Option("-o", "--output", help="json for machines.", metavar="FORMAT", show_default=False),
]


def wants_json(output: str | None) -> bool:
    """Whether `-o json` was given. Raises UsageError for any other format."""
    if output not in (None, "json"):
        raise UsageError(f"output format {output!r} is not known here", "use -o json")
    return output == "json"
