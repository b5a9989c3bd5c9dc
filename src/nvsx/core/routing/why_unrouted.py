"""Why no runbook takes an event: the one thing that would change it, most telling first.

    XID 79, severity warning          gpu-off-bus is for it, but a warning is not serious
    XID 79, stored only               gpu-off-bus is for it, but NVSentinel does not act on it
    SysLogsXIDError without a code    no error code was found; where to say it
    KubePodCrashLooping               no runbook is for that check; where to say what it means

The rest is in the explanation, rule by rule.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nvsx.core.routing.trigger_facts import TriggerFacts

#: Sources of NVSentinel's own events: no line of nvsx.yaml says how these are read.
_OWN_SOURCES = ("nvsentinel", "watch", "poll", "cli", "webhook", "")

FindWinner = Callable[[TriggerFacts], str]
"""The name of the runbook that these facts would fire; "" for none."""


def tell_why_unrouted(facts: TriggerFacts, find_winner: FindWinner) -> str:
    """One sentence. `find_winner` tells what would fire if a fact were another."""
    if facts.is_healthy:
        return "a healthy event fires nothing"
    line = f"serve.sources.{facts.source}" if facts.source not in _OWN_SOURCES else ""
    executed = msgspec.structs.replace(facts, processing_strategy="EXECUTE_REMEDIATION")
    serious = msgspec.structs.replace(facts, is_fatal=True)
    if not facts.is_fatal and (winner := find_winner(serious)):
        weight = f"its severity {facts.severity} is not serious" if facts.severity else "not fatal"
        told = f"no runbook matches: {winner} is for it, but it is {weight}"
        told = told.replace("it is its", "its")
        where = f"; {line}.severity in nvsx.yaml says what is, or " if line else "; "
        return f"{told}{where}`fatal: any` in its triggers takes it"
    if executed != facts and (winner := find_winner(executed)):
        strategy = facts.processing_strategy
        return (
            f"no runbook matches: {winner} is for it, but its strategy is {strategy}, so "
            f"NVSentinel does not act on it; `strategy: [{strategy}]` in its triggers takes it"
        )
    said = " ".join((facts.check_name, ", ".join(facts.error_codes))).strip()
    if not line:
        return f"no runbook matches {said}" if said else "no runbook matches: it names no check"
    if not said:
        return f"no runbook matches: it names no check; {line}.check or .runbook in nvsx.yaml does"
    if facts.error_codes:
        where = f"{line}.check in nvsx.yaml says which check it means, .runbook names a runbook"
    else:
        where = (
            f"{line}.check in nvsx.yaml says which check it means, and no error code was found "
            f"({line}.errorCode in nvsx.yaml says where it is)"
        )
    return f"no runbook matches {said}; {where}"
