import base64
import stat
import threading
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from nvsx.core.errors import NotReady
from nvsx.core.senders.alertmanager import ALERTMANAGER
from nvsx.core.senders.http_request import Headers, RawRequest, Refused
from nvsx.core.senders.signatures import SignatureRule
from nvsx.core.senders.sources import Source
from nvsx.nvsentinel import decoding
from nvsx.project.secret_files import (
    TOKEN_FILE,
    FileSecret,
    FixedSecret,
    open_configured_secret,
    open_own_token,
)
from nvsx.serve.webhook.auth import Caller, Doorman, Gate, why_not_operator
from nvsx.serve.webhook.channels import open_channels
from nvsx.serve.webhook.connections import RateLimit
from nvsx.serve.webhook.oauth import LIFETIME, TokenEndpoint

NOW = 1_800_000_000.0


def request(**headers: str) -> RawRequest:
    """A request to localhost with these headers; _ stands for -."""
    named = {"host": "localhost:8080"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return RawRequest(body=b"", headers=Headers(named))


async def ours() -> str:
    """The kernel says that the caller's socket is the daemon's own user's."""
    return ""


async def reason_not(words: RawRequest, peer: str = "127.0.0.1", minor: int = 1) -> str:
    """Why a request over a socket of the own user is not the operator's."""
    return await why_not_operator(words, Caller(peer, (1, minor), ours))


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"]
)
async def test_the_operator_is_on_this_machine(peer: str, host: str) -> None:
    """By the connection's address and by the name that was called."""
    assert await reason_not(request(host=host), peer) == ""


async def test_what_is_not_shown_is_not_the_operator() -> None:
    """A request with nothing against it still needs the kernel's word."""

    async def another_account() -> str:
        return "the socket is uid 33's"

    assert await why_not_operator(request(), Caller("127.0.0.1"))
    why = await why_not_operator(request(), Caller("127.0.0.1", (1, 1), another_account))
    assert why == "the socket is uid 33's"


@pytest.mark.parametrize(
    "peer", ["", "10.0.0.1", "127.0.0.2", "::ffff:10.0.0.1", "::2", "localhost"]
)
async def test_another_address_is_not_the_operator(peer: str) -> None:
    """Not even another loopback address: only the two that are fixed."""
    assert await reason_not(request(), peer)


@pytest.mark.parametrize(
    "host",
    [
        *("", "example.com", "localhost.", "localhost:", "localhost:80:80", "0.0.0.0", "127.1"),
        *("::1", "[::1", "[::1]:", "[::2]", "[::1].example.com", "localhost:٨٠", "local\nhost"),
    ],
)
async def test_another_name_is_not_the_operator(host: str) -> None:
    """A name that an attacker's DNS points at this machine is another name."""
    assert await reason_not(RawRequest(body=b"", headers=Headers({"host": host})))


@pytest.mark.parametrize(
    "name",
    [
        *("forwarded", "via", "x_forwarded_for", "x_forwarded_x", "x_real_ip", "x_request_id"),
        *("x_original_forwarded_for", "Forwarded_For"),
        *("x_envoy_expected_rq_timeout_ms", "cdn_loop", "cf_ray", "proxy_connection"),
        *("origin", "referer", "cookie", "sec_fetch_site", "sec_ch_ua", "Sec_Fetch_Mode"),
    ],
)
async def test_what_was_passed_on_is_not_the_operator(name: str) -> None:
    """A header that a proxy or a browser adds, even with an empty value."""
    assert await reason_not(request(**{name: ""}))


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x_Real-Ip", "Sec_Fetch-Site"])
async def test_an_underscore_hides_no_forwarding_header(name: str) -> None:
    """Some proxies write them so, and it is the same header to whoever added it."""
    asked = RawRequest(body=b"", headers=Headers({"Host": "localhost", name: "1"}))
    assert await reason_not(asked)


async def test_http_1_0_is_not_the_operator() -> None:
    """nginx speaks it to what is behind it, and by itself adds no forwarding header."""
    assert await reason_not(request(), minor=0)


