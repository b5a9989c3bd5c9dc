"""A stand-in for Anthropic's Messages API on loopback, and projects to convert into."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nvsx.convert.checking import ConversionDesk
from nvsx.nvsentinel.names import VOCABULARY
from nvsx.project import cel, loader

ROOT = Path(__file__).resolve().parents[2]
PAGES = Path(__file__).parent / "pages"
SAMPLE = ROOT / "examples" / "sample-runbook.md"


@dataclass
class Project:
    """A project of its own, and the command line run in it."""

    root: Path

    def desk(self) -> ConversionDesk:
        return ConversionDesk(
            self.root,
            VOCABULARY,
            loader.discover(self.root),
            loader.load_runbook,
            cel.evaluate,
        )

    def nvsx(self, *args: object) -> int:
        """One command, in this process; its exit code."""
        from nvsx.commands.main import main

        return main(["--project", str(self.root), *map(str, args)])

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Every file of the project with its content and mode."""
        return {
            str(f.relative_to(self.root)): (f.read_bytes(), f.stat().st_mode & 0o777)
            for f in sorted(self.root.rglob("*"))
            if f.is_file()
        }


@pytest.fixture
def project(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """An empty project. Only tests marked slow wait for the real shellcheck."""
    if request.node.get_closest_marker("slow") is None:
        stub = tmp_path / "bin" / "shellcheck"
        stub.parent.mkdir()
        stub.write_text("#!/bin/sh\necho '{\"comments\":[]}'\n")
        stub.chmod(0o755)
        monkeypatch.setenv("PATH", f"{stub.parent}{os.pathsep}{os.environ['PATH']}")
    root = tmp_path / "project"
    root.mkdir()
    (root / "nvsx.yaml").write_text("apiVersion: nvsx/v1\nkind: Project\n")
    return Project(root)


def sse(*events: dict[str, Any]) -> bytes:
    """Events as a stream sends them."""
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


def streamed(blocks: list[dict[str, Any]], stop: str = "tool_use") -> bytes:
    """A whole message as server-sent events, its tool input in small parts."""
    usage = {
        "input_tokens": 1000,
        "cache_creation_input_tokens": 2000,
        "cache_read_input_tokens": 4000,
        "output_tokens": 1,
    }
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-7",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(blocks):
        if block["type"] == "tool_use":
            empty = {**block, "input": {}}
            text = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"])
            parts = [text[i : i + 700] for i in range(0, len(text), 700)]
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
        else:
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": block["text"]}]
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 500}})
    events.append({"type": "message_stop"})
    return sse(*events)


def tool(answer: Any) -> bytes:
    """A message that calls the tool with this input."""
    used = {"type": "tool_use", "id": "toolu_1", "name": "write_runbook", "input": answer}
    return streamed([used])


Answering = Callable[[dict[str, Any]], "tuple[int, bytes] | bytes"]


@dataclass
class Claude:
    """What was asked, as raw bytes, and what to answer, in order; the last one for ever."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[Answering | tuple[int, bytes] | bytes] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(r) for r in self.requests]

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes]:
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(said):
            said = said(body)
        return said if isinstance(said, tuple) else (200, said)


def failing(status: int, kind: str, message: str = "no") -> tuple[int, bytes]:
    """An error as the service reports it."""
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return status, json.dumps(error).encode()


@pytest.fixture
def claude(monkeypatch: pytest.MonkeyPatch) -> Iterator[Claude]:
    """The service, with a key for it in the environment."""
    state = Claude()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.requests.append(raw)
            state.headers.append(dict(self.headers))
            status, text = state.answer(json.loads(raw))
            self.send_response(status)
            kind = "text/event-stream" if status == 200 else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test-key-of-nobody")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", state.url)
    monkeypatch.delenv("NVSX_CONVERT_MODEL", raising=False)
    monkeypatch.setattr("nvsx.convert.model.time.sleep", lambda _: None)
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
