"""The options of every command, which may stand anywhere in a line."""

from __future__ import annotations

from nvsx.follow.processes.notify_call import WAIT

GLOBAL = ("--project", "--context")
"""Each takes a value."""


def put_global_options_first(args: list[str]) -> list[str]:
    """`args` with the global options first, wherever they were written (before `--`).

    `list --project x -o json` becomes `--project x list -o json`.
    """
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in GLOBAL:
            value = next(words, None)
            front += [word] if value is None else [word, value]
        elif word.partition("=")[0] in GLOBAL:
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def give_bare_wait_its_value(args: list[str]) -> list[str]:
    """`notify post --title x --wait` with the usual seconds: an option of Typer's has a value."""
    if "notify" not in args:
        return args
    following = [*args[1:], "--"]
    return [
        f"{word}={WAIT:g}" if word == "--wait" and after.startswith("-") else word
        for word, after in zip(args, following, strict=True)
    ]
