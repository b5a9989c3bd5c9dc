"""The environment of a script, as a pure function.

What the operator exported goes in, less nvsx's own secrets and less what an outer run
left behind; the run's facts, its private KUBECONFIG and, for bookkeeping scripts, the
kubectl guard go on top. A sandbox run or drill loses everything that could page someone.
It reads nothing and decides nothing about the script itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from nvsx.core.masking import is_own_secret, is_secret_name

RUN_FACTS = frozenset(
    f"NVSX_{name}"
    for name in """
    STAGE RUNBOOK TARGET_NODE TARGET_ALIAS ELAPSED_MS RUN_ID INCIDENT_KEY TRIGGER CLUSTER
    RUN_STATUS FAILED_STAGE REASON INCIDENT_MS MTTR_MS IDEMPOTENCY_KEY ATTEMPT EVENT_FILE
    REPORT_FILE ARTIFACT_DIR IMPACT_FILE SANDBOX DRILL STORM_ROLE STORM_SIZE
    REPEAT_COUNT REPEAT_GPU INCIDENT_ID INCIDENT_FILE REPAIR_NO LATE CAUSE_CODE CAUSE REMEDY
    INCIDENT_STATE NOTIFY_DIR
    """.split()
)
"""Set for each script. Inherited ones belong to another run: nvsx may run inside a hook."""

FROM_EVENTS = frozenset(
    {
        "NVSX_TARGET_NODE",
        "NVSX_INCIDENT_KEY",
        "NVSX_TRIGGER",
        "NVSX_CLUSTER",
        "NVSX_REPEAT_GPU",
    }
)
"""Facts whose text a sender chose; scripts may paste them anywhere."""

_PAGING_VALUE = re.compile(
    r"hooks\.slack\.com|events(\.eu)?\.pagerduty\.com|api(\.eu)?\.opsgenie\.com"
    r"|discord(app)?\.com/api/webhooks|webhook\.office\.com|outlook\.office\.com/webhook"
    r"|logic\.azure\.com|chat\.googleapis\.com|alert\.victorops\.com|api\.twilio\.com"
    r"|api\.powerplatform\.com|ntfy\.sh/|api\.pushover\.net"
    # Mattermost, Rocket.Chat, Zapier, Grafana OnCall and one's own: the word is in the address.
    r"|https?://(?:\S*[./_-])?(?:web)?hooks?(?:[./_-]|$)"
    r"|://[^/\s:@]*:[^/\s@]+@",
    re.IGNORECASE,
)
_PAGING_NAME = re.compile(r"(?:^|_)HOOK(?:_|$)", re.IGNORECASE)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._:/-]")
_NOT_WORDS = re.compile(r"[^A-Za-z0-9 ._:/,;()%=+#'-]")


def can_page(name: str, value: str) -> bool:
    """Whether a variable looks like a secret or a webhook: by its name, or by its value. A team
    may have called one NVSX_SOMETHING; nvsx's own facts are set after this."""
    told = name.removeprefix("NVSX_")
    return (
        is_secret_name(told)
        or _PAGING_NAME.search(told) is not None
        or _PAGING_VALUE.search(value) is not None
    )


def make_plain(value: str) -> str:
    """`value` with everything but letters, digits and `._:/-` replaced by `-`."""
    return _NOT_PLAIN.sub("-", value)


def build_environment(
    exported: Mapping[str, str],
    facts: Mapping[str, str],
    *,
    project_root: Path,
    kubeconfig: Path | None,
    guard_dir: Path | None,
    nvsx_dir: Path | None = None,
    may_page: bool,
) -> dict[str, str]:
    """The variables of one script.

    `guard_dir` comes first on PATH, then `nvsx_dir`; no guard for scripts that get the real
    kubectl. Without a
    `kubeconfig` kubectl finds an empty one, never whatever is current: in a pod it then
    uses the service account, elsewhere nothing.
    """
    environment = {
        name: value
        for name, value in exported.items()
        if name not in RUN_FACTS
        and not is_own_secret(name)
        and (may_page or not can_page(name, value))
    }
    for name, value in facts.items():
        environment[name] = _make_fact_safe(name, value)
    environment["NVSX_PROJECT_ROOT"] = environment["NVSX_PLAYGROUND"] = str(project_root)
    environment["KUBECONFIG"] = str(kubeconfig) if kubeconfig else os.devnull
    first = [str(folder) for folder in (guard_dir, nvsx_dir) if folder]
    if first:
        path = environment.get("PATH") or os.defpath
        environment["PATH"] = os.pathsep.join([*first, path])
    return environment


def _make_fact_safe(name: str, value: str) -> str:
    if name in FROM_EVENTS:
        return make_plain(value)
    if name in ("NVSX_REASON", "NVSX_CAUSE", "NVSX_REMEDY"):
        return _NOT_WORDS.sub("_", value)
    return value.replace("\0", "")
