import base64
import json
from urllib.parse import quote

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


@pytest.mark.parametrize("secret", ["p/ss w&rd+é=", 'quo"te\\back', "plain-Secret_0123"])
def test_encoded_forms(secret: str) -> None:
    """Percent-encoded, JSON-escaped and base64 forms go too."""
    mask = Masker({"A_PASSWORD": secret}).mask
    assert mask(f"x={quote(secret, safe='')}!") == "x=***!"
    assert mask(json.dumps({"p": secret})) == '{"p": "***"}'
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
