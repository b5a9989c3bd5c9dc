"""Secrets planted wherever text comes from, and every byte nvsx leaves searched for them."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from tests.e2e.live import CHAIN, Live, until

from nvsx.core.incident.session import HealthEvent
from nvsx.core.masking import Masker
from nvsx.core.routing.route import TriggerFacts
from nvsx.core.routing.trigger_event import Answer, TriggerEvent
from nvsx.follow.masked_artifacts import MaskedArtifacts
from nvsx.serve.masked_intake import MaskedIntake
from nvsx.store import file_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KEY_LINE = "MIIEvPlantedPrivateKeyLine0123456789abcdef"
PLANTED = {
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0PLANTED/B0PLANTED/plantedslack1",
    "PAGERDUTY_ROUTING_KEY": "r0ut1ng+key/with=odd&chars",
    "DB_PASSWORD": "pä$$ w'ord\"x<y>\\z",
    "DEPLOY_KEY": f"-----BEGIN KEY-----\n{KEY_LINE}\n-----END KEY-----",
    "TEAM_TOKEN": "planted-team-token",
    # What NVSentinel writes into condition, annotation and Events of this fault.
    "BUS_SECRET": "fallen off the bus",
}
USER_INFO = "bot:userinfoplanted"
FILE_SECRET = "planted-file-secret-9"
OWN = "own-planted-token-1"
BEARER = "eyPlantedBearer0123456789"
SECRETS = [
    *(v for n, v in PLANTED.items() if n != "DEPLOY_KEY"),
    *(KEY_LINE, USER_INFO, FILE_SECRET, OWN, BEARER, "T0PLANTED/B0PLANTED/plantedslack1"),
]

#: Prints its first argument's secrets in every form and cut into single bytes.
HOOK = f"""#!/usr/bin/env python3
import base64, html, json, os, shlex, sys, time
from urllib.parse import quote, quote_plus
names = {sorted(PLANTED)!r}
secrets = [os.environ[n] for n in names] + [open(os.environ["SECRET_FILE"]).read().strip()]
report = open(os.environ["NVSX_REPORT_FILE"], "a")
print("Authorization: Bearer {BEARER}")
print("cloned " + os.environ["REGISTRY"])
for n, s in enumerate(secrets):
    whole = s.encode()
    forms = [s, quote(s), quote(s, safe=""), quote_plus(s), json.dumps(s), html.escape(s),
             json.dumps(s, ensure_ascii=False), shlex.quote(s), whole.hex(),
             *(base64.b64encode(b"x" * k + whole).decode() for k in range(3)),
             "\\x1b[31m".join(s.splitlines()[0])]
    for form in forms:
        print("said", form)
        print("warned", form, file=sys.stderr)
    for i in range(len(whole)):
        os.write(1, whole[i : i + 1])
    os.write(1, b"\\n")
    first = s.splitlines()[-1 if "\\n" not in s else 1]
    report.write(f"notify target=slack ref={{n}}-{{first}}\\n{{first}} was told\\n")
