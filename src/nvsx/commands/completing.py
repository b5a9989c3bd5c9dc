"""Completion in bash, zsh and fish: what the scripts of `--install-completion` ask.

A Tab starts a process, so what can be typed is read from words.json instead of being built
from the application: with Typer and pydantic an answer would take five times as long.
`python -m nvsx.commands.completing [--check|--write]` keeps that file current.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nvsx.screens.shell import grammar as g
from nvsx.screens.shell.completion import Candidate, following
from nvsx.screens.shell.quick_names import QuickNames

WORDS = Path(__file__).with_name("words.json")

# zsh evaluates what it is given, and names come from files: nothing else goes out.
_NAME = re.compile(r"[\w#./=-][\w#./=:-]*")
_UNTOLD = re.compile(r"[^\w .,;/#%+=-]+")
_ABOUT_CELLS = 70


def answer(env: Mapping[str, str]) -> int:
    """Print what fits the line in `env`, as its shell wants it; the exit code."""
    shell = env["_NVSX_COMPLETE"].removeprefix("complete_")
    try:
        words, last = _bash(env) if shell == "bash" else _line(env)
    except (KeyError, ValueError):  # a quote that is still open
        return 1
    fitting = [c for c in candidates(words, last, env) if _NAME.fullmatch(c.text)]
    if shell == "fish" and env.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return 0 if fitting else 1
    print(_AS[shell](fitting))
    return 0


def candidates(words: Sequence[str], last: str, env: Mapping[str, str]) -> list[Candidate]:
    """What `last` can become after `nvsx WORDS`."""
    stored = json.loads(WORDS.read_text(encoding="utf-8"))
    names = QuickNames(env, _value_of("--project", words), stored["names"])
    found = following(words, last, g.of_data(stored["nvsx"]), names)
    option, equals, _ = last.partition("=")
    before = option + equals if equals and last.startswith("-") else ""
    return [Candidate(before + c.text, c.about, c.replaces) for c in found]


def _value_of(option: str, words: Sequence[str]) -> str | None:
    for at, word in enumerate(words):
        if word == option:
            return words[at + 1] if at + 1 < len(words) else None
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _bash(env: Mapping[str, str]) -> tuple[list[str], str]:
    """bash breaks words at `=` too, and hands them over one a line."""
    at = int(env["COMP_CWORD"])
    words = env["COMP_WORDS"].split("\n")
    last = words[at] if at < len(words) else ""
    before = [w for w in words[1:at] if w != "="]
    return before, "" if last == "=" else last


def _line(env: Mapping[str, str]) -> tuple[list[str], str]:
    line = env.get("_TYPER_COMPLETE_ARGS", "")
    words = g.split(line)[1:]
    if not words or line[-1:].isspace():
        return words, ""
    return words[:-1], words[-1]


def _about(candidate: Candidate) -> str:
    return _UNTOLD.sub(" ", candidate.about)[:_ABOUT_CELLS].strip()


def _for_bash(found: Sequence[Candidate]) -> str:
    return "\n".join(c.text for c in found)


def _for_zsh(found: Sequence[Candidate]) -> str:
    """`_files` when nothing fits, so that file names are offered as elsewhere."""
    shown = "\n".join(
        f'"{c.text.replace(":", chr(92) * 2 + ":")}":"{_about(c) or c.text}"' for c in found
    )
    return f"_arguments '*: :(({shown}))'" if found else "_files"


def _for_fish(found: Sequence[Candidate]) -> str:
    return "\n".join(f"{c.text}\t{_about(c)}" for c in found)


_AS = {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}


# --- words.json ---------------------------------------------------------------------------


def text() -> str:
    """The file's content, from the application itself."""
    import typer

    from nvsx.commands.app import application
    from nvsx.commands.shell_command import grammar
    from nvsx.screens.shell.completable_names import fixed_names

    root: Any = typer.main.get_command(application())
    stored = {"nvsx": g.as_data(grammar(root, inside=False)), "names": fixed_names()}
    return json.dumps(stored, indent=1) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write the file, or with --check say whether it is current. A path may follow."""
    from nvsx.commands.generated_files import renew

    args = sys.argv[1:] if argv is None else argv
    return renew(args, "nvsx.commands.completing", WORDS, text)


if __name__ == "__main__":
    sys.exit(main())
