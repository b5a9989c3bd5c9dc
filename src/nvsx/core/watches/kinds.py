"""What a stage can wait for: one class per watch kind, and the union `Watch` of them.

A class declares exactly the fields its kind understands, so a key that has no meaning
is an error and never silently ignored. Evaluation lives in `core.conditions`; nothing
here looks at a cluster. A new kind is one class, a line in `KINDS`, and its evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from nvsx.core import durations
from nvsx.core.fields import Duration, LabelSelector, Model, Regex, Text, Texts
from nvsx.core.watches import filters
from nvsx.core.watches.counts import Count, CountText

Since = Literal["incident", "run", "stage", "ever"]


def _status(value: object) -> object:
    """YAML reads an unquoted True as a boolean; a condition's status can mean only this."""
    return {True: "True", False: "False"}[value] if isinstance(value, bool) else value


ConditionStatus = Annotated[
    Literal["True", "False", "Unknown"],
    BeforeValidator(_status),
    WithJsonSchema({"enum": ["True", "False", "Unknown", True, False]}),
]


class WatchBase(Model):
    """What every kind has in common.

    `happening` tells the two families apart: a state watch asks what is true now, a
    happening watch counts only what belongs to this incident (see `since`).
    """

    happening: ClassVar[bool] = False

    absent: bool = Field(False, description="True: holds while the rest does not.")
    for_: Duration | None = Field(
        None, alias="for", description="How long it must hold without a break."
    )
    since: Since | None = Field(
        None,
        description="What counts: from the incident, the run or the stage on, or ever.",
    )


class NodeCondition(WatchBase):
    """A condition on the target node, such as the one NVSentinel sets for a check."""

    kind: Literal["node-condition"]
    type: Texts = Field(description="Condition type, one or a list: any of them.")
    status: ConditionStatus = Field("True", description="NVSentinel's True means unhealthy.")
    error_code: Texts = Field((), description="ErrorCode in the message: any of them, exactly.")
    reason: Texts = Field((), description="The condition's reason, one or a list.")


class NodeField(WatchBase):
    """A fact of the target node. An absent boolean reads as false."""

    kind: Literal["node"]
    field: Literal["spec.unschedulable", "ready", "exists", "bootID"] = Field(
        description="bootID holds once the node has booted again."
    )
    expect: Annotated[
        bool, WithJsonSchema({"enum": [True, False, "true", "false", "changed", "unchanged", ""]})
    ] = Field(True, description="For bootID, true means changed.")

    @field_validator("expect", mode="before")
    @classmethod
    def _expect(cls, value: object) -> object:
        """Early runbooks compared kubectl's text, where an absent boolean prints nothing."""
        if isinstance(value, bool):
            return value
        words = {"true": True, "changed": True, "false": False, "unchanged": False, "": False}
        text = str(value).strip().lower() if value is not None else ""
        if text not in words:
            raise ValueError(f"'{value}' is not true or false")
        return words[text]


class Taint(WatchBase):
    """A taint on the target node. NVSentinel sets none unless an operator configured it."""

    kind: Literal["taint"]
    key: Text = Field(description="The taint's key.")
    value: Text | None = Field(None, description="Its value; any by default.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Its effect; any by default."
    )


