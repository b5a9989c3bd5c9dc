"""An incident as text for a terminal: `incidents list` and `show`, `status`. Pure.

Times are UTC. What is not known is said to be so, and NVSentinel's words are quoted.
"""

from __future__ import annotations

from collections.abc import Iterator

from nvsx.core import durations
from nvsx.core.aliases import alias_of
from nvsx.core.incident.incident_account import AccountAttempt, AccountFault, IncidentAccount
from nvsx.core.incident.incident_lines import describe_hold, format_clock
from nvsx.core.incident.incident_store import IncidentRow

TOLD_SHOWN = 4
"""The newest messages of an incident in `status`; `incidents show` has all."""
LIST_HEAD = ("INCIDENT", "NODE", "FAULTS", "STATE", "ATTEMPTS", "SINCE (UTC)", "ENDED")


def cells_of_row(row: IncidentRow) -> tuple[str, ...]:
    """A line of the list, below `LIST_HEAD`."""
    kind = " · sandbox" if row.sandbox else " · drill" if row.drill else ""
    return (
        row.incident,
        f"{row.node} ({alias_of(row.node)}){kind}",
        name_faults(row),
        describe_state(row),
        count_attempts(row),
        format_clock(row.opened)[:-3],
        describe_end(row),
    )


def name_faults(row: IncidentRow) -> str:
    return ", ".join(row.faults) or "no fault named"


def describe_state(row: IncidentRow) -> str:
    """`needs people: repair-timed-out`."""
    return f"{row.state}: {row.code}" if row.code and not row.how else row.state


def describe_end(row: IncidentRow) -> str:
    """`recovered 2026-03-02 12:00`; `-` while it is open."""
    if row.ended is None:
        return "-"
    return f"{row.how} {format_clock(row.ended)[:-3]}"


def count_attempts(row: IncidentRow) -> str:
    failed = f", {row.failed_attempts} failed" if row.failed_attempts else ""
    return f"{row.attempts}{failed}" if row.attempts else "none"


def page_lines(account: IncidentAccount, now: float) -> list[str]:
    """All of one incident: what happened, then what is now. `now` in Unix seconds."""
    row = account.row
    kind = ", on a sandbox" if row.sandbox else ", a drill" if row.drill else ""
    lines = [f"{row.incident} on {row.node} ({account.alias}){kind}", "", "what happened (UTC)"]
    day = ""
    for line in account.timeline:
        today, time = format_clock(line.t).split(" ")
        if today != day:
            lines.append(f"  {today}")
            day = today
        lines.append(f"  {time}  {line.text}")
    return [*lines, "", *_now_lines(account, now)]


def _now_lines(account: IncidentAccount, now: float) -> Iterator[str]:
    row = account.row
    yield from state_lines(account, now)
    yield "faults" if account.faults else "faults: none was named"
    for fault in account.faults:
        yield f"  {describe_fault(fault)}"
        yield f"    {describe_fault_times(fault, is_over=row.ended is not None)}"
    yield "attempts" if account.attempts else "attempts: none was seen"
    for attempt in account.attempts:
        yield f"  {describe_attempt(attempt)}"
    yield from hold_lines(account)
    yield from run_lines(account)
    for awaited in account.awaited:
        yield f"kept open until: {awaited}"


def state_lines(account: IncidentAccount, now: float) -> Iterator[str]:
    """State, cause and remedy."""
    row = account.row
    if row.ended is not None:
        by = f" by {account.closed_by}" if account.closed_by else ""
        yield f"over: {row.how}{by} at {format_clock(row.ended)}" + _append_cause(row.cause)
        for still in account.still:
            yield f"still held when it ended: {still}"
        return
    length = durations.format(round(max(0.0, now - account.since)))
    code = f" ({row.code})" if row.code else ""
    yield f"now: {row.state} since {format_clock(account.since)}, {length} ago" + (
        _append_cause(row.cause) + code
    )
    if row.remedy:
        yield f"remedy: {row.remedy.strip(' ;')}"
    yield f"last news: {format_clock(account.last_news)}"


def _append_cause(cause: str) -> str:
    return f": {cause}" if cause else ""


