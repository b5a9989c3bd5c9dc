"""What messages are about, as it is now: an incident, or the storm that it is part of.

Both have a page for each role, a thread and a ticket at each target, under a key that is the
world's and not the store's, so that a run on a laptop and the daemon mean the same page.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from nvsx.core.incident.incident_document import NodeJob
from nvsx.core.incident.incident_state import IncidentState

#: PagerDuty's `dedup_key` takes 255 characters, and no alias or label takes fewer.
LONGEST_KEY = 255
WATCH: Literal["watch"] = "watch"
PEOPLE: Literal["people"] = "people"


class StormMember(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a storm. `paged_itself`: it was there before the storm was seen to be one."""

    incident: str
    node: str
    paged_itself: bool = False
    needs_people: bool = False
    is_over: bool = False


class StormView(msgspec.Struct, frozen=True, kw_only=True):
    """A storm: `key` comes from its first member, `fault` is what its members share, `domain` the
    NVLink domain where it is one rack's, "" otherwise. Over with its last member."""

    storm: str
    key: str
    fault: str = ""
    domain: str = ""
    members: tuple[StormMember, ...] = ()

    @property
    def is_over(self) -> bool:
        return bool(self.members) and all(m.is_over for m in self.members)

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.node for m in self.members))


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """`subject` is the id of the incident, or of the storm. `incident` is None for a test, and for
    one that the store has forgotten; `storm` is set where the subject is one. `jobs` are the pods
    that were on the node, None where nobody looked. `cluster` is its name for people."""

    subject: str = ""
    incident: IncidentState | None = None
    storm: StormView | None = None
    cluster: str = ""
    jobs: tuple[NodeJob, ...] | None = None

    @property
    def key(self) -> str:
        if self.storm is not None:
            return self.storm.key
        return self.incident.key if self.incident is not None else self.subject

    @property
    def node(self) -> str:
        return self.incident.opened.node if self.incident is not None else ""

    @property
    def is_over(self) -> bool:
        if self.storm is not None:
            return self.storm.is_over
        return self.incident is not None and self.incident.ended is not None

    @property
    def needs_people(self) -> bool:
        """A storm's page is the watch page: a member that needs people pages for itself."""
        if self.storm is not None or self.incident is None:
            return False
        return self.incident.state == "needs people"

    @property
    def people_since(self) -> float:
        """Since when people are needed for this cause; 0 where they are not."""
        if not self.needs_people or self.incident is None:
            return 0.0
        return self.incident.state_since.at

    @property
    def stays_open(self) -> bool:
        """The node is gone and not repaired: its ticket outlives the incident."""
        ended = self.incident.ended if self.incident is not None else None
        return self.storm is None and ended is not None and ended.how == "removed"


def name_page(key: str, role: str) -> str:
    """The vendor's key of a page: `nvsx/inc-4f1b/people`."""
    whole = f"nvsx/{key}/{role}"
    if len(whole) <= LONGEST_KEY:
        return whole
    return f"nvsx/{hashlib.sha256(key.encode()).hexdigest()}/{role}"


def name_ticket(key: str) -> str:
    """The label of a ticket, by which it is found before another is made: `nvsx-inc-4f1b`."""
    whole = f"nvsx-{key}".replace(" ", "-")
    if len(whole) <= LONGEST_KEY:
        return whole
    return f"nvsx-{hashlib.sha256(key.encode()).hexdigest()}"
