"""Doctor's checks of this machine and of the project: nothing here needs a cluster.

`doctor_checks` has the others, and the list.
"""

from __future__ import annotations

from nvsx.commands.doctor.checkup import (
    CLUSTER,
    MACHINE,
    PROJECT,
    CheckOutcome,
    check,
    failed,
    ok,
    skipped,
    warning,
)
from nvsx.commands.doctor.doctor_facts import Survey

_CHOSEN = {
    "flag": "by --project",
    "env": "by NVSX_PROJECT_ROOT",
    "cwd": "around the working directory",
    "clone": "the clone nvsx runs from",
    "config": "the one in ~/.config",
}


@check("python", "nvsx", MACHINE)
def python(survey: Survey) -> CheckOutcome:
    machine = survey.machine
    there = [name for name, found in machine.extras.items() if found]
    absent = [name for name, found in machine.extras.items() if not found]
    extras = f"; extras: {', '.join(there)}" if there else ""
    missing = f"; not installed: {', '.join(absent)}" if absent else ""
    return ok(f"{machine.nvsx} on Python {machine.python}{extras}{missing}")


@check("kubectl", "kubectl", MACHINE)
def kubectl(survey: Survey) -> CheckOutcome:
    machine = survey.machine
    if machine.kubectl:
        return ok(f"{machine.kubectl} ({machine.kubectl_path})")
    trouble = machine.kubectl_trouble
    message, hint = (trouble.message, trouble.hint) if trouble else ("not looked for", "")
    if machine.in_pod:
        return warning(
            f"{message}; nvsx uses the pod's service account, but hooks and "
            "scripts/collect-metrics.sh call kubectl",
            hint,
        )
    return failed(message, hint)


@check("state", "state folder", MACHINE)
def state(survey: Survey) -> CheckOutcome:
    trouble = survey.machine.state_trouble
    if trouble:
        return failed(trouble.message, trouble.hint)
    return ok(f"{survey.machine.state} can be written")


@check("convert-key", "key for convert", MACHINE)
def convert_key(survey: Survey) -> CheckOutcome:
    """Presence only: the key itself is never looked at."""
    if not survey.machine.convert_key:
        return skipped(
            "ANTHROPIC_API_KEY is not set", "needed by `nvsx convert` alone, not with --offline"
        )
    if not survey.machine.extras.get("convert"):
        return warning(
            "ANTHROPIC_API_KEY is set, but the client is not installed",
            "pip install 'nvsx[convert]'",
        )
    return ok("ANTHROPIC_API_KEY is set (it was not tried)")


@check("context", "context", CLUSTER)
def context(survey: Survey) -> CheckOutcome:
    target = survey.target
    if target.trouble:
        return failed(target.trouble.message, target.trouble.hint)
    if survey.machine.in_pod and not target.server:
        return ok("the pod's service account")
    others = f"; others: {', '.join(target.others)}" if target.others else ""
    return ok(f"{target.context}{others}")


@check("project", "folder", PROJECT)
def project(survey: Survey) -> CheckOutcome:
    seen = survey.project
    if seen.trouble:
        return failed(seen.trouble.message, seen.trouble.hint)
    if seen.kind == "packaged":
        return skipped(
            "none yet: the starter runbooks of the package can be shown and tried",
            "nvsx setup makes one",
        )
    return ok(f"{seen.root} ({_CHOSEN.get(seen.kind, seen.kind)})")


@check("settings", "nvsx.yaml", PROJECT)
def settings(survey: Survey) -> CheckOutcome:
    seen = survey.project
    if seen.trouble:
        return skipped("there is no project")
    if seen.settings_trouble:
        lines = seen.settings_trouble.message.splitlines()
        return failed(lines[0], seen.settings_trouble.hint or "correct it", *lines[1:])
    return ok(f"valid; serve: {', '.join(seen.modes)}")


@check("runbooks", "runbooks", PROJECT)
def runbooks(survey: Survey) -> CheckOutcome:
    seen = survey.project
    if seen.trouble:
        return skipped("there is no project")
    if not seen.runbooks:
        return warning("none", "nvsx setup brings starters, nvsx init NAME begins one")
    errors = [f for f in seen.findings if f.severity == "error" and not f.about_hooks]
    advice = [f for f in seen.findings if f.severity == "warning" and not f.about_hooks]
    count = f"{seen.runbooks} runbook{'' if seen.runbooks == 1 else 's'}"
    if errors:
        broken = sorted({f.runbook for f in errors})
        said = f"not valid: {', '.join(broken)} ({len(errors)} errors)"
        return failed(said, "nvsx lint", *(f.text for f in errors))
    if advice:
        said = f"{count}, valid, {len(advice)} warnings"
        return warning(said, "nvsx lint", *(f.text for f in advice))
    return ok(f"{count}, all valid")


@check("hooks", "hooks", PROJECT)
def hooks(survey: Survey) -> CheckOutcome:
    seen = survey.project
    if seen.trouble or not seen.runbooks:
        return skipped("there are no runbooks")
    wrong = [f for f in seen.findings if f.about_hooks]
    errors = [f.text for f in wrong if f.severity == "error"]
    if errors:
        what = "1 thing is" if len(errors) == 1 else f"{len(errors)} things are"
        return failed(f"{what} wrong with {seen.hooks} scripts", "nvsx lint", *errors)
    if wrong:
        said = f"{seen.hooks} scripts, executable, {len(wrong)} warnings"
        return warning(said, "nvsx lint", *(f.text for f in wrong))
    return ok(f"{seen.hooks} scripts, all there and executable")


@check("guard", "kubectl guard", PROJECT)
def guard(survey: Survey) -> CheckOutcome:
    seen = survey.project
    if seen.kubectl_writes == "allow":
        return warning(
            "hooks may write to the cluster (hooks.kubectlWrites: allow)",
            "set it to deny, unless a hook really must write",
        )
    if seen.guard.allowed is None:
        return skipped(f"not tried: {seen.guard.detail}")
    if seen.guard.allowed:
        return failed(f"it let a write pass: {seen.guard.detail}", "reinstall nvsx")
    return ok(f"refuses writes of hooks ({seen.guard.detail})")
