"""examples/converted, what the rules make of examples/sample-runbook.md."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from pathlib import Path

from nvsx.commands.main import main

PAGE = "sample-runbook.md"
RUNBOOKS = "examples/converted/runbooks"


def make(root: Path) -> dict[str, bytes]:
    """The runbook and hooks that the page becomes. Raises SystemExit when it does not convert.

    The copy that is converted is laid out as the original, since the ledger has the way to
    the page.
    """
    with tempfile.TemporaryDirectory(prefix="nvsx-sample-") as name:
        folder = Path(name)
        project = folder / "converted"
        project.mkdir()
        for file in (PAGE, "converted/nvsx.yaml"):
            shutil.copyfile(root / "examples" / file, folder / file)
        words = ["--project", str(project), "convert", str(folder / PAGE), "--offline", "--yes"]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(words)
        if code != 0:
            raise SystemExit(f"{PAGE} does not convert:\n{said.getvalue()}")
        made = project / "runbooks"
        return {
            f"{RUNBOOKS}/{path.relative_to(made)}": path.read_bytes()
            for path in sorted(made.rglob("*"))
            if path.is_file()
        }
