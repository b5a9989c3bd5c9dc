"""Prometheus metrics of the daemon, in a registry of their own.

Runs are counted by a view over their events; events and queues by the daemon. No label
names a node or a run: what grows with the cluster belongs into the journal.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nvsx.core.journal import entries as j

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LONG = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


class Metrics:
    """`render` gives the exposition text; `make_view` counts one run's events."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self._events = Counter(
            "nvsx_events",
            "Events by source and outcome; unavailable: not stored, and to come again.",
            ["source", "outcome"],
            registry=registry,
        )
        self._requests = Counter(
            "nvsx_webhook_requests",
            "Requests to webhook sources by what they were answered.",
            ["source", "outcome"],
            registry=registry,
        )
        self._runs = Counter(
            "nvsx_runs", "Finished runs.", ["runbook", "status", "degraded"], registry=registry
        )
        self._stages = Histogram(
            "nvsx_stage_seconds",
            "How long stages took.",
            ["runbook", "stage", "status"],
            buckets=_LONG,
            registry=registry,
        )
        self._hooks = Counter(
            "nvsx_hook_failures",
            "Attempts of hooks that failed.",
            ["runbook", "stage"],
            registry=registry,
        )
        self._repair = Histogram(
            "nvsx_time_to_repair_seconds",
            "From the fault to the node's release by NVSentinel.",
            ["runbook"],
            buckets=_LONG,
            registry=registry,
        )
        self._unrouted = Counter(
            "nvsx_faults_unrouted",
            "Faults to be repaired that no runbook takes, once an incident.",
            registry=registry,
        )
        self._told = Counter(
            "nvsx_messages",
            "Messages to people by target and what became of a try: delivered, would, failed, "
            "dropped, given_up.",
            ["target", "outcome"],
            registry=registry,
        )
        self._waiting = Gauge(
            "nvsx_messages_waiting", "Messages that are not delivered yet.", registry=registry
        )
        self._oldest_page = Gauge(
            "nvsx_oldest_undelivered_page_seconds",
            "How long the oldest page waits to be delivered; 0 for none.",
            registry=registry,
        )
        self._crashes = Counter(
            "nvsx_run_interruptions",
            "Times a run had to be taken up again within this process.",
            registry=registry,
        )

    def count_event(self, source: str, outcome: str) -> None:
        """An event was answered."""
        self._events.labels(source, outcome).inc()

    def count_request(self, source: str, outcome: str) -> None:
        """A webhook request was answered; `unavailable` is a 503: it will come again."""
        self._requests.labels(source, outcome).inc()

    def count_unrouted(self) -> None:
        """A fault woke nobody."""
        self._unrouted.inc()

    def count_try(self, target: str, outcome: str) -> None:
        """A message to people was delivered, or not."""
        self._told.labels(target, outcome).inc()

    def set_undelivered(self, waiting: int, oldest_page_s: float) -> None:
        """How many messages wait, and how long the oldest page of them."""
        self._waiting.set(waiting)
        self._oldest_page.set(oldest_page_s)

    def count_crash(self) -> None:
        """A run stopped for a reason outside of it."""
        self._crashes.inc()

    def add_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that is read when the metrics are."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def make_view(self, runbook: str) -> RunMetrics:
        """A view that counts one run of `runbook`."""
        return RunMetrics(self, runbook)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)

    def count_run_event(self, runbook: str, body: j.RunEvent) -> None:
        """Count one event of a run of `runbook`."""
        match body:
            case j.StageEnd() if body.status != "skipped":
                self._stages.labels(runbook, body.stage, body.status).observe(body.elapsed_s)
            case j.HookEnd() if body.exit_code != 0:
                self._hooks.labels(runbook, body.stage).inc()
            case j.Finish():
                degraded = "true" if body.degraded else "false"
                self._runs.labels(runbook, body.status, degraded).inc()
                if body.mttr_s is not None:
                    self._repair.labels(runbook).observe(body.mttr_s)
            case _:
                pass


class RunMetrics:
    """Implements View. What an earlier process counted is not counted again."""

    def __init__(self, metrics: Metrics, runbook: str) -> None:
        self._metrics, self._runbook = metrics, runbook

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        if not replayed:
            self._metrics.count_run_event(self._runbook, entry.body)

    async def close(self) -> None:
        return None
