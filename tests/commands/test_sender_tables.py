"""The tables of docs/webhooks.md, made from the senders."""

from __future__ import annotations

from pathlib import Path

from nvsx.commands import sender_tables
from nvsx.core.senders.registry import SENDERS


def test_every_sender_is_in_the_table_with_its_horizon() -> None:
    """Each kind has a cell, and PagerDuty's 48 hours stand in its line."""
    lines = list(sender_tables.list_senders())
    assert [kind for kind in SENDERS if not any(f"`{kind}`" in line for line in lines)] == []
    assert next(line for line in lines if "`pagerduty`" in line).endswith("| 48 h |")


def test_a_stale_table_fails_the_check_and_is_made_anew(tmp_path: Path) -> None:
    """A line that was changed by hand is reported, and written again; other text stays."""
    text = sender_tables.FILE.read_text(encoding="utf-8")
    changed = text.replace("| 48 h |", "| 49 h |")
    assert changed != text
    assert sender_tables.renew_tables(changed) == text
    file = tmp_path / "webhooks.md"
    file.write_text(changed, encoding="utf-8")
    assert sender_tables.main(["--check", str(file)]) == 1
    assert sender_tables.main([str(file)]) == 0
    assert file.read_text(encoding="utf-8") == text
