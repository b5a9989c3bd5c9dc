"""The tables of faults and variants in README.md, made from their registries.

`python -m nvsentinel_sandbox.catalogue [--check|--write]` keeps them current; the checks of
the repository fail when they are stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.reports import Fault
from nvsentinel_sandbox.world.variants import VARIANTS, Variant

README = Path(__file__).with_name("README.md")
_BEGIN = "<!-- faults and variants: generated, do not edit -->"
_END = "<!-- end of faults and variants -->"


def checks_of(fault: Fault) -> list[str]:
    """The checks that see the fault, the first to see it first."""
    return [*dict.fromkeys(report.check for report in fault.reports)]


def actions_of(fault: Fault) -> list[str]:
    """What they recommend."""
    return [*dict.fromkeys(report.action for report in fault.reports)]


def given_to(variant: Variant) -> str:
    """Where a variant is chosen: one of the installation only when the sandbox starts."""
    return "start, inject" if variant.scope == "node" else "start"


def renew_tables(page: str) -> str:
    """The page with the tables as the registries have them. ValueError without the markers."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{_BEGIN} and {_END} are not on the page")
    faults = (
        (f"`{f.name}`", f.title, ", ".join(checks_of(f)), ", ".join(actions_of(f)))
        for f in FAULTS.values()
    )
    variants = ((f"`{v.name}`", given_to(v), v.title) for v in VARIANTS.values())
    tables = (
        _draw_table(("fault", "what happened", "seen by", "recommended"), faults),
        _draw_table(("variant", "given to", "how it goes"), variants),
    )
    return f"{before}{_BEGIN}\n" + "\n\n".join(tables) + f"\n{_END}{after}"


def _draw_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(arguments: list[str]) -> int:
    """`--check` fails when the tables are stale; `--write`, the default, renews them."""
    page = README.read_text("utf-8")
    current = renew_tables(page)
    if page == current:
        return 0
    if arguments == ["--check"]:
        sys.stderr.write(f"{README} is stale: run python -m nvsentinel_sandbox.catalogue\n")
        return 1
    README.write_text(current, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
