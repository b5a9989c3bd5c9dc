"""What nvsx says by itself of a storm: it has a page and a thread of its own.

12:00 XID 79 on n1, n2: each pages for itself · 12:00:40 n3 of their rack: a storm; one page and
      one post, "Storm: SysLogsXIDError 79 on 3 nodes of rack-4: n1, n2, n3"
12:06 n4 joins: a line in the storm's thread; its hooks' words go there too
12:09 n2's repair fails: n2 pages for itself, it needs people
12:50 the last of the four is over: the storm's page closes, and a post says so
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from nvsx.core.notify.message import Closes, Message, MessageKind
from nvsx.core.notify.subject import StormMember, StormView

_CLOSED: tuple[Closes, ...] = ("watch", "ticket")
NODES_NAMED = 8
"""Of a title; the facts have more, and `nvsx status` all."""


def speak_of_storm(
    storm: StormView, known: Sequence[Message], now: float, sample: Message | None = None
) -> tuple[Message, ...]:
    """What is true of the storm and not said yet. `known` are the messages of the storm; `sample`
    is any message of a member: a storm of a drill is one too."""
    said = {m.call for m in known}
    mark = sample or Message(call="", kind="post")
    return tuple(
        replace(m, rehearsal=mark.rehearsal, live=mark.live)
        for m in _find_words(storm, known, now)
        if m.call not in said
    )


def _find_words(storm: StormView, known: Sequence[Message], now: float) -> Iterator[Message]:
    begun = any(m.call == _name_call(storm, "begun") for m in known)
    if storm.is_over:
        # One that nobody was told of ends as quietly.
        if begun:
            title = f"The storm is over: {_tell_nodes(storm)}"
            for closes in _CLOSED:
                word = _make_word(storm, now, f"over/{closes}", title, "resolve")
                yield replace(word, closes=closes)
            yield replace(_make_word(storm, now, "over", title), broadcast=True)
        return
    if not begun:
        title = f"Storm: {_tell_nodes(storm)}"
        yield _make_word(storm, now, "page", title, "page")
        yield replace(_make_word(storm, now, "begun", title), broadcast=True)
        return
    for member in storm.members:
        if not member.paged_itself:
            title = f"{member.node} joined: {len(storm.nodes)} nodes by now"
            yield _make_word(storm, now, f"joined/{member.incident}", title)


def _name_call(storm: StormView, what: str) -> str:
    return f"nvsx/{storm.storm}/{what}"


def _make_word(
    storm: StormView, now: float, what: str, title: str, kind: MessageKind = "post"
) -> Message:
    first = storm.members[0]
    return Message(
        call=_name_call(storm, what),
        kind=kind,
        title=title,
        by="nvsx",
        author="nvsx",
        incident=first.incident,
        node=first.node,
        storm=storm.storm,
        asked=now,
    )


def _tell_nodes(storm: StormView) -> str:
    nodes = storm.nodes
    where = f" of {storm.domain}" if storm.domain else ""
    more = f" and {len(nodes) - NODES_NAMED} more" if len(nodes) > NODES_NAMED else ""
    named = ", ".join(nodes[:NODES_NAMED])
    return f"{storm.fault or 'the same fault'} on {len(nodes)} nodes{where}: {named}{more}"


def join_storm(message: Message, storm: StormView | None) -> Message:
    """A message of a member that joined quietly goes to the storm's page, thread and ticket; of one
    that paged for itself before, or that needs people, to its own."""
    member = _find_member(storm, message.incident)
    if storm is None or member is None or member.paged_itself:
        return message
    if message.kind == "page" and member.needs_people:
        return message
    return replace(
        message, storm=storm.storm, title=_name_node(message.title, member), broadcast=False
    )


def _find_member(storm: StormView | None, incident: str) -> StormMember | None:
    members = storm.members if storm is not None else ()
    return next((m for m in members if m.incident == incident), None)


def _name_node(title: str, member: StormMember) -> str:
    """In a thread of many nodes each word names its own."""
    return title if member.node in title else f"{member.node}: {title}"
