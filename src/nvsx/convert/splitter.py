"""The split by rules: what leaves a page for NVSentinel, and where the rest is said.

Every sentence goes somewhere. NVSentinel's own steps are left out (the ledger checks that
something watches them); messages become posts, pages and tickets; the rest is said to
people at the turn it belongs to, and at the start when no rule knows one. No command of a
page is ever run: it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nvsx.convert import page_patterns as p
from nvsx.convert.blocks import Block, one_line
from nvsx.convert.commands import cut
from nvsx.convert.facts import atoms, code_lines
from nvsx.convert.pieces import QUOTED, Sentence, command_spans, core_step, is_open, sentences
from nvsx.convert.stages import Cursor, find_overdue, is_failure

Channel = Literal["say", "slack", "page", "jira"]

_CLOSING = re.compile(
    r"\b(?:clos(?:e|es|ed|ing)|resolv\w+|acknowledge|ack|snooze|silence|merge)\b", re.IGNORECASE
)
#: A sentence that tells how things are: nothing to tick off.
_STATEMENT = re.compile(
    r"(?:an?|the|this|these|it|there|der|die|das|eine?|les?|la|une?|el|los)\b"
    r"(?!.*\b(?:must|should|ha(?:s|ve) to|needs? to|muss|sollte|doit|debe)\b)",
    re.IGNORECASE,
)
_SYMPTOMS = re.compile(r"\b(?:symptom\w*|symptôme\w*|síntoma\w*)|症状", re.IGNORECASE)
_AGAIN = re.compile(r"\b(?:every|each|alle|toutes|chaque|cada|repeat)\b|毎|每", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HookLine:
    """One thing a hook says. `target` is a stage, `<stage>-overdue` or `failure`."""

    target: str
    channel: Channel
    text: str
    page: str
    line: int
    mark: str = ""
    block: int = -1


@dataclass(slots=True)
class Split:
    """What became of the page: lines in its order, and what no rule could place."""

    lines: list[HookLine] = field(default_factory=list)
    budgets: dict[str, str] = field(default_factory=dict)
    unplaced: list[HookLine] = field(default_factory=list)


def split(blocks: Sequence[Block], course: str) -> Split:
    """Where each sentence of these blocks goes, for a fault with this course."""
    return _Splitter(blocks, course).run()


class _Splitter:
    def __init__(self, blocks: Sequence[Block], course: str) -> None:
        self.blocks = blocks
        self.chained = course != "reported"
        self.cursor = Cursor()
        self.done = Split()
        self.places: dict[int, str] = {}  # where each block's first sentence went
        self.index = 0
        self.message: dict[int, Channel] = {}  # items whose children are their message
        self.leading = {i for i, b in enumerate(blocks[1:]) if b.kind == "code"}
        self.symptoms = False  # under a heading that says so: what is seen, not what to do

    def run(self) -> Split:
        page = ""
        for index, block in enumerate(self.blocks):
            if block.page != page:
                page, self.cursor = block.page, Cursor()
            self.index = index
            if block.kind in ("heading", "head"):
                self._take_heading(block)
            elif block.kind == "code":
                self._take_code(block)
            else:
                for sentence in sentences(block):
                    self._take_sentence(sentence, block, index)
        return self.done

    def _take_heading(self, block: Block) -> None:
        """Headings move the cursor; they are said where they carry a fact of their own."""
        if block.kind == "heading":
            first = not any(
                b.kind == "heading" and b.page == block.page for b in self.blocks[: self.index]
            )
            self.cursor.heading(block.text, first=first)
            self.symptoms = _SYMPTOMS.search(block.text) is not None
        facts = [kind for kind, _, _ in atoms(block.text) if kind != "fault"]
        if facts or block.spans or (self.cursor.aside and block.kind == "heading"):
            target = self.cursor.place("") if self.cursor.told else "preflight"
            self._add_line(target, "say", block.shown(), block, block.line, "==")

    def _take_code(self, block: Block) -> None:
        channel = self.message.get(block.parent, "say")
        for offset, said in code_lines(block.text):
            words = one_line(re.sub(r"^(?:[\w.@~/:-]*[$#>]) (?=\S)", "", said.strip()))
            result = cut(words or said.strip())
            if result.verbs:
                for verb in result.verbs:
                    self.cursor.did(verb)
                if is_open(result.pieces):
                    continue
            target = self.places.get(block.parent) or self.cursor.place("")
            self._add_line(target, "say", result.shown, block, block.line + offset, "   ")
            if channel != "say":
                self._add_line(target, channel, result.shown, block, block.line + offset)

    def _take_sentence(self, sentence: Sentence, block: Block, index: int) -> None:
        shown = tell_sentence(block, sentence)
        if not shown:
            return
        line = block.line_at(sentence.start)
        is_step = block.kind == "item" or block.parent >= 0
        verb = core_step(sentence, block) if is_step or block.kind == "text" else ""
        warned = block.alert or p.CAVEAT.search(sentence.text) is not None
        if verb and not warned and block.kind != "row" and is_step:
            self.cursor.did(verb)
            return
        target = self.cursor.place(sentence.text)
        for a, b in command_spans(block, sentence.start, sentence.end):
            for done in cut(block.text[a:b]).verbs:
                self.cursor.did(done)
        if self._take_overdue(sentence, block, line, shown, target):
            return
        if is_failure(sentence.text) and target in ("drain", "remediate", "recover"):
            self._add_line(target, "say", shown, block, line, "[ ]")
            self._add_line("failure", "say", shown, block, line, "[ ]")
            return
        channel = self._choose_channel(sentence, block, warned=warned)
        if not warned and self._is_reference(sentence, block, is_step=is_step):
            self._add_line("preflight", "say", shown, block, line, "-")
            return
        if channel == "say":
            known = is_step or self.cursor.aside or self.cursor.told or warned
            if block.kind == "text" and not is_step and not self.cursor.told and not warned:
                target = "preflight"
            told_of = self.symptoms or _STATEMENT.match(sentence.text.strip())
            doing = target != "preflight" and (index in self.leading or (is_step and not told_of))
            mark = "!" if warned else "[ ]" if doing else "-"
            ends = target == "recover" and _CLOSING.search(sentence.text)
            if mark == "[ ]" and ends and p.PAGER.search(sentence.text):
                mark = "[page]"  # this hook resolves what the run paged
            self._add_line(target, "say", shown, block, line, mark, known=known)
            return
        if target == "preflight" and not self.cursor.aside:
            target = "detect"
        self._route_line(channel, target, sentence, block, index, line)

    def _is_reference(self, sentence: Sentence, block: Block, *, is_step: bool) -> bool:
        """Whom to ask and what the page is: wanted at hand from the start, sent to nobody."""
        if block.kind == "row":
            about = " ".join(column for column, _ in block.cells)
            return p.PEOPLE.search(about) is not None
        return not is_step and not self.cursor.told and p.LABEL.match(sentence.text) is not None

    def _route_line(
        self,
        channel: Channel,
        target: str,
        sentence: Sentence,
        block: Block,
        index: int,
        line: int,
    ) -> None:
        """A message: its quoted words are what is sent, the sentence says when and where."""
        shown = tell_sentence(block, sentence)
        above = self.message.get(block.parent)
        if sentence.text.rstrip().endswith(":") and not above:
            self.message[index] = channel
            self._add_line(target, "say", shown, block, line, f"[{channel}]")
            return
        quoted = max((m[0][1:-1] for m in QUOTED.finditer(shown)), key=len, default="")
        if len(quoted) > 11 and channel == "slack":
            self._add_line(target, "say", shown, block, line, "[slack]")
            self._add_line(target, channel, quoted, block, line)
            return
        repeats = channel == "slack" and _AGAIN.search(sentence.text)
        # A pager takes the words as they are; what to write elsewhere is for people to know.
        mark = "   " if above else "[page]" if channel == "page" else "[ ]"
        self._add_line(target, "say", shown, block, line, mark)
        if not repeats:
            self._add_line(target, channel, shown, block, line)

    def _take_overdue(
        self, sentence: Sentence, block: Block, line: int, shown: str, here: str
    ) -> bool:
        """Escalation after a time becomes the stage's budget and its overdue hook."""
        if not self.chained or not any(pattern.search(sentence.text) for pattern in p.TALK):
            return False
        if p.NEGATION.search(sentence.text) and not p.CONDITION.search(sentence.text):
            return False
        stage, budget = find_overdue(sentence.text, here)
        if not stage or here == "preflight":
            return False
        first = self.done.budgets.setdefault(stage, budget) == budget
        channel = self._channel_named_in(sentence.text) if first else "say"
        if first and channel == "say" and p.ESCALATE.search(sentence.text):
            channel = "page"
        self._add_line(f"{stage}-overdue", "say", shown, block, line, "[ ]")
        if channel != "say":
            self._add_line(f"{stage}-overdue", channel, shown, block, line)
        if channel == "page" and (p.SLACK.search(sentence.text) or p.CHANNEL.search(sentence.text)):
            self._add_line(f"{stage}-overdue", "slack", shown, block, line)
        return True

    def _choose_channel(self, sentence: Sentence, block: Block, *, warned: bool) -> Channel:
        """How a sentence is told: conditions and warnings are for people to judge."""
        above = self.message.get(block.parent)
        if above:
            return above
        if self.cursor.aside or block.kind == "row" or warned:
            return "say"
        if p.CONDITION.search(sentence.text) or p.NEGATION.search(sentence.text):
            return "say"
        return self._channel_named_in(sentence.text)

    @staticmethod
    def _channel_named_in(text: str) -> Channel:
        """Whom a sentence tells; words it quotes say nothing about that."""
        text = QUOTED.sub(" ", text)
        if _CLOSING.search(text):
            return "say"
        if p.JIRA.search(text):
            return "jira"
        if p.PAGER.search(text):
            return "page"
        if p.SLACK.search(text) or p.CHANNEL.search(text):
            return "slack"
        return "say"

    def _add_line(
        self,
        target: str,
        channel: Channel,
        text: str,
        block: Block,
        line: int,
        mark: str = "",
        *,
        known: bool = True,
    ) -> None:
        if not self.chained and target not in ("preflight", "recover", "postmortem", "failure"):
            target = "detect"
        made = HookLine(target, channel, text, block.page, line, mark, self.index)
        self.places.setdefault(self.index, target)
        self.done.lines.append(made)
        if not known:
            self.done.unplaced.append(made)


def tell_sentence(block: Block, sentence: Sentence) -> str:
    """A sentence as a hook says it: addresses behind their labels, NVSentinel's own
    commands replaced by what NVSentinel does."""
    out, at = "", sentence.start
    for a, b, words in _find_changes(block, sentence):
        if a < at:
            continue
        out += block.text[at:a] + words
        at = b
    return one_line(out + block.text[at : sentence.end])


def _find_changes(block: Block, sentence: Sentence) -> Iterator[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    for a, b in command_spans(block, sentence.start, sentence.end):
        result = cut(block.text[a:b])
        if result.verbs:
            found.append((a, b, result.shown))
    for span in block.spans:
        inside = sentence.start <= span.start and span.end <= sentence.end
        label = block.text[span.start : span.end]
        if inside and span.target and not span.target.startswith("#") and span.target not in label:
            gap = " " if label.strip() else ""
            found.append(
                (span.end, span.end, f"{gap}({span.target})" if gap else f" {span.target} ")
            )
    yield from sorted(found)
