from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.patience import patience, wait_until

pytestmark = pytest.mark.server("tmux")

NVSX = [sys.executable, "-m", "nvsx"]


class Terminal:
    """A program in a tmux server of its own; the screen is read back as text."""

    def __init__(self, folder: Path, env: dict[str, str], *, size: str = "110x40") -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
        width, height = size.split("x")
        # The shell under test runs inside sh, so that its exit code can be read as well.
        words = [*(f"{k}={v}" for k, v in env.items()), *NVSX]
        command = "env " + " ".join(words) + "; echo left with $?; exec sleep 60"
        self._run("new-session", "-d", "-x", width, "-y", height, command)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, timeout=patience(10)
        )
        return done.stdout

    def type(self, *keys: str) -> None:
        """Send keys by tmux's names; text goes as it is."""
        self._run("send-keys", *keys)

    def screen(self) -> str:
        """All that was printed, scrollback too."""
        return self._run("capture-pane", "-p", "-S", "-2000")

    def until(self, text: str, within: float = 20.0, *, count: int = 1) -> str:
        """The screen once it shows `text` (`count` times); fails with the screen."""
        screen = ""

        def shows() -> bool:
            nonlocal screen
            screen = self.screen()
            return screen.count(text) >= count

        wait_until(shows, lambda: f"{text!r} on\n{screen}", within)
        return screen

    def close(self) -> None:
        subprocess.run(
            [*self._tmux, "kill-server"], check=False, capture_output=True, timeout=patience(10)
        )


@contextmanager
def _cluster() -> Iterator[str]:
    """A sandbox in a process of its own; yields the path of its kubeconfig."""
    with subprocess.Popen(
        [*NVSX, "sandbox", "start"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as sandbox:
        try:
            assert sandbox.stdout is not None
            sandbox.stdout.readline()  # it tells its KUBECONFIG once it is up
            yield str(Path(os.environ["NVSX_STATE_DIR"]) / "sandbox" / "kubeconfig")
        finally:
            sandbox.send_signal(signal.SIGTERM)
            sandbox.wait(10)


@contextmanager
def _opened(folder: Path, **env: str) -> Iterator[Terminal]:
    keep = {"HOME": os.environ["HOME"], "NVSX_STATE_DIR": os.environ["NVSX_STATE_DIR"]}
    terminal = Terminal(folder, {**keep, "KUBECONFIG": os.environ["KUBECONFIG"], **env})
    try:
        terminal.until("nvsx>")
        yield terminal
    finally:
        terminal.close()


def test_ctrl_c_drops_the_line_and_ctrl_d_leaves(tmp_path: Path) -> None:
    """Ctrl-C drops what was typed, Ctrl-D on an empty line ends the shell with 0."""
    with _opened(tmp_path) as terminal:
        terminal.type("lis")
        terminal.until("nvsx> lis")
        terminal.type("C-c")
        terminal.until("nvsx>", count=2)
        terminal.type("use gpu-off-bus", "Enter")
        terminal.until("nvsx (gpu-off-bus)>")
        terminal.type("C-d")
        screen = terminal.until("left with 0")
    assert "NICKNAME" not in screen


def test_tab_completes_and_the_history_outlives_the_shell(tmp_path: Path) -> None:
    """Tab completes commands and runbooks; a second shell has the first one's lines."""
    with _opened(tmp_path) as terminal:
        terminal.type("sho", "Tab")
        terminal.until("nvsx> show")
        terminal.type("inf", "Tab")
        terminal.until("nvsx> show inforom-corrupt")
        terminal.type("Enter")
        terminal.until("file runbooks/inforom-corrupt.yaml")
        terminal.type("quit", "Enter")
        terminal.until("left with 0")
    second = tmp_path / "second"
    second.mkdir()
    with _opened(second) as terminal:
        terminal.type("Up", "Up")
        terminal.until("nvsx> show inforom-corrupt")
    kept = Path(os.environ["NVSX_STATE_DIR"]) / "shell-history"
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_it_works_without_colours_and_on_a_dumb_terminal(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """The prompt, a command and `quit` work where nothing can be drawn."""
    with _opened(tmp_path, **env) as terminal:
        terminal.type("list", "Enter")
        terminal.until("#rogue-moose")
        terminal.type("quit", "Enter")
        terminal.until("left with 0")


@pytest.mark.kubectl
@pytest.mark.slow
@pytest.mark.timeout(150)
def test_from_list_to_quit(tmp_path: Path) -> None:
    """list, use, run on the sandbox, status and quit, typed, with the screen read back."""
    with _cluster() as kubeconfig, _opened(tmp_path, KUBECONFIG=kubeconfig) as terminal:
        terminal.type("list", "Enter")
        terminal.until("#rogue-moose")
        terminal.type("use gpu-off-bus", "Enter")
        terminal.until("nvsx (gpu-off-bus)>")
        terminal.type("run --sandbox --plain", "Enter")
        terminal.until("time to repair", 90)
        terminal.until("nvsx (gpu-off-bus)>", count=2)
        terminal.type("status", "Enter")
        screen = terminal.until("runs under way: none")
        terminal.type("quit", "Enter")
        terminal.until("left with 0")
    assert "run passed" in screen
    assert "context nvsx-sandbox" in screen
    assert "circuit breaker: CLOSED" in screen
    assert "nodes with NVSentinel's marks: none" in screen


@pytest.mark.kubectl
def test_nodes_complete_once_they_were_fetched(tmp_path: Path) -> None:
    """Tab offers the cluster's nodes by name and alias."""
    with _cluster() as kubeconfig, _opened(tmp_path, KUBECONFIG=kubeconfig) as terminal:
        terminal.type("run gpu-off-bus --target-node ")
        deadline = time.monotonic() + patience(20)
        while "gpu-node-a1" not in terminal.screen():
            assert time.monotonic() < deadline, terminal.screen()
            terminal.type("Tab")
            time.sleep(0.2)
        terminal.until("cheerful-cobra")
