import inspect
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nvsx.core.watches.counts import Count
from nvsx.core.watches.kinds import KINDS, AnyOf, Watch, describe
from nvsx.core.watches.node_watches import NodeConditionWatch, NodeFieldWatch
from nvsx.core.watches.pod_watch import PodWatch
from nvsx.core.watches.watch_base import WatchBase

ADAPTER: TypeAdapter[Watch] = TypeAdapter(Watch)

MINIMAL: dict[str, dict[str, Any]] = {
    "node-condition": {"type": "SysLogsXIDError"},
    "node": {"field": "ready"},
    "taint": {"key": "example.com/t"},
    "node-label": {"key": "a"},
    "node-annotation": {"key": "a"},
    "nvsentinel-state": {"state": "quarantined"},
    "pod": {"selector": "app=x"},
    "pod-event": {"reason": "Killing"},
    "node-event": {"type": "NodeDraining"},
    "crd": {"resource": "rebootnodes"},
    "health-event": {},
    "mongo-event": {},
    "log": {"pattern": "x", "pod": "p"},
    "training-log": {"pattern": "x", "namespace": "n", "selector": "a=b"},
}


def read(**fields: Any) -> Watch:
    """A watch as the loader reads it from a file."""
    return ADAPTER.validate_python(fields, by_alias=True, by_name=False, context={"file": True})


def test_the_table_has_every_kind() -> None:
    """A new kind cannot be added without a row here."""
    assert set(MINIMAL) == set(KINDS)


def concrete(cls: Any) -> set[type[WatchBase]]:
    """The kinds below `cls`: the classes that can be instantiated."""
    found = {cls} if not inspect.isabstract(cls) else set()
    return found.union(*(concrete(sub) for sub in cls.__subclasses__()))


def test_every_kind_is_in_the_registry() -> None:
    """A kind's class that `Watch` does not list would never be read from a file."""
    assert concrete(WatchBase) == set(KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_required_fields_are_enough(kind: str) -> None:
    """Each kind loads with its required fields alone, as an instance of its class."""
    watch = read(kind=kind, **MINIMAL[kind])
    assert type(watch) is KINDS[kind]
    assert (watch.absent, watch.for_, watch.since) == (False, None, None)


@pytest.mark.parametrize("kind", [k for k in KINDS if MINIMAL[k]])
def test_each_required_field_is_required(kind: str) -> None:
    """Leaving a required field out is an error."""
    for field in MINIMAL[kind]:
        with pytest.raises(ValidationError):
            read(kind=kind, **{k: v for k, v in MINIMAL[kind].items() if k != field})


@pytest.mark.parametrize("kind", KINDS)
def test_common_fields_are_understood(kind: str) -> None:
    """Negation, duration and scope work for every kind."""
    fields = {"absent": True, "for": "10m", "since": "stage"}
    watch = read(kind=kind, **MINIMAL[kind], **fields)
    assert (watch.absent, watch.for_, watch.since) == (True, 600.0, "stage")


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("taint", "errorCode"),
        ("node", "selector"),
        ("crd", "pattern"),
        ("pod", "container"),
        ("node-event", "selector"),
        ("log", "condition"),
        ("node-label", "type"),
        ("nvsentinel-state", "namespace"),
        ("health-event", "key"),
        ("node-condition", "error_code"),
        ("pod", "on_node"),
    ],
)
def test_a_field_of_another_kind_is_an_error(kind: str, field: str) -> None:
    """A key without meaning for its kind is refused, the Python spelling of one too."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        read(kind=kind, **MINIMAL[kind], **{field: "x"})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "pod-event", "namespace": "x"}, "reason or type is required"),
        ({"kind": "log", "pattern": "x", "selector": "a=b"}, "namespace with selector"),
        ({"kind": "log", "pattern": "x", "pod": "p", "selector": "a=b"}, "exclude each other"),
        ({"kind": "node-label", "key": "a", "value": "b", "pattern": "c"}, "exclude each other"),
        ({"kind": "log", "pattern": "(", "pod": "p"}, "does not compile"),
        ({"kind": "pod", "selector": "a in ("}, "not a label selector"),
        ({"kind": "pod", "selector": "a=b", "count": "many"}, "not a count"),
        ({"kind": "pod", "selector": "a=b", "count": True}, "not a count"),
        ({"kind": "node-label", "key": "a", "value": False}, 'put it in quotes, "false"'),
        ({"kind": "node-condition", "type": []}, "list is empty"),
        ({"kind": "node-condition", "type": None}, "value is empty"),
        ({"kind": "node-condition", "type": "x", "errorCode": 1.1}, "put it in quotes"),
        ({"kind": "node", "field": "ready", "expect": "perhaps"}, "not true or false"),
        ({"kind": "crd", "resource": "RebootNode"}, "should match pattern"),
        ({"kind": "taint", "key": "x", "effect": "Evict"}, "NoSchedule"),
    ],
)
def test_wrong_values_say_what_is_wrong(fields: dict[str, Any], says: str) -> None:
    """Values that cannot work are refused when the file is read, not at three in the morning."""
    with pytest.raises(ValidationError, match=says):
        read(**fields)


def test_scalars_and_lists_become_tuples_of_text() -> None:
    """One or a list, number or text: the rest of nvsx sees a tuple of text."""
    one = read(kind="node-condition", type="A", errorCode=79)
    many = read(kind="node-condition", type=["A", "B"], errorCode=["79", 48])
    assert isinstance(one, NodeConditionWatch)
    assert isinstance(many, NodeConditionWatch)
    assert (one.type, one.error_code) == (("A",), ("79",))
    assert (many.type, many.error_code) == (("A", "B"), ("79", "48"))


def test_unquoted_condition_status_is_understood() -> None:
    """A condition's status can be meant by a YAML boolean: it is one of three words."""
    watch = read(kind="node-condition", type="A", status=False)
    assert isinstance(watch, NodeConditionWatch)
    assert watch.status == "False"


