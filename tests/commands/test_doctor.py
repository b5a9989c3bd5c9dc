"""`nvsx doctor` as it is typed: exit codes, output, and the helpers it starts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.commands.kinds import on_postgresql, without_nvsentinel, without_permission

from nvsentinel_sandbox.host import Sandbox
from nvsx.commands import main
from nvsx.commands.doctor.doctor_checks import CHECKS
from nvsx.nvsentinel import rbac


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A cluster of the variant the test is parametrised with."""
    made = Sandbox(state_dir=tmp_path, variant=getattr(request, "param", ""))
    await made.start()
    yield made
    await made.stop()


async def doctor(sandbox: Sandbox, *args: str, **env: str) -> tuple[int, str, str]:
    """The real program on the sandbox, through kubectl: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nvsx", "doctor", *args,
        env={**os.environ, "KUBECONFIG": str(sandbox.kubeconfig), **env},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("sandbox", "code", "words"),
    [
        ("", 0, "quarantine, drain and remediation are installed"),
        ("monitor-only", 0, "this installation only monitors"),
        ("dry-run", 0, "NVSentinel runs dry"),
        ("breaker-tripped", 1, "the circuit breaker is tripped"),
    ],
    indirect=["sandbox"],
)
async def test_exit_codes_by_kind_of_cluster(sandbox: Sandbox, code: int, words: str) -> None:
    """Each kind of installation has its exit code and its sentence."""
    ended, out, err = await doctor(sandbox, COLUMNS="160")
    assert ended == code, out + err
    assert words in " ".join(out.split())


KINDS = [
    (on_postgresql, 0, "postgresql (ConfigMap nvsentinel-datastore-config)"),
    (without_nvsentinel, 1, "no workload of NVSentinel in any namespace"),
    (without_permission, 1, "--print-rbac"),
]


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("change", "code", "words"), KINDS, ids=lambda v: getattr(v, "__name__", "")
)
async def test_exit_codes_of_other_clusters(
    sandbox: Sandbox, change: Callable[[Sandbox], None], code: int, words: str
) -> None:
    """PostgreSQL is as well as MongoDB; no NVSentinel, or no permission, is a failure."""
    change(sandbox)
    ended, out, err = await doctor(sandbox, "-v", COLUMNS="200")
    assert ended == code, out + err
    assert words in " ".join(out.split())


@pytest.mark.kubectl
async def test_a_missing_right_is_1_and_json_names_it(sandbox: Sandbox) -> None:
    """403 on Events: exit 1, and `-o json` is one document that says so."""
    sandbox.server.faults.refuse(403, path="/api/v1/events", times=-1)
    code, out, _ = await doctor(sandbox, "-o", "json")
    told = json.loads(out)
    rights = next(c for c in told["checks"] if c["check"] == "rights")
    assert (code, told["ok"], rights["status"]) == (1, False, "failed")
    assert any(d.startswith("events: ") for d in rights["details"])


@pytest.mark.kubectl
async def test_lines_fit_the_terminal(sandbox: Sandbox) -> None:
    """At 80 columns no line of prose is longer, and nothing is coloured in a pipe."""
    _, out, _ = await doctor(sandbox, "-v", COLUMNS="80")
    assert "\x1b" not in out
    long = [line for line in out.splitlines() if len(line) > 80]
    # A path that is longer than its column stays whole, to be copied.
    assert [line for line in long if max(map(len, line.split())) < 50] == []
    assert "fault-quarantine v1.19.0: 1 of 1 ready" in " ".join(out.split())


def test_no_context_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a kubeconfig nobody is reached: exit 3, and the project is checked all the same."""
    assert main.main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "The cluster was not reached." in out
    assert "runbooks, all valid" in out


def test_print_rbac_contacts_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--print-rbac` works without kubectl, for the namespace that is configured."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("NVSX_NAMESPACE", "sentinel")
    assert main.main(["doctor", "--print-rbac"]) == 0
    assert capsys.readouterr().out == rbac.render_manifest("sentinel")


def test_an_unknown_format_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A format that does not exist is a mistake in the call."""
    assert main.main(["doctor", "-o", "yaml"]) == 2
    assert "json" in capsys.readouterr().err


def test_open_uis_becomes_the_helper(tmp_path: Path) -> None:
    """`--open-uis` runs the project's port-forward script with NVSentinel's namespace."""
    script = tmp_path / "scripts" / "port-forward-all.sh"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "forwarding $NVSENTINEL_NAMESPACE"\nexit 7\n')
    script.chmod(0o755)
    (tmp_path / "nvsx.yaml").write_text("nvsentinel: {namespace: sentinel}\n")
    done = subprocess.run(
        [sys.executable, "-m", "nvsx", "--project", str(tmp_path), "doctor", "--open-uis"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "forwarding sentinel\n")


def test_the_documents_name_every_check() -> None:
    """docs/doctor.md has a row for each check, in the list's order, and no other."""
    text = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert rows == [c.id for c in CHECKS]
