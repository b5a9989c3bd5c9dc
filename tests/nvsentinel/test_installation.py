from typing import Any

import pytest

from nvsx.core.errors import Forbidden, NotFound, Unreachable
from nvsx.nvsentinel.installation import Installation, inspect_installation

NODE_DRAINER = """
evictionTimeoutInSeconds = "60"
deleteAfterTimeoutMinutes = 60
[[userNamespaces]]
name = "batch-*"
mode = "DeleteAfterTimeout"
[[userNamespaces]]
name = "*"
mode = "AllowCompletion"
"""
FAULT_REMEDIATION = """
[remediationActions."RESTART_BM"]
apiGroup = "janitor.dgxc.nvidia.com"
version = "v1alpha1"
kind = "RebootNode"
scope = "Cluster"
completeConditionType = "NodeReady"
equivalenceGroup = "restart"
[remediationActions."CUSTOM"]
apiGroup = "repair.example.com"
version = "v1"
kind = "PowerCycle"
completeConditionType = "Cycled"
"""

FAULT_QUARANTINE = """
label-prefix = "k8saas.nvidia.com/"
[[rule-sets]]
name = "GPU fatal error ruleset"
[[rule-sets.match.all]]
kind = "HealthEvent"
expression = "event.agent == 'gpu-health-monitor' && event.isFatal == true"
[[rule-sets.match.all]]
kind = "Node"
expression = "!('k8saas.nvidia.com/ManagedByNVSentinel' in node.metadata.labels)"
[[rule-sets]]
name = "Preflight fatal error ruleset"
[[rule-sets.match.any]]
kind = "HealthEvent"
expression = "event.agent.startsWith('preflight-')"
"""


def deployment(name: str, *args: str, ready: int = 1, **spec: Any) -> dict[str, Any]:
    """A Deployment as the API gives it."""
    return {
        "metadata": {
            "name": name,
            "namespace": "nvsentinel",
            "labels": {"app.kubernetes.io/name": name},
        },
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {"image": f"nvcr.io/nvidia/nvsentinel/{name}:v1.19.2", "args": list(args)}
                    ]
                }
            },
            **spec,
        },
        "status": {"readyReplicas": ready},
    }


def daemonset(name: str, label: str, desired: int, ready: int) -> dict[str, Any]:
    """A DaemonSet as the API gives it."""
    return {
        "metadata": {
            "name": name,
            "namespace": "nvsentinel",
            "labels": {"app.kubernetes.io/name": label},
        },
        "spec": {"template": {"spec": {"containers": [{"image": "x/y@sha256:0"}]}}},
        "status": {"desiredNumberScheduled": desired, "numberReady": ready},
    }


