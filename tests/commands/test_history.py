from __future__ import annotations

import csv
import io
import json
import os
import time
from pathlib import Path

import pytest
from tests.screens import incidents

from nvsx.commands.history.run_filters import parse_time
from nvsx.commands.main import main
from nvsx.core.errors import UsageError
from nvsx.core.journal import entries as j
from nvsx.core.journal.run_rows import Lease, NewRun
from nvsx.screens.report.past_reports import ReportView
from nvsx.store import file_artifacts, open_store


async def _stored(*, sandbox: bool = False) -> str:
    """A repaired incident in the state folder; its run's id."""
    journal = open_store(Path(os.environ["NVSX_STATE_DIR"]))
    story = incidents.repaired().entries
    lease = await journal.create(
        NewRun(runbook="gpu-off-bus", cluster="c-1", node=incidents.NODE, sandbox=sandbox)
    )
    await journal.append(lease, [e.body for e in story])
    journal.close()
    return lease.run_id


async def test_history_lists_real_runs_and_leaves_the_sandbox_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line a run with node, alias, outcome and time to repair; --sandbox has the others."""
    real, staged = await _stored(), await _stored(sandbox=True)
    for options, shown, hidden in (([], real, staged), (["--sandbox"], staged, real)):
        assert await _nvsx("history", *options) == 0
        out = capsys.readouterr().out
        assert shown in out
        assert hidden not in out
        assert "gpu-node-07" in out
        assert "passed" in out
        assert "7m20s" in out


async def _nvsx(*words: str) -> int:
    """A command runs its own event loop, so not on this one's thread."""
    import asyncio

    return await asyncio.to_thread(main, list(words))


async def test_history_speaks_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms have the same fields and values, for programs."""
    run_id = await _stored()
    assert await _nvsx("history", "-o", "json") == 0
    (fields,) = json.loads(capsys.readouterr().out)
    assert (fields["run_id"], fields["outcome"], fields["mttr_s"]) == (run_id, "passed", 440.0)
    assert await _nvsx("history", "-o", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["run_id"], row["mttr_s"], list(row)) == (run_id, "440.0", list(fields))


async def test_a_nickname_filters_as_its_runbook(capsys: pytest.CaptureFixture[str]) -> None:
    """--runbook takes a nickname; one that names another runbook finds nothing."""
    run_id = await _stored()
    assert await _nvsx("history", "--runbook", "rogue-moose") == 0
    assert run_id in capsys.readouterr().out
    assert await _nvsx("history", "--runbook", "nvlink-fault") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("history", "--outcome", "great"),
        ("history", "--since", "yesterday"),
        ("history", "-o", "xml"),
        ("report", "r-none"),
        ("report", "r-none", "-o", "pdf"),
        ("stats", "--by", "moon"),
        ("stats", "--within", "soon"),
    ],
)
def test_what_is_not_known_is_a_usage_error(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one message with the next step, nothing on standard output."""
    assert main(list(words)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("nvsx: ")
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--format", "html"), "write -o html; --file names the file"),
        (("--format", "html", "-o", "page.html"), "write -o html; --file names the file"),
        (("-o", "page.htm"), "-o names the format; to write that file: -o html --file page.htm"),
        (("-o", "./page"), "-o names the format; to write that file: --file ./page"),
        (("-o", "pdf"), "use -o md, html or json"),
    ],
)
def test_the_former_spelling_of_a_reports_file_is_refused(
    words: tuple[str, ...],
    hint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`-o FILE` and `--format` end with exit code 2, today's words and no file."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", "r-1", *words]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"  {hint}"
    assert list(tmp_path.iterdir()) == []


def test_a_time_is_an_age_or_a_date() -> None:
    """7d means seven days ago; a date is local midnight; an offset is obeyed."""
    now = time.time()
    assert parse_time("7d", now) == now - 7 * 86_400
    assert parse_time("2026-11-01T08:30+00:00", now) == 1_793_521_800.0
    with pytest.raises(UsageError):
        parse_time("soon", now)


async def test_a_report_is_printed_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Markdown on standard output; HTML into the file that was named; JSON with the figures."""
    run_id = await _stored()
    assert await _nvsx("report", run_id) == 0
    assert "| time to repair | **7m20s** |" in capsys.readouterr().out
    page = tmp_path / "incident.html"
    assert await _nvsx("report", run_id, "-o", "html", "--file", str(page)) == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    capsys.readouterr()
    assert await _nvsx("report", run_id, "-o", "json") == 0
    measures = {m["key"]: m["seconds"] for m in json.loads(capsys.readouterr().out)["measures"]}
    assert measures["time_to_repair"] == 440.0


async def test_runs_of_an_incident_are_one_report(capsys: pytest.CaptureFixture[str]) -> None:
    """--since merges the runs of a node's incident, found by a run or by the node's alias; a
    sandbox run stays out, and what is not known is a usage error."""
    first, second = await _stored(), await _stored()
    await _stored(sandbox=True)
    for wanted in (first, incidents.NODE):
        assert await _nvsx("report", wanted, "--since", "1h", "-o", "json") == 0
        made = json.loads(capsys.readouterr().out)
        assert {p["run_id"] for p in made["parts"]} == {first, second}
    assert await _nvsx("report", "no-such-node", "--since", "1h") == 2
    assert "nvsx history" in capsys.readouterr().err


async def test_stats_count_real_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Two incidents of a runbook are two runs of one session; the sandbox does not count."""
    for sandbox in (False, False, True):
        await _stored(sandbox=sandbox)
    assert await _nvsx("stats", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    (group,) = found["groups"]
    assert (group["name"], group["runs"], group["outcomes"]) == ("gpu-off-bus", 2, {"passed": 2})
    assert group["repair"] == {"count": 2, "p50": 440.0, "p90": 440.0}
    assert group["stages"]["drain"]["p50"] == 100.0
    assert found["repeats"] == []
    assert await _nvsx("stats", "--by", "fault") == 0
    assert "SysLogsXIDError 79" in capsys.readouterr().out


async def _finished(folder: Path, state: Path) -> None:
    journal = open_store(state)
    story = incidents.repaired().entries
    lease: Lease = await journal.create(NewRun(runbook="gpu-off-bus", node="n", cluster="c"))
    entries = await journal.append(lease, [e.body for e in story])
    view = ReportView(journal, file_artifacts(folder))
    for entry in entries:
        view.show(entry)
    await view.close()
    journal.close()


async def test_a_run_leaves_its_report_beside_its_artifacts(tmp_path: Path) -> None:
    """report.md and report.html are there when a run has ended, private, with the hashes of
    the other files but not their own."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    await _finished(folder, tmp_path / "state")
    text = (folder / "report.md").read_text("utf-8")
    assert "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" in text
    assert "report.html" not in text
    assert (folder / "report.html").stat().st_mode & 0o777 == 0o600


async def test_a_report_that_cannot_be_written_is_no_trouble_of_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The view says so in the log and raises nothing."""
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    await _finished(tmp_path / "artifacts", tmp_path / "state")
    assert "was not written" in caplog.text


def test_a_finish_is_needed_for_a_report(tmp_path: Path) -> None:
    """Nothing is begun for a run that goes on, nor for one that is only shown again."""
    view = ReportView(None, file_artifacts(tmp_path))  # type: ignore[arg-type]
    finish = j.Finish(ok=True, status="passed")
    view.show(j.Entry("r", 1, 0.0, j.StageBegin(stage="detect")))
    view.show(j.Entry("r", 2, 0.0, finish), replayed=True)
    assert list(tmp_path.iterdir()) == []
