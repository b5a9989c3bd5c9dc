"""fault-quarantine: cordons a node for a matching fault and un-quarantines it on recovery.

Works from the ledger alone, one node update a decision, and follows uncordons by hand on
the node. Counts cordons for its circuit breaker, and does nothing at all while that is
tripped. Emits no Kubernetes Events, and no taints unless the rule sets have one.
Sources: fault-quarantine/pkg/reconciler, pkg/informer/k8s_client.go, pkg/breaker.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from datetime import UTC, datetime
from typing import Any

from nvsentinel_sandbox.kube import selectors
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.kube.objects import Change
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.health import Document, HealthEvent
from nvsentinel_sandbox.world.reports import GPU_MONITOR, OBJECT_MONITOR, PREFLIGHT, SYSLOG

MODULE = "fault-quarantine"
# agent, or how agents begin → (rule set, component classes it is for; empty: any)
RULE_SETS: dict[str, tuple[str, frozenset[str]]] = {
    GPU_MONITOR: ("GPU fatal error ruleset", frozenset({"GPU"})),
    SYSLOG: ("Syslog fatal error ruleset", frozenset({"GPU", "NIC"})),
    OBJECT_MONITOR: ("Kubernetes object monitor fatal error ruleset", frozenset()),
    "csp-health-monitor": ("CSP health monitor fatal error ruleset", frozenset()),
    "nic-health-monitor": ("NIC fatal error ruleset", frozenset({"NIC"})),
    PREFLIGHT: ("Preflight fatal error ruleset", frozenset()),
}
_BREAKER_SHARE = 0.5  # the chart's circuitBreaker.percentage, 50
_REASON_LIMIT = 63  # of a label's value
_UNCORDON_REASON_LIMIT = 55  # leaves room for `-removed`


class FaultQuarantine:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._cordons: deque[tuple[float, str]] = deque()
        self._backlog: list[Document] = []
        self._awaiting: dict[str, tuple[str, Document]] = {}
        self._counted: int | None = None
        context.ledger.subscribe(self._on_document)
        context.store.subscribe(self._on_change)

    # --- what it listens to -------------------------------------------------------------

    def _on_document(self, document: Document, changed: frozenset[str]) -> None:
        if not changed and document.event.strategy == "EXECUTE_REMEDIATION":
            self._context.spawn(self._react_to_document(document))

    async def _react_to_document(self, document: Document) -> None:
        await self._context.sleep("quarantine", document.event.node)
        if self.tripped:
            self._backlog.append(document)
            self._context.log(MODULE, "circuit breaker is TRIPPED, event not processed")
            return
        self._handle_document(document)

    def _handle_document(self, document: Document) -> None:
        """Begin a session, add to it, or end it when the last check is healthy again.

        | seconds | event                     | entries | what becomes of it                    |
        |---------|---------------------------|---------|---------------------------------------|
        | 0.8     | XID 79, fatal             | 1       | Quarantined: cordon, labels, marks    |
        | 6       | DCGM unreachable, fatal   | 2       | AlreadyQuarantined: joins             |
        | 14      | syslog: XIDs healthy      | 1       | AlreadyQuarantined: its entry goes    |
        | 15      | DCGM healthy              | 0       | UnQuarantined: marks and cordon go    |
        | 20      | thermal, not fatal        | -       | nothing: an Event is all there is     |
        """
        node = self._context.node(document.event.node)
        if node is None:
            return
        if document.event.healthy:
            self._clear_healthy_checks(document, node)
        elif document.event.fatal:
            self._handle_fault(document, node)

    def _on_change(self, change: Change) -> None:
        plural, name = change.entry.resource.plural, change.entry.key[1]
        if plural == "configmaps" and name == names.BREAKER and self._backlog:
            if not self.tripped:
                self._work_backlog_off()
        elif plural == "validationrequests" and name in self._awaiting:
            self._release_when_validated(name)
        elif plural == "nodes":
            self._node_changed(name, change)

    def _node_changed(self, name: str, change: Change) -> None:
        before = change.before
        gpus = before.labels.get(names.GPU_LABEL) if before is not None else None
        if change.type != "MODIFIED" or gpus != change.entry.labels.get(names.GPU_LABEL):
            self._counted = None
        if change.type == "MODIFIED" and before is not None:
            was = before.fields.get("spec.unschedulable") == "true"
            if was and change.entry.fields.get("spec.unschedulable") != "true":
                self._cancel_session(name, names.UNCORDONED_MANUALLY)
            elif self._context.cluster.taint and self._taint_lost(change):
                self._cancel_session(name, names.UNTAINTED_MANUALLY)

    # --- a fault ------------------------------------------------------------------------

    def _handle_fault(self, document: Document, node: Object) -> None:
        forced = document.event.quarantine == "force"
        rules = document.event.message if forced else matching_rules(document.event, node)
        if document.event.quarantine == "skip":
            return
        if rules is None and not self._context.cluster.dry_run:
            return
        if names.QUARANTINE in (node["metadata"].get("annotations") or {}):
            self._join_session(document)
        else:
            self._quarantine_node(document, rules or "dry run")
        self._count_cordon(document.event.node)

    def _quarantine_node(self, document: Document, rules: str) -> None:
        context, event = self._context, document.event
        entry = self._annotation_entry(document)
        layout_2025 = context.variant(event.node).layout_2025

        def change(obj: Object) -> None:
            annotations = obj["metadata"].setdefault("annotations", {})
            for mark in (names.UNCORDONED_MANUALLY, names.UNTAINTED_MANUALLY):
                annotations.pop(mark, None)
            annotations[names.QUARANTINE] = _compact_json(entry if layout_2025 else [entry])
            annotations[names.QUARANTINE_CORDONED] = "True"
            if context.cluster.dry_run:
                return
            labels = obj["metadata"].setdefault("labels", {})
            if obj["spec"].get("unschedulable"):
                annotations[names.QUARANTINE_CORDON_PREEXISTING] = "True"
            else:
                by = f"{event.agent}-{event.creator}" if event.creator else "NVSentinel"
                values = (_label_value(by), _label_value(rules), self._label_time())
                labels.update(zip(names.CORDON_LABELS, values, strict=True))
            labels[names.STATE_LABEL] = "quarantined"
            obj["spec"]["unschedulable"] = True
            if taint := self._rule_set_taint():
                taints = obj["spec"].setdefault("taints", [])
                there = taint in taints
                taints += [] if there else [taint]
                annotations[names.QUARANTINE_TAINTS] = _compact_json(
                    [{**taint, "preExisting": there}]
                )

        context.store.update("nodes", event.node, change)
        context.log(MODULE, "node quarantined", ruleset=rules, nodeName=event.node)
        context.ledger.update(
            document, quarantined="Quarantined", quarantine_finished=context.clock.now()
        )

    def _join_session(self, document: Document) -> None:
        context, node = self._context, document.event.node
        entry = self._annotation_entry(document)

        def change(obj: Object) -> None:
            annotations = obj["metadata"]["annotations"]
            known = read_annotation(annotations)
            if not _is_tracked(known, entry):
                annotations[names.QUARANTINE] = _compact_json([*known, entry])

        context.store.update("nodes", node, change)
        context.log(MODULE, "node is quarantined already, event joins", nodeName=node)
        context.ledger.update(
            document, quarantined="AlreadyQuarantined", quarantine_finished=context.clock.now()
        )

    def _annotation_entry(self, document: Document) -> dict[str, Any]:
        layout_2025 = self._context.variant(document.event.node).layout_2025
        return document.event.annotation(document.id, layout_2025=layout_2025)

    # --- recovery -----------------------------------------------------------------------

    def _clear_healthy_checks(self, document: Document, node: Object) -> None:
        context, event = self._context, document.event
        known = read_annotation(node["metadata"].get("annotations") or {})
        left = [entry for entry in known if not _clears_entry(event, entry)]
        if len(left) == len(known):
            return
        if left:
            context.store.update(
                "nodes",
                event.node,
                lambda obj: obj["metadata"]["annotations"].update(
                    {names.QUARANTINE: _compact_json(left)}
                ),
            )
            context.ledger.update(document, quarantined="AlreadyQuarantined")
            return
        if context.cluster.validation and not context.cluster.dry_run:
            context.store.update("nodes", event.node, self._hand_over)
            context.log(MODULE, "node handed over for validation", nodeName=event.node)
            self._request_validation(event.node, document)
            return
        context.store.update("nodes", event.node, self._strip_quarantine)
        context.log(MODULE, "node un-quarantined", nodeName=event.node)
        context.ledger.update(document, quarantined="UnQuarantined")

    def _strip_quarantine(self, obj: Object) -> None:
        annotations, labels = obj["metadata"]["annotations"], obj["metadata"].get("labels", {})
        preexisting = names.QUARANTINE_CORDON_PREEXISTING in annotations
        self._hand_over(obj)
        reason = labels.get(names.CORDON_LABELS[1], "")
        for key in names.CORDON_LABELS:
            labels.pop(key, None)
        if self._context.cluster.dry_run:
            return
        if not preexisting:
            obj["spec"].pop("unschedulable", None)
        values = (
            "NVSentinel",
            f"{reason[:_UNCORDON_REASON_LIMIT]}-removed".lstrip("-"),
            self._label_time(),
        )
        if not preexisting:
            labels.update(zip(names.UNCORDON_LABELS, values, strict=True))

    def _hand_over(self, obj: Object) -> None:
        """Take the session's marks off the node, and leave the cordon with its labels."""
        annotations = obj["metadata"]["annotations"]
        taint = self._rule_set_taint()
        applied = json.loads(annotations.get(names.QUARANTINE_TAINTS, "[]"))
        if any({**taint, "preExisting": False} == a for a in applied) and taint:
            taints = [t for t in obj["spec"].get("taints") or () if t != taint]
            obj["spec"]["taints"] = taints
            if not taints:
                del obj["spec"]["taints"]
        for key in [k for k in annotations if k.startswith(names.QUARANTINE)]:
            del annotations[key]
        obj["metadata"].get("labels", {}).pop(names.STATE_LABEL, None)

    def _request_validation(self, node: str, document: Document) -> None:
        spec = {"nodes": [{"name": node}], "tests": ["dcgm-diagnostic", "nccl-loopback"]}
        name = f"validation-{node}-{document.id}"
        self._context.store.create("validationrequests", {"metadata": {"name": name}, "spec": spec})
        self._awaiting[name] = (node, document)

    def _release_when_validated(self, name: str) -> None:
        found = self._context.store.find("validationrequests", name)
        if found is None or found.get("status", {}).get("phase") != "Succeeded":
            return
        node, document = self._awaiting.pop(name)
        if self._context.node(node) is not None:
            self._context.store.update("nodes", node, self._strip_quarantine)
        self._context.log(MODULE, "validated and un-quarantined", nodeName=node)
        self._context.ledger.update(document, quarantined="UnQuarantined")

    def _cancel_session(self, name: str, mark: str) -> None:
        """Somebody uncordoned a quarantined node or took its taint off: the whole session
        is cancelled. Taints, cordon and cordon labels stay as they are."""
        context = self._context
        node = context.node(name)
        annotations = (node or {"metadata": {}})["metadata"].get("annotations") or {}
        if names.QUARANTINE_CORDONED not in annotations or context.cluster.dry_run:
            return

        def change(obj: Object) -> None:
            marks = obj["metadata"]["annotations"]
            for key in [k for k in marks if k.startswith(names.QUARANTINE)]:
                del marks[key]
            marks[mark] = "True"
            obj["metadata"].get("labels", {}).pop(names.STATE_LABEL, None)

        context.store.update("nodes", name, change)
        context.log(MODULE, "quarantine undone by hand, session cancelled", nodeName=name)
        for document in context.ledger.session(name):
            context.ledger.update(document, quarantined="Cancelled")

    def _rule_set_taint(self) -> dict[str, str]:
        """The taint of the rule sets; empty without one."""
        key, _, rest = self._context.cluster.taint.partition("=")
        value, _, effect = rest.partition(":")
        return {"key": key, "value": value, "effect": effect} if key else {}

    def _taint_lost(self, change: Change) -> bool:
        if change.before is None or names.QUARANTINE_TAINTS.encode() not in change.entry.encoded:
            return False
        taint = self._rule_set_taint()
        had, has = (
            taint in (e.decode()["spec"].get("taints") or ()) for e in (change.before, change.entry)
        )
        return had and not has

    # --- the circuit breaker ------------------------------------------------------------

    @property
    def tripped(self) -> bool:
        found = self._context.store.find("configmaps", names.BREAKER, namespace=names.NAMESPACE)
        return bool(found) and found["data"].get("status") == "TRIPPED"  # type: ignore[index]

    def _count_cordon(self, node: str) -> None:
        """Trip the breaker when so many nodes were cordoned within its window.

        With 4 GPU nodes and a window of 8 seconds:

        | seconds | cordoned | in the window | breaker                              |
        |---------|----------|---------------|--------------------------------------|
        | 0       | a1       | a1            | closed                               |
        | 3       | a1 again | a1            | closed: nodes count, not cordons     |
        | 12      | a2       | a2            | closed: a1 is out of the window      |
        | 15      | a3       | a2, a3        | tripped: that is half of the nodes   |
        """
        if self._context.cluster.dry_run:
            return
        self._cordons.append((self._context.pace.now(), node))
        if len(self._recently_cordoned()) >= math.ceil(_BREAKER_SHARE * self._gpu_nodes()):
            self._context.store.update(
                "configmaps",
                names.BREAKER,
                lambda cm: cm["data"].update(status="TRIPPED"),
                namespace=names.NAMESPACE,
            )
            self._context.log(MODULE, "circuit breaker TRIPPED", nodes=len(self._cordons))

    @property
    def utilization(self) -> float:
        """The share of the GPU nodes that were cordoned within the breaker's window."""
        return len(self._recently_cordoned()) / max(1, self._gpu_nodes())

    @property
    def backlog(self) -> int:
        """How many events the tripped breaker holds back."""
        return len(self._backlog)

    def _recently_cordoned(self) -> set[str]:
        """The nodes that were cordoned within the breaker's window."""
        since = self._context.pace.now() - self._context.pace.seconds("breaker_window")
        while self._cordons and self._cordons[0][0] < since:
            self._cordons.popleft()
        return {node for _, node in self._cordons}

    def _gpu_nodes(self) -> int:
        """How many there are; counted again only when that may have changed."""
        if self._counted is None:
            store = self._context.store
            nodes = store.resource("nodes")
            labelled = selectors.select(nodes, label_selector=f"{names.GPU_LABEL}=true")
            self._counted = len(store.entries(nodes, labelled))
        return self._counted

    def _work_backlog_off(self) -> None:
        """The breaker was reset: with cursor RESUME what was missed is worked off."""
        backlog, self._backlog = self._backlog, []
        breaker = self._context.store.get("configmaps", names.BREAKER, namespace=names.NAMESPACE)
        if breaker["data"].get("cursor", "RESUME") == "RESUME":
            for document in backlog:
                self._context.spawn(self._react_to_document(document))

    def _label_time(self) -> str:
        now = datetime.fromtimestamp(self._context.clock.now(), UTC)
        return now.strftime("%Y-%m-%dT%H-%M-%SZ")


