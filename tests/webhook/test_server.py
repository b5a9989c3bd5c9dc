import asyncio
import hmac
import json
import logging
from typing import Any

import pytest
from tests.core.senders.bodies import BATCH, JSON, NODE, STRUCTURED, body, raw
from tests.core.senders.test_samples import TITLE
from tests.patience import until
from tests.webhook.serving import BEARER, CLIENT_SECRET, TOKEN, StillClock, serving

from nvsx.core.errors import InvalidRunbook, NotReady
from nvsx.serve.webhook.http_server import HttpLimits

RUN = {"runbook": "gpu-off-bus", "target_node": NODE}


def signed(content: bytes, secret: str) -> str:
    """Hex HMAC-SHA256, computed here and not by nvsx."""
    return hmac.new(secret.encode(), content, "sha256").hexdigest()


async def test_the_operator_fires_a_run_with_a_plain_curl() -> None:
    """From this machine to localhost, with nothing but a JSON body."""
    async with serving() as daemon:
        reply = await daemon.post("/webhook", RUN, {"Host": f"localhost:{daemon.port}"})
        assert (reply.status, reply.body) == (
            202,
            {"status": "fired", "runbook": "gpu-off-bus", "run_id": "run-1"},
        )
        assert daemon.intake.offered[0].facts.node == NODE
        assert daemon.counted == [("webhook", "fired")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebind.example.com"},
        {"Host": "localhost.example.com"},
        {"Host": "127.0.0.1.nip.io:8080"},
        {"Host": "localhost:8080@evil"},
        {"Origin": "http://localhost"},
        {"Origin": "null"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
    ],
)  # fmt: skip
async def test_anybody_else_needs_a_token(headers: dict[str, str]) -> None:
    """A rebound name, a web page, a proxy, or a token that is wrong: 401, always the same
    bytes; and the right token lets the same request in, where it can be given."""
    async with serving() as daemon:
        refused = await daemon.post("/webhook", RUN, headers)
        assert (refused.status, refused.body) == (401, {"status": "unauthorized"})
        assert daemon.intake.offered == []
        assert daemon.counted == [("webhook", "unauthorized")]
        if "Authorization" not in headers:
            assert (await daemon.post("/webhook", RUN, {**headers, **BEARER})).status == 202


async def test_without_the_exception_every_caller_needs_a_token() -> None:
    """With --require-auth and in a pod."""
    async with serving(operator=False) as daemon:
        assert (await daemon.post("/webhook", RUN)).status == 401
        assert (await daemon.post("/webhook", RUN, BEARER)).status == 202


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"\xff", JSON, 400),
        (b"[]", JSON, 400),
        (b'{"runbook": "gpu-off-bus", "runbook": "other"}', JSON, 400),
        (json.dumps(RUN).encode(), {"Content-Type": "text/plain"}, 415),
        (json.dumps(RUN).encode(), {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (json.dumps(RUN).encode(), {}, 415),
        (json.dumps(RUN).encode(), {**JSON, "Content-Encoding": "gzip"}, 415),
        ({"runbook": "no-such-runbook"}, {}, 404),
        ({"runbook": "../evil"}, {}, 404),
        ({**RUN, "target_node": "../../etc"}, {}, 422),
        ({**RUN, "dryrun": True}, {}, 422),
        ({**RUN, "payload": "x" * (1024 * 1024)}, {}, 413),
    ],
)  # fmt: skip
async def test_a_wrong_request_gets_its_own_answer(
    content: object, headers: dict[str, str], status: int
) -> None:
    """The status of the table, a reason in JSON, and nothing offered that fires."""
    async with serving() as daemon:
        reply = await daemon.post("/webhook", content, headers)
        assert reply.status == status
        assert reply.body["status"] == "refused"
        assert reply.body["reason"]
        assert daemon.intake.fired == []


async def test_a_broken_runbook_is_422() -> None:
    """It exists, so 404 would mislead; the problem is told."""
    async with serving() as daemon:

        async def offer(event: object) -> Any:
            raise InvalidRunbook("gpu-off-bus", [])

        daemon.intake.offer = offer  # type: ignore[method-assign]
        reply = await daemon.post("/webhook", RUN)
        assert (reply.status, reply.body["reason"]) == (422, "gpu-off-bus is not valid")


async def test_a_dry_run_is_answered_with_its_plan() -> None:
    """200, and no run."""
    async with serving() as daemon:
        reply = await daemon.post("/webhook", {**RUN, "dry_run": True})
        assert reply.status == 200
        assert reply.body["plan"] == {"runbook": "gpu-off-bus"}
        assert daemon.intake.fired == []


