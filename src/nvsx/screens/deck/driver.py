"""Textual's terminal driver, made safe to share a process with a run.

Three differences: writing never waits for the terminal (a thread does, and the deck draws
nothing new while it is behind), the terminal is a descriptor of its own so that standard
output and error can be kept off it, and a stop from outside (kill -STOP) is survived.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any, ClassVar

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from nvsx.screens.deck.screen_terminal import Guardian


class DeckQueue:
    """Bytes for a descriptor, written by a thread; `behind` while some are not written."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._chunks: deque[bytes] = deque()
        self._ready = threading.Condition()
        self._busy = self._closed = False
        threading.Thread(target=self._run, name="nvsx-deck-output", daemon=True).start()

    @property
    def behind(self) -> bool:
        return self._busy or bool(self._chunks)

    def put(self, text: str) -> None:
        with self._ready:
            self._chunks.append(text.encode(errors="replace"))
            self._ready.notify()

    def _run(self) -> None:
        while True:
            with self._ready:
                self._busy = False
                self._ready.notify_all()
                while not self._chunks and not self._closed:
                    self._ready.wait()
                if not self._chunks:
                    return
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._busy = True
            if not self._write(data):
                return

    def _write(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                time.sleep(0.02)  # somebody made the terminal non-blocking
            except OSError:
                self._chunks.clear()
                self._busy = False
                return False
        return True

    def close(self, timeout: float) -> None:
        """Write what is left; a terminal that takes longer than `timeout` s is given up."""
        with self._ready:
            self._closed = True
            self._ready.notify()
            self._ready.wait_for(lambda: not self.behind, timeout)


class DeckDriver(LinuxDriver):
    """One terminal, one deck: `tty` and `guardian` are set before the app starts."""

    tty: ClassVar[int] = 1
    guardian: ClassVar[Guardian | None] = None

    def __init__(self, app: App[Any], **options: Any) -> None:
        self._outbox: DeckQueue | None = None
        super().__init__(app, **options)
        self.input_tty = os.isatty(self.fileno)
        if not self.input_tty:
            self.fileno, self.input_tty = self.tty, True

    @property
    def behind(self) -> bool:
        """Whether the terminal has yet to take what was drawn."""
        return self._outbox is not None and self._outbox.behind

    def write(self, data: str) -> None:
        if self._outbox is not None:
            self._outbox.put(data)

    def flush(self) -> None:
        """Nothing to do: the outbox writes at once."""

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self.tty)
        except OSError:
            return 80, 24
        return width or 80, height or 24

    def start_application_mode(self) -> None:
        self._outbox = DeckQueue(self.tty)
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self.guardian is not None:
            self.guardian.say("up")

    def stop_application_mode(self) -> None:
        super().stop_application_mode()
        if self._outbox is not None:
            self._outbox.close(1.0)
        if self.guardian is not None:
            self.guardian.say("down")

    def _sigcont_application(self, *args: Any) -> None:
        """After a stop that nobody announced, the shell has had the terminal meanwhile."""
        if not self._must_signal_resume:
            self.suspend_application_mode()
        super()._sigcont_application(*args)
        self._app.call_later(self._app.refresh, layout=True)