class _Keyed(WatchBase):
    key: Text = Field(description="The whole key, prefix included.")
    value: Texts = Field((), description="One or a list: any of them, exactly.")
    pattern: Regex | None = Field(None, description="Regular expression found in the value.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.value and self.pattern:
            raise ValueError("value and pattern exclude each other: keep one")
        return self


class NodeLabel(_Keyed):
    """A label on the target node; without value or pattern, its presence."""

    kind: Literal["node-label"]


class NodeAnnotation(_Keyed):
    """An annotation on the target node; without value or pattern, its presence."""

    kind: Literal["node-annotation"]


class NvsentinelState(WatchBase):
    """NVSentinel's state label has reached one of these, or a later rank, in this session."""

    kind: Literal["nvsentinel-state"]
    state: Texts = Field(description="One or a list, such as quarantined or drain-succeeded.")


class Pod(WatchBase):
    """Pods that match a selector, on the target node unless `onNode` is false."""

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


class _Events(WatchBase):
    happening: ClassVar[bool] = True

    reason: Texts = Field((), description="The Event's reason, one or a list.")
    type: Texts = Field((), description="NVSentinel uses the check name, or NodeDraining.")
    namespace: Text | None = Field(None, description="Where the Event is stored.")
    pattern: Regex | None = Field(None, description="Regular expression found in the message.")

    @model_validator(mode="after")
    def _reason_or_type(self) -> Self:
        if not (self.reason or self.type):
            raise ValueError("reason or type is required")
        return self


class PodEvent(_Events):
    """A Kubernetes Event about a pod on the target node."""

    kind: Literal["pod-event"]
    selector: LabelSelector | None = Field(None, description="Labels of the pod.")


class NodeEvent(_Events):
    """A Kubernetes Event about the target node."""

    kind: Literal["node-event"]


class CrdCondition(Model):
    """A condition in the status of a custom resource."""

    type: Text = Field(description="Condition type, such as NodeReady.")
    status: ConditionStatus = "True"


class Crd(WatchBase):
    """A custom resource for the target node, such as a RebootNode.

    `resource` is the plural, or `maintenance` for whatever kinds this NVSentinel creates.
    """

    happening: ClassVar[bool] = True

    kind: Literal["crd"]
    resource: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] = Field(
        description="The plural, such as rebootnodes, or maintenance."
    )
    group: Text | None = Field(None, description="API group, where the plural says too little.")
    version: Text | None = Field(None, description="API version, where it matters.")
    namespace: Text | None = Field(None, description="For namespaced resources.")
    condition: CrdCondition | None = Field(
        None, description="`{type, status}` in its status; status is True by default."
    )
    completed: bool | None = Field(None, description="True: it has a completion time.")


Filter = Annotated[
    dict[str, Any], BeforeValidator(filters.parse), WithJsonSchema({"type": ["object", "string"]})
]


class HealthEvent(WatchBase):
    """A health event in NVSentinel's own store. `mongo-event` is the same, by its old name."""

    happening: ClassVar[bool] = True

    kind: Literal["health-event", "mongo-event"]
    collection: Text | None = Field(None, description="HealthEvents, or MaintenanceEvents.")
    filter: Filter | None = Field(
        None, description="MongoDB query syntax, as a mapping or JSON text."
    )
    check: Texts = Field((), description="Check name, one or a list: any of them.")
    error_code: Texts = Field((), description="Error code, one or a list: any of them.")

    @field_validator("kind")
    @classmethod
    def _one_name(cls, _: str) -> str:
        return "health-event"


class Log(WatchBase):
    """A line in the logs of pods. `training-log` is the same, by its old name."""

    happening: ClassVar[bool] = True

    kind: Literal["log", "training-log"]
    pattern: Regex = Field(description="Regular expression found in a line.")
    namespace: Text | None = Field(None, description="Required with selector.")
    selector: LabelSelector | None = Field(None, description="Which pods; or name one in pod.")
    pod: Text | None = Field(None, description="A pod by name.")
    container: Text | None = Field(None, description="Where a pod has several.")

    @field_validator("kind")
    @classmethod
    def _one_name(cls, _: str) -> str:
        return "log"

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.pod and self.selector:
            raise ValueError("pod and selector exclude each other: keep one")
        if not self.pod and not (self.selector and self.namespace):
            raise ValueError("pod, or namespace with selector, is required")
        return self


Watch = Annotated[
    NodeCondition
    | NodeField
    | Taint
    | NodeLabel
    | NodeAnnotation
    | NvsentinelState
    | Pod
    | PodEvent
    | NodeEvent
    | Crd
    | HealthEvent
    | Log,
    Field(discriminator="kind"),
]


class AnyOf(Model):
    """A group that holds when one of its watches holds."""

    any_of: tuple[Watch, ...] = Field(min_length=1, description="One of these must hold.")


KINDS: dict[str, type[WatchBase]] = {
    "node-condition": NodeCondition,
    "node": NodeField,
    "taint": Taint,
    "node-label": NodeLabel,
    "node-annotation": NodeAnnotation,
    "nvsentinel-state": NvsentinelState,
    "pod": Pod,
    "pod-event": PodEvent,
    "node-event": NodeEvent,
    "crd": Crd,
    "health-event": HealthEvent,
    "mongo-event": HealthEvent,
    "log": Log,
    "training-log": Log,
}


