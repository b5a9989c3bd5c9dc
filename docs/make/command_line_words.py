"""help.txt and words.json beside the commands: read where building the application is too slow."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

from nvsx.commands import command_words
from nvsx.commands.app import build_application
from nvsx.screens.shell.completable_names import fixed_names
from nvsx.screens.shell.grammar import Argument, Command, Option, as_data

FOLDER = "src/nvsx/commands"
WIDTH = "80"
"""The widest that Typer writes, however wide the terminal."""

#: What a parameter's value names, by the parameter's name.
KINDS = {
    "runbook": "runbook",
    "target_node": "node",
    "node": "node",
    "run": "run",
    "incident": "incident",
    "subject": "incident",
    "resume": "run",
    "variant": "variant",
    "fault": "fault",
    "source": "sender",
}


def make_help(_: Path) -> dict[str, bytes]:
    """What `nvsx --help` prints."""
    said = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS=WIDTH), contextlib.redirect_stdout(said):
        build_application()(args=["--help"], prog_name="nvsx", standalone_mode=False)
    return {f"{FOLDER}/help.txt": said.getvalue().encode()}


def make_words(_: Path) -> dict[str, bytes]:
    """What can be typed, read off the application itself."""
    root = build_application()
    stored = {
        "nvsx": as_data(grammar_of(root)),
        "names": fixed_names(),
    }
    text = json.dumps(stored, indent=1) + "\n"
    return {f"{FOLDER}/{command_words.FILE.name}": text.encode()}


def grammar_of(command: Any, name: str = "") -> Command:
    """What can be typed after a command of the application, itself and those below it."""
    options, arguments = [], []
    for parameter in command.params:
        kind = KINDS.get(parameter.name, "")
        if parameter.param_type_name == "argument":
            arguments.append(Argument(kind, parameter.required, parameter.nargs != 1))
        elif not parameter.hidden:
            names = (*parameter.opts, *parameter.secondary_opts)
            options.append(Option(names, not parameter.is_flag, kind, parameter.help or ""))
    options.append(Option(("-h", "--help"), help="Show help and exit."))
    below = {word: grammar_of(sub, word) for word, sub in getattr(command, "commands", {}).items()}
    first = (command.help or "").strip().partition("\n\n")[0]
    return Command(name, " ".join(first.split()), tuple(options), tuple(arguments), below)
