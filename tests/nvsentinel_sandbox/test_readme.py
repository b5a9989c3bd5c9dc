"""The package's README: what it tells people to type works, and its tables are current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs.make.sandbox_tables import README, renew_tables
from tests.patience import patience

from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / README).read_text("utf-8")
EXAMPLES = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)
DEADLINE = patience(60)


@pytest.mark.processes
@pytest.mark.parametrize(("language", "text"), EXAMPLES, ids=lambda value: value[:6].strip())
def test_examples_run(language: str, text: str, tmp_path: Path) -> None:
    """Each example, copied from the page into a file, ends well and prints something."""
    example = tmp_path / "example"
    example.write_text(text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        [sys.executable, example] if language == "python" else ["sh", "-e", example],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "NVSX_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_there_are_examples_in_both_languages() -> None:
    """The page shows Python and a shell."""
    assert {language for language, _ in EXAMPLES} == {"python", "sh"}


def test_each_fault_and_variant_has_a_row() -> None:
    """The tables are the registries, in their order."""
    tables = PAGE.partition("<!-- faults and variants")[2]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", tables, re.MULTILINE)
    assert rows[: len(FAULTS) + len(VARIANTS)] == [*FAULTS, *VARIANTS]
    assert renew_tables(PAGE) == PAGE


def test_a_stale_table_is_renewed() -> None:
    """A row that is missing comes back; a page that lost the markers is refused."""
    assert renew_tables(re.sub(r"\| `xid-79`.*\n", "", PAGE)) == PAGE
    with pytest.raises(ValueError, match="are not on the page"):
        renew_tables("# Nothing here")