def test_the_token_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    """0600 in a folder of 0700, the same after a restart, and long enough not to be guessed."""
    state = tmp_path / "state"
    first = open_own_token(state).values()
    assert open_own_token(state).values() == first
    assert len(first[0]) >= 40
    assert stat.S_IMODE((state / TOKEN_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [path.name for path in state.iterdir()] == [TOKEN_FILE]


def test_two_daemons_that_start_together_share_one_token(tmp_path: Path) -> None:
    """Whoever is second uses what the first made."""
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.extend(open_own_token(tmp_path).values()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_token_others_can_read_is_not_used(tmp_path: Path) -> None:
    """It may be known already; the message says how to get a new one."""
    open_own_token(tmp_path)
    (tmp_path / TOKEN_FILE).chmod(0o644)
    with pytest.raises(NotReady, match="others can read") as caught:
        open_own_token(tmp_path)
    assert f"rm {tmp_path / TOKEN_FILE}" in caught.value.hint


def test_a_rotated_file_is_read_again(tmp_path: Path) -> None:
    """While it is missing or empty the last good value stays."""
    path = tmp_path / "secret"
    path.write_text("one\n")
    secret = FileSecret([path])
    assert secret.values() == [b"one"]
    path.unlink()
    assert secret.values() == [b"one"]
    path.write_text("")
    assert secret.values() == [b"one"]
    path.write_text("second")
    assert secret.values() == [b"second"]
    assert "second" not in repr(secret)


def test_missing_secrets_stop_the_start(tmp_path: Path) -> None:
    """Clearly, with the file or variable, never with its value."""
    with pytest.raises(NotReady, match="no-such-file"):
        open_configured_secret(["no-such-file"], [], tmp_path, {})
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(NotReady, match="is empty"):
        open_configured_secret(["empty"], [], tmp_path, {})
    with pytest.raises(NotReady, match="variable PD is not set"):
        open_configured_secret([], ["PD"], tmp_path, {"PD": " "})
    found = open_configured_secret([], ["A", "B"], tmp_path, {"A": "1", "B": "2"})
    assert found is not None
    assert found.values() == (b"1", b"2")
    assert "1" not in repr(found)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"kind": "generic", "signature": "github"}, "a signature but no secret"),
        ({"kind": "generic", "secretFile": "gone"}, "source x: secret file"),
        ({"kind": "generic", "secretEnv": "E", "signature": "standard-webhooks"}, "not base64"),
    ],
)
def test_a_source_that_cannot_work_stops_the_start(
    tmp_path: Path, source: dict[str, str], why: str
) -> None:
    """With the source's name."""
    doorman = Doorman(FixedSecret([b"t"]), operator=False)
    with pytest.raises(NotReady, match=why):
        open_channels(
            {"x": Source.model_validate(source)},
            doorman,
            read_health_event=decoding.decode_cloudevent,
            root=tmp_path,
            env={"E": "not base64!"},
        )


async def test_a_gate_with_a_secret_has_no_other_way_in() -> None:
    """The doorman is not asked."""
    doorman = Doorman(FixedSecret([b"token"]), operator=True)
    gate = Gate(ALERTMANAGER, doorman, SignatureRule("bearer"), FixedSecret([b"am"]))
    await gate.admit(request(authorization="Bearer am"), Caller("10.0.0.1"), NOW)
    for wrong in (request(), request(authorization="Bearer token")):
        with pytest.raises(Refused):
            await gate.admit(wrong, Caller("127.0.0.1", why_not_ours=ours), NOW)


# --- the token endpoint -------------------------------------------------------------------


FORM = "application/x-www-form-urlencoded"
SECRET = "s/ e&=cret%"


def asked(body: str, **headers: str) -> RawRequest:
    """A token request."""
    return RawRequest(body=body.encode(), headers=Headers({"content-type": FORM, **headers}))


def endpoint(secret: str = SECRET, token: bytes = b"daemon") -> TokenEndpoint:
    """The endpoint of a daemon with this token, for a client with this secret."""
    return TokenEndpoint("exporter", FixedSecret([secret.encode()]), FixedSecret([token]))


