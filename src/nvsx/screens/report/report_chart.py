"""The timeline of a report as SVG: a bar for each stage, a line for each mark. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from nvsx.core.durations import format as length
from nvsx.screens.report.incident_report import IncidentReport, ReportMark, clock

WIDTH, LEFT, RIGHT, TOP, ROW = 1000, 110, 20, 30, 26
LABEL_ROW = 16
_TONE = {
    "pass": "var(--good)",
    "fail": "var(--bad)",
    "timeout": "var(--bad)",
    "cancelled": "var(--warn)",
}


def chart(report: IncidentReport) -> str:
    """The drawing; "" when no stage has begun."""
    bars = [s for s in report.stages if s.began is not None]
    if not bars:
        return ""
    times = [s.began + (s.elapsed_s or 0.0) for s in bars if s.began is not None]
    times += [s.began for s in bars if s.began is not None] + [m.at for m in report.marks]
    first, last = min(times), max([*times, report.finished or 0.0])
    span = max(last - first, 1.0)

    def x(at: float) -> float:
        return round(LEFT + (at - first) / span * (WIDTH - LEFT - RIGHT), 1)

    bottom = TOP + ROW * len(bars)
    height = bottom + 24 + LABEL_ROW * len(report.marks)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Timeline of the incident">',
        *_draw_axis(first, span, bottom),
        *_draw_marks(report.marks, x, bottom),
    ]
    for row, s in enumerate(bars):
        at, took = s.began or first, s.elapsed_s or 0.0
        y = TOP + ROW * row
        width = max(2.0, round(x(at + took) - x(at), 1))
        tone = _TONE.get(s.status, "var(--dim)")
        told = f"{s.id}: {s.status}, {length(took)}"
        parts.append(f'<text x="0" y="{y + 15}">{escape(s.id)}</text>')
        parts.append(
            f'<rect x="{x(at)}" y="{y + 3}" width="{width}" height="{ROW - 8}" rx="3" '
            f'fill="{tone}"><title>{escape(told)}</title></rect>'
        )
        parts.append(_label_bar(x(at), width, y, length(took)))
    return "\n".join([*parts, "</svg>"])


def _label_bar(left: float, width: float, y: int, text: str) -> str:
    """How long a bar is, right of it, or left where there is no room."""
    if left + width + 60 < WIDTH:
        return f'<text class="dim" x="{left + width + 6}" y="{y + 15}">{escape(text)}</text>'
    return f'<text class="dim" x="{left - 6}" y="{y + 15}" text-anchor="end">{escape(text)}</text>'


def _draw_axis(first: float, span: float, bottom: int) -> Iterator[str]:
    step = (WIDTH - LEFT - RIGHT) / 4
    for i in range(5):
        x = round(LEFT + i * step, 1)
        anchor = "end" if i == 4 else "middle"
        yield f'<line x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}" stroke="var(--line)"/>'
        label = clock(first + span * i / 4)
        yield f'<text class="dim" x="{x}" y="{TOP - 12}" text-anchor="{anchor}">{label}</text>'


def _draw_marks(
    marks: tuple[ReportMark, ...], x: Callable[[float], float], bottom: int
) -> Iterator[str]:
    """A dashed line for each mark, and its name below, each on a row of its own; no line goes
    through a name."""
    rows = [(m, x(m.at), bottom + 16 + LABEL_ROW * row) for row, m in enumerate(marks)]
    for _, at, y in rows:
        yield (
            f'<line x1="{at}" x2="{at}" y1="{TOP - 6}" y2="{y}" stroke="var(--mark)" '
            'stroke-dasharray="3 3"/>'
        )
    for mark, at, y in rows:
        end = "end" if at > WIDTH * 0.7 else "start"
        shift = -5 if end == "end" else 5
        yield (
            f'<text class="dim" x="{at + shift}" y="{y}" text-anchor="{end}">'
            f"{escape(mark.label)} {clock(mark.at)}</text>"
        )
