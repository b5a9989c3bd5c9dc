"""`nvsx schema`: what may stand in a runbook, for editors."""

from __future__ import annotations

import json

import typer

from nvsx.project import schema_document


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("schema")(schema)


def schema() -> None:
    """The JSON Schema of a runbook, for editors.

    Example: nvsx schema > runbook.schema.json
    """
    typer.echo(json.dumps(schema_document.json_schema(), indent=2))
