"""Scenarios: what happens in a sandbox and when, as people write and share it.

The model of a scenario file and the player of its steps. Reading the file, with the line
and column of each mistake, is the caller's; this knows no YAML.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from nvsentinel_sandbox.chain.simulator import Simulator
from nvsentinel_sandbox.durations import Seconds, write_seconds
from nvsentinel_sandbox.errors import SandboxError
from nvsentinel_sandbox.kube.statuses import ApiError
from nvsentinel_sandbox.unknown import LISTING, suggest_names
from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.variants import VARIANTS

VERBS = ("inject", "heal", "cordon", "uncordon", "resetBreaker", "stop")
_OF_INJECT = ("node", "variant", "people")


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )


class Step(_Part):
    """One thing that happens `at` a time after the start, at speed 1.

    Exactly one of inject (a fault), heal, cordon, uncordon (a node or its alias),
    resetBreaker and stop. `node`, `variant` and `people` go with inject.
    """

    at: Seconds
    inject: str | None = None
    node: str | None = None
    variant: str | None = None
    people: bool | None = None
    heal: str | None = None
    cordon: str | None = None
    uncordon: str | None = None
    reset_breaker: Literal[True] | None = None
    stop: Literal[True] | None = None

    @field_validator("inject")
    @classmethod
    def _a_fault(cls, name: str | None) -> str | None:
        if name is not None and name not in FAULTS:
            raise ValueError(f"there is no fault '{name}': {suggest_names(name, FAULTS, LISTING)}")
        return name

    @field_validator("variant")
    @classmethod
    def _a_variant(cls, name: str | None) -> str | None:
        if name is not None and name not in VARIANTS:
            raise ValueError(
                f"there is no variant '{name}': {suggest_names(name, VARIANTS, LISTING)}"
            )
        if name is not None and VARIANTS[name].scope == "cluster":
            raise ValueError(f"variant '{name}' concerns the installation: put it under sandbox")
        return name

    @model_validator(mode="after")
    def _one_verb(self) -> Step:
        given = [v for v in VERBS if v in self._given_keys]
        if len(given) != 1:
            told = " and ".join(given) or "none"
            raise ValueError(f"a step does one of {', '.join(VERBS)}; this has {told}")
        if given != ["inject"] and (extra := [k for k in _OF_INJECT if k in self._given_keys]):
            raise ValueError(f"{extra[0]} goes with inject alone")
        return self

    @property
    def _given_keys(self) -> set[str]:
        return {to_camel(name) for name in self.model_fields_set}


class Setting(_Part):
    """The sandbox a scenario wants, as `nvsx sandbox start` has it."""

    nodes: int = Field(4, ge=1)
    speed: float = Field(1.0, gt=0)
    seed: int | None = None
    variant: str = ""

    @field_validator("variant")
    @classmethod
    def _a_variant(cls, name: str) -> str:
        if name and name not in VARIANTS:
            raise ValueError(
                f"there is no variant '{name}': {suggest_names(name, VARIANTS, LISTING)}"
            )
        return name


class Title(_Part):
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = ""


class Scenario(_Part):
    """A scenario file."""

    api_version: Literal["nvsx/v1"]
    kind: Literal["Scenario"]
    metadata: Title
    sandbox: Setting = Setting()
    steps: tuple[Step, ...] = Field(min_length=1)

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        for before, after in pairwise(steps):
            if after.at < before.at:
                raise ValueError(
                    f"steps go by time: {write_seconds(after.at)} comes after "
                    f"{write_seconds(before.at)}"
                )
        return steps


async def play(
    scenario: Scenario,
    simulator: Simulator,
    *,
    tell: Callable[[str], None],
    stop: Callable[[], None],
) -> None:
    """Take the steps at their times. One that cannot be taken is told, and the rest go on."""
    at = 0.0
    for step in scenario.steps:
        await simulator.wait(step.at - at)
        at = step.at
        try:
            tell(f"scenario, {write_seconds(step.at)}: {_take_step(step, simulator, stop)}")
        except (SandboxError, ApiError) as error:
            tell(f"scenario, {write_seconds(step.at)}: not done: {error}")


def _take_step(step: Step, simulator: Simulator, stop: Callable[[], None]) -> str:
    """Do what the step says; returns it in words."""
    if step.inject is not None:
        node = simulator.inject(
            step.inject, step.node or "", step.variant or "", people=bool(step.people)
        )
        return f"{step.inject} on {node}"
    if step.heal is not None:
        simulator.heal(step.heal)
        return f"someone repairs {step.heal}"
    if step.cordon is not None:
        simulator.cordon(step.cordon, on=True)
        return f"someone cordons {step.cordon}"
    if step.uncordon is not None:
        simulator.cordon(step.uncordon, on=False)
        return f"someone uncordons {step.uncordon}"
    if step.reset_breaker:
        simulator.reset_breaker()
        return "someone resets the circuit breaker"
    stop()
    return "the sandbox ends"
