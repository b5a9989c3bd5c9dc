"""What of NVSentinel is installed, and how it is configured, read through plain GETs.

`setup`, `doctor` and the diagnosis of waiting runs use it. Every fact carries its evidence;
what could not be read is unknown and says why, never "no". It reads Deployments,
DaemonSets and ConfigMaps, never Secrets, and changes nothing.
Sources: distros/kubernetes/nvsentinel/values.yaml and the charts of each module.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from nvsx.nvsentinel.workloads import (
    Fact,
    Module,
    Read,
    Reader,
    as_map,
    find_nvsentinel,
    group_into_modules,
)

BREAKER_CONFIGMAP = "circuit-breaker"
#: What acts on nodes; without the first of them an installation only monitors.
ACTING = ("fault-quarantine", "node-drainer", "fault-remediation", "janitor")

UNREAD = Fact(None, "not read")
#: A text in a CEL expression.
_LITERAL = re.compile(r"""['"]([^'"]+)['"]""")


class Repair(msgspec.Struct, frozen=True):
    """The custom resource fault-remediation creates for an action."""

    action: str
    group: str
    version: str
    kind: str
    namespace: str = ""
    complete_condition: str = ""


class Installation(msgspec.Struct, frozen=True):
    """What was found. `modules` holds those that exist; `unread` says what could not be
    read and why, so that a module missing from both is not installed. `datastore` is what
    the datastore's ConfigMap says, as it is; the credentials are elsewhere. `rules` are the
    CEL expressions of each of fault-quarantine's rule sets, () when they are not known."""

    namespace: str
    found: Fact = UNREAD
    modules: Mapping[str, Module] = {}
    provider: Fact = UNREAD
    database: str = ""
    collection: str = ""
    datastore: Mapping[str, str] = {}
    monitor_only: Fact = UNREAD
    dry_run: Fact = UNREAD
    breaker: Fact = UNREAD
    rules: tuple[str, ...] = ()
    drain_modes: Mapping[str, str] = {}
    drain: Fact = UNREAD
    repairs: tuple[Repair, ...] = ()
    repair: Fact = UNREAD
    manual: Fact = UNREAD
    log_collector: Fact = UNREAD
    unread: Mapping[str, str] = {}

    def missing(self, name: str) -> bool:
        """Whether `name` is certainly not installed, or scaled to nothing."""
        if name in self.modules:
            return self.modules[name].desired == 0
        return self.found.value is not None and "workloads" not in self.unread

    def quarantines(self, agent: str) -> bool:
        """Whether a rule set may match an event of `agent`; True when nothing says otherwise."""
        return not self.rules or any(
            "agent" not in rule or any(agent.startswith(text) for text in _LITERAL.findall(rule))
            for rule in self.rules
        )

    def version(self, name: str) -> str:
        module = self.modules.get(name)
        return module.version if module else ""


async def inspect_installation(read: Read, namespace: str = "") -> Installation:
    """Read the installation in `namespace`, or where it is found when that is "".

    Never raises for what cannot be read; a cluster that does not answer at all shows as
    every fact unknown.
    """
    reader = Reader(read)
    where, found, workloads = await find_nvsentinel(reader, namespace)
    modules = group_into_modules(workloads)
    maps = _index_config_maps(
        await reader.items(f"/api/v1/namespaces/{where}/configmaps", "config")
    )
    blind = reader.unread.get("config", "")
    provider, datastore = _read_datastore(maps, blind)
    drain_modes, drain = _read_drain_modes(maps, blind)
    repairs, repair = _read_repairs(maps, blind)
    return Installation(
        namespace=where,
        found=found,
        modules=modules,
        provider=provider,
        database=datastore.get("MONGODB_DATABASE_NAME") or datastore.get("DATASTORE_DATABASE", ""),
        collection=datastore.get("MONGODB_COLLECTION_NAME", ""),
        datastore=datastore,
        monitor_only=_read_monitor_only(modules, found),
        dry_run=_read_dry_run(modules, found),
        breaker=_read_breaker(maps, blind),
        rules=_read_rules(maps.get("fault-quarantine", {})),
        drain_modes=drain_modes,
        drain=drain,
        repairs=repairs,
        repair=repair,
        manual=_read_manual_mode(maps, blind),
        log_collector=_read_log_collector(modules, found),
        unread=dict(reader.unread),
    )


def _read_monitor_only(modules: Mapping[str, Module], found: Fact) -> Fact:
    if not found.value:
        return Fact(None, found.evidence)
    acting = modules.get("fault-quarantine")
    if acting is None:
        return Fact(True, "there is no fault-quarantine: faults are shown, nothing is done")
    return Fact(acting.desired == 0, acting.evidence)


def _read_dry_run(modules: Mapping[str, Module], found: Fact) -> Fact:
    """`--dry-run=true` is an argument of the three modules that act."""
    acting = [modules[n] for n in ACTING[:3] if n in modules]
    if not acting:
        return Fact(None if not found.known else False, found.evidence)
    dry = [m.name for m in acting if _switched_on(m.args, "dry-run")]
    if dry:
        return Fact(True, f"--dry-run on {', '.join(dry)}")
    return Fact(False, f"no --dry-run on {', '.join(m.name for m in acting)}")


def _switched_on(args: tuple[str, ...], flag: str) -> bool:
    pattern = re.compile(rf"^--?[\w-]*{re.escape(flag)}[\w-]*(?:=(\w+))?$")
    hits = [m for m in map(pattern.match, args) if m]
    return any((m[1] or "true").lower() in ("true", "1", "yes") for m in hits)


