# ruff: noqa: RUF001 - patterns stay in one piece, in the languages of pages
"""Sentences, and the words of one that must stay whatever writes the hooks.

Between the pieces of a sentence stands what a hook rightly changes: NVSentinel's own
commands, the placeholder for the node, the address behind a link's label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nvsx.convert import page_patterns as p
from nvsx.convert.blocks import Block
from nvsx.convert.commands import cut, in_prose

_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[^\sa-z])|(?<=[。！？])|\n\s*\n")
#: Quoted words are one whole: somebody is to send them.
QUOTED = re.compile(
    r"\"[^\"\n]{3,600}\"|“[^”\n]{3,600}”|„[^“\n]{3,600}“|«[^»\n]{3,600}»|「[^」\n]{2,600}」"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|approx|max|min|no|vs|resp|ca|z\.B|d\.h|bzw|ggf|incl|Dr|Mr|Ms|Nr|ext|p\.ex|[A-Z])\.)[\"')\]]*\s+$",
    re.IGNORECASE,
)
_IMPERATIVE = re.compile(
    r"^\W*(?:step\s+\d+\W+)?(?:(?:then|now|next|first|finally|manually|please|once \w+|and)\W+)*"
    r"(?:(cordon|drain|uncordon|taint|reboot)\b"
    r"|(?:power[- ]?cycle|restart|reset)\s+(?:the\s+|this\s+)?(node|host|machine|server|gpu)\b"
    r"|(evict)\b|(un-?cordon)\b|(mark)\s+(?:the\s+)?node\s+(?:as\s+)?(?:un)?schedulable)",
    re.IGNORECASE,
)
_ANOTHER_DOING = re.compile(
    r"\b(?:check|verify|ask|tell|note|save|collect|record|make|confirm|wait|capture|copy|run|open|update|inform"
    r"|prüfe\w*|warte\w*|vérifi\w*|attend\w*|verific\w*|esper\w*)\b",
    re.IGNORECASE,
)
_FACTS = (p.URL, p.EMAIL, p.CHANNEL, p.HANDLE, p.PHONE, p.NUMBER, p.TICKET)
_EDGES = " \t\n.,:;!?—–-()[]{}\"'“”‘’|/\\>*_`~•·#=+"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A part `start:end` of a block's text."""

    text: str
    start: int
    end: int
    pieces: tuple[str, ...]


def sentences(block: Block) -> list[Sentence]:
    """The sentences of a block; a heading and a table row are one each."""
    bounds = [(0, len(block.text))]
    if block.kind not in ("heading", "head", "row"):
        bounds = list(_find_bounds(block))
    return [
        Sentence(block.text[a:b], a, b, _cut_pieces(block, a, b))
        for a, b in bounds
        if b > a or block.spans
    ]


def _find_bounds(block: Block) -> Iterator[tuple[int, int]]:
    text, start = block.text, 0
    closed = [(s.start, s.end) for s in block.spans if s.kind == "code"]
    closed += [m.span() for m in QUOTED.finditer(text)]
    for match in _END.finditer(text):
        at = match.end()
        inside = any(a < at < b for a, b in closed)
        if inside or _ABBREVIATION.search(text[max(start, at - 12) : at]):
            continue
        if text[start:at].strip():
            yield start, at
            start = at
    yield start, len(text)


def command_spans(block: Block, start: int, end: int) -> list[tuple[int, int]]:
    """Where commands stand between two places of a block's text: marked as code, or bare."""
    spans = [
        (s.start, s.end)
        for s in block.spans
        if s.kind == "code" and start <= s.start and s.end <= end
    ]
    for a, b in in_prose(block.text[start:end]):
        if not any(x < start + b and start + a < y for x, y in spans):
            spans.append((start + a, start + b))
    return sorted(spans)


def _cut_pieces(block: Block, start: int, end: int) -> tuple[str, ...]:
    """The words between `start` and `end` that must stay."""
    holes: list[tuple[int, int, tuple[str, ...]]] = []
    for a, b in command_spans(block, start, end):
        done = cut(block.text[a:b])
        if done.verbs:
            holes.append((a, b, done.pieces))
    linked = (s for s in block.spans if s.target and start <= s.start and s.end <= end)
    holes += [(span.end, span.end, ()) for span in linked]
    holes += [(*m.span(), ()) for m in p.NODE_PLACE.finditer(block.text, start, end)]
    if block.kind == "row":
        holes += _between_cells(block)
    found, at = [], start
    for a, b, inner in sorted(holes):
        if a < at:
            continue
        found += [block.text[at:a], *inner]
        at = b
    found.append(block.text[at:end])
    trimmed = [" ".join(piece.split()).strip(_EDGES) for piece in found]
    return tuple(piece for piece in trimmed if any(c.isalnum() for c in piece))


def _between_cells(block: Block) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """The separators and column headings of a row's text."""
    at = 0
    for column, cell in block.cells:
        if not cell:
            continue
        lead = " | " if at else ""
        head = f"{column}: " if column else ""
        if block.text.startswith(lead + head, at):
            yield at, at + len(lead + head), ()
            at += len(lead + head)
        following = block.text.find(" | ", at + len(cell) - cell.count("\n"))
        at = len(block.text) if following < 0 else following


def is_open(pieces: Iterable[str]) -> bool:
    """Whether nothing is left that says something."""
    return not any(any(c.isalnum() for c in piece) for piece in pieces)


def core_step(sentence: Sentence, block: Block) -> str:
    """What NVSentinel does of a step that is nothing but that; "" when anything is left.

    `Cordon the node with <command>` is; `Drain it, wait 20 minutes for the trainers` is not.
    """
    rest, verbs, at = "", list[str](), sentence.start
    for a, b in command_spans(block, sentence.start, sentence.end):
        done = cut(block.text[a:b])
        rest += block.text[at:a] + ("" if done.verbs and is_open(done.pieces) else block.text[a:b])
        verbs += done.verbs
        at = b
    rest += block.text[at : sentence.end]
    spoken = _IMPERATIVE.match(rest)
    if spoken and not verbs:
        word = next(g for g in spoken.groups() if g).lower() if any(spoken.groups()) else ""
        known = {"evict": "drain", "un-cordon": "uncordon", "mark": "cordon"}
        verb = known.get(word, word)
        verbs = [verb if verb in ("cordon", "drain", "uncordon", "taint") else "reboot"]
    elif not spoken and verbs and len(rest.split()) > 4:
        return ""
    if not verbs or len(rest.split()) > 10 or _ANOTHER_DOING.search(rest):
        return ""
    return "" if any(pattern.search(rest) for pattern in _FACTS) else verbs[0]
