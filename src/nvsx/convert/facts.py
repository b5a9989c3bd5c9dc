"""The facts of a page: everything a converted runbook must account for.

Deterministic: the same page gives the same list, whatever converts it. Sentences that ask
somebody to do something, that talk to people or that warn are facts as a whole and must
stay word for word; commands, addresses, channels, people, times and error codes are facts
by themselves as well. Judging what became of them is the ledger's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nvsx.convert import page_patterns as p
from nvsx.convert.blocks import Block, one_line
from nvsx.convert.commands import cut, in_prose
from nvsx.convert.pieces import Sentence, core_step, is_open, sentences

Kind = Literal[
    "step",
    "message",
    "caveat",
    "contact",
    "command",
    "code",
    "url",
    "channel",
    "handle",
    "email",
    "phone",
    "number",
    "ticket",
    "severity",
    "fault",
    "image",
]
_ATOMS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("url", p.URL),
    ("email", p.EMAIL),
    ("channel", p.CHANNEL),
    ("handle", p.HANDLE),
    ("phone", p.PHONE),
    ("number", p.NUMBER),
    ("fault", p.XID),
    ("severity", p.SEVERITY),
    ("ticket", p.TICKET),
)


@dataclass(frozen=True, slots=True)
class PageFact:
    """One thing a page says. `line` counts from 1; `block` is the index of its block.

    `pieces` are the words that must stay, in this order; what stands between them (a core
    command, a placeholder for the node, a link's address) may change. `parent` is the index
    of the sentence or command it is part of, -1 alone. `core` names NVSentinel's doing when
    it is only that: cordon, drain, taint, uncordon or reboot; `page-link` for a link that
    leads nowhere but into the same page.
    """

    kind: Kind
    text: str
    page: str
    line: int
    block: int
    pieces: tuple[str, ...]
    parent: int = -1
    core: str = ""


def extract(blocks: Sequence[Block]) -> list[PageFact]:
    """Every fact of some pages, in their order."""
    found: list[PageFact] = []
    for index, block in enumerate(blocks):
        found += _of_block(block, index, blocks, len(found))
    return found


def _of_block(block: Block, index: int, blocks: Sequence[Block], base: int) -> list[PageFact]:
    if block.kind == "code":
        return list(_of_code(block, index, base))
    found: list[PageFact] = []
    for sentence in sentences(block):
        kind = _classify_sentence(sentence, block, blocks)
        parent = -1
        if kind:
            parent = base + len(found)
            shown = block.shown(sentence.start, sentence.end)
            line = block.line_at(sentence.start)
            core = core_step(sentence, block) if kind == "step" else ""
            pieces = sentence.pieces
            found.append(PageFact(kind, shown, block.page, line, index, pieces, core=core))
        found += _of_sentence(sentence, block, index, parent)
    return found


def _classify_sentence(sentence: Sentence, block: Block, blocks: Sequence[Block]) -> Kind | None:
    """What a whole sentence is; None for prose that only carries facts, or none."""
    text = sentence.text
    if not sentence.pieces or block.kind in ("heading", "head"):
        return None
    if block.alert or p.CAVEAT.search(text):
        return "caveat"
    if block.kind == "row":
        about = " ".join(column for column, _ in block.cells) + " " + " ".join(block.section[-1:])
        return "contact" if p.PEOPLE.search(about) else "step"
    if any(pattern.search(text) for pattern in p.TALK) or _is_addressed(text):
        return "message"
    if block.kind == "item":
        return "step"
    above = blocks[block.parent].text if block.parent >= 0 else ""
    return "step" if above and block.kind == "text" else None


def _is_addressed(text: str) -> bool:
    return any(pattern.search(text) for pattern in (p.CHANNEL, p.HANDLE, p.EMAIL, p.PHONE))


def _of_sentence(sentence: Sentence, block: Block, index: int, parent: int) -> Iterator[PageFact]:
    """The facts inside one sentence: its code, links and pictures, then what its words show."""
    start, end = sentence.start, sentence.end
    taken: list[tuple[int, int, str]] = []
    for span in block.spans:
        if not start <= span.start < max(end, start + 1) and not (span.start == span.end == end):
            continue
        line = block.line_at(span.start)
        if span.kind == "code":
            said = block.text[span.start : span.end].strip()
            if not said:
                continue
            made = command_fact(said, block, index, line, parent)
            taken.append((span.start, span.end, made.core))
            yield made
        elif span.target:
            kind: Kind = "image" if span.kind == "image" else "url"
            core = "page-link" if span.target.startswith("#") else ""
            target = (one_line(span.target),)
            yield PageFact(kind, target[0], block.page, line, index, target, parent, core)
    for begin, stop in in_prose(block.text[start:end]):
        a, b = start + begin, start + stop
        if not any(x < b and a < y for x, y, _ in taken):
            made = command_fact(block.text[a:b], block, index, block.line_at(a), parent)
            taken.append((a, b, made.core))
            yield made
    for kind, text, at in atoms(sentence.text):
        place = start + at
        core = next((c for a, b, c in taken if a <= place < b), "")
        line = block.line_at(place)
        yield PageFact(kind, text, block.page, line, index, (text,), parent, core)


def command_fact(said: str, block: Block, index: int, line: int, parent: int) -> PageFact:
    """A piece of code as a fact: a command, or only code; NVSentinel's, when all of it is."""
    said = one_line(said)
    is_command = " " in said and p.STARTS_PROGRAM.match(said) is not None
    _, pieces, verbs = cut(said)
    kind: Kind = "command" if is_command or verbs else "code"
    core = verbs[0] if verbs and is_open(pieces) else ""
    return PageFact(kind, said, block.page, line, index, pieces or (said,), parent, core)


def atoms(text: str) -> Iterator[tuple[Kind, str, int]]:
    """(kind, text, offset) of every address, channel, person, time and code in a text."""
    taken: list[tuple[int, int]] = []
    for kind, pattern in _ATOMS:
        for match in pattern.finditer(text):
            said = match[0]
            if kind == "url":
                said = trimmed_url(said)
            begin = match.start() + len(said) - len(said.lstrip())
            said = one_line(said)
            span = (begin, begin + len(said))
            if any(a <= span[0] and span[1] <= b for a, b in taken):
                continue
            taken.append(span)
            yield kind, said, begin


def trimmed_url(url: str) -> str:
    """A URL found in prose without the punctuation that ends the sentence."""
    while url:
        last = url[-1]
        closing = {")": "(", "]": "[", "}": "{", ">": "<"}.get(last)
        unbalanced = closing is not None and url.count(last) > url.count(closing)
        if last in ".,;:!?*_~'\"" or unbalanced:
            url = url[:-1]
        else:
            break
    return url


def _of_code(block: Block, index: int, base: int) -> Iterator[PageFact]:
    """Each line of a code block, continued ones joined, and the facts inside it."""
    number = 0
    for offset, said in code_lines(block.text):
        line = block.line + offset
        words = one_line(re.sub(r"^(?:[\w.@~/:-]*[$#>]) (?=\S)", "", said.strip()))
        words = words or said.strip()
        _, pieces, verbs = cut(words)
        core = verbs[0] if verbs and is_open(pieces) else ""
        is_command = p.STARTS_PROGRAM.match(words) is not None
        kind: Kind = "command" if is_command or verbs else "code"
        kept = _around_node(pieces or (words,))
        parent = base + number
        yield PageFact(kind, words, block.page, line, index, kept, -1, core)
        number += 1
        for atom, text, _ in atoms(words):
            yield PageFact(atom, text, block.page, line, index, (text,), parent, core)
            number += 1


def _around_node(pieces: tuple[str, ...]) -> tuple[str, ...]:
    return (
        tuple(
            part.strip()
            for piece in pieces
            for part in p.NODE_PLACE.split(piece)
            if any(c.isalnum() for c in part)
        )
        or pieces
    )


def code_lines(text: str) -> Iterator[tuple[int, str]]:
    """(offset, line) of the lines of code that say something; continued ones are one."""
    held, first = "", 0
    for offset, line in enumerate(text.split("\n")):
        if not held:
            first = offset
        if line.rstrip().endswith("\\"):
            held += line.rstrip()[:-1] + " "
            continue
        said, held = held + line, ""
        if any(c.isalnum() for c in said):
            yield first, said
    if any(c.isalnum() for c in held):
        yield first, held
