"""The tables of faults and variants in the sandbox's README, made from their registries."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nvsentinel_sandbox.catalogue import actions_of, checks_of, given_to
from nvsentinel_sandbox.world.faults import FAULTS
from nvsentinel_sandbox.world.variants import VARIANTS

README = "src/nvsentinel_sandbox/README.md"
_BEGIN = "<!-- faults and variants: generated, do not edit -->"
_END = "<!-- end of faults and variants -->"


def make(root: Path) -> dict[str, bytes]:
    """The README with its tables made current. Raises SystemExit without the markers."""
    try:
        return {README: renew_tables((root / README).read_text("utf-8")).encode()}
    except (OSError, ValueError) as error:
        raise SystemExit(f"{README}: {error}") from None


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
