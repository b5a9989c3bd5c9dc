"""An incident report as one HTML file: no script, no request, light and dark, printable.

Everything that was not written here is escaped: a hook's output is text and never markup.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from nvsx.core import plain_text
from nvsx.core.durations import format as length
from nvsx.screens.report.incident_report import (
    IncidentReport,
    Moment,
    StageRow,
    budget_words,
    clock,
    clock_words,
    headline,
    moment,
    nodes_of,
    part_words,
)
from nvsx.screens.report.report_chart import chart

STYLE = """
:root{color-scheme:light dark;--fg:#1c2024;--dim:#60646c;--bg:#fff;--line:#d9d9e0;--soft:#f4f4f7;
--good:#18794e;--bad:#c62a2f;--warn:#ad5700;--mark:#3e63dd}
@media(prefers-color-scheme:dark){:root{--fg:#edeef0;--dim:#a2a6ae;--bg:#111214;--line:#363a3f;
--soft:#1b1d20;--good:#4cc38a;--bad:#ff6369;--warn:#f1a10d;--mark:#849dff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:62rem;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.1rem;margin:2.25rem 0 .5rem}
h3{font-size:.9rem;color:var(--dim);margin:1.25rem 0 .25rem;font-weight:600}
p{margin:.5rem 0}
code,pre,.t{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.86em}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--dim);font-weight:500;white-space:nowrap}
td:first-child{overflow-wrap:normal}td code{overflow-wrap:anywhere}
.big{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.25rem 0}
.big div{background:var(--soft);border-radius:.5rem;padding:.6rem .9rem;min-width:9rem}
.big b{display:block;font-size:1.35rem;font-weight:600}
.big span,.dim{color:var(--dim)}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.head{font-weight:600}
ul.story{list-style:none;margin:0;padding:0}
ul.story li{padding:.1rem 0 .1rem 5.5rem;position:relative;overflow-wrap:anywhere}
ul.story .t{position:absolute;left:0;color:var(--dim)}
pre{background:var(--soft);border-radius:.4rem;padding:.5rem .75rem;margin:.25rem 0;
white-space:pre-wrap;overflow-wrap:anywhere}
.tag{border:1px solid var(--line);border-radius:.3rem;padding:0 .35rem;font-size:.8em;
color:var(--mark)}
svg{width:100%;height:auto;display:block;margin:1rem 0}
svg text{font:12px system-ui,sans-serif;fill:var(--fg);paint-order:stroke;
stroke:var(--bg);stroke-width:4px}svg .dim{fill:var(--dim)}
@media print{:root{color-scheme:light;--fg:#000;--dim:#444;--bg:#fff;--line:#ccc;--soft:#f4f4f7;
--good:#18794e;--bad:#c62a2f;--warn:#ad5700;--mark:#3e63dd}body{max-width:none;padding:0}
h2,h3{break-after:avoid}tr{break-inside:avoid}}
"""


def page(report: IncidentReport) -> str:
    """The whole file."""
    return file_of_html(headline(report), _body_parts(report))


def file_of_html(title: str, parts: Iterable[str]) -> str:
    """A file of its own, whose body has `parts`, which are HTML already."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape_html(title)}</title>\n<style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def escape_html(text: str) -> str:
    return escape(plain_text.lines(text), quote=True)


def code_in_html(text: str) -> str:
    return f"<code>{escape_html(text)}</code>" if text else ""


def table_in_html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    top = "".join(f"<th>{escape_html(h)}</th>" for h in head)
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    heading = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    return f"<table>{heading}<tbody>{''.join(lines)}</tbody></table>"


def _body_parts(report: IncidentReport) -> Iterator[str]:
    yield f"<h1>{escape_html(headline(report))}</h1>"
    when = f"{moment(report.began)} to {moment(report.finished)}" if report.finished else ""
    yield f'<p class="dim">{escape_html(when or moment(report.began) + ", not finished")}</p>'
    if report.kind != "incident":
        yield f'<p class="warn">This was a {escape_html(report.kind)} run, not an incident.</p>'
    yield _big_figures(report)
    yield chart(report)
    if report.failures:
        yield "<h2>What failed</h2><ul>"
        yield (
            "".join(f'<li class="bad">{escape_html(line)}</li>' for line in report.failures)
            + "</ul>"
        )
    yield "<h2>The incident</h2>" + _head_table(report)
    yield "<h2>Times</h2>" + "".join(_times_section(report))
    yield from work_in_html(report, "What happened")


def work_in_html(report: IncidentReport, title: str) -> Iterator[str]:
    """What runs did: stages, whom they told, notes, their story below `title`, artifacts."""
    yield from _stages_by_run(report)
    yield "<h2>Who was told</h2>" + "".join(_told_section(report))
    if report.notes:
        rows = (
            (f'<span class="t">{clock(t)}</span>', escape_html(note)) for t, note in report.notes
        )
        yield "<h2>Notes</h2>" + table_in_html(("", ""), rows)
    yield f"<h2>{escape_html(title)}</h2>"
    yield from _story_section(report)
    yield "<h2>Artifacts</h2>" + _artifacts_table(report)


def _big_figures(report: IncidentReport) -> str:
    shown = ("time_to_repair", "time_to_first_notice", "drain", "condition_cleared")
    cells = [
        f"<div><b>{escape_html(length(m.seconds))}</b><span>{escape_html(m.label)}</span></div>"
        for key in shown
        for m in report.measures
        if m.key == key and m.seconds is not None
    ]
    if report.total_s is not None:
        cells.append(
            f"<div><b>{escape_html(length(report.total_s))}</b><span>length of the run</span></div>"
        )
    return f'<div class="big">{"".join(cells)}</div>' if cells else ""


def _head_table(report: IncidentReport) -> str:
    tone = "good" if report.status == "passed" else "bad"
    rows = [
        (
            "outcome",
            f'<b class="{tone}">{escape_html(report.status)}</b> {escape_html(report.reason)}',
        ),
        ("run", code_in_html(report.run_id)),
        ("runbook", f"{code_in_html(report.runbook)} (#{escape_html(report.nickname)})"),
        (
            "node",
            f"{code_in_html(report.node)} ({escape_html(report.alias)})" if report.node else "none",
        ),
        ("cluster", code_in_html(report.cluster) or "unknown"),
        ("fired by", escape_html(report.trigger)),
    ]
    for fault in report.faults:
        codes = f" {', '.join(fault.error_codes)}" if fault.error_codes else ""
        gpus = ", ".join(f"{kind} {value}" for kind, value in fault.entities)
        what = f"<b>{escape_html(fault.check + codes)}</b> {escape_html(gpus)}"
        rows.append(("fault", f"{what}<br><span class=dim>{escape_html(fault.message)}</span>"))
    return table_in_html(("", ""), rows)


def _times_section(report: IncidentReport) -> Iterator[str]:
    for one in nodes_of(report):
        if len(report.nodes) > 1:
            yield f"<h3>{code_in_html(one.node)} ({escape_html(one.alias)})</h3>"
        yield table_in_html(
            ("", ""),
            (
                (
                    escape_html(m.label),
                    f"<b>{escape_html(length(m.seconds))}</b>"
                    if m.seconds is not None
                    else f'<span class="dim">unknown: {escape_html(m.why)}</span>',
                )
                for m in one.measures
            ),
        )
        if one.marks:
            yield "<h3>Marks</h3>"
            yield table_in_html(
                ("", ""), ((escape_html(m.label), escape_html(moment(m.at))) for m in one.marks)
            )
    if told := clock_words(report):
        yield f'<p class="warn">{escape_html(told)}</p>'


def _stages_by_run(report: IncidentReport) -> Iterator[str]:
    """The stages, of each run when several are merged."""
    if not report.parts:
        yield "<h2>Stages</h2>" + _stages_table(report.stages)
        return
    yield "<h2>Runs</h2>"
    for part in report.parts:
        yield (
            f"<h3>{code_in_html(part.run_id)} {escape_html(part_words(part))}</h3>"
            + _stages_table(part.stages)
        )


def _stages_table(stages: Iterable[StageRow]) -> str:
    tones = {"pass": "good", "fail": "bad", "timeout": "bad", "cancelled": "warn"}
    rows = []
    for s in stages:
        took = length(s.elapsed_s) if s.elapsed_s is not None else ""
        late = ' class="warn"' if s.over_s is not None else ""
        rows.append(
            (
                f"<b>{escape_html(s.id)}</b> <span class=dim>{escape_html(s.title)}</span>",
                f'<span class="{tones.get(s.status, "dim")}">{escape_html(s.status)}</span>',
                escape_html(took),
                f"<span{late}>{escape_html(budget_words(s))}</span>",
                escape_html(s.reason),
            )
        )
    return table_in_html(("stage", "status", "took", "budget", "reason"), rows)


def _told_section(report: IncidentReport) -> Iterator[str]:
    if not report.told:
        yield "<p>Nobody was told, as far as hooks reported.</p>"
    else:
        rows = (
            (
                clock(t.at),
                escape_html(t.target),
                escape_html(t.words),
                code_in_html(t.reference),
                escape_html(t.stage),
            )
            for t in report.told
        )
        yield table_in_html(("time (UTC)", "target", "what", "reference", "stage"), rows)
    if report.said:
        yield "<h3>What hooks reported</h3>"
        yield table_in_html(("", ""), ((clock(t), escape_html(line)) for t, line in report.said))


def _story_section(report: IncidentReport) -> Iterator[str]:
    minute, opened = "", False
    for m in report.moments:
        if (now := moment(m.at)[:16]) != minute:
            yield ("</ul>" if opened else "") + f'<h3>{now} UTC</h3><ul class="story">'
            minute, opened = now, True
        yield _moment_item(m)
    if opened:
        yield "</ul>"
    if report.moments_left_out:
        yield f"<p>{report.moments_left_out} more are in the journal.</p>"


def _moment_item(m: Moment) -> str:
    origin = m.source if m.source != "nvsx" else m.run
    tag = f'<span class="tag">{escape_html(origin)}</span> ' if origin else ""
    more = f"\n… {m.more} more lines" if m.more else ""
    details = f"<pre>{escape_html(chr(10).join(m.details) + more)}</pre>" if m.details else ""
    text = f'<span class="{escape_html(m.tone)}">{escape_html(m.text)}</span>'
    return f'<li><span class="t">{clock(m.at)}</span>{tag}{text}{details}</li>'


def _artifacts_table(report: IncidentReport) -> str:
    if not report.artifacts:
        return "<p>None.</p>"
    rows = ((code_in_html(a.path), str(a.bytes), code_in_html(a.sha256)) for a in report.artifacts)
    return table_in_html(("file", "bytes", "SHA-256"), rows)
