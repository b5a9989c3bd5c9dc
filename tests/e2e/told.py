"""Stand-ins for the places where people are told, named in a project's nvsx.yaml."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import yaml
from tests.e2e.live import ROOT, Live
from tests.fakes.vendors import (
    JiraStandIn,
    PagerDutyStandIn,
    SlackStandIn,
    VendorStandIn,
    WebhookStandIn,
)

#: What differs from run to run, and the word that stands for it.
CHANGING = (
    (re.compile(r"\bi-\d{8}-\d{4}-\w+"), "i-20261128-0312-7k3f"),
    (re.compile(r"\binc-[0-9a-f]{20}"), "inc-4f1b"),
    (re.compile(r"\b\d\d:\d\d(?=Z| UTC)"), "03:12"),
    (re.compile(r"\b(?:\d+m)?\d+(?:\.\d)?s\b"), "22s"),
    (re.compile(r"\bmaintenance-[a-z0-9-]+-[0-9a-f]{24}"), "maintenance-1"),
    (re.compile(r"\bnvsx-[0-9a-f]{32}"), "nvsx-1"),
    (re.compile(r"\b1\d{9}\.\d{6}"), "the thread"),
    (re.compile(r"\breq-\d+"), "req-1"),
    (re.compile(r"\bgpu-node-\w+"), "gpu-node-a1"),
    (re.compile(r"(gpu-node-a1) \([a-z]+-[a-z]+\)"), r"\1 (cheerful-cobra)"),
)


class Told(NamedTuple):
    """Slack with threads, a pager, tickets and a signed webhook."""

    slack: SlackStandIn
    pager: PagerDutyStandIn
    jira: JiraStandIn
    audit: WebhookStandIn

    @property
    def vendors(self) -> dict[str, VendorStandIn]:
        return dict(zip(("gpu-ops", "oncall", "tickets", "audit"), self, strict=True))

    @property
    def env(self) -> dict[str, str]:
        """The secrets."""
        return {
            "TOLD_SLACK": self.slack.token,
            "TOLD_PAGER": self.pager.key,
            "TOLD_JIRA_USER": self.jira.user,
            "TOLD_JIRA_TOKEN": self.jira.token,
            "TOLD_AUDIT": self.audit.secret,
        }

    @property
    def notify(self) -> dict[str, object]:
        """`notify:` of nvsx.yaml."""
        return {
            "targets": {
                "gpu-ops": {
                    "kind": "slack",
                    "botTokenEnv": "TOLD_SLACK",
                    "channel": "C0GPUOPS",
                    "url": self.slack.api_url,
                    "facts": "full",
                },
                "oncall": {
                    "kind": "pagerduty",
                    "routingKeyEnv": "TOLD_PAGER",
                    "url": self.pager.events_url,
                },
                "tickets": {
                    "kind": "jira",
                    "url": self.jira.url,
                    "project": self.jira.project,
                    "userEnv": "TOLD_JIRA_USER",
                    "tokenEnv": "TOLD_JIRA_TOKEN",
                },
                "audit": {
                    "kind": "webhook",
                    "url": self.audit.hook_url,
                    "secretEnv": "TOLD_AUDIT",
                },
            },
            "default": {
                "page": ["oncall", "audit"],
                "post": ["gpu-ops", "audit"],
                "ticket": ["tickets"],
            },
        }

    def expect_well_formed(self) -> None:
        """No vendor was sent anything that it would not understand."""
        assert [(name, wrong) for name, v in self.vendors.items() for wrong in v.wrong] == []

    def read(self, name: str) -> list[str]:
        """What a person reads at a target, in order; what changes from run to run made equal."""
        return [make_equal(f"{one.where}\n{one.text}") for one in self.vendors[name].read]

    def woken(self) -> list[str]:
        """What somebody's phone showed, ringing."""
        return [make_equal(ring.text) for v in self.vendors.values() for ring in v.woken]


def make_equal(text: str) -> str:
    """Times, ids and keys as they are in docs."""
    for pattern, word in CHANGING:
        text = pattern.sub(word, text)
    return text


@asynccontextmanager
async def telling(live: Live) -> AsyncIterator[Told]:
    """Stand-ins, and the project of `live` with the starter runbooks and these targets."""
    async with (
        SlackStandIn() as slack,
        PagerDutyStandIn() as pager,
        JiraStandIn() as jira,
        WebhookStandIn() as audit,
    ):
        told = Told(slack, pager, jira, audit)
        write_project(live.project.root, told)
        yield told


def write_project(root: Path, told: Told) -> None:
    """The starter project, with these targets."""
    for folder in ("runbooks", "scripts"):
        shutil.copytree(ROOT / folder, root / folder, dirs_exist_ok=True)
    settings = {"apiVersion": "nvsx/v1", "kind": "Project", "notify": told.notify}
    (root / "nvsx.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
