"""The deck on a real terminal: tmux types the keys and reads the screen back.

A small program flies the deck over a scripted run (`flying`); a shell stands around it as
at an operator's desk, so that what is left after the deck is seen too.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest
from tests.deck.desk import PATIENCE_S, ROOT, Desk
from tests.patience import patience, wait_until

pytestmark = [pytest.mark.server("tmux", "bash"), pytest.mark.timeout(120)]


def test_a_run_is_seen_filtered_resized_and_left(desk: Desk) -> None:
    """Live output, filter, two sizes; q leaves a summary, and the run goes on as text."""
    desk.flies()
    desk.sees("tick 5")
    desk.types("/", "tick 7", "Enter")
    desk.until(lambda s: "/tick 7 1 matching" in s and "tick 6" not in s, "only tick 7")
    desk.types("Escape")
    desk.sees("following")
    desk.resize(80, 24)
    desk.until(lambda s: " stages ──────────── 3 of 7 ─┬" in s, "the narrow rail")
    desk.resize(160, 40)
    desk.sees("─ facts ─")
    desk.types("q")
    desk.sees("left the deck; the run goes on (Ctrl-C cancels it)")
    desk.until(lambda s: s.count("tick") > 5, "the run as plain text")
    assert "  ✓ quarantine   passed 8.4s" in desk.history()
    assert "a stray line" in desk.history()
    desk.types("C-c")
    desk.sees("landed cancelled Ctrl-C")
    desk.is_plain_again()


def test_a_finished_run_leaves_the_deck_and_its_summary(desk: Desk) -> None:
    """When the run ends the deck goes away by itself; the summary stays in the scrollback."""
    desk.flies("running", 1)
    desk.sees("landed passed")
    assert "status       passed after 9s" in desk.history()
    assert "artifacts    nvsx-artifacts/r-20260105-0800-0007" in desk.history()
    desk.is_plain_again()


def test_any_key_keeps_the_deck_of_a_finished_run(desk: Desk) -> None:
    """The deck says that it will leave; a key makes it stay until q."""
    desk.flies("running", 0.5, env="LINGER_S=30")
    desk.sees("any key stays")
    desk.types("l")
    desk.sees("q leaves")
    desk.sees("━ log")
    desk.types("q")
    desk.sees("landed passed")
    desk.is_plain_again()


def test_cancelling_asks_first_and_lets_postmortem_run(desk: Desk) -> None:
    """c and y cancel; the deck shows it and the summary says who it was."""
    desk.flies(env="POSTMORTEM_S=1")
    desk.types("c")
    desk.sees("Cancel this run on gpu-node-07 (brave-gazelle)?")
    desk.types("y")
    desk.sees("CANCELLING")
    desk.sees("landed cancelled operator")
    desk.is_plain_again()


def test_ctrl_c_cancels_and_a_second_one_stops_at_once(desk: Desk) -> None:
    """The first Ctrl-C asks the run, the second does not wait for it."""
    desk.flies(env="POSTMORTEM_S=600")
    desk.types("C-c")
    desk.sees("CANCELLING")
    desk.types("C-c")
    desk.sees("landed stopped Ctrl-C Ctrl-C")
    assert "stopped at once by Ctrl-C" in desk.history()
    desk.is_plain_again()


@pytest.mark.parametrize(("number", "by"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")])
def test_a_signal_ends_the_run_in_order(desk: Desk, number: signal.Signals, by: str) -> None:
    """SIGTERM and SIGHUP ask the run to end and give the terminal back."""
    desk.flies()
    desk.program().send_signal(number)
    desk.sees(f"landed cancelled {by}")
    desk.is_plain_again()


def test_kill_9_leaves_a_usable_terminal(desk: Desk) -> None:
    """The guardian leaves the alternate screen, says so, and is gone itself."""
    desk.flies()
    program = desk.program()
    guardians = [c for c in program.children() if c.name() in ("sh", "dash", "bash")]
    program.kill()
    desk.sees("nvsx was killed; the terminal is restored.")
    desk.is_plain_again()
    assert len(guardians) == 1
    _, alive = psutil.wait_procs(guardians, timeout=patience(10))
    assert not alive


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(desk: Desk) -> None:
    """Suspended, the shell is usable; fg draws the deck; after leaving, Ctrl-Z still works."""
    desk.flies()
    desk.types("C-z")
    desk.sees("Stopped")
    desk.is_plain_again()
    desk.runs("fg")
    desk.until(lambda s: "━ stages" in s and "j/k stage" in s, "the deck again")
    desk.types("q")
    desk.sees("left the deck")
    program = desk.program()
    desk.types("C-z")
    desk.until(lambda _: program.status() == psutil.STATUS_STOPPED, "the second stop")
    desk.runs("echo still''here")
    desk.sees("stillhere")
    assert not desk.in_alternate_screen()
    desk.runs("kill -9 %1")


def _last_tick(screen: str) -> int:
    return max((int(n) for n in re.findall(r"tick (\d+)", screen)), default=-1)


def test_a_stop_from_outside_is_survived(desk: Desk) -> None:
    """After kill -STOP and fg the deck draws and takes keys as before."""
    desk.flies()
    program = desk.program()
    program.send_signal(signal.SIGSTOP)
    stopped = psutil.STATUS_STOPPED
    desk.until(lambda _: program.status() == stopped, "the stop")
    before = _last_tick(desk.screen())
    desk.runs("fg")
    desk.until(lambda s: _last_tick(s) > before + 5, "the run going on")
    desk.types("k")
    desk.sees("output · quarantine")
    desk.types("q")
    desk.sees("left the deck")
    desk.types("C-c")
    desk.sees("landed cancelled")
    desk.is_plain_again()


def test_leaving_an_attached_deck_ends_the_flight_and_not_the_run(desk: Desk) -> None:
    """q on a run that another process works prints the summary and gives the prompt back."""
    desk.flies(env="ATTACHED=1")
    desk.types("q")
    desk.sees("landed left")
    assert "status       still running: drain awaits: " in desk.history()
    assert "cancel" not in desk.history()
    desk.is_plain_again()


def test_a_run_that_raises_gives_the_terminal_back_and_raises(desk: Desk) -> None:
    """An error of the run itself ends the deck and reaches the caller after the summary."""
    desk.runs(f"BREAK_RUN=1 {sys.executable} -m tests.deck.flying running 1")
    desk.sees("landed with the disk is full")
    assert "Traceback" not in desk.history()
    assert "  ✓ quarantine   passed 8.4s" in desk.history()
    desk.is_plain_again()


def test_a_deck_that_breaks_leaves_the_run_alone(desk: Desk) -> None:
    """An exception while drawing is one line of text; the run goes on and passes."""
    desk.runs(f"BREAK_DECK=1 {sys.executable} -m tests.deck.flying running 4")
    desk.sees("landed passed")
    history = desk.history()
    assert "the flight deck failed (KeyError: 'drawn wrong')" in history
    assert "Traceback" not in history
    assert "run passed after 9s" in history
    desk.is_plain_again()


def test_sixteen_colours_and_no_color(desk: Desk) -> None:
    """On a 16-colour terminal and with NO_COLOR the deck says the same."""
    desk.flies("overdue", env="TERM=xterm-16color")
    assert "overdue" in desk.screen()
    desk.types("q")
    desk.sees("left the deck")
    desk.types("C-c")
    desk.sees("landed cancelled")
    desk.runs("clear")
    desk.flies("overdue", env="NO_COLOR=1")
    coloured = desk._tmux("capture-pane", "-p", "-e")
    assert "\x1b[3" not in coloured.replace("\x1b[39m", "").replace("\x1b[3m", "")
    assert "overdue" in desk.screen()


def test_a_terminal_that_nobody_reads_does_not_slow_the_run(tmp_path: Path) -> None:
    """With a terminal that takes nothing, the run still makes its ten steps a second."""
    told = tmp_path / "ticks"
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TICKS_FILE"] = str(told)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "tests.deck.flying", "running", "3"])
    try:
        wait_until(lambda: told.exists() and told.read_text(), "the run ends", PATIENCE_S)
        assert int(told.read_text()) >= 20
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)
