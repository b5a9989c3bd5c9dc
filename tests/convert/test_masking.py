from __future__ import annotations

from pathlib import Path

import pytest

from nvsx.convert.blocks import Page, clean
from nvsx.convert.page_masking import mask_pages


def mask(text: str) -> tuple[str, list[str]]:
    """The text without its secrets, and the variables that stand for them."""
    pages, secrets = mask_pages([Page("page.md", text, "")])
    return pages[0].text, [s.variable for s in secrets]


@pytest.mark.parametrize(
    ("text", "clean", "variable"),
    [
        ("password: Tr0ub4dor&3", "password: ${PASSWORD}", "PASSWORD"),
        ("BMC password is `calvin-2019`", "BMC password is `${BMC_PASSWORD}`", "BMC_PASSWORD"),
        ("Passwort: Geheim2024!x", "Passwort: ${PASSWORT_SECRET}", "PASSWORT_SECRET"),
        (
            "https://bot:pa55word@jira.example.com/x",
            "https://bot:${URL_PASSWORD}@jira.example.com/x",
            "URL_PASSWORD",
        ),
        (
            "Authorization: Bearer abc123def456ghi789",
            "Authorization: Bearer ${ACCESS_TOKEN}",
            "ACCESS_TOKEN",
        ),
        ("x AKIAABCDEFGHIJKLMNOP y", "x ${AWS_ACCESS_KEY} y", "AWS_ACCESS_KEY"),
        ("ipmitool --password s3same99 power", "ipmitool --password ${PASSWORD} power", "PASSWORD"),
        ("| API key | 9f8e7d6c5b4a |", "| API key | ${API_KEY} |", "API_KEY"),
        (
            "<td>Token</td><td><code>9f8e7d6c5b4a</code></td>",
            "<td>Token</td><td><code>${TOKEN}</code></td>",
            "TOKEN",
        ),
    ],
)
def test_secrets_become_variables(text: str, clean: str, variable: str) -> None:
    """What looks like a secret is replaced by a variable that nvsx masks everywhere."""
    said, variables = mask(text)
    assert said == clean
    assert variables == [variable]


@pytest.mark.parametrize(
    "text",
    [
        "The password is in Vault, path gpu/bmc.",
        "password: <your password>",
        "token: $SLACK_TOKEN",
        "The API key is required for this.",
        "secret: see 1Password",
        "kubectl get secret nvsentinel -n x",
        "tokens are rotated every 90 days",
        "| Token | Owner | Expires |",
        "https://grafana.example.com/d/abc?token=${GRAFANA_TOKEN}",
        "Keyword: something",
    ],
)
def test_talk_about_secrets_stays(text: str) -> None:
    """Words about where a secret is kept are no secret."""
    assert mask(text) == (text, [])


def test_one_secret_has_one_name_everywhere() -> None:
    """The same value on two lines is the same variable; another value gets a number."""
    text = "password: Tr0ub4dor&3\nagain Tr0ub4dor&3\npassword: Corr3ctHorse\n"
    said, variables = mask(text)
    assert said == "password: ${PASSWORD}\nagain ${PASSWORD}\npassword: ${PAGE_2_PASSWORD}\n"
    assert variables == ["PASSWORD", "PAGE_2_PASSWORD"]


def test_a_pin_is_no_part_of_other_numbers() -> None:
    """Its digits in a ticket's key, an address or a longer number stay."""
    text = "PIN: 4711, see GPUOPS-4711, 14711, 4711.5 and https://wiki.example.com/4711"
    assert mask(text)[0] == text.replace("PIN: 4711", "PIN: ${PIN_SECRET}")


SECRETS = Path(__file__).parent / "secrets"


def cases(file: str) -> list[str]:
    """The texts of a data file: ⏎ stands for a line's end, and § for nothing; it keeps
    scanners from taking these for real secrets."""
    raw = (SECRETS / file).read_text(encoding="utf-8").split("\n")
    return [line.replace("⏎", "\n").replace("§", "") for line in raw if line]


def test_no_kind_of_secret_stays_in_a_page() -> None:
    """Webhooks, tokens, keys and passwords, in commands, prose, tables and addresses."""
    leaks = []
    for case in cases("secret.txt"):
        text, _, secret = case.rpartition("\t")
        assert secret in text
        if secret in mask(clean(text))[0]:
            leaks.append(case)
    assert leaks == []


def test_what_only_looks_like_a_secret_stays() -> None:
    """Digests, UUIDs, serial numbers, links, names of Secrets, words about passwords."""
    changed = [case for case in cases("harmless.txt") if mask(clean(case))[0] != clean(case)]
    assert changed == []
