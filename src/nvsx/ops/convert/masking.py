# ruff: noqa: E501, RUF001 - patterns stay in one piece, in the languages of pages
"""Secrets in a page: found by their look, and replaced by the variable to keep them in.

A page's token must reach neither a model nor a hook in git. It becomes `${NAME}` before
anything else reads the page, so every later step, the ledger among them, knows only that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nvsx.ops.convert.blocks import Page

_QUOTE = r"[\"'`“”‘’*]*"
#: (pattern, variable); group `secret` is what is replaced, the whole match without one.
_KNOWN: tuple[tuple[str, str], ...] = (
    (r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[\w/+=-]{8,}", "SLACK_WEBHOOK_URL"),
    (r"https://[\w.-]*(?:webhook\.office\.com|logic\.azure\.com)[^\s\"'`<>)]{12,}", "TEAMS_WEBHOOK_URL"),
    (r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/[\w/-]{8,}", "DISCORD_WEBHOOK_URL"),
    (r"https://chat\.googleapis\.com/v1/spaces/[^\s\"'`<>)]{12,}", "CHAT_WEBHOOK_URL"),
    (r"\bxox[abeoprs]-[\w-]{10,}", "SLACK_TOKEN"),
    (r"\bxapp-[\w-]{10,}", "SLACK_APP_TOKEN"),
    (r"\bgh[opusr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}", "GITHUB_TOKEN"),
    (r"\bglpat-[\w-]{16,}", "GITLAB_TOKEN"),
    (r"\bATATT[\w=-]{20,}", "JIRA_API_TOKEN"),
    (r"\bsk-ant-[\w-]{10,}", "CLAUDE_API_KEY"),
    (r"\bsk-[A-Za-z0-9_-]{20,}", "API_KEY"),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "AWS_ACCESS_KEY"),
    (r"\bnvapi-[\w-]{20,}", "NGC_API_KEY"),
    (r"\bhvs\.[\w-]{20,}", "VAULT_TOKEN"),
    (r"\bAIza[\w-]{35}", "GOOGLE_API_KEY"),
    (r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*", "ACCESS_TOKEN"),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", "PRIVATE_KEY"),
    (r"(?:routing|integration|service)[ _-]?key" + _QUOTE + r"\s*(?:[:=]|is)?\s*" + _QUOTE + r"(?P<secret>[A-Za-z0-9]{32})\b", "PAGERDUTY_ROUTING_KEY"),
    (r"GenieKey\s+(?P<secret>[\w-]{16,})", "OPSGENIE_API_KEY"),
    (r"\b(?:Bearer|Token|Basic)\s+(?P<secret>(?=[\w.~+/=-]*[\d=])[\w.~+/=-]{16,})", "ACCESS_TOKEN"),
    (r"://[^\s/:@<>\"'`]+:(?P<secret>[^\s/@<>\"'`$]{3,})@", "URL_PASSWORD"),
    (r"(?<![\w-])(?:-u|--user)[ =]['\"]?[\w.@+-]+:(?P<secret>[^\s\"'`$<]{3,})", "BASIC_PASSWORD"),
)  # fmt: skip
_NAMED = re.compile(
    r"(?<![A-Za-z0-9])(?P<name>(?:[A-Za-z]\w{1,20}[ _-])?(?:[A-Za-z][\w-]{0,40}?)?)(?P<word>password|passwd|passphrase|pwd|secret|token|api[ _-]?key|access[ _-]?key"
    r"|private[ _-]?key|credentials?|passwort|kennwort|mot de passe|contraseña|密码|パスワード)(?P<tail>[\w-]{0,20})"
    + _QUOTE + r"\s*(?:[:=：]|\bis\b|\bist\b|\blautet\b|--)\s*" + _QUOTE + r"(?P<secret>[^\s\"'`“”<>|,;*]{6,})",
    re.IGNORECASE,
)  # fmt: skip
#: The same in a table's next cell, where a heading's neighbour is another heading: only
#: values with a digit count.
_CELL = re.compile(
    r"(?P<name>(?:[A-Za-z]\w{1,20}[ _-])?)(?P<word>password|passwd|passphrase|secret|token|api[ _-]?key|access[ _-]?key|credentials?|passwort|kennwort)"
    r"[\s*`]*(?:\||(?:</?\w[^>]*>\s*)+|[:=]\s*(?:<\w[^>]*>)+)[\s*`]*(?P<secret>(?=[^\s|<`]*\d)[^\s|<>`*\"']{6,})",
    re.IGNORECASE,
)  # fmt: skip
_FLAG = re.compile(
    r"--?(?P<word>password|passwd|token|secret|api-key|pass)[ =]['\"]?(?P<secret>[^\s\"'`<>$]{4,})",
    re.IGNORECASE,
)
#: What stands where a secret would, and is none.
_PLACEHOLDER = re.compile(
    r"[<$\[{(%]|\*{3}|x{4,}|\.{3}|…|(?:your|the|see|stored|from|ask|in|https?://|vault:|op://|required|none|n/a|empty|changeme|redacted|expired|rotated|invalid|missing)",
    re.IGNORECASE,
)
_PLAIN_WORD = re.compile(r"[A-Za-zÀ-ÿ-]+[.!?:)]*|\d{1,5}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret's variable, and where it stood. The value itself is kept nowhere."""

    variable: str
    page: str
    line: int