def basic(name: str, secret: str) -> str:
    """An Authorization header as OAuth writes it: each part percent-encoded."""
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


GRANT = "grant_type=client_credentials&scope=events"
CREDENTIALS = f"&client_id=exporter&client_secret={quote_plus(SECRET)}"


def issued() -> str:
    """A token that was issued now."""
    status, answer = endpoint().answer(asked(GRANT + CREDENTIALS), NOW)
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", LIFETIME)
    return str(answer["access_token"])


@pytest.mark.parametrize(
    "token_request",
    [asked(GRANT + CREDENTIALS), asked(GRANT, authorization=basic("exporter", SECRET))],
)
def test_a_client_shows_its_secret_in_the_header_or_the_form(token_request: RawRequest) -> None:
    """Percent-encoded both ways, as OAuth libraries send it."""
    assert endpoint().answer(token_request, NOW)[0] == 200


@pytest.mark.parametrize(
    ("token_request", "status", "error"),
    [
        (asked(GRANT), 401, "invalid_client"),
        (asked(GRANT + "&client_id=exporter&client_secret=x"), 401, "invalid_client"),
        (asked(GRANT + f"&client_id=x&client_secret={quote_plus(SECRET)}"), 401, "invalid_client"),
        (asked("grant_type=password" + CREDENTIALS), 400, "unsupported_grant_type"),
        (asked(GRANT + CREDENTIALS + "&client_id=exporter"), 400, "invalid_request"),
        (
            asked("\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
            401,
            "invalid_client",
        ),
        (RawRequest(body=b"\xff", headers=Headers({"content-type": FORM})), 400, "invalid_request"),
        (RawRequest(body=(GRANT + CREDENTIALS).encode()), 400, "invalid_request"),
    ],
)
def test_anything_else_gets_no_token(token_request: RawRequest, status: int, error: str) -> None:
    """With the error codes of RFC 6749."""
    assert endpoint().answer(token_request, NOW) == (status, {"error": error})


def test_a_token_survives_a_restart_and_ends_in_an_hour() -> None:
    """It is recognised by a new process with the same secrets, until it has expired."""
    token = issued()
    assert endpoint().accepts(token, NOW)
    assert endpoint().accepts(token, NOW + LIFETIME - 1)
    assert not endpoint().accepts(token, NOW + LIFETIME)


def test_a_changed_secret_ends_all_tokens() -> None:
    """The client's, or the daemon's."""
    token = issued()
    assert not endpoint(secret="another").accepts(token, NOW)
    assert not endpoint(token=b"another").accepts(token, NOW)


def test_a_token_cannot_be_changed_or_made_up() -> None:
    """Not by one character, and not without a signature."""
    token = issued()
    for at in range(len(token)):
        other = "A" if token[at] != "A" else "B"
        assert not endpoint().accepts(token[:at] + other + token[at + 1 :], NOW)
    for forged in ("", ".", "a.b", token.partition(".")[0] + ".", "\udcff.\udcff"):
        assert not endpoint().accepts(forged, NOW)


# --- rates --------------------------------------------------------------------------------


def test_a_bucket_refills_at_its_rate() -> None:
    """A burst at once, then so many a second; a clock that jumps back gives nothing."""
    rates = RateLimit((2.0, 3.0), (1000.0, 1000.0))
    assert [rates.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert [rates.take("a", 1.0) for _ in range(3)] == [True, True, False]
    assert not rates.take("a", -100.0)
    assert rates.take("b", -100.0)


def test_all_peers_together_have_a_limit() -> None:
    """Many peers cannot do what one may not."""
    rates = RateLimit((1.0, 1.0), (1.0, 5.0))
    assert sum(rates.take(f"peer-{n}", 0.0) for n in range(20)) == 5


def test_many_peers_are_not_remembered_for_ever() -> None:
    """The memory is bounded by the number of peers it keeps."""
    rates = RateLimit((1.0, 1.0), (1e9, 1e9), peers=10)
    for number in range(1000):
        rates.take(f"peer-{number}", 0.0)
    assert len(rates._peers) == 10
