"""The documents that `make docs` makes from the code."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from docs.make import (
    cli_reference,
    event_reference,
    runbook_reference,
    sample_conversion,
    sender_tables,
)
from docs.make.__main__ import DOCUMENTS, ROOT, main, renew

from nvsx.commands.app import COMMANDS
from nvsx.core.journal import entries as j
from nvsx.core.senders.registry import SENDERS
from nvsx.core.watches.kinds import KINDS


@pytest.fixture(autouse=True)
def _no_shellcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is the same whether the machine has shellcheck or not."""
    monkeypatch.setattr("nvsx.lint.shellcheck.find_shellcheck", lambda: None)


@pytest.mark.parametrize("make", DOCUMENTS, ids=lambda make: f"{make.__module__}.{make.__name__}")
def test_each_document_is_current(make: Callable[[Path], dict[str, bytes]]) -> None:
    """What is kept in the repository is what the code says today."""
    assert renew(ROOT, make, check=True) == []


def test_a_stale_document_is_named_and_renewed(tmp_path: Path) -> None:
    """A page that is not there, and one that differs, are stale until they are written."""
    page = tmp_path / cli_reference.PAGE
    assert renew(tmp_path, cli_reference.make, check=True) == [cli_reference.PAGE]
    assert not page.exists()
    assert renew(tmp_path, cli_reference.make, check=False) == [cli_reference.PAGE]
    assert renew(tmp_path, cli_reference.make, check=True) == []
    page.write_text(page.read_text() + "more\n")
    assert renew(tmp_path, cli_reference.make, check=True) == [cli_reference.PAGE]


def test_a_stale_example_is_named_and_renewed(tmp_path: Path) -> None:
    """Of the converted example a changed hook, a lost one, a lost mode and a file too many are
    found; writing makes them good."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    folder = f"{sample_conversion.RUNBOOKS}/hooks"
    hooks = tmp_path / folder
    (hooks / "sample-runbook/on-failure.sh").write_text("# older\n")
    (hooks / "sample-runbook/on-drain.sh").unlink()
    (hooks / "sample-runbook/on-detect.sh").chmod(0o644)
    (hooks / "sample-runbook/on-whim.sh").write_text("# nobody made it\n")
    stale = [
        f"{folder}/sample-runbook/on-{name}.sh" for name in ("detect", "drain", "failure", "whim")
    ]
    assert renew(tmp_path, sample_conversion.make, check=True) == stale
    assert renew(tmp_path, sample_conversion.make, check=False) == stale
    assert renew(tmp_path, sample_conversion.make, check=True) == []


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is none ends in the usage, and writes nothing."""
    assert main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


# --- docs/cli.md --------------------------------------------------------------------------


def test_the_reference_has_every_command() -> None:
    """Each command has its section."""
    page = cli_reference.make(ROOT)[cli_reference.PAGE].decode()
    assert [name for name in COMMANDS if f"\n## nvsx {name}\n" not in page] == []


# --- runbooks/README.md -------------------------------------------------------------------


def test_the_reference_is_renewed_between_its_markers() -> None:
    """What people wrote before and after it stays."""
    before, after = f"before\n{runbook_reference.BEGIN}", f"{runbook_reference.END}\nafter\n"
    text = runbook_reference.replace_reference(f"{before}\nold\n{after}")
    assert text.startswith(f"{before}\n\n## The file")
    assert text.endswith(f"\n{after}")
    assert "\nold\n" not in text


def test_a_readme_without_markers_is_told(tmp_path: Path) -> None:
    """One sentence says which file, and what it lacks."""
    path = tmp_path / runbook_reference.README
    path.parent.mkdir()
    path.write_text("nothing of ours")
    with pytest.raises(SystemExit, match=r"runbooks/README\.md: the markers .* are missing"):
        runbook_reference.make(tmp_path)


def test_every_watch_kind_is_documented() -> None:
    """The reference names every kind, old names included."""
    text = runbook_reference.markdown()
    assert [k for k in KINDS if f"`{k}`" not in text] == []