def masked(pages: Sequence[Page]) -> tuple[list[Page], list[Secret]]:
    """The pages without their secrets, and which variables now stand for them."""
    names: dict[str, str] = {}
    found: list[Secret] = []
    for page in pages:
        for start, value, wanted in _secrets(page.text):
            if value not in names:
                names[value] = _free(wanted, set(names.values()))
            found.append(Secret(names[value], page.name, page.text.count("\n", 0, start) + 1))
    clean = []
    for page in pages:
        text = page.text
        for value in sorted(names, key=len, reverse=True):
            text = text.replace(value, "${" + names[value] + "}")
        clean.append(replace(page, text=text))
    return clean, sorted(set(found), key=lambda s: (s.page, s.line, s.variable))


def _secrets(text: str) -> Iterator[tuple[int, str, str]]:
    """(offset, value, variable) of what looks like a secret."""
    for pattern, variable in _KNOWN:
        for match in re.finditer(pattern, text, re.IGNORECASE | re.DOTALL):
            group = "secret" if "secret" in match.groupdict() else 0
            if not _PLACEHOLDER.match(match[group]) or group == 0:
                yield match.start(group), match[group], variable
    for match in _FLAG.finditer(text):
        if not _PLACEHOLDER.match(match["secret"]):
            yield match.start("secret"), match["secret"], _variable(match["word"])
    for match in _CELL.finditer(text):
        if not _PLACEHOLDER.match(match["secret"]):
            words = f"{match['name']}{match['word']}"
            yield match.start("secret"), match["secret"], _variable(words)
    for match in _NAMED.finditer(text):
        value = match["secret"].rstrip(".,:)!?")
        if _PLACEHOLDER.match(value) or _PLAIN_WORD.fullmatch(value) or len(value) < 6:
            continue
        name = f"{match['name'] or ''}{match['word']}{match['tail']}"
        yield match.start("secret"), value, _variable(name)


def _variable(words: str) -> str:
    """A variable's name that everything in nvsx masks: it ends as secrets' names do."""
    name = re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
    name = re.sub(r"^(?:THE|A|AN|ITS?|YOUR|OUR|WITH|AND|IS|USE|DAS|LE|EL|LA)_", "", name)
    if re.search(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS)$", name):
        return name
    return f"{name}_SECRET" if name and name[0].isalpha() else "PAGE_SECRET"


def _free(wanted: str, taken: set[str]) -> str:
    """The variable's name, numbered before its telling end when another secret has it."""
    if wanted not in taken:
        return wanted
    head, _, tail = wanted.rpartition("_")
    if wanted.endswith("WEBHOOK_URL"):
        head, tail = wanted.removesuffix("_WEBHOOK_URL"), "WEBHOOK_URL"
    head = head or "PAGE"
    return next(n for i in range(2, 10_000) if (n := f"{head}_{i}_{tail}") not in taken)
