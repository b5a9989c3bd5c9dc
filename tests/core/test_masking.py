import base64
import json
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvsx.core.masking import Masker, holds_secret, is_secret_name


@pytest.mark.parametrize(
    "name",
    """
    SLACK_TOKEN API_KEY X_SECRET DB_PASSWORD DB_PASSWD SENTRY_DSN MY_CREDENTIALS SLACK_WEBHOOK_URL
    TOKEN slack_token TOKENS GITHUBTOKEN TOKEN2 SECRET_NAME PGPASSWORD KEY_PASSPHRASE
    GOOGLE_APPLICATION_CREDENTIAL WEBHOOK TEAM_WEBHOOK SLACK_WEBHOOKURL WEBHOOK_GPU DEPLOY_HOOK_URL
    APIKEY OPSGENIEAPIKEY API_KEY_PROD PD_ROUTING_KEY ROUTINGKEY AWS_ACCESS_KEY_ID SSH_KEYS KEY DSN
    AUTH BASIC_AUTH AUTH_HEADER GH_PAT PAT_GITHUB PASS DB_PASS PASS_DB MYSQL_PWD PWD_ADMIN
    """.split(),
)
def test_secret_names(name: str) -> None:
    """The values of these variables are masked, and no drill gets them."""
    assert is_secret_name(name)
    assert holds_secret(name)


@pytest.mark.parametrize(
    "name",
    """
    NVSX_IDEMPOTENCY_KEY NVSX_INCIDENT_KEY NVSX_PAT MONKEY KEYBOARD KEY_MAP HOME PATH MANPATH
    PWD pwd OLDPWD SSH_AUTH_SOCK SSH_ASKPASS GIT_AUTHOR_NAME XAUTHORITY COMPASS BYPASS_CHECKS PATCH
    PATTERN TOKENIZERS_PARALLELISM SECRETARY DSN_TABLE
    """.split(),
)
def test_other_names(name: str) -> None:
    """nvsx's own facts, and words that only end alike, are not."""
    assert not is_secret_name(name)


@pytest.mark.parametrize("name", ["GITHUB_TOKEN_FILE", "AUTH_DIR", "db_password_path"])
def test_the_place_of_a_secret_is_told(name: str) -> None:
    """A drill does not get the file of a secret; its path is no secret, and messages keep it."""
    assert is_secret_name(name)
    assert not holds_secret(name)
    assert Masker({name: "/home/operator"}).mask("in /home/operator") == "in /home/operator"


def test_values_are_masked_wherever_they_stand() -> None:
    """Every occurrence goes; the text around it stays."""
    mask = Masker({"A_TOKEN": "abcdefgh"}).mask
    assert mask("abcdefgh x=abcdefgh; abcdefghabcdefgh") == "*** x=***; ******"


def test_short_values_stay() -> None:
    """Values under eight characters are left: they would mask ordinary words."""
    assert Masker({"A_TOKEN": "abcdefg"}).mask("abcdefg") == "abcdefg"


def test_overlapping_values_leave_no_rest() -> None:
    """Secrets that overlap or contain one another go as a whole."""
    mask = Masker({"A_TOKEN": "abcdefgh12", "B_TOKEN": "gh12xyzuvw", "C_KEY": "cdefgh12"}).mask
    assert mask("<abcdefgh12xyzuvw>") == "<***>"


@pytest.mark.parametrize(
    "secret", ["p/ss w&rd+é=", 'quo"te\\back', "plain-Secret_0123", "é\tquoted-ü"]
)
def test_encoded_forms(secret: str) -> None:
    """Percent-encoded, JSON-escaped and base64 forms go too."""
    mask = Masker({"A_PASSWORD": secret}).mask
    assert mask(f"x={quote(secret, safe='')}!") == "x=***!"
    assert mask(json.dumps({"p": secret})) == '{"p": "***"}'
    assert mask(json.dumps({"p": secret}, ensure_ascii=False)) == '{"p": "***"}'
    assert mask(f"{base64.b64encode(secret.encode()).decode()}").startswith("***")
    for user in ("u:", "me:", "bob:"):
        header = base64.b64encode(f"{user}{secret}".encode()).decode()
        masked = mask(header)
        assert "***" in masked
        assert len(masked) < 3 + 4 + 6


