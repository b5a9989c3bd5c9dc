# ruff: noqa: E501, RUF001 - patterns stay in one piece, in the languages of pages
"""The hooks of a split page, as shell: the page's words, said and sent.

They tell people with `nvsx notify`, which adds the facts and delivers. All words of a page are
single-quoted: nothing in them is ever evaluated.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nvsx.convert.page_patterns import NODE_PLACE
from nvsx.convert.splitter import HookLine

_HEAD = """\
#!/usr/bin/env bash
# {purpose}
# Made by `nvsx convert --offline` from {source}; its words are the page's.
{quotes}set -euo pipefail

"""
_PURPOSE = {
    "preflight": "What the page says about everything: read it before you act.",
    "detect": "The fault was seen, and NVSentinel is about to quarantine the node.",
    "quarantine": "The node takes no new work, and its drain has begun.",
    "drain": "The node is empty, and its repair is next.",
    "remediate": "The repair request has finished: the time for checks.",
    "recover": "The node is healthy and released: the wrap-up.",
    "postmortem": "The run is over, whatever its outcome: what to keep and to write.",
    "failure": "A stage failed or ran out of time: nvsx has stopped following.",
}
#: Nothing of the page's: what every recovery needs, whoever was paged before.
_WITHDRAW = "nvsx notify resolve"
_FAILED = (
    'nvsx notify page --severity critical --title "$TITLE: ${NVSX_FAILED_STAGE:-the run} did not pass"'
    " --text {words}"
)
_BEYOND_ASCII_QUOTES = "‘’“”„‚`´–—\u00a0"
_SAYS = {
    "slack": 'nvsx notify post --title "$TITLE" --text {words}',
    "page": 'nvsx notify page --severity {severity} --title "$TITLE" --text {words}',
    "jira": 'nvsx notify ticket --title "$TITLE" --text {words}',
}


def file_name(target: str) -> str:
    """`on-drain.sh`, `on-drain-overdue.sh`, `on-failure.sh`."""
    return f"on-{target}.sh"


def script(
    target: str, lines: Sequence[HookLine], *, title: str, source: str, severity: str
) -> str:
    """One hook."""
    stage = target.removesuffix("-overdue")
    what = {"remediate": "repair", "recover": "recovery"}.get(stage, stage)
    title += f": {what} overdue" if stage != target else ""
    purpose = (
        f"The {what} takes longer than the page allows." if stage != target else _PURPOSE[target]
    )
    body = [*_write_echoes([x for x in lines if x.channel == "say"])]
    for channel in ("page", "slack", "jira"):
        words = [x.text for x in lines if x.channel == channel]
        if not words:
            continue
        call = _SAYS[channel].format(words=quoted("\n".join(words)), severity=severity)
        body += ["", f"# {_name_places(x for x in lines if x.channel == channel)}", call]
    if target == "failure":
        said = "The page does not say what to do then."
        if lines:
            said = "What the page says about it is in the log of this run."
        body += ["", _FAILED.replace("{words}", quoted(said))]
    elif target == "recover":
        body += ["", _WITHDRAW]
    elif not body:
        body += ["", "true"]
    text = "\n".join(body).lstrip("\n")
    quotes = ""
    if any(c in text for c in _BEYOND_ASCII_QUOTES):
        quotes = (
            "# shellcheck disable=SC1110,SC1111,SC1112,SC2016,SC1018 # the page's own typography\n"
        )
    head = _HEAD.format(purpose=purpose, source=_make_comment(source), quotes=quotes)
    if '"$TITLE' in text:
        head += f"TITLE={shlex.quote(title)}\n"
    node = "NODE=${NVSX_TARGET_NODE:-the node}\n" if '"$NODE"' in text else ""
    named = head + node
    return named + ("" if named.endswith("\n\n") else "\n") + text + "\n"


def _write_echoes(lines: Sequence[HookLine]) -> list[str]:
    out: list[str] = []
    for line in _merge_sentences(lines):
        lead = "" if line.mark == "   " else f"{line.mark} " if line.mark else ""
        indent = "    " if line.mark == "   " else ""
        out.append(f"echo {quoted(indent + lead + line.text)}")
    return ["", *out] if out else []


def _merge_sentences(lines: Iterable[HookLine]) -> Iterator[HookLine]:
    """The sentences of one paragraph that belong together as one line."""
    held: HookLine | None = None
    for line in lines:
        same = held and (held.block, held.page, held.mark) == (line.block, line.page, line.mark)
        if held and same and line.mark not in ("   ", "=="):
            held = replace(held, text=f"{held.text} {line.text}")
            continue
        if held:
            yield held
        held = line
    if held:
        yield held


def _name_places(lines: Iterable[HookLine]) -> str:
    at: list[str] = []
    for line in lines:
        place = f"{line.page.rsplit('/', 1)[-1]}:{line.line}"
        if place not in at:
            at.append(place)
    shown = ", ".join(at[:6]) + (" …" if len(at) > 6 else "")
    return _make_comment(shown)


def _make_comment(text: str) -> str:
    return " ".join(text.split()).replace("\\", "/")


def quoted(text: str) -> str:
    """Words of a page as one word of shell, the node's name in the places kept for it."""
    parts = []
    at = 0
    for match in NODE_PLACE.finditer(text):
        parts += [text[at : match.start()], None]
        at = match.end()
    parts.append(text[at:])
    out = "".join(
        '"$NODE"' if part is None else _single_quote(part) for part in parts if part != ""
    )
    return out or "''"


def _single_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
