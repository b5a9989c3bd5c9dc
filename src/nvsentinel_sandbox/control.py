"""How other terminals reach a running sandbox, and nothing but a sandbox.

The process that holds the sandbox listens on a private Unix socket and says where in a
discovery file of its folder (both 0600, folder 0700). Clients look there and nowhere else:
no kubeconfig, no port, no environment. A lock held for the life of the process tells a
running sandbox from the files of one that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvsentinel_sandbox.errors import AlreadyRunning, NotRunning, SandboxError, WrongCall

if TYPE_CHECKING:
    from aiohttp import web

    from nvsentinel_sandbox.host import Sandbox

DISCOVERY = "sandbox.json"
_LOCK = "lock"
# sun_path is 108 bytes on Linux, 104 elsewhere
_LONGEST_SOCKET_PATH = 100
_CALL_SECONDS = 10.0


@contextlib.asynccontextmanager
async def serve(sandbox: Sandbox, folder: Path, stop: asyncio.Event) -> AsyncIterator[None]:
    """Make a started sandbox reachable from other terminals, for as long as this lasts.

    Args:
        sandbox: it has been started.
        folder: only the caller's user may reach it; held by `claim_folder`.
        stop: set when another terminal asks to stop.
    """
    from aiohttp import web

    socket, private = _socket_path(folder)
    runner = web.AppRunner(
        _make_application(sandbox, stop), handle_signals=False, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        socket.chmod(0o600)
        content = {"pid": os.getpid(), "socket": str(socket), "kubeconfig": str(sandbox.kubeconfig)}
        _write_private_file(folder / DISCOVERY, json.dumps(content))
        yield
    finally:
        (folder / DISCOVERY).unlink(missing_ok=True)
        await runner.cleanup()
        socket.unlink(missing_ok=True)
        if private:
            shutil.rmtree(private, ignore_errors=True)


@contextlib.contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Hold the folder for one sandbox. Raises AlreadyRunning when another process has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(
                "a sandbox is running already",
                "use it, or end it with `nvsx sandbox stop`",
            ) from None
        yield


async def call(folder: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the running sandbox; returns its answer.

    Raises NotRunning when none is running, and what the sandbox itself raised.
    """
    found = discover(folder)
    import aiohttp

    connector = aiohttp.UnixConnector(found["socket"])
    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(method, f"http://localhost{path}", json=body) as answer,
        ):
            content = await answer.json()
            if answer.status == 200:
                return content
    except TimeoutError:
        raise NotRunning(
            "the sandbox does not answer", f"end process {found['pid']} and start another"
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _none_running() from error
    kind = WrongCall if content["usage"] else SandboxError
    raise kind(content["message"], content["hint"])


def discover(folder: Path) -> dict[str, Any]:
    """What the discovery file says: pid, socket, kubeconfig.

    Removes the file of a sandbox that no longer lives. Raises NotRunning when none does.
    """
    path = folder / DISCOVERY
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        raise _none_running() from None
    with contextlib.suppress(AlreadyRunning), claim_folder(folder):
        path.unlink(missing_ok=True)
        raise _none_running()
    return found


def _none_running() -> NotRunning:
    return NotRunning("no sandbox is running", "start one with `nvsx sandbox start`")


def _make_application(sandbox: Sandbox, stop: asyncio.Event) -> web.Application:
    from aiohttp import web

    async def inject(body: dict[str, Any]) -> Any:
        node = await sandbox.inject(
            body["fault"], body.get("node"), body.get("variant"), people=body.get("people", False)
        )
        return {"node": node}

    async def heal(body: dict[str, Any]) -> Any:
        await sandbox.heal(body["node"])
        return {}

    async def status(_body: dict[str, Any]) -> Any:
        return {"pid": os.getpid(), **sandbox.status()}

    async def end(_body: dict[str, Any]) -> Any:
        stop.set()
        return {}

    def answering(act: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
        async def handle(request: web.Request) -> web.Response:
            try:
                body = await request.json() if request.can_read_body else {}
                return web.json_response(await act(body))
            except SandboxError as error:
                told = {
                    "message": error.message,
                    "hint": error.hint,
                    "usage": isinstance(error, WrongCall),
                }
                return web.json_response(told, status=422)

        return handle

    application = web.Application()
    application.router.add_post("/inject", answering(inject))
    application.router.add_post("/heal", answering(heal))
    application.router.add_get("/status", answering(status))
    application.router.add_post("/stop", answering(end))
    return application


def _socket_path(folder: Path) -> tuple[Path, Path | None]:
    """Where to listen, and the extra folder that is needed when `folder` is too deep."""
    socket = folder / "control.sock"
    if len(str(socket)) <= _LONGEST_SOCKET_PATH:
        socket.unlink(missing_ok=True)
        return socket, None
    private = Path(tempfile.mkdtemp(prefix="nvsx-"))
    return private / "control.sock", private


def _write_private_file(path: Path, content: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
