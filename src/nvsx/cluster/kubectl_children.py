"""Long-lived kubectl children that never outlive nvsx, however nvsx ends.

On Linux the kernel ends such a child with its parent, and everywhere a watcher in its
process group ends it when the pipe from nvsx closes. The proxy and the port-forwards are
started here; when to start one again is their owner's business. Its last words are kept,
for the message that says why it ended.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence

from nvsx.core.errors import ClusterError, Unreachable

# Asks the kernel to end this process with its parent, then becomes the rest of the command.
# In a fresh interpreter and not in a preexec function: forking runs no Python between.
_WITH_PARENT = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)
# The watcher: its read ends when nvsx has gone, in whatever way.
_WATCHED = (
    "folder=$1; shift; exec 3<&0 </dev/null\n"
    '( read -r _ <&3; [ -z "$folder" ] || rm -rf -- "$folder"; kill -s KILL -- -$$ )'
    " >/dev/null 2>&1 &\n"
    'exec "$@" 3<&-\n'
)


class Child:
    """One process group under watch. `name` is what messages call it; it is ready once a
    line it prints matches `ready`; `folder`, if any, is removed when nvsx is gone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        ready: re.Pattern[str],
        folder: str = "",
    ) -> None:
        self._name = name
        self._command = tuple(command)
        self._environ = dict(environ)
        self._pattern = ready
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._said: deque[str] = deque(maxlen=5)
        self._partial = ""
        self._ready: asyncio.Future[re.Match[str]] | None = None
        self._pipes: list[int] = []

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, within: float) -> re.Match[str]:
        """Start it and wait until it is ready; what matched.

        Raises ClusterError when it cannot be started, Unreachable when it ends or is not
        ready `within` seconds.
        """
        self._ready = asyncio.get_running_loop().create_future()
        # Pipes of our own: with asyncio's, a plug-in that holds one hides kubectl's end.
        theirs, ours = os.pipe()
        heard, said = os.pipe()
        self._pipes = [ours, heard]
        asyncio.get_running_loop().add_reader(heard, self._drain_output, heard)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *ends_with_parent(),
                *("/bin/sh", "-c", _WATCHED, "nvsx", self._folder),
                *self._command,
                env=self._environ,
                stdin=theirs,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            await self.kill()
            raise ClusterError(f"{self._name} cannot be started: {error.strerror}") from error
        finally:
            os.close(theirs)
            os.close(said)
        try:
            return await self._until_ready(self._process, self._ready, within)
        except BaseException:
            await self.kill()
            raise

    async def _until_ready(
        self,
        process: asyncio.subprocess.Process,
        ready: asyncio.Future[re.Match[str]],
        within: float,
    ) -> re.Match[str]:
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait((ready, ended), timeout=within, return_when="FIRST_COMPLETED")
        finally:
            ended.cancel()
        if ready.done():
            return ready.result()
        code = process.returncode
        if code is None:
            raise Unreachable(f"{self._name} was not ready after {within:g}s")
        raise Unreachable(self.epitaph(code))

    async def wait(self) -> int | None:
        """Wait until it has ended; its exit code."""
        return await self._process.wait() if self._process else None

    def epitaph(self, code: int | None) -> str:
        """How it ended and its last words, as a sentence."""
        how = f"was killed by signal {-code}" if code and code < 0 else f"ended with {code}"
        words = [*self._said, self._partial]
        said = next((s for s in reversed(words) if s and not self._pattern.search(s)), "")
        return f"{self._name} {how}" + (f": {said[:300]}" if said else "")

    async def kill(self) -> None:
        """End the whole group: kubectl, its watcher, and a plug-in that hangs."""
        process, self._process = self._process, None
        if process is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # gone already; macOS says EPERM for a group of zombies
            await process.wait()
        pipes, self._pipes = self._pipes, []
        for pipe in pipes:
            asyncio.get_running_loop().remove_reader(pipe)
            os.close(pipe)

    def _drain_output(self, heard: int) -> None:
        """Keep the pipe empty and the last words."""
        chunk = os.read(heard, 65536)
        if not chunk:
            asyncio.get_running_loop().remove_reader(heard)
        *lines, rest = (self._partial + chunk.decode("utf-8", "replace")).split("\n")
        self._partial = rest[-4096:]
        self._said.extend(lines[-5:])
        if self._ready is not None and not self._ready.done():
            for line in lines:
                if match := self._pattern.search(line):
                    self._ready.set_result(match)
                    break


def ends_with_parent() -> tuple[str, ...]:
    """What to put before a command so that the kernel ends it with this process."""
    if not sys.platform.startswith("linux"):
        return ()
    return (sys.executable, "-I", "-S", "-c", _WITH_PARENT, str(os.getpid()))
