"""The Prometheus metrics of NVSentinel's modules, as their pods serve them on port 2112.

Computed when somebody asks, from what is in the cluster and in the ledger; only changes of
the state label are counted as they pass. Reached through the API server's pod proxy
(`/api/v1/namespaces/nvsentinel/pods/POD:2112/proxy/metrics`). Names and labels are those of
docs/METRICS.md of NVSentinel, where a histogram has sum and count alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.repairs import DEFAULT_REPAIRS, KINDS
from nvsentinel_sandbox.world.reports import GPU_MONITOR, SYSLOG

if TYPE_CHECKING:
    from nvsentinel_sandbox.chain.quarantine import FaultQuarantine
    from nvsentinel_sandbox.world.context import Context

PORT = 2112
_STATES = (
    ("", "quarantined"),
    ("quarantined", "draining"),
    ("quarantined", "drain-succeeded"),
    ("draining", "drain-succeeded"),
    ("draining", "drain-failed"),
    ("drain-succeeded", "remediating"),
    ("drain-succeeded", "remediation-failed"),
    ("remediating", "remediation-succeeded"),
    ("remediating", "remediation-failed"),
)

Sample = tuple[str, dict[str, str], float]


class Metrics:
    """`quarantine` is None where the module is not installed."""

    def __init__(self, context: Context, quarantine: FaultQuarantine | None) -> None:
        self._context = context
        self._quarantine = quarantine
        self._unexpected: Counter[tuple[str, str]] = Counter()
        context.store.subscribe(self._on_change)

    def page(self, namespace: str, pod: str, port: str, path: str) -> str | None:
        """What a pod answers at a port and path; None where nobody listens."""
        found = self._context.store.find("pods", pod, namespace=namespace)
        if found is None or namespace != names.NAMESPACE or port not in (str(PORT), "metrics"):
            return None
        container = found["spec"]["containers"][0]
        if not any(p["containerPort"] == PORT for p in container.get("ports", ())):
            return None
        if path == "healthz":
            return "ok"
        if path != "metrics":
            return None
        return _write_exposition(
            self._samples_of(container["name"], found["spec"].get("nodeName", ""))
        )

    def _on_change(self, change: Change) -> None:
        if change.entry.resource.plural != "nodes" or change.before is None:
            return
        was, now = (e.labels.get(names.STATE_LABEL, "") for e in (change.before, change.entry))
        if now and was != now and (was, now) not in _STATES:
            self._unexpected[was, now] += 1

    # --- what each module counts ----------------------------------------------------------

    def _samples_of(self, module: str, node: str) -> Iterator[Sample]:
        by_module: dict[str, Callable[[str], Iterator[Sample]]] = {
            "fault-quarantine": self._of_quarantine,
            "node-drainer": self._of_drainer,
            "fault-remediation": self._of_remediation,
            "janitor": self._of_janitor,
            "platform-connectors": self._of_connectors,
            GPU_MONITOR: self._of_gpu_monitor,
            SYSLOG: self._of_syslog,
        }
        yield "process_start_time_seconds", {}, self._context.began
        if module in by_module:
            yield from by_module[module](node)
        if module in ("fault-quarantine", "node-drainer", "fault-remediation"):
            for (was, now), count in sorted(self._unexpected.items()):
                labels = {"from": was or "none", "to": now}
                yield "nvsentinel_state_transition_unexpected_total", labels, count

    def _of_quarantine(self, _node: str) -> Iterator[Sample]:
        store, module, ledger = self._context.store, self._quarantine, self._context.ledger
        if module is None:
            return
        for state in ("CLOSED", "TRIPPED"):
            is_now = module.tripped == (state == "TRIPPED")
            yield "fault_quarantine_breaker_state", {"state": state}, is_now
        yield "fault_quarantine_breaker_utilization", {}, module.utilization
        yield "fault_quarantine_event_backlog_count", {}, module.backlog
        documents = [d for d in ledger if d.event.strategy == "EXECUTE_REMEDIATION"]
        yield "fault_quarantine_events_received_total", {}, len(documents)
        for node in store.list("nodes"):
            marks = node["metadata"].get("annotations") or {}
            labels = {"node": node["metadata"]["name"]}
            if names.QUARANTINE in marks:
                yield "fault_quarantine_current_quarantined_nodes", labels, 1
        cancelled = {d.event.node for d in documents if d.quarantined == "Cancelled"}
        yield "fault_quarantine_nodes_manually_uncordoned_total", {}, len(cancelled)
        for action, seconds in sorted(self._repair_times().items()):
            name, labels = (
                "fault_quarantine_node_remediation_duration_seconds",
                {"recommended_action": action},
            )
            yield f"{name}_sum", labels, sum(seconds)
            yield f"{name}_count", labels, len(seconds)

    def _repair_times(self) -> dict[str, list[float]]:
        """From a fault until its node was un-quarantined, by recommended action."""
        found: dict[str, list[float]] = {}
        opened: dict[str, tuple[str, float]] = {}
        for document in self._context.ledger:
            node, at = document.event.node, document.event.generated / 1e9
            if document.quarantined == "Quarantined" and not document.event.healthy:
                opened[node] = (document.event.action, at)
            elif document.quarantined == "UnQuarantined" and node in opened:
                action, began = opened.pop(node)
                found.setdefault(action, []).append(document.created - began)
        return found

    def _of_drainer(self, _node: str) -> Iterator[Sample]:
        waiting = [d for d in self._context.ledger if d.eviction == "InProgress"]
        yield "node_drainer_queue_depth", {}, len(waiting)
        if self._context.cluster.drain == "DeleteAfterTimeout":
            for node in sorted({d.event.node for d in waiting}):
                yield "node_drainer_waiting_for_timeout", {"node": node}, 1

    def _of_remediation(self, _node: str) -> Iterator[Sample]:
        mapped = {**DEFAULT_REPAIRS, **self._context.cluster.repairs}
        refused = Counter(
            (d.event.action, d.event.node)
            for d in self._context.ledger
            if d.remediated is False and (d.event.custom or d.event.action) not in mapped
        )
        for (action, node), count in sorted(refused.items()):
            labels = {"action": action, "node_name": node}
            yield "fault_remediation_unsupported_actions_total", labels, count
        made = [d for d in self._context.ledger if d.remediation_at and not d.event.healthy]
        seconds = [(d.remediation_at or 0) - (d.drain_finished or 0) for d in made]
        yield "fault_remediation_cr_generate_duration_seconds_sum", {}, sum(seconds)
        yield "fault_remediation_cr_generate_duration_seconds_count", {}, len(seconds)

    def _of_janitor(self, _node: str) -> Iterator[Sample]:
        counts: Counter[tuple[str, str, str]] = Counter()
        times: dict[str, list[float]] = {}
        for repair in KINDS[:3]:
            if self._context.store.registry.find(repair.plural) is None:
                continue
            for found in self._context.store.list(repair.plural):
                status, kind = found.get("status", {}), repair.kind.lower()
                done = {c["type"]: c["status"] for c in status.get("conditions", ())}
                node = found["spec"]["nodeName"]
                counts[kind, "started", node] += "startTime" in status
                if "completionTime" in status:
                    ok = done.get(repair.completes) == "True"
                    counts[kind, "succeeded" if ok else "failed", node] += 1
                    began, ended = (
                        _unix_seconds(status[k]) for k in ("startTime", "completionTime")
                    )
                    times.setdefault(kind, []).append(ended - began)
        for (kind, status, node), count in sorted(counts.items()):
            labels = {"action_type": kind, "status": status, "node": node}
            yield "janitor_actions_count", labels, count
        for kind, seconds in sorted(times.items()):
            yield "janitor_action_mttr_seconds_sum", {"action_type": kind}, sum(seconds)
            yield "janitor_action_mttr_seconds_count", {"action_type": kind}, len(seconds)

    def _of_connectors(self, node: str) -> Iterator[Sample]:
        told = list(self._context.ledger.of(node))
        yield "platform_connector_health_events_received_total", {}, len(told)
        shown = [d.event for d in told if d.event.strategy == "EXECUTE_REMEDIATION"]
        updates = sum(1 for e in shown if e.fatal or e.healthy)
        name = "k8s_platform_connector_node_condition_update_total"
        yield name, {"status": "success"}, updates

    def _of_gpu_monitor(self, node: str) -> Iterator[Sample]:
        active: dict[tuple[str, str], int] = {}
        for document in self._context.ledger.of(node):
            event = document.event
            if event.agent == GPU_MONITOR and event.healthy and not event.entities:
                active = {key: 0 if key[0] == event.check else on for key, on in active.items()}
            elif event.agent == GPU_MONITOR:
                active[event.check, event.entity("GPU")] = int(not event.healthy)
        for (check, gpu), on in sorted(active.items()):
            yield "dcgm_health_active_events", {"event_type": check, "gpu_id": gpu}, on

    def _of_syslog(self, node: str) -> Iterator[Sample]:
        seen = Counter(
            code
            for document in self._context.ledger.of(node)
            for code in document.event.codes
            if document.event.check == "SysLogsXIDError"
        )
        for code, count in sorted(seen.items()):
            yield "syslog_health_monitor_xid_errors", {"node": node, "err_code": code}, count


def _unix_seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _write_exposition(samples: Iterator[Sample]) -> str:
    """The text format 0.0.4 of Prometheus."""
    lines = []
    typed: set[str] = set()
    for name, labels, value in samples:
        family = name.removesuffix("_sum").removesuffix("_count") if "_seconds_" in name else name
        if family not in typed:
            typed.add(family)
            kind = "counter" if name.endswith("_total") else "gauge"
            lines.append(f"# TYPE {family} {'summary' if family != name else kind}")
        inner = ",".join(f'{key}="{text}"' for key, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value:g}" if inner else f"{name} {float(value):.15g}")
    return "\n".join(lines) + "\n"
