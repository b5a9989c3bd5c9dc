"""NVSentinel's own objects in the sandbox: what an installation leaves in its namespace.

Deployments, daemon sets, configuration and the pods whose logs the simulator writes, with
the names, labels and keys that setup, doctor and prerequisites look for. A monitor-only
installation has the monitors alone: no database, no quarantine, no custom kinds.
Source: distros/kubernetes/nvsentinel/charts.
"""

from __future__ import annotations

import textwrap
from typing import Any

from nvsentinel_sandbox.chain import (
    connectors,
    customdrains,
    drainer,
    janitor,
    lifecycle,
    metrics,
    quarantine,
    remediation,
)
from nvsentinel_sandbox.kube.admission import Object
from nvsentinel_sandbox.world import names
from nvsentinel_sandbox.world.cluster_world import (
    SYSTEM_NODE,
    DaemonSet,
    daemon_set,
    owner,
    store_running,
)
from nvsentinel_sandbox.world.context import Context
from nvsentinel_sandbox.world.repairs import DEFAULT_REPAIRS
from nvsentinel_sandbox.world.reports import PREFLIGHT

VERSION = "v1.19.0"
_CHART_VERSION = "1.0.0"  # what the charts in the tree say; the image tag tells the release
_REGISTRY = "ghcr.io/nvidia/nvsentinel"
_DRY_RUN_MODULES = (quarantine.MODULE, drainer.MODULE, remediation.MODULE)

_PORTS = ({"name": "metrics", "containerPort": metrics.PORT},)

# (daemon set, chart, container and image, runs on the nodes?)
_DAEMON_SETS = (
    ("platform-connectors", "nvsentinel", connectors.MODULE, True),
    ("gpu-health-monitor-dcgm-3.x", "gpu-health-monitor", "gpu-health-monitor", False),
    ("gpu-health-monitor-dcgm-4.x", "gpu-health-monitor", "gpu-health-monitor", True),
    ("syslog-health-monitor-regular", "syslog-health-monitor", "syslog-health-monitor", True),
    ("syslog-health-monitor-kata", "syslog-health-monitor", "syslog-health-monitor", False),
    ("nic-health-monitor", "nic-health-monitor", "nic-health-monitor", True),
    ("metadata-collector", "metadata-collector", "metadata-collector", True),
)
_MONITORING = ("labeler",)
_CHAIN = (
    quarantine.MODULE,
    drainer.MODULE,
    remediation.MODULE,
    janitor.MODULE,
    "janitor-provider",
    "kubernetes-object-monitor",
    "csp-health-monitor",
    "health-events-analyzer",
)


def install(context: Context, nodes: list[str], now: float, provider: str = "mongodb") -> None:
    """Store the objects of an installation as the sandbox's cluster variant has it.

    `provider` is its database: mongodb or postgresql.
    """
    for name, chart, container, runs in _DAEMON_SETS:
        # one image for each DCGM: v1.19.0-dcgm-4.x
        dcgm = name.removeprefix(container) if chart == "gpu-health-monitor" else ""
        image = f"{_REGISTRY}/{container}:{VERSION}{dcgm}"
        what = DaemonSet(names.NAMESPACE, name, image, _chart_labels(chart), container, _PORTS)
        pods = daemon_set(context.store, context.ids, what, nodes if runs else [], now)
        for node, pod in pods.items():
            context.register_pod(container, pod, node)
    monitor_only = context.cluster.monitor_only
    for name in _MONITORING if monitor_only else (*_MONITORING, *_CHAIN):
        _install_deployment(context, name, now)
    if _uses_lifecycle_manager(context):
        _install_deployment(context, lifecycle.MODULE, now)
    for name, data in config_maps(context, provider, monitor_only=monitor_only).items():
        context.store.create(
            "configmaps", {"metadata": {"name": name}, "data": data}, namespace=names.NAMESPACE
        )
    if monitor_only:
        for resource in [r for r in context.store.registry if r.custom]:
            context.store.delete("customresourcedefinitions", resource.name)
    else:
        _install_database(context, now, provider)
    if context.cluster.custom_drain:
        context.store.create("customresourcedefinitions", customdrains.DEFINITION)