def describe(watch: Watch | AnyOf) -> str:
    """One plain line for a plan: `node condition SysLogsXIDError is True with error code 79`."""
    if isinstance(watch, AnyOf):
        return "any of: " + "; or ".join(describe(w) for w in watch.any_of)
    text = _DESCRIBE[watch.kind](watch)
    if watch.absent:
        text = f"not: {text}"
    if watch.for_:
        text += f", for {durations.format(watch.for_)}"
    if watch.since:
        text += ", at any time" if watch.since == "ever" else f", since the {watch.since} began"
    return text


def _or(values: tuple[str, ...]) -> str:
    return " or ".join(values)


def _node_condition(w: NodeCondition) -> str:
    text = f"node condition {_or(w.type)} is {w.status}"
    if w.error_code:
        text += f" with error code {_or(w.error_code)}"
    return text + (f" with reason {_or(w.reason)}" if w.reason else "")


def _node_field(w: NodeField) -> str:
    yes, no = {
        "spec.unschedulable": ("node is cordoned", "node is schedulable"),
        "ready": ("node is Ready", "node is not Ready"),
        "exists": ("node exists", "node is gone"),
        "bootID": ("node has booted again", "node has not booted again"),
    }[w.field]
    return yes if w.expect else no


def _taint(w: Taint) -> str:
    value = f"={w.value}" if w.value else ""
    return f"node has taint {w.key}{value}" + (f":{w.effect}" if w.effect else "")


def _keyed(w: NodeLabel | NodeAnnotation) -> str:
    text = f"node has {w.kind.removeprefix('node-')} {w.key}"
    if w.value:
        return f"{text}={_or(w.value)}"
    return text + (f" matching /{w.pattern}/" if w.pattern else "")


def _pod(w: Pod) -> str:
    phase = f" {w.phase}" if w.phase else ""
    where = " on the node" if w.on_node else ""
    return f"{w.wanted}{phase} pods {w.selector}{where}" + _in(w.namespace)


def _in(namespace: str | None) -> str:
    return f" in namespace {namespace}" if namespace else ""


def _events(w: PodEvent | NodeEvent) -> str:
    about = "a pod on the node" if w.kind == "pod-event" else "the node"
    text = f"Event {_or((*w.type, *w.reason))} for {about}"
    if isinstance(w, PodEvent) and w.selector:
        text += f" with labels {w.selector}"
    return text + _in(w.namespace) + (f" matching /{w.pattern}/" if w.pattern else "")


def _crd(w: Crd) -> str:
    name = "maintenance resource" if w.resource == "maintenance" else w.resource
    text = name + (f".{w.group}" if w.group else "") + " for the node" + _in(w.namespace)
    if w.condition:
        text += f" has {w.condition.type} {w.condition.status}"
    if w.completed is not None:
        text += f"{' and' if w.condition else ''} is {'' if w.completed else 'not '}completed"
    return text if w.condition or w.completed is not None else f"{text} exists"


def _health_event(w: HealthEvent) -> str:
    text = "health event for the node in NVSentinel's store"
    text += f" by check {_or(w.check)}" if w.check else ""
    text += f" with error code {_or(w.error_code)}" if w.error_code else ""
    return text + (f" matching {w.filter}" if w.filter else "")


def _log(w: Log) -> str:
    whose = f"pod {w.pod}" if w.pod else f"pods {w.selector}"
    inside = f", container {w.container}" if w.container else ""
    return f"log line of {whose}{_in(w.namespace)}{inside} matching /{w.pattern}/"


_DESCRIBE: dict[str, Callable[[Any], str]] = {
    "node-condition": _node_condition,
    "node": _node_field,
    "taint": _taint,
    "node-label": _keyed,
    "node-annotation": _keyed,
    "nvsentinel-state": lambda w: f"NVSentinel's state has reached {_or(w.state)}",
    "pod": _pod,
    "pod-event": _events,
    "node-event": _events,
    "crd": _crd,
    "health-event": _health_event,
    "log": _log,
}
