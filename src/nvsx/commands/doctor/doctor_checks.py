"""The list of doctor's checks, and those about the cluster and NVSentinel.

A new check is a function with `@check`, here or in `doctor_local`, which has those of the
machine and the project. What each finding rests on: NVSentinel's charts and controllers
(fault-quarantine/pkg/breaker, charts/node-drainer, charts/fault-remediation, janitor).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from nvsx.commands.doctor import doctor_local, doctor_targets  # noqa: F401 - checks of the list
from nvsx.commands.doctor.checkup import (
    CLUSTER,
    NODES,
    NVSENTINEL,
    PROJECT,
    CheckOutcome,
    Judge,
    all_checks,
    check,
    failed,
    ok,
    skipped,
    warning,
)
from nvsx.commands.doctor.doctor_facts import Survey
from nvsx.lint.coverage import WAY_OUT, describe_gaps
from nvsx.nvsentinel.installation import Installation
from nvsx.nvsentinel.workloads import MODULES

#: A cordon of one node reaches half of the GPU nodes with so many of them.
BREAKER_NODES = 2
#: Without these nothing is repaired, in the order of the chain.
CHAIN = ("fault-quarantine", "node-drainer", "fault-remediation", "janitor")
_SHOWN = 8
_NOT_REACHED = "the cluster was not reached"


def _needs_cluster(judge: Judge) -> Judge:
    """Skips a check that has nothing to judge when nobody answered."""

    @wraps(judge)
    def judged(survey: Survey) -> CheckOutcome:
        return judge(survey) if survey.cluster.version else skipped(_NOT_REACHED)

    return judged


def _needs_nvsentinel(judge: Callable[[Survey, Installation], CheckOutcome]) -> Judge:
    """Skips a check that is about an NVSentinel that is not there or could not be read."""

    @_needs_cluster
    @wraps(judge)
    def judged(survey: Survey) -> CheckOutcome:
        inst = survey.cluster.installation
        if inst is None or inst.found.value is None:
            return skipped("NVSentinel could not be read")
        return judge(survey, inst) if inst.found.value else skipped("there is no NVSentinel")

    return judged


def _join_names(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


# --- the cluster --------------------------------------------------------------------------


@check("api", "API server", CLUSTER)
def api(survey: Survey) -> CheckOutcome:
    seen, target = survey.cluster, survey.target
    if seen.version:
        server = f" at {target.server}" if target.server else ""
        uid = f", cluster {seen.uid}" if seen.uid else ""
        return ok(f"Kubernetes {seen.version}{server}{uid}")
    if seen.trouble is None:
        return skipped("there is no context to reach")
    fix = seen.trouble.hint or "`kubectl get nodes` must work first"
    return failed(seen.trouble.message, fix)


@check("rights", "rights", CLUSTER)
@_needs_cluster
def rights(survey: Survey) -> CheckOutcome:
    tried = survey.cluster.attempts
    refused = [a for a in tried if a.allowed is False]
    unclear = [a for a in tried if a.allowed is None]
    absent = [a.what.partition(".")[0] for a in tried if not a.served]
    details = tuple(f"{a.what}: {a.detail} (for {a.why})" for a in (*refused, *unclear))
    counted = f"{len(tried) - len(refused) - len(unclear)} of {len(tried)} reads allowed"
    if refused:
        what = _join_names([a.what for a in refused])
        fix = (
            "nvsx doctor --print-rbac > rbac.yaml, name the account under subjects, "
            "and have it applied"
        )
        return failed(f"{counted}; refused: {what}", fix, *details)
    if unclear:
        return warning(f"{counted}; no clear answer for the others", "run doctor again", *details)
    if absent:
        return ok(f"{counted}; not served here: {_join_names(absent)}")
    return ok(counted)


# --- NVSentinel ---------------------------------------------------------------------------


@check("modules", "modules", NVSENTINEL)
@_needs_cluster
def modules(survey: Survey) -> CheckOutcome:
    inst = survey.cluster.installation
    if inst is None or inst.found.value is None:
        why = inst.found.evidence if inst else "not read"
        return skipped(f"could not be read: {why}", "grant the rights above")
    if not inst.found.value:
        fix = "install NVSentinel, or say where it is: `nvsentinel: {namespace: …}` in nvsx.yaml"
        return failed(inst.found.evidence, fix)
    found = sorted(inst.modules.values(), key=lambda m: m.name)
    lame = [m for m in found if not m.works and m.desired]
    details = [f"{m.name} {m.version or '?'}: {m.ready} of {m.desired} ready" for m in found]
    versions = sorted({m.version for m in found if m.version})
    said = f"{len(found)} modules in namespace {inst.namespace}, version {' and '.join(versions)}"
    if lame:
        fix = f"kubectl -n {inst.namespace} get pods; kubectl -n {inst.namespace} describe pod …"
        what = _join_names([f"{m.name} ({m.ready} of {m.desired})" for m in lame])
        return failed(f"not ready: {what}", fix, *details)
    if len(versions) > 1:
        fix = "normal while an upgrade rolls out; else see `helm history`"
        return warning(f"{said}: modules of different versions", fix, *details)
    return ok(said, *details)


@check("chain", "chain", NVSENTINEL)
@_needs_nvsentinel
def chain(survey: Survey, inst: Installation) -> CheckOutcome:  # noqa: ARG001 - one shape for all
    off = [n for n in CHAIN if n not in inst.modules or not inst.modules[n].desired]
    if inst.monitor_only.value:
        return warning(
            f"this installation only monitors ({inst.monitor_only.evidence})",
            "runbooks see faults and tell people, but quarantine, drain and remediate never "
            "come; `nvsx serve --mode watch` is the mode for it. To act, enable "
            f"{', '.join(off)} in NVSentinel's Helm values",
        )
    if off:
        fix = f"the chain ends there; enable {', '.join(off)} in NVSentinel's Helm values"
        return warning(f"not installed or scaled to 0: {', '.join(off)}", fix)
    return ok("quarantine, drain and remediation are installed")


@check("dry-run", "dry run", NVSENTINEL)
@_needs_nvsentinel
def dry_run(survey: Survey, inst: Installation) -> CheckOutcome:  # noqa: ARG001
    if inst.monitor_only.value:
        return skipped("nothing that acts is installed")
    if inst.dry_run.value is None:
        return skipped(f"could not be read: {inst.dry_run.evidence}")
    if inst.dry_run.value:
        fix = (
            "no node is cordoned or rebooted; set global.dryRun=false in NVSentinel's Helm "
            "values when it shall act"
        )
        return warning(f"NVSentinel runs dry: {inst.dry_run.evidence}", fix)
    return ok(inst.dry_run.evidence)


@check("breaker", "circuit breaker", NVSENTINEL)
@_needs_nvsentinel
def breaker(survey: Survey, inst: Installation) -> CheckOutcome:
    if inst.monitor_only.value:
        return skipped("there is no fault-quarantine")
    state = inst.breaker.value
    if state == "TRIPPED":
        where = f"-n {inst.namespace}"
        fix = (
            "nothing is quarantined or released until a person resets it. Find out why so many "
            f"nodes failed, then: kubectl {where} patch configmap circuit-breaker --type merge "
            '-p \'{"data":{"status":"CLOSED"}}\' && '
            f"kubectl {where} rollout restart deployment fault-quarantine"
        )
        return failed(f"the circuit breaker is tripped ({inst.breaker.evidence})", fix)
    count = len(survey.cluster.nodes.gpu)
    if 0 < count <= BREAKER_NODES:
        nodes = "1 GPU node" if count == 1 else f"{count} GPU nodes"
        return warning(
            f"{state or 'not set yet'}, but with {nodes} the first cordon trips it "
            "(half of the GPU nodes within 5 minutes)",
            "after a first fault, reset it by hand; or raise the breaker's percentage in "
            "NVSentinel's Helm values",
        )
    if state is None:
        return skipped(f"not known: {inst.breaker.evidence}")
    return ok(inst.breaker.evidence)


@check("drain", "drain", NVSENTINEL)
@_needs_nvsentinel
def drain(survey: Survey, inst: Installation) -> CheckOutcome:  # noqa: ARG001
    if "node-drainer" not in inst.modules:
        return skipped("there is no node-drainer")
    if inst.drain.value is None:
        return skipped(f"not known: {inst.drain.evidence}")
    if "AllowCompletion" in inst.drain_modes.values():
        return ok(f"{inst.drain.value}; AllowCompletion waits for pods to end, without limit")
    return ok(f"{inst.drain.value} ({inst.drain.evidence})")


@check("repair", "repair", NVSENTINEL)
@_needs_nvsentinel
def repair(survey: Survey, inst: Installation) -> CheckOutcome:
    if "fault-remediation" not in inst.modules:
        return skipped("there is no fault-remediation")
    if inst.manual.value:
        return warning(
            f"the janitor waits for people ({inst.manual.evidence})",
            "repair requests are created and nobody reboots the node: have the runbook page "
            "somebody in remediate, or set manualMode to false",
        )
    if inst.repair.value is None:
        return skipped(f"not known: {inst.repair.evidence}")
    absent = {a.what.partition(".")[2] for a in survey.cluster.attempts if not a.served}
    missing = sorted({r.kind for r in inst.repairs if r.group in absent})
    if missing:
        fix = "install NVSentinel's CRDs (chart janitor): without them no repair can be requested"
        return failed(f"the cluster has no kind {', '.join(missing)}", fix)
    return ok(f"{inst.repair.value} ({inst.repair.evidence})")


@check("datastore", "datastore", NVSENTINEL)
@_needs_nvsentinel
def datastore(survey: Survey, inst: Installation) -> CheckOutcome:
    store, project = survey.cluster.store, survey.project
    named = project.store_uri.partition(":")[0] if ":" in project.store_uri else ""
    provider = named or str(inst.provider.value or "")
    if not provider:
        return skipped(f"not known: {inst.provider.evidence}")
    polls = "poll" in project.modes
    if provider == "none":
        if polls:
            fix = "use serve mode watch, which needs no database"
            return failed(f"there is none ({inst.provider.evidence}), and serve shall poll", fix)
        return ok(f"none ({inst.provider.evidence}); serve mode watch works without")
    where = "as nvsx.yaml or the environment says" if named else inst.provider.evidence
    objects = f"; {', '.join(store.objects)}" if store.objects else ""
    said = f"{provider} ({where}){objects}"
    if store.reached is False:
        fix = f"check the address, and network policies around namespace {inst.namespace}"
        make = failed if polls else warning
        return make(f"{said}; {store.address} does not answer: {store.detail}", fix)
    extra = "mongo" if provider.lower().startswith("mongodb") else "postgres"
    if polls and not survey.machine.extras.get(extra, True):
        fix = f"pip install 'nvsx[{extra}]'"
        return failed(f"{said}; serve shall poll, and the extra {extra} is not installed", fix)
    if store.reached:
        return ok(f"{said}; {store.address} answers, credentials were not tried")
    return ok(f"{said}; connection {store.detail}")


# --- nodes --------------------------------------------------------------------------------


@check("gpu-nodes", "GPU nodes", NODES)
@_needs_cluster
def gpu_nodes(survey: Survey) -> CheckOutcome:
    nodes = survey.cluster.nodes
    if nodes.trouble:
        return skipped(f"could not be read: {nodes.trouble.message}", nodes.trouble.hint)
    found = [n.name for n in nodes.gpu]
    if not found:
        fix = "is the GPU operator (its feature discovery) installed? It sets that label"
        return warning(f"none of {len(nodes.items)} nodes is nvidia.com/gpu.present=true", fix)
    return ok(f"{len(found)} of {len(nodes.items)} nodes: {_join_names(found)}")


@check("opted-out", "opted out", NODES)
@_needs_cluster
def opted_out(survey: Survey) -> CheckOutcome:
    nodes = survey.cluster.nodes
    if nodes.trouble:
        return skipped("nodes could not be read")
    found = [n for n in nodes.items if n.opted_out]
    if not found:
        return ok("none")
    label = found[0].opted_out.partition("=")[0]
    fix = f"NVSentinel leaves them alone; to give one back: kubectl label node NODE {label}-"
    return warning(_join_names([f"{n.name} ({n.opted_out})" for n in found]), fix)


@check("incidents", "in an incident", NODES)
@_needs_cluster
def incidents(survey: Survey) -> CheckOutcome:
    nodes = survey.cluster.nodes
    if nodes.trouble:
        return skipped("nodes could not be read")
    found = [n for n in nodes.items if n.incident]
    if not found:
        return ok("none")
    fix = "nvsx run RUNBOOK --target-node NODE; `nvsx serve` takes them up by itself"
    said = "1 node" if len(found) == 1 else f"{len(found)} nodes"
    lines = [f"{n.name}: {n.incident}" for n in found]
    return warning(f"{said} now", fix, *lines)


# --- the project and this NVSentinel ------------------------------------------------------


@check("coverage", "coverage", PROJECT)
def coverage(survey: Survey) -> CheckOutcome:
    """Only faults of monitors that are installed count, where that is known."""
    seen = survey.project
    if seen.trouble or not seen.runbooks:
        return skipped("there are no runbooks")
    covered = [c for c in seen.coverage if _is_reported_here(c.fault.module, survey)]
    gaps: dict[str, list[str]] = {}
    for gap in (c.fault for c in covered if c.is_gap):
        gaps.setdefault(gap.check, []).append(gap.code or "any other code")
    if gaps:
        fix = f"{WAY_OUT}; all: nvsx doctor --coverage"
        lines = [f"{check_name}: {', '.join(codes)}" for check_name, codes in gaps.items()]
        return warning(describe_gaps(covered), fix, *lines)
    return ok("every fatal fault that can be reported here fires a runbook")


def _is_reported_here(name: str, survey: Survey) -> bool:
    inst = survey.cluster.installation
    if inst is None or not inst.found.value:
        return True
    module = inst.modules.get(name)
    return name not in MODULES or (module is not None and module.desired > 0)


CHECKS = tuple(all_checks())