report.close()
sys.exit(3)
"""


def _forms(secret: str) -> Iterator[bytes]:
    """The secret as a search must look for it, found here and not by the code under test."""
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    for text in (
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        html.escape(secret, quote=False),
        shlex.quote(secret).strip("'"),
    ):
        yield text.encode()
    for lead in range(3):
        coded = base64.b64encode(b"x" * lead + raw)
        yield coded[4 if lead else 0 : -4]


def _found(where: str, data: bytes) -> list[str]:
    return [f"{where}: {form!r}" for s in SECRETS for form in _forms(s) if form in data]


def _plant(live: Live) -> None:
    """Into the project and the cluster."""
    (live.folder / "secret").write_text(FILE_SECRET + "\n")
    (live.project.root / "nvsx.yaml").write_text(
        "apiVersion: nvsx/v1\nkind: Project\nserve:\n  sources:\n"
        f"    alertmanager: {{secretFile: {live.folder / 'secret'}}}\n"
    )
    live.project.script("runbooks/hooks/t/hook.sh", HOOK)
    stages = [s | {"hook": "hooks/t/hook.sh"} if s["id"] == "detect" else s for s in CHAIN]
    live.project.runbook(
        stages,
        metadata={"name": "t", "title": "of planted-team-token", "tags": ["planted-team-token"]},
        prerequisites=[{"name": "db", "check": 'echo "$DB_PASSWORD fine"', "expect": "fine"}],
        narration={"detect": "planted-team-token was seen"},
    )

    def change(node: dict[str, Any]) -> None:
        node["metadata"]["labels"]["team"] = PLANTED["TEAM_TOKEN"]
        node["metadata"]["annotations"]["db"] = PLANTED["DB_PASSWORD"]
        node["metadata"]["annotations"]["from"] = f"https://{USER_INFO}@registry.example.com/x"
        node["metadata"]["annotations"]["curl"] = f"Authorization: Bearer {BEARER}"

    live.sandbox.store.update("nodes", live.node, change)


async def test_no_planted_secret_is_in_anything_nvsx_leaves_or_says(live: Live) -> None:
    """Secrets in a hook's environment, output in every form and cut, its report lines, its
    prerequisite's error, in files settings name, in tag, title and narration, in labels,
    annotations, conditions, Events and the notes of people: none is in the state folder, the
    artifacts, JSONL, text, the reports, the history or the export."""
    _plant(live)
    env = live.env(
        **PLANTED,
        REGISTRY=f"https://{USER_INFO}@registry.example.com/x",
        SECRET_FILE=str(live.folder / "secret"),
        NVSX_WEBHOOK_TOKEN=OWN,
    )
    live.steps.hold("boot_seen")
    run = await live.run("t", "-v", env=env)
    await run.until("stage_begin", stage="detect")
    await live.inject()
    await run.until("stage_begin", stage="recover")
    noted = await live.done("runs", "note", run.run_id, f"asked with {OWN} and {KEY_LINE}", env=env)
    await run.until("note", code="person")
    live.steps.go("boot_seen")
    assert await run.end() in (0, 3)
    said = {"jsonl": run.raw, "text": run.err.encode(), "note": noted.raw + noted.err.encode()}
    for name, args in {
        "md": ("report", run.run_id),
        "html": ("report", run.run_id, "-o", "html"),
        "json": ("report", run.run_id, "-o", "json", "--file", str(live.state / "report.json")),
        "history": ("history", "-o", "json"),
        "export": ("history", "export"),
        "show": ("runs", "show", run.run_id),
        "stats": ("stats", "--by", "fault"),
        "wrong": ("show", PLANTED["TEAM_TOKEN"]),
    }.items():
        shown = await live.done(*args, env=env)
        said[name] = shown.raw + shown.err.encode()
    for folder in (live.state, live.project.root / "nvsx-artifacts"):
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            said[str(file.relative_to(folder.parent))] = file.read_bytes()
    assert any(name.endswith("node.json") for name in said)
    assert any(name.endswith("report.html") for name in said)
    assert b"***" in said["html"]
    assert [leak for where, data in said.items() for leak in _found(where, data)] == []


async def test_a_killed_runs_report_file_is_masked_by_who_reads_the_run(live: Live) -> None:
    """kill -9 while a hook has written a secret into its report file: `nvsx report` overwrites it
    though nobody has gone on with the run, and what the hook adds later stays."""
    live.project.one_hook(
        'echo "told $TEAM_TOKEN twice" >>"$NVSX_REPORT_FILE"; echo begin >>"$NVSX_PROJECT_ROOT/log"'
        "\nexec sleep 300"
    )
    env = live.env(**PLANTED)
    run = await live.run("t", env=env)
    await until(lambda: live.project.log("begin"), "the hook has written")
    await run.kill()
    file = live.project.root / "nvsx-artifacts" / run.run_id / "report.txt"
    assert PLANTED["TEAM_TOKEN"] in file.read_text()
    await live.done("report", run.run_id, env=env)
    assert file.read_text().split() == ["told", "***", "twice"]


class _Taker:
    """An intake that keeps what it is offered."""

    def __init__(self) -> None:
        self.offered: list[TriggerEvent] = []

    async def offer(self, event: TriggerEvent) -> Answer:
        self.offered.append(event)
        return Answer(outcome="ignored")


async def test_a_senders_secrets_go_before_anybody_decides() -> None:
    """Body, message, labels and health event of a webhook lose them; node, check and codes stay,
    and two deliveries that differ in a secret only stay two."""
    taker = _Taker()
    door = MaskedIntake(taker, Masker({"A_TOKEN": "planted-one", "B_TOKEN": "planted-two"}))
    for secret in ("planted-one", "planted-two"):
        await door.offer(
            TriggerEvent(
                source="alertmanager",
                delivery=f"d-{secret}",
                facts=TriggerFacts(
                    source="alertmanager",
                    node="n1",
                    check_name="C",
                    message=secret,
                    labels={"l": secret},
                ),
                received=1.0,
                event=HealthEvent(check="C", node="n1", message=secret, error_codes=("79",)),
                payload={"deep": [{secret: f"https://u:{secret}@x/"}]},
            )
        )
    first, second = taker.offered
    for event in taker.offered:
        assert b"planted" not in msgspec.json.encode(event)
        assert (event.facts.node, event.facts.check_name, event.source) == (
            "n1",
            "C",
            "alertmanager",
        )
        assert event.event is not None
        assert event.event.error_codes == ("79",)
    assert first.delivery != second.delivery


async def test_an_artifact_is_masked_and_its_bytes_else_stay(tmp_path: Path) -> None:
    """A file loses the secret in its name and content; what is no text comes through as it was."""
    files = MaskedArtifacts(file_artifacts(tmp_path), Masker({"A_TOKEN": "planted-one"}))
    name = await files.write("evidence/planted-one.json", b"\xff\x00planted-one\xfe")
    assert name == "evidence/***.json"
    assert (tmp_path / name).read_bytes() == b"\xff\x00***\xfe"