def config(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap; `__` in a key stands for a dot."""
    return {
        "metadata": {"name": name},
        "data": {k.replace("__", "."): v for k, v in data.items()},
    }


FULL: dict[str, Any] = {
    "deployments": [
        deployment("fault-quarantine", "--dry-run=false"),
        deployment("node-drainer"),
        deployment("fault-remediation", "--enable-log-collector=true"),
        deployment("janitor", ready=0),
        deployment("janitor-provider"),
        deployment("somebody-elses"),
    ],
    "daemonsets": [
        daemonset("platform-connectors", "nvsentinel", 4, 4),
        daemonset("gpu-health-monitor-dcgm-3.x", "gpu-health-monitor", 0, 0),
        daemonset("gpu-health-monitor-dcgm-4.x", "gpu-health-monitor", 4, 3),
        daemonset("syslog-health-monitor-regular", "syslog-health-monitor", 4, 4),
    ],
    "configmaps": [
        config("circuit-breaker", status="TRIPPED", cursor="RESUME"),
        config(
            "mongodb-config",
            DATASTORE_PROVIDER="mongodb",
            MONGODB_DATABASE_NAME="HealthEventsDatabase",
            MONGODB_COLLECTION_NAME="HealthEvents",
        ),
        config("node-drainer", config__toml=NODE_DRAINER),
        config("fault-remediation", config__toml=FAULT_REMEDIATION),
        config("fault-quarantine", config__toml=FAULT_QUARANTINE),
        config("janitor", config__yaml="global:\n  manualMode: true\n"),
    ],
}


class Api:
    """Answers lists of one namespace, and refuses what `errors` names."""

    def __init__(self, content: dict[str, Any], namespace: str = "nvsentinel") -> None:
        self.content = content
        self.namespace = namespace
        self.errors: dict[str, Exception] = {}
        self.asked: list[str] = []

    async def __call__(self, path: str) -> Any:
        self.asked.append(path)
        plural = path.rsplit("/", 1)[-1]
        if plural in self.errors:
            raise self.errors[plural]
        inside = f"/namespaces/{self.namespace}/" in path
        if not inside and "/namespaces/" in path:
            raise NotFound(f"no {path}")
        return {"items": self.content.get(plural, [])}


async def full(**errors: Exception) -> Installation:
    """The installation of FULL, with some lists refused."""
    api = Api(FULL)
    api.errors = dict(errors)
    return await inspect_installation(api)


async def test_modules_with_readiness_and_version() -> None:
    """Modules by label and name, variants taken together, the version from the image tag."""
    inst = await full()
    assert inst.namespace == "nvsentinel"
    assert "somebody-elses" not in inst.modules
    monitor = inst.modules["gpu-health-monitor"]
    assert (monitor.desired, monitor.ready, monitor.works) == (4, 3, False)
    assert inst.modules["platform-connectors"].works
    assert inst.version("fault-quarantine") == "v1.19.2"
    assert not inst.modules["janitor"].works
    assert inst.modules["janitor"].evidence == "Deployment janitor: 0 of 1 ready"
    assert inst.modules["janitor-provider"].works
    assert inst.missing("event-exporter")
    assert not inst.missing("janitor")


async def test_configuration() -> None:
    """Store, breaker, drain modes, repairs, manual mode and log collector, with evidence."""
    inst = await full()
    assert (inst.provider.value, inst.database) == ("mongodb", "HealthEventsDatabase")
    assert inst.collection == "HealthEvents"
    assert inst.breaker.value == "TRIPPED"
    assert inst.drain_modes == {"batch-*": "DeleteAfterTimeout", "*": "AllowCompletion"}
    assert [(r.action, r.kind) for r in inst.repairs] == [
        ("RESTART_BM", "RebootNode"),
        ("CUSTOM", "PowerCycle"),
    ]
    assert inst.repairs[1].complete_condition == "Cycled"
    assert inst.manual.value is True
    assert inst.log_collector.value is True
    assert inst.dry_run.value is False
    assert inst.monitor_only.value is False


@pytest.mark.parametrize(
    ("args", "dry"),
    [(("--dry-run=true",), True), (("--dry-run",), True), (("--dry-run=false",), False)],
)
async def test_dry_run_is_an_argument(args: tuple[str, ...], dry: bool) -> None:
    """`--dry-run=true` on a module that acts means a dry run, and names the module."""
    content = {**FULL, "deployments": [deployment("node-drainer", *args)]}
    inst = await inspect_installation(Api(content))
    assert inst.dry_run.value is dry
    assert "node-drainer" in inst.dry_run.evidence


async def test_monitor_only() -> None:
    """Without fault-quarantine an installation only monitors, and has no store."""
    inst = await inspect_installation(Api({"daemonsets": FULL["daemonsets"]}))
    assert inst.monitor_only.value is True
    assert inst.provider.value == "none"
    assert inst.missing("fault-quarantine")


async def test_found_in_another_namespace() -> None:
    """Not in `nvsentinel`: it is looked for everywhere, by its labels."""
    content = {
        "deployments": [deployment("fault-quarantine")],
        "configmaps": FULL["configmaps"],
    }
    content["deployments"][0]["metadata"]["namespace"] = "gpu-ops"
    inst = await inspect_installation(Api(content, namespace="gpu-ops"))
    assert inst.namespace == "gpu-ops"
    assert inst.breaker.value == "TRIPPED"


async def test_names_of_october_2025() -> None:
    """Modules were called `<release>-<name>` then."""
    old = deployment("fault-quarantine")
    old["metadata"]["name"] = "prod-fault-quarantine"
    inst = await inspect_installation(Api({"deployments": [old]}))
    assert inst.modules["fault-quarantine"].objects == ("prod-fault-quarantine",)


async def test_refused_is_unknown_not_absent() -> None:
    """What nvsx may not read is unknown with the reason, and no module counts as missing."""
    inst = await full(
        deployments=Forbidden("no right to list deployments"),
        daemonsets=Forbidden("no right to list daemonsets"),
        configmaps=Forbidden("no right to list configmaps"),
    )
    assert inst.found.value is None
    assert not inst.missing("fault-quarantine")
    for fact in (inst.breaker, inst.provider, inst.drain, inst.repair, inst.manual):
        assert fact.value is None
        assert "no right" in fact.evidence
    assert inst.dry_run.value is None


async def test_a_silent_cluster_raises_nothing() -> None:
    """Nobody answers: every fact is unknown."""
    away = Unreachable("nobody answered")
    inst = await full(deployments=away, daemonsets=away, configmaps=away)
    assert not inst.found.known
    assert inst.unread["workloads"] == "nobody answered"


async def test_not_installed() -> None:
    """An empty cluster: nothing found, and that is known."""
    inst = await inspect_installation(Api({}))
    assert inst.found.value is False
    assert "any namespace" in inst.found.evidence
    assert inst.missing("fault-quarantine")


async def test_secrets_are_never_read() -> None:
    """Only workloads and ConfigMaps are asked for."""
    api = Api(FULL)
    await inspect_installation(api)
    assert {p.rsplit("/", 1)[-1] for p in api.asked} == {"deployments", "daemonsets", "configmaps"}


async def test_which_agents_the_rule_sets_are_for() -> None:
    """Each rule set's expressions about the event are read, exact names and beginnings alike."""
    inst = await full()
    assert [inst.quarantines(a) for a in ("gpu-health-monitor", "preflight-nccl")] == [True, True]
    assert not inst.quarantines("health-events-analyzer")


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("nvcr.io/nvidia/nvsentinel/gpu-health-monitor:v1.19.2-dcgm-3.x", "v1.19.2"),
        ("nvcr.io/nvidia/nvsentinel/gpu-health-monitor:v1.19.2-dcgm-4.x", "v1.19.2"),
        ("registry:5000/x/gpu-health-monitor:v1.19.2-rc.1@sha256:0", "v1.19.2-rc.1"),
        ("registry:5000/x/gpu-health-monitor@sha256:0", ""),
    ],
)
async def test_builds_for_two_dcgms_are_one_version(image: str, version: str) -> None:
    """The tag without what says for which DCGM it was built; a digest or a port is no tag."""
    monitor = daemonset("gpu-health-monitor-dcgm-3.x", "gpu-health-monitor", 1, 1)
    monitor["spec"]["template"]["spec"]["containers"][0]["image"] = image
    inst = await inspect_installation(Api({"daemonsets": [monitor]}))
    assert inst.version("gpu-health-monitor") == version
