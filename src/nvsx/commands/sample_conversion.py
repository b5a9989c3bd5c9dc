"""examples/converted, what the rules make of examples/sample-runbook.md.

`python -m nvsx.commands.sample_conversion [--check|--write] [FOLDER]` keeps it current, as
`make docs` does after a change of the rules, of the page or of the library that hooks use.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path

from nvsx.core.errors import NvsxError

FOLDER = Path(__file__).resolve().parents[3] / "examples"
PAGE = "sample-runbook.md"

Files = dict[str, tuple[bytes, bool]]
"""Content and whether it can be started, by path."""


def converted(folder: Path, into: Path) -> Path:
    """Convert the page of `folder`; the runbooks made.

    The copy in `into` is laid out as the original, since the ledger has the way to the page.
    Raises NvsxError when the conversion fails.
    """
    from nvsx.commands.main import main as nvsx

    project = into / "converted"
    project.mkdir()
    for file in (PAGE, "converted/nvsx.yaml"):
        shutil.copyfile(folder / file, into / file)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = nvsx(["--project", str(project), "convert", str(into / PAGE), "--offline", "--yes"])
    if code != 0:
        raise NvsxError(f"{PAGE} does not convert:\n{said.getvalue()}")
    return project / "runbooks"


def files(folder: Path) -> Files:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main(arguments: list[str]) -> int:
    """`--check` fails when the example is stale; `--write`, the default, renews it."""
    rest = [a for a in arguments if a not in ("--check", "--write")]
    folder = Path(rest[0]) if rest else FOLDER
    shown = folder / "converted" / "runbooks"
    with tempfile.TemporaryDirectory(prefix="nvsx-sample-") as into:
        made = converted(folder, Path(into))
        before, wanted = files(shown), files(made)
        if before == wanted:
            return 0
        if "--check" in arguments:
            stale = [p for p in sorted({*before, *wanted}) if before.get(p) != wanted.get(p)]
            sys.stderr.write(f"{shown} is stale: run make docs\n  " + "\n  ".join(stale) + "\n")
            return 1
        shutil.rmtree(shown, ignore_errors=True)
        shutil.copytree(made, shown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