@pytest.mark.parametrize(
    ("expect", "value"),
    [
        ("true", True),
        (True, True),
        ("True", True),
        ("false", False),
        ("", False),
        ("changed", True),
    ],
)
def test_node_expectations_are_booleans(expect: object, value: bool) -> None:
    """Words of early runbooks, the empty text of an absent boolean included, become booleans."""
    watch = read(kind="node", field="spec.unschedulable", expect=expect)
    assert isinstance(watch, NodeFieldWatch)
    assert watch.expect is value


def test_old_kind_names_become_the_new_ones() -> None:
    """`mongo-event` and `training-log` are aliases: nothing downstream sees them."""
    assert read(kind="mongo-event").kind == "health-event"
    assert read(kind="training-log", pattern="x", pod="p").kind == "log"


@pytest.mark.parametrize(
    ("text", "number", "accepted"),
    [
        (0, 0, True),
        (0, 1, False),
        (">=1", 1, True),
        (">=1", 0, False),
        ("< 3", 2, True),
        ("!=2", 2, False),
        ("=2", 2, True),
    ],
)
def test_counts_compare(text: object, number: int, accepted: bool) -> None:
    """A count is a number or a comparison."""
    assert Count.parse(text).accepts(number) is accepted


def test_a_pod_watch_wants_one_pod_by_default() -> None:
    """Without a count, one matching pod is enough."""
    watch = read(kind="pod", selector="a=b", expect="phase=Running")
    assert isinstance(watch, PodWatch)
    assert watch.phase == "Running"
    assert (watch.wanted.accepts(0), watch.wanted.accepts(1), watch.wanted.accepts(5)) == (
        False,
        True,
        True,
    )


def test_what_happened_is_told_from_what_is() -> None:
    """Kinds of what happened hold once it was seen; the others are about what is true now."""
    happening = {kind for kind, cls in KINDS.items() if cls.happening}
    assert happening == {
        *("crd", "health-event", "log", "mongo-event", "node-event", "pod-event", "training-log")
    }


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"kind": "node-condition", "type": "SysLogsXIDError", "errorCode": "79"},
            "node condition SysLogsXIDError is True with error code 79",
        ),
        ({"kind": "node", "field": "spec.unschedulable", "expect": False}, "node is schedulable"),
        (
            {"kind": "taint", "key": "a", "value": "b", "effect": "NoSchedule", "absent": True},
            "not: node has taint a=b:NoSchedule",
        ),
        ({"kind": "node-label", "key": "a", "for": "10m"}, "node has label a, for 10m"),
        (
            {"kind": "nvsentinel-state", "state": ["a", "b"]},
            "NVSentinel's state has reached a or b",
        ),
        (
            {"kind": "pod", "selector": "a=b", "expect": "phase=Running", "namespace": "n"},
            ">=1 Running pods a=b on the node in namespace n",
        ),
        (
            {"kind": "node-event", "type": "NodeDraining", "since": "ever"},
            "Event NodeDraining for the node, at any time",
        ),
        (
            {"kind": "crd", "resource": "maintenance", "completed": True},
            "maintenance resource for the node is completed",
        ),
        (
            {"kind": "crd", "resource": "rebootnodes", "condition": {"type": "NodeReady"}},
            "rebootnodes for the node has NodeReady True",
        ),
        (
            {"kind": "health-event", "check": "X"},
            "health event for the node in NVSentinel's store by check X",
        ),
        ({"kind": "log", "pod": "p", "pattern": "loss"}, "log line of pod p matching /loss/"),
        (
            {"kind": "log", "selector": "a=b", "namespace": "n", "container": "c", "pattern": "x"},
            "log line of pods a=b in namespace n, container c matching /x/",
        ),
        ({"kind": "pod-event", "reason": "Killing"}, "Event Killing for a pod on the node"),
        (
            {"kind": "pod-event", "reason": "Killing", "selector": "a=b", "pattern": "x"},
            "Event Killing for a pod on the node with labels a=b matching /x/",
        ),
        (
            {"kind": "node-annotation", "key": "a", "pattern": "^x", "since": "run"},
            "node has annotation a matching /^x/, since the run began",
        ),
        ({"kind": "crd", "resource": "gpuresets", "group": "g"}, "gpuresets.g for the node exists"),
    ],
)
def test_plans_describe_watches_in_plain_words(fields: dict[str, Any], text: str) -> None:
    """A plan says in one line what is waited for."""
    assert describe(read(**fields)) == text


def test_groups_are_described() -> None:
    """A group lists its alternatives."""
    group = AnyOf(any_of=(read(kind="node", field="ready"), read(kind="node", field="exists")))
    assert describe(group) == "any of: node is Ready; or node exists"