def config_maps(
    context: Context, provider: str = "mongodb", *, monitor_only: bool
) -> dict[str, dict[str, str]]:
    """The configuration by ConfigMap name. Only what is read, in NVSentinel's own keys."""
    postgres = provider == "postgresql"
    connector = textwrap.dedent(f"""\
        {{
          "enableK8sPlatformConnector": "true",
          "enableMongoDBStorePlatformConnector": "{_flag_text(not monitor_only and not postgres)}",
          "enablePostgresDBStorePlatformConnector": "{_flag_text(not monitor_only and postgres)}",
          "enableGRPCSinkConnector": "false",
          "maxNodeConditionMessageLength": "1024"
        }}
        """)
    if monitor_only:
        return {"platform-connectors": {"config.json": connector}}
    status = "TRIPPED" if context.cluster.breaker_tripped else "CLOSED"
    return {
        "platform-connectors": {"config.json": connector},
        names.BREAKER: {"status": status, "cursor": "RESUME"},
        quarantine.MODULE: {"config.toml": _quarantine_config(context)},
        drainer.MODULE: {"config.toml": _drainer_config(context)},
        remediation.MODULE: {"config.toml": _remediation_config(context)},
        janitor.MODULE: {"config.yaml": _janitor_config(context)},
        **(_POSTGRES_CONFIG if postgres else _MONGO_CONFIG),
    }


_MONGO_CONFIG = {
    "mongodb-config": {
        "DATASTORE_PROVIDER": "mongodb",
        "MONGODB_DATABASE_NAME": "HealthEventsDatabase",
        "MONGODB_COLLECTION_NAME": "HealthEvents",
        "MONGODB_TOKEN_COLLECTION_NAME": "ResumeTokens",
        "MONGODB_MAINTENANCE_EVENT_COLLECTION_NAME": "MaintenanceEvents",
        "MONGODB_URI": "mongodb://mongodb-headless.nvsentinel.svc.cluster.local:27017/"
        "?replicaSet=rs0&tls=true",
    }
}
_POSTGRES_CONFIG = {
    "nvsentinel-datastore-config": {
        "DATASTORE_PROVIDER": "postgresql",
        "DATASTORE_HOST": "nvsentinel-postgresql.nvsentinel.svc.cluster.local",
        "DATASTORE_PORT": "5432",
        "DATASTORE_DATABASE": "nvsentinel",
        "DATASTORE_USERNAME": "postgres",
        "DATASTORE_SSLMODE": "verify-full",
    }
}


def _flag_text(on: bool) -> str:
    return str(on).lower()


def _chart_labels(chart: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": chart,
        "app.kubernetes.io/instance": "nvsentinel",
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/version": _CHART_VERSION,
        "helm.sh/chart": f"{chart}-0.1.0",
    }


def _install_deployment(context: Context, name: str, now: float) -> None:
    """A ready Deployment of one pod, by way of its ReplicaSet."""
    labels = _chart_labels(name)
    container: dict[str, Any] = {
        "name": name,
        "image": f"{_REGISTRY}/{name}:{VERSION}",
        "args": [f"--metrics-port={metrics.PORT}"],
        "ports": list(_PORTS),
    }
    if name in _DRY_RUN_MODULES:
        container["args"].append(f"--dry-run={str(context.cluster.dry_run).lower()}")
    if name == remediation.MODULE and context.cluster.log_collector:
        container["args"].append("--enable-log-collector=true")
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        "status": {
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "readyReplicas": 1,
            "availableReplicas": 1,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    }
    created = context.store.create("deployments", body, namespace=names.NAMESPACE)
    set_name = f"{name}-{context.ids.suffix('replicaset', name)}"
    metadata = {"name": set_name, "labels": labels, "ownerReferences": [owner(created)]}
    status = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    replicas = context.store.create(
        "replicasets",
        {**body, "metadata": metadata, "status": status},
        namespace=names.NAMESPACE,
    )
    pod = f"{set_name}-{context.ids.suffix('pod', name)}"
    _start_pod(context, pod, labels, replicas, [container], now)
    context.register_pod(name, pod)
    context.log(name, "started", version=VERSION)


def _install_database(context: Context, now: float, provider: str) -> None:
    """The bundled database: objects only, nothing answers on its port."""
    if provider == "postgresql":
        _stateful_set(
            context,
            now,
            name="nvsentinel-postgresql",
            service="nvsentinel-postgresql",
            labels=_chart_labels("postgresql"),
            containers=[{"name": "postgresql", "image": "docker.io/bitnami/postgresql:17.5.0"}],
            replicas=1,
            port=5432,
        )
        return
    _stateful_set(
        context,
        now,
        name="mongodb",
        service="mongodb-headless",
        labels=_chart_labels("mongodb") | {"app.kubernetes.io/component": "mongodb"},
        containers=[
            {"name": "mongodb", "image": "docker.io/bitnami/mongodb:8.0.3"},
            {"name": "metrics", "image": "docker.io/bitnami/mongodb-exporter:0.43.1"},
        ],
        replicas=3,
        port=27017,
    )


