"""The daemon's log on standard error: readable lines, or JSON lines for collectors; and a
file for what a command by hand must not print.

Every value passes the masks before it is written. What a run does becomes log records
through `LogView`, one line for each turn of events and none for script output, which is
in the journal.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from nvsx.core.journal import entries as j
from nvsx.core.journal.entry_lines import lines_of
from nvsx.core.plain_text import one_line

log = logging.getLogger("nvsx.runs")

Mask = Callable[[str], str]


class JsonFormatter(logging.Formatter):
    """One JSON object a line: t, level, logger, message, and what `extra` adds as `nvsx`."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "t": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._mask(one_line(record.getMessage())),
        }
        more = getattr(record, "nvsx", None) or {}
        told |= {k: self._mask(v) if isinstance(v, str) else v for k, v in more.items()}
        if record.exc_info:
            told["exception"] = self._mask(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level when it matters, message."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        text = f"{clock} {level}{one_line(record.getMessage())}"
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return self._mask(text)


class FileLog(logging.Handler):
    """What goes wrong in nvsx itself during a command, kept in a private file: a terminal
    shows the command, and never a traceback. `count` says how much there was."""

    def __init__(self, path: Path, mask: Mask) -> None:
        super().__init__(logging.WARNING)
        self.path = path
        self.count = 0
        self.setFormatter(TextFormatter(mask))

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.format(record) + "\n")

    @contextmanager
    def kept(self) -> Iterator[FileLog]:
        """Everything that is logged goes here instead of to standard error."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield self
        finally:
            root.removeHandler(self)


def start_logging(stream: TextIO, *, as_json: bool, mask: Mask) -> Callable[[], None]:
    """Send the log of nvsx to `stream`; returns what ends that."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(mask) if as_json else TextFormatter(mask))
    logger = logging.getLogger("nvsx")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False

    def stop() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]

    return stop


def say_at_once(descriptor: int, *, as_json: bool) -> Callable[[str], None]:
    """What writes an error of nvsx's own words to a file descriptor, past every lock: for a
    process whose main thread may stand in the middle of logging."""
    formatter = (JsonFormatter if as_json else TextFormatter)(lambda text: text)

    def say(text: str) -> None:
        record = logging.LogRecord("nvsx.serve", logging.ERROR, "", 0, text, None, None)
        with suppress(OSError):
            os.write(descriptor, (formatter.format(record) + "\n").encode())

    return say


class LogView:
    """Implements View: the turns of one run as log records."""

    def show(self, entry: j.Entry, *, replayed: bool = False) -> None:
        body = entry.body
        if replayed or not _worth_a_line(body):
            return
        bad = isinstance(body, j.Finish) and not body.ok
        bad = bad or (isinstance(body, j.StageEnd) and body.status in ("fail", "timeout"))
        bad = bad or (isinstance(body, j.HookEnd) and body.exit_code != 0)
        fields = {"run_id": entry.run_id, "event": j.kind_of(body), "seq": entry.seq}
        for line in lines_of(entry):
            level = logging.WARNING if bad else logging.INFO
            text = line.text if entry.run_id in line.text else f"{entry.run_id}  {line.text}"
            log.log(level, "%s", text, extra={"nvsx": fields})

    async def close(self) -> None:
        return None


def _worth_a_line(body: j.RunEvent) -> bool:
    turns = (j.Start, j.Resumed, j.StageEnd, j.NoteMade, j.Overdue, j.CancelAsked, j.Finish)
    return isinstance(body, turns) or (isinstance(body, j.HookEnd) and body.exit_code != 0)
