import json
import re
from pathlib import Path

import pytest

from nvsx.core.watches.kinds import KINDS
from nvsx.project import loader, schema_document

ROOT = Path(__file__).parents[2]


def test_the_readme_is_current() -> None:
    """The reference in runbooks/README.md is what the models say now."""
    assert schema_document.main(["--check", str(ROOT / schema_document.README)]) == 0


def test_a_stale_reference_is_noticed_and_renewed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check fails on an old reference, --write renews it and leaves the rest alone."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{schema_document.BEGIN}\nold\n{schema_document.END}\nafter\n")
    assert schema_document.main(["--check", str(path)]) == 1
    assert "is stale" in capsys.readouterr().err
    assert schema_document.main(["--write", str(path)]) == 0
    assert schema_document.main(["--check", str(path)]) == 0
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text.split(schema_document.BEGIN)[1][:10]


@pytest.mark.parametrize("arguments", [["--check", "/nowhere/README.md"], ["--what"]])
def test_misuse_is_one_message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file or an unknown option ends in a message, not in a traceback."""
    assert schema_document.main(arguments) in (1, 2)
    assert capsys.readouterr().err


def test_every_watch_kind_is_documented() -> None:
    """The reference names every kind, old names included."""
    text = schema_document.markdown()
    assert [k for k in KINDS if f"`{k}`" not in text] == []


def test_the_schema_is_plain_json_and_strict() -> None:
    """Editors get a closed schema: unknown keys are flagged for every mapping with keys."""
    schema = json.loads(json.dumps(schema_document.json_schema()))
    assert schema["additionalProperties"] is False
    for name, definition in schema["$defs"].items():
        assert definition["additionalProperties"] is False, name
    assert schema["properties"]["apiVersion"] == {
        "const": "nvsx/v1",
        "type": "string",
        "description": "Exactly nvsx/v1.",
    }


def test_the_schema_has_one_alternative_for_each_kind() -> None:
    """A watch is one of its kinds, each with its own keys."""
    schema = schema_document.json_schema()
    kinds: set[str] = set()
    for definition in schema["$defs"].values():
        kind = definition["properties"].get("kind", {})
        kinds |= {kind["const"]} if "const" in kind else set(kind.get("enum", ()))
    assert kinds == set(KINDS)


def test_every_key_is_explained() -> None:
    """No key of a runbook is left without a sentence, `kind` aside."""
    schema = schema_document.json_schema()
    silent = [
        f"{name}.{key}"
        for name, definition in {**schema["$defs"], "Runbook": schema}.items()
        for key, value in definition["properties"].items()
        if key not in ("kind", "status") and "description" not in value
    ]
    assert silent == []


def test_the_readmes_example_is_valid(tmp_path: Path) -> None:
    """The runbook shown to people who write one loads as it stands."""
    text = (ROOT / schema_document.README).read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "runbooks" / "my-fault.yaml"
    path.parent.mkdir()
    path.write_text(example)
    assert loader.load_runbook(path, tmp_path).name == "my-fault"
