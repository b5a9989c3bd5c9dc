"""Reads pages: finds out what kind each is and takes it apart into blocks.

Markdown by markdown-it-py, HTML (Confluence exports among it) by the standard library's
parser, anything else line by line. It understands form only, never the meaning of words,
and nothing a page says changes what this does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from nvsx.convert.blocks import Block, Page, clean
from nvsx.convert.html import html_blocks
from nvsx.convert.markdown import markdown_blocks
from nvsx.convert.text_blocks import text_blocks
from nvsx.core.errors import UsageError

MAX_BYTES = 2 * 1024 * 1024
_MARKUP = re.compile(
    r"\s*(?:<!doctype html|<\?xml|<html|<body|<div|<h[1-6]|<ac:|<p>|<table)", re.IGNORECASE
)
_MARKDOWN = re.compile(r"^(?:#{1,6} |```|~~~|> |\s*[-*+] \[[ x]\])|\]\(|\*\*\w", re.MULTILINE)
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


def read_page(path: Path, name: str) -> Page:
    """The page in a file. Raises UsageError when it is missing, too large or no text."""
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{name} cannot be read: {exc.strerror or exc}") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(
            f"{name} is larger than {MAX_BYTES // 1024 // 1024} MB",
            "split it, or export it without embedded images",
        )
    text = _decode_page(raw, name)
    if not text.strip():
        raise UsageError(f"{name} is empty")
    return Page(name, clean(text), hashlib.sha256(raw).hexdigest())


def _decode_page(raw: bytes, name: str) -> str:
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    if b"\0" in raw[:8192] or raw.startswith((b"%PDF", b"PK\x03\x04")):
        raise UsageError(f"{name} is not text", "export it as Markdown, HTML or plain text")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def kind_of(page: Page) -> str:
    """`html`, `markdown` or `text`: by content first, since exports are often misnamed."""
    suffix = Path(page.name).suffix.lower()
    if suffix in (".html", ".htm", ".xhtml") or _MARKUP.match(page.text):
        return "html"
    if suffix in (".md", ".markdown", ".mdown"):
        return "markdown"
    return "markdown" if _MARKDOWN.search(page.text) else "text"


def blocks_of(pages: Sequence[Page]) -> list[Block]:
    """The blocks of all pages, in order; `parent` indexes this list."""
    found: list[Block] = []
    readers = {"html": html_blocks, "markdown": markdown_blocks, "text": text_blocks}
    for page in pages:
        found += readers[kind_of(page)](page.text, page.name, len(found))
    return found