async def test_the_same_key_is_the_same_run() -> None:
    """In the body or as Idempotency-Key."""
    async with serving() as daemon:
        first = await daemon.post("/webhook", {**RUN, "idempotency_key": "k"})
        second = await daemon.post("/webhook", {**RUN, "idempotency_key": "k"})
        third = await daemon.post("/webhook", RUN, {"Idempotency-Key": "k"})
        assert first.body["status"] == "fired"
        for again in (second, third):
            assert (again.status, again.body["status"], again.body["run_id"]) == (
                202,
                "duplicate",
                "run-1",
            )


@pytest.mark.parametrize(
    ("sample", "source", "headers", "outcome"),
    [
        ("alertmanager/fault", "alertmanager", JSON, "fired"),
        ("alertmanager/resolved", "alertmanager", JSON, "noted"),
        ("grafana/fault", "grafana", JSON, "fired"),
        ("pagerduty/fault", "pagerduty", JSON, "fired"),
        ("pagerduty/resolved", "pagerduty", JSON, "noted"),
        ("opsgenie/fault", "opsgenie", JSON, "fired"),
        ("opsgenie/closed", "opsgenie", JSON, "noted"),
        ("jsm/fault", "jsm", JSON, "fired"),
        ("jira/moved", "jira", JSON, "ignored"),
        ("nvsentinel/fault", "nvsentinel", STRUCTURED, "fired"),
        ("nvsentinel/recovered", "nvsentinel", STRUCTURED, "noted"),
        ("generic/fault", "generic", JSON, "planned"),
    ],
)  # fmt: skip
async def test_each_sample_ends_as_it_should(
    sample: str, source: str, headers: dict[str, str], outcome: str
) -> None:
    """Every kind has an endpoint of its name; a repeated delivery is the same run."""
    async with serving({"pagerduty": {"node": TITLE}}) as daemon:
        first = await daemon.post(f"/hooks/{source}", raw(sample), headers)
        assert (first.status, first.body["status"]) == (
            200 if outcome == "planned" else 202,
            outcome,
        )
        again = await daemon.post(f"/hooks/{source}", raw(sample), headers)
        assert again.status == first.status
        assert again.body["status"] == ("duplicate" if outcome == "fired" else outcome)
        assert len(daemon.intake.fired) == (outcome == "fired")


async def test_several_events_are_answered_together() -> None:
    """A batch fires three runs, and says so one by one; a binary event of it is a repeat."""
    async with serving() as daemon:
        reply = await daemon.post("/hooks/nvsentinel", raw("nvsentinel/batch"), BATCH)
        assert (reply.status, reply.body["status"]) == (202, "fired")
        assert [e["run_id"] for e in reply.body["events"]] == ["run-1", "run-2", "run-3"]
        wrapped = body("nvsentinel/binary")
        reply = await daemon.post("/hooks/nvsentinel", wrapped["body"], wrapped["headers"])
        assert (reply.status, reply.body["run_id"]) == (202, "run-4")
        empty = await daemon.post("/hooks/nvsentinel", b"[]", BATCH)
        assert (empty.status, empty.body["status"]) == (202, "ignored")


async def test_a_senders_unknown_runbook_is_ignored() -> None:
    """A monitoring system cannot mend a rule of ours; a 404 would only cost its other alerts."""
    rule = {"runbook": {"from": "alert.labels.alertname"}}
    async with serving({"alertmanager": rule}) as daemon:
        reply = await daemon.post("/hooks/alertmanager", raw("alertmanager/fault"), JSON)
        assert (reply.status, reply.body["status"]) == (202, "ignored")
        assert "there is no runbook" in reply.body["reason"]


async def test_several_sources_of_one_kind_have_their_own_secrets() -> None:
    """Each is authenticated by its own, and remembered under its own name."""
    sources = {
        "pd-east": {"kind": "pagerduty", "secretEnv": ["EAST"]},
        "pd-west": {"kind": "pagerduty", "secretEnv": ["WEST"]},
    }
    content = raw("pagerduty/fault")
    async with serving(sources, env={"EAST": "east", "WEST": "west"}) as daemon:
        header = {**JSON, "X-PagerDuty-Signature": f"v1={signed(content, 'east')}"}
        assert (await daemon.post("/hooks/pd-west", content, header)).status == 401
        assert (await daemon.post("/hooks/pd-east", content, header)).status == 202
        assert [e.source for e in daemon.intake.offered] == ["pd-east"]


