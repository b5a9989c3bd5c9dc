"""Doctor's checks of who is told: the lists, and one check for each target."""

from __future__ import annotations

from nvsx.commands.doctor.checkup import (
    NOTIFY,
    Check,
    CheckOutcome,
    check,
    failed,
    ok,
    skipped,
    warning,
)
from nvsx.commands.doctor.doctor_facts import Survey, TargetSeen


@check("notify", "who is told", NOTIFY)
def notify(survey: Survey) -> CheckOutcome:
    seen = survey.telling
    if seen.missing:
        missing = ", ".join(seen.missing)
        return warning(f"there is no target jira: not set: {missing}", f"set {seen.missing[0]}")
    if not seen.targets:
        fix = "name targets under notify: in nvsx.yaml, or set SLACK_WEBHOOK_URL and others"
        return skipped("nobody: there are no targets", fix)
    lists = {"pages": seen.pages, "posts": seen.posts, "tickets": seen.tickets}
    said = [f"{what} → {', '.join(names)}" for what, names in lists.items() if names]
    if seen.fallback:
        said.append(f"pages that cannot be delivered → {', '.join(seen.fallback)}")
    kinds = {target.name: target.kind for target in seen.targets}
    if not any(kinds.get(name) in ("pagerduty", "opsgenie", "webhook") for name in seen.pages):
        fix = "name a pager under notify.default.page in nvsx.yaml"
        return warning(f"{'; '.join(said) or 'nobody'}; no page wakes anybody", fix)
    return ok("; ".join(said))


def make_target_checks(survey: Survey) -> list[Check]:
    """A check for each target, for `examine` after those of the list."""
    return [_make_check(target) for target in survey.telling.targets]


def _make_check(target: TargetSeen) -> Check:
    def judge(_survey: Survey) -> CheckOutcome:
        if target.trouble:
            fix = target.trouble.hint or f"`nvsx notify test {target.name}` once that is mended"
            return failed(f"{target.kind}: {target.trouble.message}", fix)
        return ok(f"{target.kind}: {target.proved}")

    return Check(f"notify:{target.name}", target.name, NOTIFY, judge)