def summary_lines(account: IncidentAccount, now: float) -> Iterator[str]:
    """One open incident of several, below each other."""
    row = account.row
    kind = " · sandbox" if row.sandbox else " · drill" if row.drill else ""
    yield f"  {row.incident}  {row.node} ({account.alias}){kind}: {name_faults(row)}"
    below = [*state_lines(account, now), f"attempts: {count_attempts(row)}"]
    below += [f"attempt {describe_attempt(attempt)}" for attempt in account.attempts[-1:]]
    below += [*hold_lines(account), *run_lines(account)]
    below += [f"awaited: {awaited}" for awaited in account.awaited]
    told = [line for line in account.timeline if line.kind == "told"]
    below += [f"{format_clock(t.t).split(' ')[1]} {t.text}" for t in told[-TOLD_SHOWN:]]
    for line in below:
        yield f"    {line}"


def describe_fault(fault: AccountFault) -> str:
    on = ", ".join(f"{kind} {value}" for kind, value in fault.entities)
    words = ["planned work" if fault.planned else "fatal" if fault.fatal else "not fatal"]
    if fault.action:
        words.append(f"recommended action {fault.action}")
    if fault.explained_by:
        words.append(f"explained by the reboot of attempt {fault.explained_by}")
    return f"{fault.no}: {fault.name}" + (f" on {on}" if on else "") + f", {', '.join(words)}"


def describe_fault_times(fault: AccountFault, *, is_over: bool) -> str:
    """What is known of its times; nothing is estimated."""
    began = (
        "began at an unknown time"
        if fault.generated is None
        else _say_time("began", fault.generated)
    )
    words = [began, _say_time("seen", fault.seen)]
    if fault.quarantined is not None:
        words.append(_say_time("quarantined", fault.quarantined))
    if fault.still_there:
        words.append("not seen to clear" if is_over else "still there")
    else:
        words.append(_say_time("cleared", fault.cleared))
    if fault.released is not None:
        words.append(_say_time("released", fault.released))
    if fault.to_repair_s is not None:
        words.append(f"time to repair {durations.format(fault.to_repair_s)}")
    return ", ".join(words)


def _say_time(word: str, at: float | None) -> str:
    return f"{word} at an unknown time" if at is None else f"{word} {format_clock(at)}"


def describe_attempt(attempt: AccountAttempt) -> str:
    serves = f" for {', '.join(attempt.serves)}" if attempt.serves else ""
    asked = _say_time("asked for", attempt.began)
    head = f"{attempt.no}: {attempt.title}{serves} ({attempt.why}), {asked}"
    return f"{head}: {describe_outcome(attempt)}"


def describe_outcome(attempt: AccountAttempt) -> str:
    """`failed at 12:10:00 (timeout: …)`, or how far it is."""
    why = ": ".join(part for part in (attempt.failure, attempt.detail) if part)
    if attempt.outcome in ("succeeded", "failed"):
        return _say_time(attempt.outcome, attempt.ended) + (f" ({why})" if why else "")
    if attempt.outcome == "taken away":
        return "taken away before it had ended"
    if attempt.outcome:
        return "not seen to end"
    seen = ["under way"]
    if attempt.signal:
        seen.append("signal sent" if attempt.signal == "sent" else "signal refused")
    if attempt.request:
        seen.append(f'NVSentinel\'s request says "{attempt.request}"')
    seen.append("new boot seen" if attempt.booted else "no new boot seen")
    return ", ".join([*seen, *([why] if why else [])])


def hold_lines(account: IncidentAccount) -> Iterator[str]:
    for hold in account.holds:
        since = ", since when is not known"
        if hold.since is not None:
            since = f" since {format_clock(hold.since)}"
        detail = f": {hold.detail}" if hold.detail else ""
        yield f"held: {describe_hold(hold)}{since}{detail}"


def run_lines(account: IncidentAccount) -> Iterator[str]:
    if not account.runs:
        yield "runs: none"
    for run in account.runs:
        of = f" of {run.runbook}" if run.runbook else ""
        yield f"run {run.run_id}{of}: {run.status or 'not known to have ended'}"
