"""A message: what somebody asks to be told, before it is known to whom and in what form.

A hook asks with `nvsx notify`, a person with `nvsx notify --incident`, and nvsx asks by itself for
what nobody else says (`speaking`). A message has words of its own; the facts of the incident are
added when it is sent, so that they are true at that moment.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MessageKind = Literal["page", "post", "ticket", "resolve"]
Severity = Literal["warning", "error", "critical"]
SEVERITIES: tuple[Severity, ...] = ("warning", "error", "critical")
Closes = Literal["", "watch", "people", "ticket"]
#: Who asked. `test` is `nvsx notify test`.
AskedBy = Literal["hook", "person", "nvsx", "test"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One call of `nvsx notify`, or one thing that nvsx says by itself.

    `call` is its identity: a message with a call that is known already is not stored again. A
    hook's call is `<idempotency key>/<its number among the hook's calls>` or `<idempotency
    key>/<--key>`; a person's `person/<random>`; nvsx's own `nvsx/<incident>/<what>`.

    `incident` is the incident's id ("" only for a test). `run`, `runbook`, `stage` are those of
    the hook. `to` is a target's name, "" for the default list of the kind. `wanted` is a name that
    no target has: the message goes to the default, and says so. `rehearsal` is "sandbox" or
    "drill": nothing leaves, unless `live` (then its words are marked). `cause` is the code of the
    incident's cause when it was asked, `repair` the attempt. `asked` is Unix seconds.

    `storm` is the id of the storm whose page, thread and ticket it goes to, "" for those of its own
    incident. `closes` says what a `resolve` closes: one page, or the ticket; "" withdraws a hook's
    claim and closes nothing. `digest`: messages of one digest that wait at one target are one post,
    whatever incidents they are of (a catch-up).
    """

    call: str
    kind: MessageKind
    title: str = ""
    text: str = ""
    severity: Severity = "error"
    to: str = ""
    wanted: str = ""
    fields: dict[str, str] = {}
    by: AskedBy = "hook"
    author: str = ""
    incident: str = ""
    node: str = ""
    run: str = ""
    runbook: str = ""
    stage: str = ""
    cause: str = ""
    repair: int = 0
    late: bool = False
    broadcast: bool = False
    storm: str = ""
    closes: Closes = ""
    digest: str = ""
    rehearsal: Literal["", "sandbox", "drill"] = ""
    live: bool = False
    asked: float = 0.0

    @property
    def subject(self) -> str:
        """Whose page, thread and ticket it goes to: a storm's, or its incident's."""
        return self.storm or self.incident

    @property
    def is_would(self) -> bool:
        """Nothing of it leaves: a sandbox or a drill."""
        return bool(self.rehearsal) and not self.live

    @property
    def mark(self) -> str:
        """What keeps a rehearsal from being taken for the real thing: `[DRILL] `."""
        return f"[{self.rehearsal.upper()}] " if self.rehearsal else ""
