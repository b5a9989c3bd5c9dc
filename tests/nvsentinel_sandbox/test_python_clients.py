"""The Python clients people use work against the sandbox.

None of them is a dependency. NVSX_TEST_CLIENTS names a Python that has them:

    uv venv clients; uv pip install --python clients/bin/python kopf kr8s kubernetes lightkube
    NVSX_TEST_CLIENTS=clients/bin/python python -m pytest -m processes THIS_FILE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.nvsentinel_sandbox.python_clients import CLIENTS
from tests.patience import patience

from nvsentinel_sandbox.host import Sandbox

PYTHON = os.environ.get("NVSX_TEST_CLIENTS", sys.executable)
PROGRAM = Path(__file__).with_name("python_clients.py")
DEADLINE = patience(50.0)


async def ended(*words: str, kubeconfig: str = "") -> tuple[int | None, str]:
    """How a program of that Python ended, and what it said."""
    child = await asyncio.create_subprocess_exec(
        PYTHON,
        *words,
        env={**os.environ, "KUBECONFIG": kubeconfig},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(child.communicate(), DEADLINE)
    return child.returncode, said.decode()


@pytest.mark.processes
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_python_client_works(client: str, tmp_path: Path) -> None:
    """It connects, lists, watches, writes, and makes a RebootNode."""
    needed = "import kopf, kubernetes" if client == "kopf" else f"import {client}"
    if (await ended("-c", needed))[0]:
        pytest.skip(f"{client} is not installed; NVSX_TEST_CLIENTS names a Python that has it")
    async with Sandbox(state_dir=tmp_path, seed=7) as sandbox:
        code, said = await ended(str(PROGRAM), client, kubeconfig=str(sandbox.kubeconfig))
    assert code == 0, said
