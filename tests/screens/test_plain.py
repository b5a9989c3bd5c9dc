"""What the readable views write, whatever text the cluster hands them."""

from __future__ import annotations

import io
import logging
import stat
from pathlib import Path

from nvsx.core.journal import entries as j
from nvsx.core.masking import Masker
from nvsx.screens.line_writer import LineWriter
from nvsx.screens.plain import PlainView
from nvsx.serve.logs import FileLog

HOSTILE = "Killed\x1b[2J\x1b]0;title\x07\nrun passed\r\u202eevil"


async def test_text_of_the_cluster_draws_as_text() -> None:
    """An Event's message with control sequences, newlines and bidi marks: one line, no byte
    that a terminal would obey."""
    out = io.BytesIO()
    view = PlainView(LineWriter(out))
    bodies: tuple[j.RunEvent, ...] = (
        j.WatchChange(stage="drain", index=0, kind="log", verdict="satisfied", detail=HOSTILE),
        j.NoteMade(stage="drain", text=HOSTILE, remedy=HOSTILE),
        j.PrerequisiteChecked(name="p", ok=False, detail=HOSTILE),
    )
    for i, body in enumerate(bodies):
        view.show(j.Entry("r", i + 1, 0.0, body))
    await view.close()
    shown = out.getvalue().decode()
    assert len(shown.splitlines()) == 4
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "run passed" in shown


def test_troubles_of_nvsx_go_to_a_private_file(tmp_path: Path) -> None:
    """A logged exception prints nothing; the file has it, 0600 and without secrets."""
    log = FileLog(tmp_path / "nvsx.log", Masker({"API_TOKEN": "s3cret-0123456789"}).mask)
    with log.kept():
        try:
            int("s3cret-0123456789")
        except ValueError:
            logging.getLogger("nvsx.follow.run_context").exception("view %s failed", "V")
    text = log.path.read_text()
    assert log.count == 1
    assert "view V failed" in text
    assert "Traceback" in text
    assert "s3cret" not in text
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
