import json
import re
from pathlib import Path

from nvsx.core.watches.kinds import KINDS
from nvsx.project import loader, schema_document

ROOT = Path(__file__).parents[2]


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
    text = (ROOT / "runbooks/README.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "runbooks" / "my-fault.yaml"
    path.parent.mkdir()
    path.write_text(example)
    assert loader.load_runbook(path, tmp_path).name == "my-fault"
