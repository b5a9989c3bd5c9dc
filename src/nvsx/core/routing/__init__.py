"""From an event to the runbook it fires: senders, trigger events, routing, the inbox."""
