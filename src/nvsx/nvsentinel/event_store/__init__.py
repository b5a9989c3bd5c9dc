"""Adapters for NVSentinel's own store of health events: MongoDB and PostgreSQL, read only.

`opening` finds out which store there is, how to reach it and with which credentials; `mongo`
and `postgres` are the two adapters of event_feed.HealthEventFeed; `port_forward` reaches
into the cluster from outside; `event_store_errors` says what went wrong and what to do.
Drivers are imported when a store is first read.
"""
