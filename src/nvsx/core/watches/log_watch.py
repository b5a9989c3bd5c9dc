"""The watch of log lines of pods."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from nvsx.core.fields import LabelSelector, Regex, Text
from nvsx.core.watches.snapshot import LogSource, Needs
from nvsx.core.watches.verdict import Verdict, pending, satisfied
from nvsx.core.watches.watch_base import (
    Happening,
    Look,
    contains_pattern,
    in_namespace,
    is_unread,
)

#: Characters of a line that a verdict shows.
SHOWN_LINE = 200


class LogWatch(Happening):
    """A line in the logs of pods. `training-log` is the same, by its old name."""

    kind: Literal["log", "training-log"]
    pattern: Regex = Field(description="Regular expression found in a line.")
    namespace: Text | None = Field(None, description="Required with selector.")
    selector: LabelSelector | None = Field(None, description="Which pods; or name one in pod.")
    pod: Text | None = Field(None, description="A pod by name.")
    container: Text | None = Field(None, description="Where a pod has several.")

    @model_validator(mode="after")
    def _name_pods_one_way(self) -> Self:
        if self.pod and self.selector:
            raise ValueError("pod and selector exclude each other: keep one")
        if not self.pod and not (self.selector and self.namespace):
            raise ValueError("pod, or namespace with selector, is required")
        return self

    @property
    def source(self) -> LogSource:
        """Which logs it reads; the key of its lines in a snapshot."""
        return LogSource(
            namespace=self.namespace or "default",
            selector=self.selector or "",
            pod=self.pod or "",
            container=self.container or "",
            pattern=self.pattern,
        )

    def evaluate(self, look: Look) -> Verdict:
        source = self.source
        start = self.counts_from(look)
        for line in reversed(look.snap.logs.get(source, ())):
            if line.at >= start and contains_pattern(line.text, self.pattern):
                shown = f"{line.namespace}/{line.pod}: {line.text[:SHOWN_LINE]}"
                return satisfied(shown, line.at)
        where = f"logs/{source.namespace}/{source.selector or source.pod}"
        return is_unread(look.snap, where) or pending("no such line yet")

    def needs(self) -> Needs:
        return Needs(logs=(self.source,))

    def describe(self) -> str:
        whose = f"pod {self.pod}" if self.pod else f"pods {self.selector}"
        inside = f", container {self.container}" if self.container else ""
        return (
            f"log line of {whose}{in_namespace(self.namespace)}{inside} matching /{self.pattern}/"
        )