def _read_log_collector(modules: Mapping[str, Module], found: Fact) -> Fact:
    """Its Job runs before the repair is asked for, and can take ten minutes."""
    module = modules.get("fault-remediation")
    if module is None:
        return Fact(None, found.evidence)
    on = _switched_on(module.args, "log-collector")
    return Fact(on, f"arguments of fault-remediation {'switch' if on else 'do not switch'} it on")


# --- configuration ------------------------------------------------------------------------


def _index_config_maps(items: list[Mapping[str, Any]]) -> dict[str, Mapping[str, str]]:
    return {
        str(as_map(item.get("metadata")).get("name")): {
            str(k): str(v) for k, v in as_map(item.get("data")).items()
        }
        for item in items
    }


def _read_datastore(
    maps: Mapping[str, Mapping[str, str]], blind: str
) -> tuple[Fact, Mapping[str, str]]:
    if blind:
        return Fact(None, blind), {}
    for name, data in sorted(maps.items()):
        provider = data.get("DATASTORE_PROVIDER", "")
        if provider and (name == "mongodb-config" or name.endswith("datastore-config")):
            return Fact(provider, f"ConfigMap {name}"), data
    return Fact("none", "no ConfigMap names a DATASTORE_PROVIDER"), {}


def _read_breaker(maps: Mapping[str, Mapping[str, str]], blind: str) -> Fact:
    if blind:
        return Fact(None, blind)
    data = maps.get(BREAKER_CONFIGMAP, {})
    status = data.get("status", "").strip().upper()
    if not status:
        return Fact(None, f"no ConfigMap {BREAKER_CONFIGMAP} with a status")
    return Fact(status, f"ConfigMap {BREAKER_CONFIGMAP}: {status}")


def _merge_toml(data: Mapping[str, str]) -> dict[str, Any]:
    """All TOML documents of a ConfigMap, together; what cannot be parsed is left out."""
    merged: dict[str, Any] = {}
    for key, text in data.items():
        if key.endswith(".toml"):
            try:
                merged.update(tomllib.loads(text))
            except tomllib.TOMLDecodeError:
                continue
    return merged


def _fold_keys(table: object) -> dict[str, Any]:
    return {str(k).lower(): v for k, v in as_map(table).items()}


def _read_rules(data: Mapping[str, str]) -> tuple[str, ...]:
    """What each rule set asks of a health event, as one text; what else it asks of the node."""
    sets = _fold_keys(_merge_toml(data)).get("rule-sets")
    found = []
    for entry in map(as_map, sets if isinstance(sets, list) else ()):
        matches = [m for group in as_map(entry.get("match")).values() for m in group]
        about = [m for m in map(as_map, matches) if m.get("kind") == "HealthEvent"]
        found.append(" && ".join(str(m.get("expression", "")) for m in about))
    return tuple(found)


def _read_drain_modes(
    maps: Mapping[str, Mapping[str, str]], blind: str
) -> tuple[dict[str, str], Fact]:
    """Namespace pattern → AllowCompletion, Immediate or DeleteAfterTimeout."""
    if blind:
        return {}, Fact(None, blind)
    table = _fold_keys(_merge_toml(maps.get("node-drainer", {})))
    listed = table.get("usernamespaces")
    entries = [_fold_keys(e) for e in listed] if isinstance(listed, list) else []
    modes = {str(e["name"]): str(e["mode"]) for e in entries if "name" in e and "mode" in e}
    if not modes:
        return {}, Fact(None, "ConfigMap node-drainer names no drain modes")
    text = ", ".join(f"{pattern}: {mode}" for pattern, mode in modes.items())
    return modes, Fact(text, "ConfigMap node-drainer")


def _read_repairs(
    maps: Mapping[str, Mapping[str, str]], blind: str
) -> tuple[tuple[Repair, ...], Fact]:
    if blind:
        return (), Fact(None, blind)
    table = _fold_keys(_merge_toml(maps.get("fault-remediation", {})))
    found = []
    for action, entry in as_map(table.get("remediationactions")).items():
        fields = {k: str(v) for k, v in _fold_keys(entry).items()}
        if fields.get("kind"):
            found.append(
                Repair(
                    action=str(action),
                    group=fields.get("apigroup", ""),
                    version=fields.get("version", ""),
                    kind=fields["kind"],
                    namespace=fields.get("namespace", ""),
                    complete_condition=fields.get("completeconditiontype", ""),
                )
            )
    if not found:
        return (), Fact(None, "ConfigMap fault-remediation names no remediationActions")
    text = ", ".join(f"{r.action}: {r.kind}" for r in found)
    return tuple(found), Fact(text, "ConfigMap fault-remediation")


def _read_manual_mode(maps: Mapping[str, Mapping[str, str]], blind: str) -> Fact:
    """Janitor's manual mode: it creates no signal and waits for a person."""
    if blind:
        return Fact(None, blind)
    text = "\n".join(maps.get("janitor", {}).values())
    values = re.findall(r"(?im)^\s*\"?manualMode\"?\s*[:=]\s*(true|false)", text)
    if not values:
        return Fact(None, "ConfigMap janitor does not mention manualMode")
    on = any(v.lower() == "true" for v in values)
    return Fact(on, f"ConfigMap janitor: manualMode {'true' if on else 'false'}")
