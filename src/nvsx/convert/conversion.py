"""One conversion from pages to a checked draft; the command shows it and writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nvsx.convert import facts, offline, page_masking, reader
from nvsx.convert.blocks import Block, Page
from nvsx.convert.checking import ConversionDesk, DraftReport, examine, find_rival
from nvsx.convert.draft import RunbookDraft
from nvsx.convert.facts import PageFact
from nvsx.convert.page_masking import PageSecret
from nvsx.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class PageSource:
    """The pages, without their secrets, and all that was found in them."""

    pages: tuple[Page, ...]
    blocks: tuple[Block, ...]
    facts: tuple[PageFact, ...]
    secrets: tuple[PageSecret, ...]
    paths: tuple[Path, ...]


def read(paths: Sequence[Path]) -> PageSource:
    """Read the pages. They are called by their file names, never by a path of this machine.

    Raises UsageError for one that cannot be read.
    """
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = ["-".join(path.parts[-2:]) for path in paths]
    if len(set(names)) < len(names):
        raise UsageError("two of these pages are the same, or named alike", "name each once")
    pages, secrets = page_masking.mask_pages(
        [reader.read_page(path, name) for path, name in zip(paths, names, strict=True)]
    )
    blocks = reader.blocks_of(pages)
    found = facts.extract(blocks)
    return PageSource(tuple(pages), tuple(blocks), tuple(found), tuple(secrets), tuple(paths))


def convert_offline(
    source: PageSource, name: str, desk: ConversionDesk
) -> tuple[RunbookDraft, DraftReport]:
    """The rules' draft and what the checks say about it."""
    made = by_rules(source, name, desk)
    return made, examine(made, source.facts, source.pages, desk)


def by_rules(source: PageSource, name: str, desk: ConversionDesk) -> RunbookDraft:
    """The rules' draft, without triggers where another runbook has them already."""
    made = offline.draft(name, source.pages, source.blocks, desk.words)
    other = find_rival(made, desk)
    if not other:
        return made
    return offline.draft(name, source.pages, source.blocks, desk.words, routed=other)
