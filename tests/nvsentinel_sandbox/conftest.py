"""A served object store, and a client that speaks plain HTTP to it."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.nvsentinel_sandbox.stock_kubectl import Kubectl, fill, run

from nvsentinel_sandbox.kube.apiserver import ApiServer
from nvsentinel_sandbox.kube.kubeconfig import write_kubeconfig
from nvsentinel_sandbox.kube.objects import ObjectStore


class Client:
    """Requests to one API server with one token; without one, a proxy authenticates."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self.session, self.url = session, url
        self.headers = {"User-Agent": "test"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> tuple[int, Any]:
        """The status and the decoded answer (text when it is not JSON)."""
        sent = {**self.headers, "Content-Type": kind, **(headers or {})}
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        async with self.session.request(method, self.url + path, data=data, headers=sent) as answer:
            text = await answer.text()
            is_json = bool(text) and answer.content_type.endswith("json")
            return answer.status, json.loads(text) if is_json else text

    async def get(self, path: str, **headers: str) -> Any:
        """The answer to a GET that must succeed."""
        code, found = await self.ask("GET", path, headers=headers)
        assert code == 200, found
        return found

    async def status(self, path: str) -> int:
        """The HTTP status of a GET whose answer may never end."""
        async with self.session.get(self.url + path, headers=self.headers) as answer:
            return answer.status

    async def watch(self, path: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
        """Watch events until the stream ends; half a line raises ValueError."""
        sent = {**self.headers, **headers}
        async with self.session.get(self.url + path, headers=sent) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                yield json.loads(line)


@pytest.fixture
def store() -> ObjectStore:
    """An empty cluster."""
    return ObjectStore()


@pytest.fixture
async def api(store: ObjectStore) -> AsyncIterator[ApiServer]:
    """The store, served; a small watch window and quick bookmarks."""
    server = ApiServer(store, watch_window=20, bookmark_seconds=0.05)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP session that gives up in time."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as found:
        yield found


@pytest.fixture
def client(api: ApiServer, session: aiohttp.ClientSession) -> Client:
    """A client that may do everything."""
    return Client(session, api.url, api.token)


@pytest.fixture
def viewer(api: ApiServer, session: aiohttp.ClientSession) -> Client:
    """A client that may only read."""
    return Client(session, api.url, api.read_only_token)


@pytest.fixture
def kubectl(api: ApiServer, store: ObjectStore, tmp_path: Path) -> Kubectl:
    """Kubectl with everything allowed."""
    fill(store)
    path = write_kubeconfig(tmp_path / "kubeconfig", api.secure_url, api.token)
    return lambda *words, **options: run(path, *words, **options)


@pytest.fixture
def reader(api: ApiServer, kubectl: Kubectl, tmp_path: Path) -> Kubectl:
    """Kubectl with the read-only token."""
    path = write_kubeconfig(tmp_path / "viewer", api.secure_url, api.read_only_token)
    return lambda *words, **options: run(path, *words, **options)
