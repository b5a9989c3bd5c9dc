"""Asking a watch for its verdict, and the snapshots that tests ask most about."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from tests.fakes import fake_observer as build
from tests.fakes.fake_observer import AT

from nvsx.core.watches import conditions
from nvsx.core.watches.kinds import AnyOf, Watch
from nvsx.core.watches.snapshot import Snapshot
from nvsx.core.watches.verdict import Verdict
from nvsx.core.watches.watch_base import Look, Scope
from nvsx.nvsentinel.chain import NvsentinelChain

ADAPTER: TypeAdapter[Any] = TypeAdapter(Watch)
RUN = AT + 10
NOW = AT + 100


def ask(
    watch: dict[str, Any], snap: Snapshot, held: dict[int, float] | None = None, **scope: Any
) -> Verdict:
    """The verdict of one watch, in stage `recover` unless said otherwise."""
    fields = {"now": NOW, "stage": "recover", "run_began": RUN, "stage_began": RUN + 5, **scope}
    sight = Look(snap, Scope(**fields), NvsentinelChain())
    item = AnyOf.model_validate(watch) if "anyOf" in watch else ADAPTER.validate_python(watch)
    return conditions.evaluate(item, sight, {} if held is None else held)


FAULTY = build.snapshot(of=build.node(conditions=(build.condition(),), cordoned=True))
HEALTHY = build.snapshot(of=build.node(conditions=(build.condition(healthy=True),)))
GONE = build.snapshot(node=None)
BLIND = build.snapshot(node=None, unread={"node": "the API server does not answer"})
