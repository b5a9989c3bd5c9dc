"""Routing of one event over many runbooks whose triggers are CEL expressions.

    python benchmarks/routing.py [RUNBOOKS]

Each runbook has a `when` of its own and nothing cheaper that could rule it out, so every
expression is evaluated for every event; then the same runbooks with a `check` beside the
`when`, as most people write them. Compared with the shortest program that knows the answer:
a loop over the same compiled expressions. The figures include the reasons for and against
every rule, which `nvsx explain` shows later.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

from cel_expr_python import cel as bare_cel  # type: ignore[import-untyped]

from nvsx.core.routing.route import Router, TriggerFacts
from nvsx.core.runbook.schema import Runbook
from nvsx.project import cel

GOAL_MS = 10.0
EVENTS = 200


def expression(number: int) -> str:
    """A condition as people write them; one in 500 is true of an event below."""
    return (
        f'"{number}" in event.errorCode && event.componentClass == "GPU" '
        '&& (event.recommendedAction == "RESTART_BM" || event.message.contains("fell off"))'
    )


def runbook(number: int, *, check: bool) -> Runbook:
    """One whose only trigger is its expression, and a check when that is wanted."""
    trigger = {"when": expression(number)} | ({"check": f"Check{number % 50}"} if check else {})
    return Runbook.model_validate(
        {
            "apiVersion": "nvsx/v1",
            "kind": "Runbook",
            "metadata": {"name": f"book-{number}"},
            "triggers": [trigger],
            "stages": [{"id": "detect"}],
        }
    )


def facts(number: int) -> TriggerFacts:
    """An event that the runbook of this number is for."""
    return TriggerFacts(
        node=f"node-{number}",
        check_name=f"Check{number % 50}",
        error_codes=(str(number),),
        is_fatal=True,
        recommended_action="RESTART_BM",
        entities=(("PCI", "0000:03:00"), ("GPU_UUID", "GPU-123")),
        message=f"XID {number} on GPU 3",
        agent="syslog-health-monitor",
        component_class="GPU",
        labels={"zone": "a", "team": "ml"},
        source="nvsentinel",
        generated_at=1_700_000_000.0,
    )


def require(right: bool) -> None:
    """A fast wrong answer is no figure."""
    if not right:
        raise SystemExit("the event did not go to its runbook")


def timed(work: Callable[[int], object]) -> list[float]:
    """Milliseconds of each of `EVENTS` calls."""
    took = []
    for number in range(EVENTS):
        began = time.perf_counter()
        work(number)
        took.append((time.perf_counter() - began) * 1000)
    return took


def main(count: int) -> int:
    """The figures; 1 when the goal is missed."""
    environment = bare_cel.NewEnv(variables={"event": bare_cel.Type.DYN})
    programs = [environment.compile(expression(n)) for n in range(count)]

    def bare(number: int) -> None:
        activation = environment.Activation({"event": facts(number % count).event()})
        true = [n for n, p in enumerate(programs) if p.eval(activation).plain_value()]
        require(true == [number % count])

    def routed(router: Router) -> Callable[[int], None]:
        def one(number: int) -> None:
            winner = router.route(facts(number % count), cel.evaluate).winner
            require(winner is not None and winner.name == f"book-{number % count}")

        return one

    routers = [Router([runbook(n, check=c) for n in range(count)]) for c in (False, True)]
    began = time.perf_counter()
    routed(routers[0])(0)
    first = (time.perf_counter() - began) * 1000
    rows = {
        "a bare loop over the expressions": bare,
        "nvsx, `when` alone": routed(routers[0]),
        "nvsx, `check` and `when`": routed(routers[1]),
    }
    figures: dict[str, tuple[float, float]] = {}
    for name, work in rows.items():
        took = timed(work)
        figures[name] = (statistics.median(took), statistics.quantiles(took, n=100)[98])
    base = figures["a bare loop over the expressions"][0]
    print(f"{count} runbooks, one event; load {os.getloadavg()[0]:.1f}")
    for name, (p50, p99) in figures.items():
        print(f"{name:<36}p50 {p50:6.2f} ms {p50 / base:5.2f} ×   p99 {p99:6.2f} ms")
    print(f"the first event, which compiles the expressions: {first:.1f} ms")
    met = figures["nvsx, `when` alone"][0] < GOAL_MS
    print(
        f"goal: p50 < {GOAL_MS:g} ms with every expression evaluated: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
