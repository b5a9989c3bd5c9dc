"""The incident: what nvsx follows, from the first fault seen on a node until the node is back.

Everything here is pure: values in, values out; no clock, no I/O, no run. Nothing a run does
decides an incident's state.

The values
  `Sight` (sight)               what is seen of a node at one moment, in NVSentinel's terms.
                                `nvsentinel.sights.sight_of` makes one from a Snapshot.
  `IncidentEvent` (incident_events)  the journal: opened, fault_seen, session_began, attempt_began,
                                hold_began, state_changed, run_joined, told, noted, ended, ...
  `NodeStory` (incident_state)  the fold over the journals of one node: the open `IncidentState`,
                                the last one that ended, and what was left over.
  `WatchMemory` (deciding)      what a living process remembers and does not store: the sight
                                before, since when all is calm, when Events came. Empty after a
                                restart, so that every wait begins anew.
  `IncidentLimits` (tolerances) what people can set; the fixed tolerances stand beside it.

Who calls what
  the daemon, for each node that changes or has an incident, and for those on each tick:
      story, memory, events = step(story, memory, sight, limits)           (stepping)
      append `events` to the store, durably, before anything is shown or done; an `opened` among
      them begins another incident's journal. Two daemons never step the same node.
  a run by hand                 join_by_hand(...): joins the open incident, or opens one.
  `nvsx incidents close`        close_by_hand(...).
  runs and messages             append RunJoined, RunEnded, PeopleTold, IncidentNoted.
  after a restart               NodeStory(node).after_entries(rows), and an empty WatchMemory;
                                with an empty store WatchMemory(adopting=True).
  screens, messages, hooks      read IncidentState: `state`, `cause` (code, text, remedy), `faults`,
                                `attempts`, `holds`; times_of (incident_times) for the times,
                                prove_stage (proofs) for what a mark proves for one fault,
                                what_keeps_open (endings) for what is awaited.
  identity                      `IncidentState.key`, with `aliases`: whoever looks at the same
                                cluster makes the same (incident_keys).

In `step` the rules come in this order, each sees what those before have said:
  left-overs that are gone -> what known repairs did -> the session's end -> does an incident
  begin (beginnings) -> faults (fault_news), session (session_news), repairs (attempt_news),
  alerts, node, holds -> state and cause (state_news, causes) -> is it over (endings).

Invariants (tests hold each of them for arbitrary sights)
  - A level, not an edge: the same sight again gives no events; a lost one is made up for by the
    next; of one history any loss and any order of sources leaves the same end and attempts.
  - One open incident a node. Whatever else breaks there joins it.
  - Never over while a mark, a True fatal condition, an unready or unread node, a hold of
    NVSentinel's or a reboot that is due is in the sight. Unknown is neither absent nor healthy.
  - Order of sight and ids decide; a sender's time only tells an old thing from a new one. Times
    of others are held between two of nvsx's own looks, or are None: not known.
  - Numbers of faults, sessions and attempts count from 1 and never change.
  - NVSentinel's word (`request`, the state label) and what the node shows (`booted`, `ready`) are
    kept apart.

A worked time line (seconds)
    0.0  look: healthy                          nothing
    2.0  condition SysLogsXIDError 79 True      opened(fault), fault_seen(1), node_seen: observing
    2.1  annotation [a], cordon                 fault_seen(1: has its id), session_began(1),
                                                identified(key of a), hold_began: repairing
    5.0  RebootNode for a, signal sent          attempt_began(1, first, serves 1), attempt_changed
    5.1  the request is done                    attempt_changed: still repairing, nothing booted
    6.0  DCGM unreachable, node not Ready       fault_seen(2, side effect of 1), node_seen
   45.0  new boot id, Ready                     attempt_ended(1, succeeded): recovering
   48.0  annotation "[]"                        session_ended(released)
   48.1  marks gone, conditions False           fault_cleared(1), fault_cleared(2), hold_ended
   78.1  all so for 30 s                        ended(recovered, at 48.0): over
   90.0  annotation [b]                         opened: a new incident, "again" if the same entity
"""
