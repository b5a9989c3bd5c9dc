"""A sender's words for the state and the weight of an alert, and what nvsx takes them for.

Every product has its own pair of states (alerting and ok, triggered and recovered, open and
closed) and its own scale. What is not known here is taken as serious and as going on, and said:
a page too many can be read, one too few cannot.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from nvsx.core.senders.http_request import quote
from nvsx.core.senders.instants import read_time
from nvsx.core.senders.message_fields import Finder

Place = tuple[str, object]
State = Literal["firing", "resolved", "other"]

#: Pairs of states that belong together, as their senders write them.
_PAIRS = (
    ("firing", "resolved"),  # Prometheus, Alertmanager, Grafana
    ("alerting", "ok"),  # Grafana's legacy alerting
    ("alarm", "ok"),  # CloudWatch
    ("triggered", "recovered"),  # Datadog
    ("triggered", "resolved"),  # PagerDuty
    ("open", "closed"),  # GCP Monitoring, Opsgenie, ServiceNow
    ("opened", "closed"),
    ("activated", "closed"),  # New Relic
    ("created", "closed"),
    ("create", "close"),  # Opsgenie's actions
    ("problem", "ok"),  # Zabbix, Nagios, Icinga
    ("problem", "recovery"),  # Splunk On-Call, Nagios
    ("problem", "resolved"),
    ("trigger", "resolve"),  # PagerDuty's Events API
    ("raised", "cleared"),
    ("active", "inactive"),
    ("active", "normal"),
    ("failing", "passing"),
    ("unhealthy", "healthy"),
    ("down", "up"),
    ("unresolved", "solved"),
    ("set", "clear"),
    ("new", "done"),
    ("warn", "recover"),  # Datadog
    ("re-triggered", "fixed"),
    ("renotify", "completed"),
    ("critical", "canceled"),
    ("in progress", "cancelled"),  # ServiceNow
    ("on hold", "complete"),
    ("warning", "recovered"),
)
#: People's work on an alert: it neither begins nor ends one.
_BETWEEN = frozenset(
    (
        "acknowledged ack acknowledge acked acknowledgement pending paused snoozed suppressed"
        " assigned updated unacked no_data nodata unknown insufficient_data"
    ).split()
) | {"no data"}
_FIRING = frozenset(firing for firing, _ in _PAIRS) | {"false"}
_RESOLVED = frozenset(resolved for _, resolved in _PAIRS) | {"true"}

_SERIOUS = frozenset(
    (
        "critical crit fatal page emergency emerg alert error err high highest major disaster"
        " urgent blocker severe serious panic average medium moderate"
        " p0 p1 p2 p3 sev0 sev1 sev2 sev3 s0 s1 s2 s3 priority1 priority2 priority3"
    ).split()
)
_HARMLESS = frozenset(
    (
        "warning warn minor low lowest info informational information notice debug trivial none ok"
        " planning p4 p5 sev4 sev5 s4 s5 priority4 priority5 notclassified"
    ).split()
)


def _fold_word(word: str) -> str:
    return word.strip().casefold()


def read_state(word: str) -> State | None:
    """What a state means; None for a word that is not known.

    `incident.resolved` and `ALERT_CLOSED` are read by their last part; `true` and `false` answer
    the rule's name, "resolved".
    """
    folded = _fold_word(word)
    for form in (folded, re.split(r"[._:/ ]", folded)[-1]):
        if form in _RESOLVED:
            return "resolved"
        if form in _FIRING:
            return "firing"
        if form in _BETWEEN:
            return "other"
    return None


def read_severity(word: str) -> bool | None:
    """Whether a severity is serious; None for one that is not known.

    `SEV-1`, `Sev 1`, `sev_1` and `1 - Critical` are read as people mean them: a letter's number
    belongs to it, and of several words the first that is known decides. A bare number is known
    to nobody: 1 is the worst for ServiceNow and the mildest for Zabbix.
    """
    folded = re.sub(r"\b(p|s|sev|priority|severity)[\s_:-]*(\d)\b", r"\1\2", _fold_word(word))
    folded = folded.replace("severity", "sev").replace("not classified", "notclassified")
    for part in (folded, *re.findall(r"[a-z]+\d?", folded)):
        if part in _SERIOUS:
            return True
        if part in _HARMLESS:
            return False
    return None


class AlertState(msgspec.Struct, frozen=True, kw_only=True):
    """Where an alert is in its life. `stated` says that its sender has states at all; `between`
    is a state that neither begins nor ends anything. `time` is its own, in Unix seconds, and
    `key` the sender's identity for it."""

    resolved: bool = False
    stated: bool = False
    between: str = ""
    serious: bool = True
    time: float | None = None
    key: str = ""


def read_alert_state(
    finder: Finder,
    *,
    state: tuple[Place, ...] = (),
    severity: tuple[Place, ...] = (),
    time: tuple[Place, ...] = (),
    key: tuple[Place, ...] = (),
) -> AlertState:
    """Reads the life cycle of one alert, by the rules and then in the usual places."""
    word = finder.find("resolved", *state)
    known = read_state(word) if word else None
    if word and known is None:
        finder.steps.append(f"resolved: state {quote(word)} is not known: taken as going on")
    weight = finder.severity = finder.find("severity", *severity)
    serious = read_severity(weight) if weight else True
    if serious is None:
        finder.steps.append(f"severity: {quote(weight)} is not known: taken as serious")
    written = finder.find("time", *time)
    at = read_time(written) if written else None
    if written and at is None:
        finder.steps.append(f"time: {quote(written)} is no time")
    return AlertState(
        resolved=known == "resolved",
        stated=known is not None,
        between=word if known == "other" else "",
        serious=serious is not False,
        time=at,
        key=finder.find("key", *key),
    )