# --- docs/events.schema.json --------------------------------------------------------------


def test_every_field_of_a_line_is_in_the_schema() -> None:
    """A line of each event holds nothing the schema does not name, and all it requires."""
    defs = event_reference.json_schema()["$defs"]
    least = {"stage": "s", "hook": "h", "attempt": 1, "exit_code": 0}
    for body in j.EVENTS:
        schema = defs[body.__name__]
        raw = {"event": str(body.__struct_config__.tag)} | _least(schema, defs) | least
        line = json.loads(j.to_line(j.Entry("r", 1, 0.5, j.decode_body(json.dumps(raw)))))
        assert line.keys() <= schema["properties"].keys()
        assert set(schema["required"]) <= line.keys()


def _least(schema: event_reference.Json, defs: event_reference.Json) -> event_reference.Json:
    """The smallest object that has what `schema` requires."""
    blank = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "array": [], "object": {}}
    out: event_reference.Json = {}
    for name in schema["required"]:
        field = schema["properties"][name]
        if "$ref" in field:
            inner = defs[field["$ref"].rpartition("/")[2]]
            out[name] = _least({"required": (), **inner}, defs)
        elif "enum" in field:
            out[name] = field["enum"][0]
        elif "anyOf" not in field and "const" not in field:
            out[name] = blank[field["type"]]
    return out


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("drop", ["event", "field", "value"])
def test_nothing_published_is_ever_dropped(tmp_path: Path, drop: str, check: bool) -> None:
    """A published event, field or value that the code has lost: neither check nor write pass."""
    published = copy.deepcopy(event_reference.json_schema())
    defs = published["$defs"]
    if drop == "event":
        defs["Vanished"] = {"properties": {}}
    elif drop == "field":
        defs["Finish"]["properties"]["vanished"] = {"type": "string"}
    else:
        defs["StageEnd"]["properties"]["status"]["enum"].append("vanished")
    path = tmp_path / "docs" / event_reference.SCHEMA
    path.parent.mkdir()
    path.write_text(json.dumps(published))
    with pytest.raises(SystemExit, match="anished"):
        renew(tmp_path, event_reference.make, check=check)
    assert path.read_text() == json.dumps(published)


def test_a_class_of_another_name_writes_the_same_event(tmp_path: Path) -> None:
    """What was published is known by the event's tag; the name of its class may change."""
    published = event_reference.json_schema()
    published["$defs"]["OldName"] = published["$defs"].pop("Finish")
    path = tmp_path / "docs" / event_reference.SCHEMA
    path.parent.mkdir()
    path.write_text(json.dumps(published))
    renew(tmp_path, event_reference.make, check=False)
    assert "OldName" not in path.read_text()


# --- docs/webhooks.md ---------------------------------------------------------------------


def test_every_sender_is_in_the_table_with_its_horizon() -> None:
    """Each kind has a cell, and PagerDuty's 48 hours stand in its line."""
    lines = list(sender_tables.list_senders())
    assert [kind for kind in SENDERS if not any(f"`{kind}`" in line for line in lines)] == []
    assert next(line for line in lines if "`pagerduty`" in line).endswith("| 48 h |")


def test_a_stale_table_is_named_and_made_anew(tmp_path: Path) -> None:
    """A line that was changed by hand is reported, and written again; other text stays."""
    text = (ROOT / sender_tables.PAGE).read_text(encoding="utf-8")
    changed = text.replace("| 48 h |", "| 49 h |")
    assert changed != text
    file = tmp_path / sender_tables.PAGE
    file.parent.mkdir()
    file.write_text(changed, encoding="utf-8")
    assert renew(tmp_path, sender_tables.make, check=True) == [sender_tables.PAGE]
    assert file.read_text(encoding="utf-8") == changed
    assert renew(tmp_path, sender_tables.make, check=False) == [sender_tables.PAGE]
    assert file.read_text(encoding="utf-8") == text