async def test_a_configured_secret_is_the_only_way_in() -> None:
    """Neither the daemon's token nor the operator's exception replaces the signature, and
    another scheme's header does not count."""
    sources = {"pagerduty": {"secretEnv": "PD"}}
    content = raw("pagerduty/fault")
    good = signed(content, "s3cret")
    async with serving(sources, env={"PD": "s3cret"}) as daemon:
        for headers in (
            {},
            BEARER,
            {"X-Hub-Signature-256": f"sha256={good}"},
            {"X-PagerDuty-Signature": good},
            {"X-PagerDuty-Signature": f"v0={good}"},
        ):
            reply = await daemon.post("/hooks/pagerduty", content, {**JSON, **headers})
            assert (reply.status, reply.body) == (401, {"status": "unauthorized"})
        header = {"X-PagerDuty-Signature": f"v1={'0' * 64}, v1={good}"}
        assert (await daemon.post("/hooks/pagerduty", content, {**JSON, **header})).status == 202
        changed = content.replace(b"triggered", b"triggerex", 1)
        assert (await daemon.post("/hooks/pagerduty", changed, {**JSON, **header})).status == 401


async def test_an_unknown_source_is_told_to_the_authentic_alone() -> None:
    """A stranger cannot try out names."""
    async with serving(operator=False) as daemon:
        assert (await daemon.post("/hooks/absent", {})).status == 401
        assert (await daemon.post("/hooks/absent", {}, BEARER)).status == 404
        assert (await daemon.post("/hooks/webhook", RUN, BEARER)).status == 404
        assert daemon.counted == [("unknown", "unauthorized"), *[("unknown", "refused")] * 2]


async def test_the_store_being_full_is_503_and_nothing_is_promised() -> None:
    """With Retry-After, for every sender: Alertmanager would lose a 429."""
    async with serving() as daemon:
        daemon.intake.full = True
        for path, content in (
            ("/webhook", RUN),
            ("/hooks/alertmanager", body("alertmanager/fault")),
            ("/hooks/pagerduty", body("pagerduty/fault")),
        ):
            reply = await daemon.post(path, content)
            assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        daemon.intake.full = False
        assert (await daemon.post("/webhook", RUN)).status == 202


async def test_no_202_before_the_intake_has_answered() -> None:
    """While the offer is under way there is no answer; one that takes too long is a 503, and
    is still finished."""
    async with serving(limits=HttpLimits(offer_timeout=0.3)) as daemon:
        daemon.intake.gate = asyncio.Event()
        reply = await daemon.post("/webhook", RUN)
        assert reply.status == 503
        assert daemon.intake.offered == []
        daemon.intake.gate.set()
        await until(lambda: daemon.intake.offered)


async def test_rates_are_limited_for_each_peer() -> None:
    """Beyond the burst a peer waits; probes are never limited."""
    clock = StillClock()
    limits = HttpLimits(per_peer=(1.0, 3.0))
    async with serving(limits=limits, clock=clock) as daemon:
        statuses = [(await daemon.post("/webhook", RUN)).status for _ in range(5)]
        assert statuses == [202, 202, 202, 503, 503]
        assert (await daemon.request("GET", "/healthz")).status == 200
        clock.time += 2.0
        assert (await daemon.post("/webhook", RUN)).status == 202


async def test_stopping_finishes_what_was_begun_and_takes_nothing_new() -> None:
    """The request under way gets its 202; the next finds nobody."""
    async with serving() as daemon:
        daemon.intake.gate = asyncio.Event()
        under_way = asyncio.create_task(daemon.post("/webhook", RUN))
        await until(lambda: daemon.server._offers)
        stopping = asyncio.create_task(daemon.server.stop(grace=5))
        await asyncio.sleep(0)
        daemon.intake.gate.set()
        assert (await under_way).status == 202
        await stopping
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", daemon.port)


async def test_an_address_in_use_is_said_clearly() -> None:
    """With what to do, and no traceback."""
    async with serving() as daemon:
        with pytest.raises(NotReady, match=f"cannot listen on 127.0.0.1:{daemon.port}"):
            async with serving(port=daemon.port):
                pytest.fail("it listened twice")


async def test_the_probes_pass_on_what_the_daemon_knows() -> None:
    """healthz, readyz and metrics need no token and tell what is wrong."""
    problems: dict[str, str] = {}

    async def ready() -> dict[str, str]:
        return problems

    probes = {"ready": ready, "metrics": lambda: (b"nvsx_up 1\n", "text/plain; version=0.0.4")}
    async with serving(operator=False, probes=probes) as daemon:
        assert (await daemon.request("GET", "/healthz")).body == {"status": "alive"}
        assert (await daemon.request("GET", "/readyz")).status == 200
        problems["store"] = "locked"
        reply = await daemon.request("GET", "/readyz")
        assert (reply.status, reply.body["problems"]) == (503, {"store": "locked"})
        assert (await daemon.request("GET", "/metrics")).body == b"nvsx_up 1\n"


