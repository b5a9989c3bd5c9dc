"""The watch of pods: how many there are, in which phase."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nvsx.core import selectors
from nvsx.core.fields import LabelSelector, Text
from nvsx.core.watches.counts import Count, CountText
from nvsx.core.watches.snapshot import Needs, Pod, PodSource
from nvsx.core.watches.verdict import Verdict
from nvsx.core.watches.watch_base import (
    Look,
    WatchBase,
    in_namespace,
    is_unread,
    parse_selector,
    satisfied_if,
)

#: Pods that a verdict names; the others are counted.
NAMED_PODS = 3


class PodWatch(WatchBase):
    """Pods that match a selector, on the target node unless `onNode` is false."""

    reads_node: ClassVar[bool] = False

    kind: Literal["pod"]
    selector: LabelSelector = Field(description="Label selector, as for kubectl -l.")
    namespace: Text | None = Field(None, description="All namespaces by default.")
    on_node: bool = Field(True, description="Only pods on the target node.")
    expect: (
        Annotated[str, Field(pattern=r"^phase=(Pending|Running|Succeeded|Failed|Unknown)$")] | None
    ) = Field(None, description="Count only pods in this phase.")
    count: CountText | None = Field(None, description="How many; at least one by default.")

    @property
    def phase(self) -> str | None:
        """The phase in `expect: "phase=…"`."""
        return self.expect.removeprefix("phase=") if self.expect else None

    @property
    def wanted(self) -> Count:
        return self.count or Count(op=">=", number=1)

    def evaluate(self, look: Look) -> Verdict:
        unread = is_unread(look.snap, "pods")
        if unread:
            return unread
        hits = [p for p in look.snap.pods if self._pod_counts(p, look.snap.node_name)]
        names = ", ".join(sorted(f"{p.namespace}/{p.name}" for p in hits)[:NAMED_PODS])
        more = f" and {len(hits) - NAMED_PODS} more" if len(hits) > NAMED_PODS else ""
        text = f"{len(hits)} pods" + (f": {names}{more}" if hits else "")
        return satisfied_if(self.wanted.accepts(len(hits)), text)

    def _pod_counts(self, pod: Pod, node: str) -> bool:
        return (
            (not self.on_node or pod.node == node)
            and self.namespace in (None, pod.namespace)
            and self.phase in (None, pod.phase)
            and selectors.matches(parse_selector(self.selector), pod.labels)
        )

    def needs(self) -> Needs:
        return Needs(pods=(PodSource(self.namespace or "", self.selector, self.on_node),))

    def describe(self) -> str:
        phase = f" {self.phase}" if self.phase else ""
        where = " on the node" if self.on_node else ""
        pods = f"{self.wanted}{phase} pods {self.selector}"
        return f"{pods}{where}{in_namespace(self.namespace)}"