def matching_rules(event: HealthEvent, node: Object) -> str | None:
    """The name of the default rule set that matches, or None."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) == "false" for key in names.OPT_OUT_LABELS):
        return None
    agent = PREFLIGHT if event.agent.startswith(PREFLIGHT) else event.agent
    name, components = RULE_SETS.get(agent, ("", frozenset()))
    if not name or (components and event.component not in components):
        return None
    return name


def read_annotation(annotations: dict[str, str]) -> list[dict[str, Any]]:
    """The health events in the annotation: an array, or the one object of old versions."""
    found = json.loads(annotations.get(names.QUARANTINE, "[]"))
    return found if isinstance(found, list) else [found]


def _compact_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _label_value(rules: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", rules)[:_REASON_LIMIT]


def _source_of(entry: dict[str, Any]) -> tuple[str, str, str, int]:
    return (entry["agent"], entry["componentClass"], entry["checkName"], entry["version"])


def _entities_of(entry: dict[str, Any]) -> set[tuple[str, str]]:
    return {(e["entityType"], e["entityValue"]) for e in entry.get("entitiesImpacted", ())}


def _is_tracked(known: list[dict[str, Any]], entry: dict[str, Any]) -> bool:
    same = [k for k in known if _source_of(k) == _source_of(entry)]
    tracked = set().union(*(_entities_of(k) for k in same)) if same else set()
    return bool(same) and _entities_of(entry) <= tracked


def _clears_entry(event: HealthEvent, entry: dict[str, Any]) -> bool:
    if event.source != _source_of(entry):
        return False
    return not event.entities or bool(_entities_of(entry) & set(event.entities))