def test_lines_of_a_private_key() -> None:
    """A value of several lines is masked line by line, its frame stays."""
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    mask = Masker({"TLS_KEY": key}).mask
    assert mask("kqhkiG9w0BAQEF") == "***"
    assert mask("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_path_of_a_webhook() -> None:
    """The path of a webhook is as secret as the whole address."""
    mask = Masker({"SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/xyzzy"}).mask
    assert mask("POST /services/T0/B0/xyzzy HTTP/1.1") == "POST /*** HTTP/1.1"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mongodb://u:p@ss@h:1/db", "mongodb://***@h:1/db"),
        ("see https://tok@github.com/x and a@b.c", "see https://***@github.com/x and a@b.c"),
        ("https://host/path?mail=a@b", "https://host/path?mail=a@b"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_user_info_in_urls(text: str, masked: str) -> None:
    """User-info goes from every URL, and nothing else of it."""
    assert Masker({}).mask(text) == masked


def test_password_inside_an_exported_url() -> None:
    """The password of an exported URL is masked also where it stands alone."""
    mask = Masker({"DATABASE_URL": "postgres://u:hunter2hunter2@h/db"}).mask
    assert mask("auth failed: hunter2hunter2") == "auth failed: ***"


def test_extra_values() -> None:
    """Values from elsewhere, such as a token file, can be given by hand."""
    assert Masker({}, extra=["daemon-token"]).mask("Bearer daemon-token") == "Bearer ***"


@given(st.text(), st.lists(st.text(min_size=8, alphabet='abcß%/+="\\'), max_size=5))
def test_nothing_survives(text: str, secrets: list[str]) -> None:
    """Whatever the text, no secret is in what comes out, but for those in the mask itself."""
    masker = Masker({f"S{i}_KEY": secret for i, secret in enumerate(secrets)})
    masked = masker.mask("".join([text, *secrets, text]))
    assert not any(s.strip() in masked for s in secrets if len(s.strip()) >= 8)


class Told(msgspec.Struct, frozen=True):
    """A record as the journal has them: `node` says what a thing is, `text` what was said."""

    node: str
    text: str
    inner: tuple[Any, ...] = ()


def test_a_record_is_masked_within() -> None:
    """Texts at any depth, keys too; names of things, numbers and unchanged records stay."""
    masker = Masker({"A_TOKEN": "abcdefgh"})
    told = Told("abcdefgh", "x abcdefgh", ({"abcdefgh": [1, "abcdefgh"]}, None))
    assert masker.value(told) == Told("abcdefgh", "x ***", ({"***": [1, "***"]}, None))
    plain = Told("abcdefgh", "fine", (1, True))
    assert masker.value(plain) is plain


@pytest.mark.parametrize(("text", "hidden"), [("x abcdefgh", True), ("x abcdefg", False)])
def test_whether_a_text_hides_a_secret(text: str, hidden: bool) -> None:
    """Told without masking it."""
    assert Masker({"A_TOKEN": "abcdefgh"}).hides(text) is hidden


def test_the_longest_form_says_how_much_to_keep() -> None:
    """A text cut anywhere else may hide half a secret; without secrets none."""
    assert Masker().longest == 0
    masker = Masker({"A_TOKEN": "abcdefgh"})
    long = masker.longest
    masker.learn(["x" * (long + 1)])
    assert long >= 8
    assert masker.longest > long


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://hooks.slack.com/services/T0/B0/x1", "https://hooks.slack.com/***"),
        ("https://hooks.slack-gov.com/services/T0/B0/x1", "https://hooks.slack-gov.com/***"),
        ("https://hooks.slack.com/short12", "https://hooks.slack.com/short12"),
        ("https://discord.com/api/webhooks/12345678/ab", "https://discord.com/api/webhooks/***"),
        ("https://x.webhook.office.com/webhookb2/abc", "https://x.webhook.office.com/***"),
        ("Authorization: Bearer abcdefghijklmno1", "Authorization: Bearer ***"),
        ("Authorization: Bearer abcdefghijklmn1", "Authorization: Bearer abcdefghijklmn1"),
        ("the bearer internationalization", "the bearer internationalization"),
    ],
)
def test_what_can_be_nothing_else_is_masked_unknown(text: str, masked: str) -> None:
    """Addresses of chat webhooks, and bearer tokens with a digit: from their length on."""
    assert Masker().mask(text) == masked


@pytest.mark.parametrize("spaced", [" abc defgh ", "abc defgh"])
def test_forms_of_a_shell(spaced: str) -> None:
    """Quoted for a shell or for HTML, in hexadecimal, with `+` for a space."""
    secret = spaced.strip()
    mask = Masker({"A_TOKEN": spaced}).mask
    quoted = "it's <a&b>"
    quotes = Masker({"A_TOKEN": quoted}).mask
    for form in (r"abc\ defgh", "abc+defgh", secret.encode().hex(), secret.encode().hex().upper()):
        assert mask(f"<{form}>") == "<***>"
    for form in ("it'\\''s <a&b>", "it'\"'\"'s <a&b>", escape(quoted), escape(quoted, quote=False)):
        assert quotes(f"({form})") == "(***)"


@pytest.mark.parametrize("lead", ["", "a", "ab", "abc"])
def test_base64_in_any_alignment(lead: str) -> None:
    """What the secret alone decides goes, wherever it begins, in both alphabets."""
    secret = "s3cr3t??>>~~word"
    mask = Masker({"A_TOKEN": secret}).mask
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode((lead + secret + "tail").encode()).decode()
        masked = mask(whole)
        head = len(lead) * 8 // 6 + (1 if len(lead) % 3 else 0)
        assert masked.startswith(f"{whole[:head]}***")
        assert len(masked) <= len(whole) - (len(secret) * 8 // 6 - 1) + 3


@pytest.mark.parametrize(
    ("secret", "form"),
    [("abcdef", "YWJjZGVm"), ("abcdefgh", "YWJjZGVmZ2"), ("a/b c:d/e", "a%2fb+c%3ad%2fe")],
)
def test_short_forms_need_a_long_secret(secret: str, form: str) -> None:
    """A form of eight characters is masked only when its secret has eight itself."""
    masked = Masker({"A_TOKEN": secret}).mask(form)
    assert masked.startswith("***") is (len(secret) >= 8)


def test_the_path_of_a_url_needs_its_length() -> None:
    """A secret URL with a short path is masked whole, and not its path alone."""
    mask = Masker({"HOOK_URL": "https://h.example.com/abcdefg"}).mask
    assert mask("POST /abcdefg to https://h.example.com/abcdefg") == "POST /abcdefg to ***"
