"""From trigger to run: what every source hands over, and what it is answered.

Webhook, poll and watch all make `TriggerEvent`s; one intake decides for all of them, so
that a fault seen three ways is one run. The answer is given only after what it promises
has been stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from nvsx.core.incident.session import HealthEvent
from nvsx.core.routing.route import Explanation, TriggerFacts


class NodeWord(msgspec.Struct, frozen=True):
    """A sender's word for a node, and in which place of the message it stood."""

    place: str
    word: str


class TriggerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a source said.

    `source` is the configured source (`webhook`, `nvsentinel`, `alertmanager`, `watch`,
    `poll`, …). `delivery` identifies it for deduplication: the sender's own id where
    retries repeat it, else a hash of what it says. `runbook` is set when the sender names
    one. `resolved` is a recovery notice. `event` is the health event when the source has a
    whole one, `payload` the body as received. `session_key`, `late` and `there_since` (when
    a fault without a session began) come from the cluster's own marks. Times are Unix seconds.

    `refusal` is why the source itself rules out a run (a repeated notice, a kind of message
    nobody asked for, no usable node): it is recorded and answered `ignored` with this
    reason, whatever matches. `unseen` counts further faults the sender cut off its message:
    more than 0 means a storm, and a list of the cluster. `horizon` is how long, in seconds,
    the sender may repeat the delivery. `steps` say how the facts were found, for `explain`.

    `alert` is the sender's name for what it reports, the same from the first firing to the
    resolve, and `alert_since` when that episode began. `standing` says that the sender means
    "firing now", whenever that began: such an event is never too old.

    `node_words` are all the words for a node in an alert, the best place first: which of them is
    one, only the cluster knows. `facts.node` is the best guess until it was asked. `node_rule` is
    the line of nvsx.yaml that says where else to look.
    """

    source: str
    delivery: str
    facts: TriggerFacts
    received: float
    runbook: str = ""
    idempotency_key: str = ""
    resolved: bool = False
    event: HealthEvent | None = None
    payload: Mapping[str, Any] = {}
    session_key: str = ""
    there_since: float | None = None
    late: bool = False
    dry_run: bool = False
    refusal: str = ""
    unseen: int = 0
    horizon: float = 3600.0
    steps: tuple[str, ...] = ()
    alert: str = ""
    alert_since: float | None = None
    standing: bool = False
    node_words: tuple[NodeWord, ...] = ()
    node_rule: str = ""


Outcome = Literal["fired", "duplicate", "attached", "ignored", "missed", "noted", "planned"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a TriggerEvent; `event_id` finds its explanation again.

    fired      stored durably, will run as `run_id`
    duplicate  the same delivery or key was there before; `run_id` is that one's, if any
    attached   the incident has, or had, its run already: `run_id`
    ignored    authentic, but nothing to do: `reason`
    missed     stored as missed: too old, and its incident is over
    noted      a recovery notice, on record in the open incident
    planned    a dry run: `plan` is what would happen

    `status` is the HTTP status for a sender that reads answers, where that is not the usual one:
    a script that names an unknown runbook or node should stop (404), and nothing else may.
    """

    outcome: Outcome
    event_id: str = ""
    run_id: str = ""
    runbook: str = ""
    reason: str = ""
    explanations: tuple[Explanation, ...] = ()
    plan: Mapping[str, Any] = {}
    status: int = 0


class Intake(Protocol):
    """The one door for triggers."""

    async def offer(self, event: TriggerEvent) -> Answer:
        """Decide about `event`, store what the answer promises, then answer.

        Raises StoreBusy when it cannot be stored now (the sender shall try again), and
        UsageError where it must be said which node is meant.
        """
        ...
