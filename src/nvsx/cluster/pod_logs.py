"""Log following: the lines of every pod a log watch is about, each exactly once.

The door starts one follower a log source. Pods are found by selector or name and followed
as they come and go; a broken stream resumes by time, without duplicates, because every
line is asked for with its timestamp. Nothing is kept but the position. There is no idle
limit: a silent program is not a dead one. It matches no patterns; the reader does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from nvsx.cluster.framing import Lines
from nvsx.cluster.gateway import Gateway
from nvsx.cluster.listeners import Listeners, Unsubscribe
from nvsx.cluster.pace import Backoff, Pace
from nvsx.cluster.reflector import Reflector
from nvsx.core.errors import ClusterError, NotFound
from nvsx.core.watches.snapshot import LogLine, LogSource, Pod, raw_mapping

#: Bytes of one line; container runtimes split lines at 16 KiB.
LINE_CAP = 16 * 1024
#: One connection each: a selector that finds a thousand pods is a mistake in a runbook.
MAX_PODS = 32
#: Seconds between two tries at most: a program that starts again logs at once.
_LIMIT = 5.0
_STARTING = ("waiting to start", "ContainerCreating", "PodInitializing")
_ENDED = frozenset({"Succeeded", "Failed"})
_log = logging.getLogger(__name__)


class LogPosition:
    """How far a log was read: the newest timestamp, and how many lines had just that one.

    10:00:01.5  a      10:00:02.1  b      10:00:02.1  c      (the stream breaks)
    resume from 10:00:02: b, c come again and are left out, d of 10:00:02.1 is new
    """

    def __init__(self, since: float) -> None:
        self.nanoseconds = int(since * 1_000_000_000)
        self._count = 0
        self._skip = 0
        self._replayed = False

    def resume(self) -> str:
        """The sinceTime to ask for, in the whole seconds that the API understands."""
        self._replayed = self._count > 0
        self._skip = self._count
        at = datetime.fromtimestamp(self.nanoseconds // 1_000_000_000, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def is_new(self, stamp: int) -> bool:
        """Whether a line with this timestamp was not delivered yet; notes it as delivered.

        Only what a resumed stream repeats is left out: two streams of one program can be
        written slightly out of order, and those lines are new.
        """
        if self._replayed:
            if stamp < self.nanoseconds:
                return False
            if stamp == self.nanoseconds and self._skip:
                self._skip -= 1
                return False
            self._replayed = False
        if stamp > self.nanoseconds or not self._count:
            self.nanoseconds, self._count = stamp, 1
        elif stamp == self.nanoseconds:
            self._count += 1
        return True


class LogFollower:
    """Follows all logs of one source. `error` says what cannot be read now, and why.

    `find_pods` gives the pods that `source` names, and `release` takes them back: the door
    shares them between followers.
    """

    def __init__(
        self,
        gateway: Gateway,
        source: LogSource,
        node: str,
        on_line: Callable[[LogLine], None],
        *,
        find_pods: Callable[[], Awaitable[Reflector[Pod]]],
        release: Callable[[Reflector[Pod]], Awaitable[None]],
        since: float | None,
        pace: Pace,
    ) -> None:
        self._gateway = gateway
        self._source = source
        self._node = node
        self._lines: Listeners[LogLine] = Listeners()
        self._lines.add(on_line)
        self._find_pods = find_pods
        self._release = release
        self._since = pace.now() if since is None else since
        self._pace = pace
        self._pods: Reflector[Pod] | None = None
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._errors: dict[str, str] = {}
        self._status: Listeners[[]] = Listeners()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._on_close: Callable[[LogFollower], None] = lambda _: None

    @property
    def synced(self) -> bool:
        """Whether the pods were looked for at least once."""
        return self._pods is not None and self._pods.synced

    @property
    def error(self) -> str:
        if self._pods is not None and self._pods.error:
            return self._pods.error
        return next(iter(self._errors.values()), "")

    @property
    def following(self) -> int:
        """How many pods are followed now."""
        return sum(not task.done() for task in self._streams.values())

    def on_status(self, callback: Callable[[], None]) -> Unsubscribe:
        """Call `callback()` when `synced` or `error` may have changed."""
        return self._status.add(callback)

    async def settled(self) -> None:
        """Wait until the pods were found or are known to be unreadable."""
        await self._settled.wait()

    def start(self, on_close: Callable[[LogFollower], None]) -> None:
        self._on_close = on_close
        self._task = asyncio.create_task(self._follow_pods(), name=f"logs {self._source.namespace}")

    async def close(self) -> None:
        """End every stream and wait until they are gone."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._on_close(self)

    # --- which pods -----------------------------------------------------------------------

    async def _follow_pods(self) -> None:
        pods = self._pods = await self._find_pods()
        forget = [
            pods.subscribe(lambda _key, _old, _new: self._changed.set()),
            pods.on_status(self._tell_status),
        ]
        try:
            await pods.settled()
            self._tell_status()
            while True:
                self._changed.clear()
                self._follow_wanted_pods(pods)
                await self._changed.wait()
        finally:
            for unsubscribe in forget:
                unsubscribe()
            for task in self._streams.values():
                task.cancel()
            await asyncio.gather(*self._streams.values(), return_exceptions=True)
            await self._release(pods)

    def _follow_wanted_pods(self, pods: Reflector[Pod]) -> None:
        wanted = [p for p in pods.items() if p.phase != "Pending" and self._speaks_for_node(p)]
        wanted.sort(key=lambda p: (p.phase in _ENDED, -p.created))
        for pod in wanted[:MAX_PODS]:
            if pod.uid not in self._streams:
                task = self._streams[pod.uid] = asyncio.create_task(self._follow_pod(pods, pod))
                task.add_done_callback(lambda _: self._changed.set())
        present = {p.uid for p in pods.items()}
        for uid in [u for u, t in self._streams.items() if t.done() and u not in present]:
            del self._streams[uid]
        more = len(wanted) - MAX_PODS
        self._note_error("pods", f"{more} more pods match than are followed" if more > 0 else "")

    def _speaks_for_node(self, pod: Pod) -> bool:
        """A DaemonSet's pod speaks for its own node, any other may speak for all nodes."""
        return not self._node or not pod.owner.startswith("DaemonSet/") or pod.node == self._node

    # --- one pod --------------------------------------------------------------------------

    async def _follow_pod(self, pods: Reflector[Pod], pod: Pod) -> None:
        try:
            names = (
                [self._source.container]
                if self._source.container
                else await self._read_container_names(pod)
            )
            await asyncio.gather(*(self._follow_container(pods, pod, name) for name in names))
        except Exception as error:  # noqa: BLE001 - reported, the other pods go on
            _log.exception("following %s/%s", pod.namespace, pod.name)
            self._note_error(pod.uid, f"the log of {pod.name} cannot be read: {error!r}")

    async def _read_container_names(self, pod: Pod) -> list[str]:
        """The pod's containers: with several, the API wants one named."""
        backoff = Backoff(limit=_LIMIT, rng=self._pace.rng)
        while True:
            try:
                found = await self._gateway.read_json(_pod_path(pod))
            except NotFound:
                return []
            except ClusterError as error:
                self._note_error(pod.uid, error.message)
                await self._pace.sleep(backoff.next())
                continue
            self._note_error(pod.uid, "")
            containers = raw_mapping(raw_mapping(found).get("spec")).get("containers") or []
            return [str(raw_mapping(c).get("name", "")) for c in containers]

    async def _follow_container(self, pods: Reflector[Pod], pod: Pod, container: str) -> None:
        position = LogPosition(self._since)
        backoff = Backoff(limit=_LIMIT, rng=self._pace.rng)
        key = f"{pod.uid}/{container}"
        torn = b""
        while True:
            before = position.nanoseconds
            ended = _pod_has_ended(pods, pod)
            clean = False
            try:
                rest = await self._deliver_stream(pod, container, position)
                clean = True
                if rest and rest == torn:
                    # The same rest twice: not torn, the program ended without a newline.
                    self._deliver_line(pod, container, position, rest)
                    rest = b""
                torn = rest
                self._note_error(key, "")
            except NotFound as error:
                if _pod_has_ended(pods, pod):
                    ended = clean = True
                self._note_error(key, "" if ended else error.message)
            except ClusterError as error:
                starting = any(word in error.message for word in _STARTING)
                self._note_error(key, "" if starting else error.message)
            if ended and clean and not torn:
                return
            if position.nanoseconds != before:
                backoff.reset()
            await self._pace.sleep(backoff.next())

    async def _deliver_stream(self, pod: Pod, container: str, position: LogPosition) -> bytes:
        """Deliver lines until the stream ends; returns what follows the last newline."""
        params = {"follow": "true", "timestamps": "true", "sinceTime": position.resume()}
        if container:
            params["container"] = container
        async with self._gateway.stream(f"{_pod_path(pod)}/log", params, idle=None) as chunks:
            self._note_error(f"{pod.uid}/{container}", "")
            lines = Lines(LINE_CAP, strict=False)
            async for chunk in chunks:
                for line in lines.feed(chunk):
                    self._deliver_line(pod, container, position, line)
                await asyncio.sleep(0)
            return lines.torn

    def _deliver_line(self, pod: Pod, container: str, position: LogPosition, line: bytes) -> None:
        stamp, text = split_stamp(line)
        if stamp is not None and not position.is_new(stamp):
            return
        at = self._pace.now() if stamp is None else stamp / 1_000_000_000
        decoded = text.decode("utf-8", "replace").rstrip("\r")
        self._lines.tell(LogLine(at, pod.namespace, pod.name, container, decoded))

    # --- telling --------------------------------------------------------------------------

    def _note_error(self, key: str, error: str) -> None:
        if self._errors.get(key, "") != error:
            self._errors.pop(key, None)
            if error:
                self._errors[key] = error
            self._status.tell()

    def _tell_status(self) -> None:
        self._settled.set()
        self._status.tell()


def split_stamp(line: bytes) -> tuple[int | None, bytes]:
    """Nanoseconds since 1970 and the text of a line `<RFC 3339 time> <text>`."""
    head, _, text = line.partition(b" ")
    try:
        stamp = head.decode("ascii")
        whole, dot, rest = stamp.partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))] if dot else ""
        zone = rest[len(digits) :] if dot else ""
        at = datetime.fromisoformat(whole + zone)
    except ValueError:
        return None, line
    if at.tzinfo is None or "T" not in whole:
        return None, line
    return int(at.timestamp()) * 1_000_000_000 + int(digits[:9].ljust(9, "0")), text


def _pod_has_ended(pods: Reflector[Pod], pod: Pod) -> bool:
    """Whether no more lines can come: the pod ended, or another one has its name."""
    now = pods.get(f"{pod.namespace}/{pod.name}")
    return now is None or now.uid != pod.uid or now.phase in _ENDED


def _pod_path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
