"""A caller that is not on this machine: from a network namespace made for the test."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

import aiohttp
import pytest
from tests.patience import patience
from tests.webhook.serving import TOKEN, serving

HERE, THERE = "198.18.113.1", "198.18.113.2"  # RFC 2544's range for tests


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=patience(10))


@pytest.fixture
def elsewhere() -> Iterator[list[str]]:
    """The words that run a command in another network; skipped where that is not allowed."""
    if shutil.which("ip") is None or shutil.which("curl") is None:
        pytest.skip("needs ip and curl")
    name = f"nvsx{os.getpid() % 100_000}"
    try:
        _ip("netns", "add", name)
    except (subprocess.SubprocessError, OSError) as exc:
        pytest.skip(f"network namespaces are not permitted here: {exc}")
    try:
        try:
            _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
        except subprocess.SubprocessError as exc:
            pytest.skip(f"no pair of virtual Ethernet devices can be made here: {exc}")
        _ip("link", "set", f"{name}b", "netns", name)
        _ip("addr", "add", f"{HERE}/30", "dev", f"{name}a")
        _ip("link", "set", f"{name}a", "up")
        _ip("-n", name, "addr", "add", f"{THERE}/30", "dev", f"{name}b")
        _ip("-n", name, "link", "set", f"{name}b", "up")
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", f"{name}a"], check=False, capture_output=True)


async def _curl(elsewhere: list[str], port: int, *words: str) -> str:
    """The status curl gets from the other network."""
    process = await asyncio.create_subprocess_exec(
        *elsewhere,
        *("curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST"),
        *("-H", "Content-Type: application/json", "-d", '{"runbook": "gpu-off-bus"}'),
        *words,
        f"http://{HERE}:{port}/webhook",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), patience(15))
    return out.decode()


async def test_a_caller_from_another_address_needs_a_token(elsewhere: list[str]) -> None:
    """Whatever it claims: a local Host does not make it local. With the token it gets in."""
    async with serving(host="0.0.0.0") as daemon:
        assert await _curl(elsewhere, daemon.port) == "401"
        assert await _curl(elsewhere, daemon.port, "-H", "Host: localhost") == "401"
        assert await _curl(elsewhere, daemon.port, "-H", "Host: 127.0.0.1:8080") == "401"
        assert daemon.intake.offered == []
        assert await _curl(elsewhere, daemon.port, "-H", f"Authorization: Bearer {TOKEN}") == "202"
        local = await daemon.request(
            "POST", "/webhook", {"runbook": "gpu-off-bus"}, {"Host": f"localhost:{daemon.port}"}
        )
        assert local.status == 202


async def test_this_machines_other_address_is_not_the_keyboard() -> None:
    """Called at an address others can reach, nvsx wants a token even from the same machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((THERE, 9))  # sends nothing; the system chooses the address
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    async with serving(host="0.0.0.0") as daemon:
        for headers, status in (
            ({}, 401),
            ({"Host": "localhost"}, 401),
            ({"Authorization": f"Bearer {TOKEN}"}, 202),
        ):
            async with (
                aiohttp.ClientSession() as client,
                client.post(
                    f"http://{address}:{daemon.port}/webhook",
                    json={"runbook": "gpu-off-bus"},
                    headers=headers,
                ) as answer,
            ):
                assert answer.status == status
