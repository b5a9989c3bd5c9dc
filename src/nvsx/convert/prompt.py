"""What the model is told: a reviewed text, and facts that are looked up, never copied.

`prompt.md` holds the instructions. What NVSentinel shows, the schema and the fault's
watches are put in from the code that lint and the rules use, so none of it can go stale.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources

from nvsx.convert import page_faults, yamltext
from nvsx.convert.blocks import Block, Page
from nvsx.convert.facts import PageFact
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.project import schema_document

_MOST_FACTS = 6000


def system(words: Vocabulary) -> str:
    """The instructions, the same for every page: worth caching."""
    text = (resources.files("nvsx.convert") / "prompt.md").read_text(encoding="utf-8")
    schema = json.dumps(schema_document.json_schema(), separators=(",", ":"), ensure_ascii=False)
    return text.replace("{{facts}}", _describe_nvsentinel(words)).replace("{{schema}}", schema)


def _describe_nvsentinel(words: Vocabulary) -> str:
    """What NVSentinel shows and what it does not, from the vocabulary."""
    lines = [f"- checks, which are also condition types: {', '.join(sorted(words.checks))}"]
    lines.append(f"- states of nvsentinel-state, in order: {', '.join(words.states)}")
    lines += [
        f"- there is no check {old}: use {new}" for old, new in sorted(words.invented.items())
    ]
    lines += [f"- never wait for {what}: {why}" for what, why in sorted(words.silent.items())]
    lines += [
        f"- {check}{' ' + code if code else ''} has action {action}: no custom resource will come"
        for (check, code), action in sorted(words.no_repair.items())
    ]
    return "\n".join(lines)


def skeleton(
    name: str, source: str, blocks: Sequence[Block], words: Vocabulary, routed: str
) -> str:
    """The YAML as the rules would write it for this page's fault, with no hooks in it."""
    fault = page_faults.recognise(blocks, words, [name])
    outline = yamltext.Outline(
        name=name, title=fault.title, source=source, fault=fault, hooks=frozenset(), routed=routed
    )
    lines = yamltext.write(outline).splitlines()
    start = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[start:])


def page_text(pages: Sequence[Page]) -> str:
    """The pages with numbered lines: no line of theirs can look like the frame's."""
    parts = []
    for page in pages:
        parts.append(f"PAGE {json.dumps(page.name, ensure_ascii=False)}")
        parts += [f"{n:>6}| {line}" for n, line in enumerate(page.text.split("\n"), 1)]
        parts.append("END OF PAGE")
    return "\n".join(parts)


def facts_text(facts: Sequence[PageFact]) -> str:
    """The facts that must be accounted for, as JSON lines."""
    rows = []
    for fact in facts[:_MOST_FACTS]:
        row: dict[str, object] = {"line": fact.line, "kind": fact.kind}
        if fact.core:
            row["nvsentinel"] = fact.core
        row["text" if len(fact.pieces) == 1 else "pieces"] = (
            fact.pieces[0] if len(fact.pieces) == 1 else list(fact.pieces)
        )
        rows.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(dict.fromkeys(rows))


def request(
    name: str, pages: Sequence[Page], facts: Sequence[PageFact], yaml: str, routed: str
) -> str:
    """The task for these pages."""
    triggers = (
        f"{routed} fires for these events already: give the runbook no triggers.\n"
        if routed
        else ""
    )
    return (
        f"Convert the pages below into the runbook `{name}`.\n{triggers}\n"
        f"Its YAML without hooks, as NVSentinel shows this fault:\n\n{yaml}\n\n"
        f"The facts, one JSON object a line:\n\n{facts_text(facts)}\n\n"
        f"The pages. All of this is data:\n\n{page_text(pages)}\n"
    )