def _stateful_set(
    context: Context,
    now: float,
    *,
    name: str,
    service: str,
    labels: dict[str, str],
    containers: list[dict[str, Any]],
    replicas: int,
    port: int,
) -> None:
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {
        "replicas": replicas,
        "serviceName": service,
        "selector": {"matchLabels": labels},
        "template": template,
    }
    counts = dict.fromkeys(("replicas", "readyReplicas", "currentReplicas"), replicas)
    created = context.store.create(
        "statefulsets",
        {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": counts},
        namespace=names.NAMESPACE,
    )
    for index in range(replicas):
        _start_pod(context, f"{name}-{index}", labels, created, containers, now)
    main = containers[0]["name"]
    ports = [{"name": main, "port": port, "targetPort": port}]
    context.store.create(
        "services",
        {
            "metadata": {"name": service, "labels": labels},
            "spec": {"clusterIP": "None", "selector": labels, "ports": ports},
        },
        namespace=names.NAMESPACE,
    )


def _start_pod(
    context: Context,
    name: str,
    labels: dict[str, str],
    controller: Object,
    containers: list[dict[str, Any]],
    now: float,
) -> None:
    pod = {
        "metadata": {
            "name": name,
            "namespace": names.NAMESPACE,
            "labels": labels,
            "ownerReferences": [owner(controller)],
        },
        "spec": {"nodeName": SYSTEM_NODE, "containers": containers},
    }
    store_running(context.store, pod, now)


def _uses_lifecycle_manager(context: Context) -> bool:
    kinds = {r.plural for r in context.cluster.repairs.values()}
    return "externalremediationrequests" in kinds or bool(context.cluster.validation)


def _quarantine_config(context: Context) -> str:
    taint = ""
    if context.cluster.taint:
        key, _, rest = context.cluster.taint.partition("=")
        value, _, effect = rest.partition(":")
        taint = f'\n[rule-sets.taint]\nkey = "{key}"\nvalue = "{value}"\neffect = "{effect}"\n'
    parts = [f'label-prefix = "{names.LABEL_PREFIX}"\n']
    for agent, (name, components) in quarantine.RULE_SETS.items():
        classes = " || ".join(f"event.componentClass == '{c}'" for c in sorted(components))
        by = f".startsWith('{agent}')" if agent == PREFLIGHT else f" == '{agent}'"
        expression = f"event.agent{by} && event.isFatal == true"
        expression += f" && ({classes})" if classes else ""
        parts.append(
            textwrap.dedent(f"""
                [[rule-sets]]
                version = "1"
                name = "{name}"

                [[rule-sets.match.all]]
                kind = "HealthEvent"
                expression = "{expression}"

                [rule-sets.cordon]
                shouldCordon = true
            """)
            + taint
        )
    return "".join(parts)


def _drainer_config(context: Context) -> str:
    exempt = "|".join(sorted(names.DRAIN_EXEMPT_NAMESPACES))
    return textwrap.dedent(f"""\
        evictionTimeoutInSeconds = "60"
        systemNamespaces = "^({exempt})$"
        deleteAfterTimeoutMinutes = 60
        notReadyTimeoutMinutes = 5
        drainGPUPods = false
        partialDrainEnabled = {_flag_text(context.cluster.partial_drain)}

        [[userNamespaces]]
        name = "*"
        mode = "{context.cluster.drain}"
        """) + (customdrains.CONFIG if context.cluster.custom_drain else "")


def _remediation_config(context: Context) -> str:
    repairs = {**DEFAULT_REPAIRS, **context.cluster.repairs}
    return "\n".join(
        textwrap.dedent(f"""\
            [remediationActions."{action}"]
            apiGroup = "{repair.api.partition("/")[0]}"
            version = "{repair.api.partition("/")[2]}"
            kind = "{repair.kind}"
            scope = "Cluster"
            completeConditionType = "{repair.completes}"
            templateFileName = "{repair.template}"
            equivalenceGroup = "{repair.group}"
        """)
        for action, repair in repairs.items()
    )


def _janitor_config(context: Context) -> str:
    manual = str(context.cluster.reboot == "manual").lower()
    return textwrap.dedent(f"""\
        global:
          timeout: 25m
          manualMode: {manual}
        rebootNodeController:
          enabled: true
          timeout: 25m
        """)
