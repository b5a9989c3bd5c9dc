"""Completion in bash, zsh and fish: what the scripts of `--install-completion` ask.

A Tab starts a process, so what can be typed is read from words.json instead of being built
from the application: with Typer and pydantic an answer would take five times as long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nvsx.commands.command_words import read_fixed_names, read_grammar
from nvsx.screens.shell.completion import Candidate, following
from nvsx.screens.shell.grammar import split
from nvsx.screens.shell.quick_names import QuickNames

# zsh evaluates what it is given, and names come from files: nothing else goes out.
_NAME = re.compile(r"[\w#./=-][\w#./=:-]*")
_UNTOLD = re.compile(r"[^\w .,;/#%+=-]+")
_ABOUT_CELLS = 70


def print_candidates(env: Mapping[str, str]) -> int:
    """Print what fits the line in `env`, as its shell wants it; the exit code."""
    shell = env["_NVSX_COMPLETE"].removeprefix("complete_")
    try:
        words, last = _words_of_bash(env) if shell == "bash" else _words_of_line(env)
    except (KeyError, ValueError):  # a quote that is still open
        return 1
    fitting = [c for c in candidates(words, last, env) if _NAME.fullmatch(c.text)]
    if shell == "fish" and env.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return 0 if fitting else 1
    print(_FORMATS[shell](fitting))
    return 0


def candidates(words: Sequence[str], last: str, env: Mapping[str, str]) -> list[Candidate]:
    """What `last` can become after `nvsx WORDS`."""
    names = QuickNames(env, _value_of("--project", words), read_fixed_names())
    found = following(words, last, read_grammar(inside_shell=False), names)
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


def _words_of_bash(env: Mapping[str, str]) -> tuple[list[str], str]:
    """bash breaks words at `=` too, and hands them over one a line."""
    at = int(env["COMP_CWORD"])
    words = env["COMP_WORDS"].split("\n")
    last = words[at] if at < len(words) else ""
    before = [w for w in words[1:at] if w != "="]
    return before, "" if last == "=" else last


def _words_of_line(env: Mapping[str, str]) -> tuple[list[str], str]:
    line = env.get("_TYPER_COMPLETE_ARGS", "")
    words = split(line)[1:]
    if not words or line[-1:].isspace():
        return words, ""
    return words[:-1], words[-1]


def _describe_word(candidate: Candidate) -> str:
    return _UNTOLD.sub(" ", candidate.about)[:_ABOUT_CELLS].strip()


def _format_for_bash(found: Sequence[Candidate]) -> str:
    return "\n".join(c.text for c in found)


def _format_for_zsh(found: Sequence[Candidate]) -> str:
    """`_files` when nothing fits, so that file names are offered as elsewhere."""
    shown = "\n".join(
        f'"{c.text.replace(":", chr(92) * 2 + ":")}":"{_describe_word(c) or c.text}"' for c in found
    )
    return f"_arguments '*: :(({shown}))'" if found else "_files"


def _format_for_fish(found: Sequence[Candidate]) -> str:
    return "\n".join(f"{c.text}\t{_describe_word(c)}" for c in found)


_FORMATS = {"bash": _format_for_bash, "zsh": _format_for_zsh, "fish": _format_for_fish}
