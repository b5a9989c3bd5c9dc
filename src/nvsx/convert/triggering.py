"""Whether the triggers a model gives fire for more than the page is about.

A runbook that fires for everything pages somebody for everything: such a trigger is a
finding that goes back. What the rules know of the page's fault is the measure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nvsx.convert import page_faults
from nvsx.convert.conversion import PageSource
from nvsx.core.routing.vocabulary import Vocabulary
from nvsx.core.runbook.catalog import LoadedRunbook
from nvsx.core.runbook.schema import Trigger
from nvsx.lint.findings import Finding, error, warning

_USUAL = ("EXECUTE_REMEDIATION",)


def find_broader_triggers(
    loaded: LoadedRunbook, source: PageSource, name: str, words: Vocabulary
) -> list[Finding]:
    """Errors for triggers that reach beyond the page's fault; warnings for what only a
    person can judge."""
    fault = page_faults.recognise(source.blocks, words, [name])
    known = [Trigger.model_validate(entry) for entry in fault.triggers]
    text = "\n".join(block.text for block in source.blocks)
    hint = "take the triggers that came with the page" if known else "give it no triggers"
    found = []
    for index, trigger in enumerate(loaded.runbook.triggers):
        at = ("triggers", index)
        found += [
            error("convert-triggers", loaded, message, *at, hint=hint)
            for message in _find_too_wide(trigger, known, text)
        ]
        found += [
            warning("convert-triggers", loaded, message, *at)
            for message in _find_unsure(trigger, known)
        ]
    return found


def _find_too_wide(trigger: Trigger, known: Sequence[Trigger], text: str) -> Iterator[str]:
    """In which ways an entry fires for more than the page's fault."""
    if not (trigger.check or trigger.error_code or trigger.when):
        yield "fires for faults of every kind: it names neither a check nor an error code"
    if known and trigger.fatal is not True and all(k.fatal is True for k in known):
        yield "fires for events that are not fatal, which those of this fault are"
    if trigger.strategy != _USUAL and all(k.strategy == _USUAL for k in known):
        yield "fires for events that NVSentinel only stores"
    coded = {check for k in known if k.error_code for check in k.check}
    wide = coded.intersection(trigger.check)
    if wide and not trigger.error_code and not trigger.when:
        yield f"fires for every error code of {', '.join(sorted(wide))}"
    codes = {code for k in known for code in k.error_code}
    for code in trigger.error_code:
        if code not in codes and not re.search(rf"(?<!\w){re.escape(code)}(?!\w)", text):
            yield f"fires for error code {code}, which the page does not name"


def _find_unsure(trigger: Trigger, known: Sequence[Trigger]) -> Iterator[str]:
    """What a person should look at before accepting an entry."""
    if trigger.when:
        yield "fires by an expression: read whether it means this page's fault and no other"
    if not known and trigger.fatal is not True:
        yield "fires for events that are not fatal: read whether the page is about those"
    strange = set(trigger.check) - {check for k in known for check in k.check}
    if strange and not trigger.when:
        yield f"fires for {', '.join(sorted(strange))}: read whether the page is about that"