async def test_cloudevents_ask_for_permission() -> None:
    """OPTIONS grants the origin that asks; a browser's preflight gets no permission."""
    async with serving(operator=False) as daemon:
        reply = await daemon.request(
            "OPTIONS",
            "/hooks/nvsentinel",
            headers={"WebHook-Request-Origin": "exporter.example.com"},
        )
        assert reply.headers["WebHook-Allowed-Origin"] == "exporter.example.com"
        assert int(reply.headers["WebHook-Allowed-Rate"]) > 0
        reply = await daemon.request(
            "OPTIONS",
            "/webhook",
            headers={"Origin": "http://evil", "Access-Control-Request-Method": "POST"},
        )
        assert not [h for h in reply.headers if h.lower().startswith(("access-control", "webhook"))]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/webhook", 405),
        ("PUT", "/hooks/pagerduty", 405),
        ("GET", "/", 404),
        ("POST", "/hooks/", 404),
        ("POST", "/hooks/a/b", 404),
        ("POST", "/hooks/..%2f..%2fetc", 404),
        ("POST", "/hooks/%2e%2e", 404),
        ("POST", "/hooks/UPPER", 404),
        ("POST", "/oauth/token", 404),
        ("GET", "/metrics", 404),
    ],
)
async def test_other_paths_and_methods_lead_nowhere(method: str, path: str, status: int) -> None:
    """A constant answer, with no word of the request in it."""
    async with serving() as daemon:
        reply = await daemon.request(method, path, headers=BEARER)
        assert reply.status == status
        assert reply.headers["Server"] == "nvsx"


async def test_the_exporter_gets_a_token_and_uses_it() -> None:
    """Client credentials give an access token that is good for NVSentinel's events alone."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    grant = b"grant_type=client_credentials&client_id=exporter&client_secret="
    async with serving(operator=False, oauth=True) as daemon:
        assert (await daemon.post("/oauth/token", grant + b"wrong", form)).status == 401
        reply = await daemon.post("/oauth/token", grant + b"the-exporter%27s+secret", form)
        assert (reply.status, reply.headers["Cache-Control"]) == (200, "no-store")
        access = {"Authorization": f"Bearer {reply.body['access_token']}"}
        fault = raw("nvsentinel/fault")
        sent = await daemon.post("/hooks/nvsentinel", fault, {**STRUCTURED, **access})
        assert (sent.status, sent.body["status"]) == (202, "fired")
        assert (await daemon.post("/webhook", RUN, access)).status == 401
        assert (await daemon.post("/hooks/pagerduty", {}, access)).status == 401


async def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither tokens, right and wrong, nor signatures nor bodies; the reason does."""
    caplog.set_level(logging.DEBUG)
    content = raw("pagerduty/fault")
    sources = {"pagerduty": {"secretEnv": "PD"}}
    async with serving(
        sources, env={"PD": "pd-secret-value"}, operator=False, oauth=True
    ) as daemon:
        await daemon.post("/webhook", RUN, {"Authorization": "Bearer guessed-value"})
        await daemon.post("/webhook", RUN, BEARER)
        header = {**JSON, "X-PagerDuty-Signature": f"v1={signed(content, 'x')}"}
        await daemon.post("/hooks/pagerduty", content, header)
        await daemon.post(
            "/oauth/token",
            f"grant_type=client_credentials&client_id=exporter&client_secret={CLIENT_SECRET}".encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        await daemon.post("/webhook", {**RUN, "runbook": "\x1b[31mred"}, BEARER)
    assert "the bearer token is not valid" in caplog.text
    assert "X-PagerDuty-Signature does not match" in caplog.text
    for secret in (
        TOKEN,
        "guessed-value",
        "pd-secret-value",
        CLIENT_SECRET,
        signed(content, "x"),
        NODE,
        "\x1b",
    ):
        assert secret not in caplog.text


async def test_a_bug_is_an_answer_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The sender may try again; the daemon goes on; nobody sees a traceback."""

    async def ready() -> dict[str, str]:
        raise LookupError("a secret detail")

    async with serving(probes={"ready": ready}) as daemon:
        reply = await daemon.request("GET", "/readyz")
        assert (reply.status, reply.body) == (500, {"status": "error"})
        assert "/readyz failed: LookupError" in caplog.text
        assert "secret detail" not in caplog.text
        assert (await daemon.post("/webhook", RUN)).status == 202


async def test_an_intake_that_fails_is_503(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raised: nothing was promised, so the sender shall come again."""
    async with serving() as daemon:

        async def offer(event: object) -> Any:
            raise LookupError("a secret detail")

        daemon.intake.offer = offer  # type: ignore[method-assign]
        assert (await daemon.post("/webhook", RUN)).status == 503
        assert "an event could not be stored: LookupError" in caplog.text
        assert "secret detail" not in caplog.text
