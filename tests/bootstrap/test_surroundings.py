"""Where nvsx finds itself, and what it makes of a kubeconfig that leads nowhere."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from nvsx.cluster.door import Cluster
from nvsx.cluster.gateway import Gateway, Params
from nvsx.core.errors import ClusterError, Forbidden
from nvsx.core.journal.entries import Start
from nvsx.core.whereabouts import Whereabouts
from nvsx.follow.run_request import RunRequest, place_request, request_of
from nvsx.follow.surroundings import (
    find_whereabouts,
    refuse_stale_kubeconfig,
    runs_in_pod,
    uses_service_account,
)

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
VERSION, IDENTITY = "/version", "/api/v1/namespaces/kube-system"


class Answers(Gateway):
    """An API server that answers from a table and forbids what is not in it."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table

    async def start(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def get(self, path: str, params: Params | None = None) -> bytes:
        if path not in self._table:
            raise Forbidden(f"{path} is forbidden", "ask for the right")
        return json.dumps(self._table[path]).encode()

    def stream(
        self, path: str, params: Params | None = None, *, idle: float | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError


async def _found(table: dict[str, Any]) -> Whereabouts:
    cluster = Cluster(Answers(table))
    await cluster.start()
    return await find_whereabouts(cluster, "prod", POD)


async def test_the_cluster_is_asked_what_and_which_it_is() -> None:
    """Mark, speed and UID come from the API server, the rest from this process."""
    found = await _found(
        {
            VERSION: {"gitVersion": "v1.32.4+nvsx-sandbox", "nvsxSandboxSpeed": 5},
            IDENTITY: {"metadata": {"uid": "u-1"}},
        }
    )
    assert found == Whereabouts(cluster="u-1", name="prod", sandbox=True, in_pod=True, speed=5.0)


async def test_a_cluster_that_forbids_its_version_is_real() -> None:
    """A sandbox never forbids it: people are paged, and nvsx works."""
    found = await _found({IDENTITY: {"metadata": {"uid": "u-1"}}})
    assert (found.cluster, found.sandbox) == ("u-1", False)


async def test_a_cluster_that_forbids_its_identity_is_refused() -> None:
    """Without kube-system's UID nothing begins, and the error names what is forbidden."""
    with pytest.raises(Forbidden, match="kube-system"):
        await _found({VERSION: {"gitVersion": "v1.32.4"}})


@pytest.mark.parametrize("began", [True, False])
@pytest.mark.parametrize("here", [True, False])
def test_a_run_is_a_sandbox_run_once_either_end_is_one(began: bool, here: bool) -> None:
    """What the journal recorded and where we are only ever add up to the sandbox."""
    start = Start(runbook="t", nickname="t", sandbox=began)
    where = Whereabouts(cluster="u-1", name="n", sandbox=here)
    assert place_request(where, request_of(start)).sandbox is (began or here)


def test_a_resumed_run_pages_as_it_was_begun() -> None:
    """`--live-hooks` is recorded with the run, so that who goes on with it closes its pages."""
    for live in (True, False):
        start = Start(runbook="t", nickname="t", sandbox=True, live_hooks=live)
        assert request_of(start).live_hooks is live
    assert RunRequest().live_hooks is False


def test_a_pod_is_recognised(tmp_path: Path) -> None:
    """By the variable the kubelet sets, or by the mounted service account."""
    nowhere = {"NVSX_SERVICE_ACCOUNT_DIR": str(tmp_path / "none")}
    assert runs_in_pod(POD | nowhere)
    assert runs_in_pod({"NVSX_SERVICE_ACCOUNT_DIR": str(tmp_path)})
    assert not runs_in_pod(nowhere)


@pytest.mark.parametrize(
    ("env", "context", "token", "used"),
    [
        (POD, None, True, True),
        (POD | {"KUBECONFIG": ""}, None, True, True),
        (POD | {"KUBECONFIG": os.devnull}, None, True, True),
        (POD | {"KUBECONFIG": "/home/me/state/sandbox/kubeconfig"}, None, True, False),
        (POD, "prod", True, False),
        (POD, None, False, False),
        ({}, None, True, False),
    ],
)
def test_a_named_kubeconfig_comes_before_the_pods_own_cluster(
    tmp_path: Path, env: dict[str, str], context: str | None, token: bool, used: bool
) -> None:
    """Whoever exports a sandbox's kubeconfig in a pod works on the sandbox."""
    if token:
        (tmp_path / "token").touch()
    account = {"NVSX_SERVICE_ACCOUNT_DIR": str(tmp_path)}
    assert uses_service_account(env | account, context) is used


@pytest.mark.parametrize(
    ("files", "context", "refusal"),
    [
        (["sandbox/kubeconfig"], None, "that sandbox has ended"),
        (["sandbox/kubeconfig-read-only", "config"], None, "that sandbox has ended"),
        (["config", "sandbox/kubeconfig"], None, "that sandbox has ended"),
        (["sandbox/kubeconfig"], "prod", "does not exist"),
        (["gone"], None, "does not exist"),
        (["sandbox/kubeconfig", "config"], "prod", ""),
        (["gone", "config"], None, ""),
        (["config"], None, ""),
        ([], None, ""),
    ],
)
def test_a_kubeconfig_whose_sandbox_is_gone_leads_nowhere_else(
    tmp_path: Path, files: list[str], context: str | None, refusal: str
) -> None:
    """kubectl would pass over the missing file and take the next one's cluster; other missing
    files beside one that is there are kubectl's business. Here `config` exists alone."""
    (tmp_path / "config").write_text("{}")
    env = {"KUBECONFIG": os.pathsep.join(str(tmp_path / file) for file in files)}
    if not refusal:
        refuse_stale_kubeconfig(env, context)
        return
    with pytest.raises(ClusterError, match=refusal) as refused:
        refuse_stale_kubeconfig(env, context)
    assert "unset KUBECONFIG" in refused.value.hint
