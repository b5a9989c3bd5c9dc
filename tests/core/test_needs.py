"""What the watches of a runbook need followed."""

from __future__ import annotations

from typing import Any

import pytest

from nvsx.core.runbook.needs import needs_of
from nvsx.core.runbook.schema import Runbook
from nvsx.core.watches.snapshot import LogSource, Needs, PodSource, ResourceSource


def book(*watches: dict[str, Any]) -> Runbook:
    """A runbook whose detect stage has these watches, the last one in a group."""
    *single, last = watches
    return Runbook.model_validate(
        {
            "apiVersion": "nvsx/v1",
            "kind": "Runbook",
            "metadata": {"name": "b"},
            "stages": [{"id": "detect", "watch": [*single, {"anyOf": [last]}]}, {"id": "drain"}],
        }
    )


@pytest.mark.parametrize(
    ("watch", "needs"),
    [
        (
            {"kind": "pod", "selector": "a=b"},
            Needs(pods=(PodSource("", "a=b", True),)),
        ),
        (
            {"kind": "pod", "selector": "a=b", "namespace": "n", "onNode": False},
            Needs(pods=(PodSource("n", "a=b", False),)),
        ),
        (
            {"kind": "crd", "resource": "gpuresets.x.io", "version": "v1", "namespace": "n"},
            Needs(resources=(ResourceSource("gpuresets", "x.io", "v1", "n"),)),
        ),
        (
            {"kind": "crd", "resource": "gpuresets", "group": "x.io"},
            Needs(resources=(ResourceSource("gpuresets", "x.io"),)),
        ),
        ({"kind": "crd", "resource": "maintenance"}, Needs()),
        (
            {"kind": "log", "pattern": "x", "pod": "p", "container": "c"},
            Needs(logs=(LogSource("default", pod="p", container="c", pattern="x"),)),
        ),
        (
            {"kind": "log", "pattern": "x", "selector": "a=b", "namespace": "n"},
            Needs(logs=(LogSource("n", selector="a=b", pattern="x"),)),
        ),
        ({"kind": "pod-event", "reason": "Killing"}, Needs(event_namespaces=("",))),
        (
            {"kind": "pod-event", "reason": "Killing", "namespace": "n"},
            Needs(event_namespaces=("n",)),
        ),
        ({"kind": "node-event", "reason": "X"}, Needs()),
        ({"kind": "health-event"}, Needs(health_events=True)),
        ({"kind": "node", "field": "ready"}, Needs()),
    ],
)
def test_each_source_is_needed_once(watch: dict[str, Any], needs: Needs) -> None:
    """Watches of groups count, and the same source twice is one."""
    assert needs_of(book(watch, watch)) == needs


def test_the_sources_of_all_watches_are_joined() -> None:
    """In the order of the file."""
    found = needs_of(
        book(
            {"kind": "pod", "selector": "a=b"},
            {"kind": "health-event"},
            {"kind": "pod", "selector": "c=d"},
        )
    )
    assert [p.selector for p in found.pods] == ["a=b", "c=d"]
    assert found.health_events
