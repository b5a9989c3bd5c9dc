# ruff: noqa: E501, RUF001 - patterns stay in one piece, in the languages of pages
"""Secrets in a page: found by their look, and replaced by the variable to keep them in.

A page's token must reach neither a model nor a hook in git. It becomes `${NAME}` before
anything else reads the page, so every later step, the ledger among them, knows only that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from nvsx.convert.blocks import Page

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
    (r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", "PRIVATE_KEY"),
    (r"https://(?:outlook\.office(?:365)?\.com/webhook|hooks\.zapier\.com/hooks)/[^\s\"'`<>)]{12,}", "TEAM_WEBHOOK_URL"),
    (r"https://[\w.-]+/(?:hooks|webhooks?|incoming)/(?=[\w/-]*\d)[\w/-]{16,}", "TEAM_WEBHOOK_URL"),
    (r"api\.telegram\.org/bot(?P<secret>\d{6,}:[\w-]{20,})", "TELEGRAM_TOKEN"),
    (r"\bnpm_[A-Za-z0-9]{20,}|\bdckr_(?:pat|oat)_[\w-]{20,}|\bhf_[A-Za-z0-9]{20,}|\bgls?a_[\w-]{20,}", "ACCESS_TOKEN"),
    (r"\bSG\.[\w-]{16,}\.[\w-]{16,}", "SENDGRID_API_KEY"),
    (r"\b(?:SK|AC)[0-9a-f]{32}\b", "TWILIO_API_KEY"),
    (r"(?<![\w.])s\.[A-Za-z0-9]{24}\b", "VAULT_TOKEN"),
    (r"\bAccountKey=(?P<secret>[\w+/=]{20,})", "AZURE_ACCOUNT_KEY"),
    (r"[?&;](?:amp;)?(?:sig|signature|\w*token|api_?key|apikey|key|secret|password|pwd)=(?P<secret>[^\s&\"'`<>)$]{6,})", "URL_TOKEN"),
    (r"\b(?-i:R0[A-Z0-9]{30})\b", "PAGERDUTY_ROUTING_KEY"),
    (r"pagerduty[^\n]{0,40}?(?:/|\bkey\W{1,4})(?P<secret>[0-9a-f]{32})\b", "PAGERDUTY_ROUTING_KEY"),
    (r"authorization[\"']?\s*[:=]\s*[\"']?\w+\s+(?P<secret>[^\s\"'`<>$]{8,})", "ACCESS_TOKEN"),
    (r"://(?P<secret>(?=[\w-]*\d)[\w-]{10,})@", "URL_TOKEN"),
    (r"--from-literal[ =]['\"]?[\w.-]+=(?P<secret>[^\s\"'`$<]{4,})", "PAGE_SECRET"),
    (r"\bsshpass\s+-p\s*['\"]?(?P<secret>[^\s\"'`$<]{4,})", "SSH_PASSWORD"),
    (r"\b(?:ipmitool|ipmi-?\w+)\b[^\n|]{0,150}?\s(?-i:-P)\s*['\"]?(?P<secret>[^\s\"'`$<]{4,})", "BMC_PASSWORD"),
    (r"\b(?:mysql|mariadb|mysqldump)\b[^\n|]{0,150}?\s(?-i:-p)(?P<secret>[^\s\"'`$<]{4,})", "DB_PASSWORD"),
    (r"\bcommunity(?: string)?\s*[:=]\s*[`\"']?(?P<secret>(?=\S*\d)[^\s`\"'|<#@]{5,})", "SNMP_SECRET"),
    (r"\b(?:login|user(?:name)?|creds|credentials|account)\b[\s:=]*[\w.-]+\s*/\s*(?P<secret>(?=[^\s|]*\d)[^\s|<>/,;]{5,})", "LOGIN_PASSWORD"),
    (r"(?:routing|integration|service)[ _-]?key" + _QUOTE + r"\s*(?:[:=]|is)?\s*" + _QUOTE + r"(?P<secret>[A-Za-z0-9]{32})\b", "PAGERDUTY_ROUTING_KEY"),
    (r"GenieKey\s+(?P<secret>[\w-]{16,})", "OPSGENIE_API_KEY"),
    (r"\b(?:Bearer|Token|Basic)\s+(?P<secret>(?=[\w.~+/=-]*[\d=])[\w.~+/=-]{16,})", "ACCESS_TOKEN"),
    (r"://[^\s/:@<>\"'`]+:(?P<secret>[^\s/@<>\"'`$]{3,})@", "URL_PASSWORD"),
    (r"(?<![\w-])(?:-u ?|--user[ =])['\"]?[\w.@+-]+:(?P<secret>[^\s\"'`$<]{3,})", "BASIC_PASSWORD"),
    (r"\b(?:(?:PIN|PUK)(?:[ -]?(?:code|number|nr\.?))?" + _QUOTE + r"\s*(?:[:=|]|is\b|ist\b)|(?-i:PIN|PUK) )\s*" + _QUOTE + r"(?P<secret>\d{4,12})(?![\w-]|[.,:]\d)", "PIN_SECRET"),
    (r"\b(?:door|gate|access|entry|alarm|unlock|key ?pad|lock|cage|rack) ?code" + _QUOTE + r"\s*(?:[:=|]|is\b)\s*" + _QUOTE + r"(?P<secret>\d{4,12})(?![\w-]|[.,:]\d)", "CODE_SECRET"),
    (r"\bpass ?phrase" + _QUOTE + r"\s*(?:[:=]|is\b)\s*" + _QUOTE + r"(?P<secret>(?!(?-i:[a-z -]*\b(?:the|an?|by|in|of|is|to|with|see|ask|from|for|and|on|per|at|not)\b))(?-i:[a-z]{3,}(?:[ -][a-z]{3,}){2,11}))" + _QUOTE + r"[.]?[ \t]*(?=\n|\Z)", "PASSPHRASE_SECRET"),
    # Last, what has no name: long, of both cases, with digits all over, and in no address.
    (r"(?<![\w/.=?&#+-])(?-i:(?=[\w+]*[a-z])(?=[\w+]*[A-Z])(?=(?:[A-Za-z_+]*\d){4}))[\w+]{24,}={0,2}(?![\w/.:-])", "PAGE_SECRET"),
)  # fmt: skip
_NAMES = r"password|passwd|passphrase|passcode|pwd|passwort|kennwort|mot de passe|contraseña|密码|パスワード"
_NAMED = re.compile(
    r"(?<![A-Za-z0-9])(?P<name>(?:[A-Za-z]\w{1,20}[ _-])?(?:[A-Za-z][\w-]{0,40}?)?)(?P<word>password|passwd|passphrase|pwd|secret|token|api[ _-]?key|access[ _-]?key"
    r"|private[ _-]?key|credentials?|passwort|kennwort|mot de passe|contraseña|密码|パスワード)(?P<tail>[\w-]{0,20})"
    + _QUOTE + r"(?:(?: [\w-]+){0,5} (?=is |ist |est |es |lautet ))?\s*(?P<joint>[:=：は]|\b(?:is|ist|est|es|lautet)\b|--)\s*" + _QUOTE
    + r"(?P<secret>(?:&#?\w+;|[^\s\"'`“”<>|,;*]){5,})",
    re.IGNORECASE,
)  # fmt: skip
#: A password right after its name, by quotes or by its look; or alone on the rest of its line.
_BESIDE = re.compile(
    rf"(?P<name>(?:\b[A-Za-z]\w{{1,20}} )?)(?P<word>{_NAMES})\b(?:\s+(?P<quote>[\"“`'])(?P<quoted>[^\"”`'\n]{{4,60}})[\"”`']"
    r"|\s+(?P<strong>(?=\S*\d)(?=\S*[A-Za-z])[^\s|<>,;\"'`]{6,})|[*_`]*\s*[:=：][*_`]*\s*[`\"']?(?P<alone>[^\s|<>`\"'*]{4,})[`\"']?[ \t.]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_COLUMN = re.compile(rf"\b(?:{_NAMES}|secret|token|api[ _-]?key|pin(?: code)?)\b", re.IGNORECASE)
_HTML_ROW = re.compile(r"<tr\b.*?(?=<tr\b|</table|\Z)", re.IGNORECASE | re.DOTALL)
_HTML_CELL = re.compile(
    r"<t[hd]\b[^>]*>(.*?)(?=<t[hd]\b|</t[hdr]|</table|\Z)", re.IGNORECASE | re.DOTALL
)
_WITHIN = re.compile(r"[^\s<>`*\"'|]+(?![^<]*>)")
#: Where passwords are kept, which a page rightly says.
_KEEPER = re.compile(
    r"(?:vault|1password|lastpass|bitwarden|keepass\w*|okta|sso|ldap|wiki|confluence|unknown|default|same|per|yes|no|not|when|if|n/?a|tbd|todo)\b",
    re.IGNORECASE,
)
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
#: Markup within a line, which may stand in the middle of a word or between it and its colon.
_INLINE = re.compile(
    r"</?(?:a|b|big|code|em|font|i|ins|kbd|mark|s|samp|small|span|strong|su[bp]|tt|u)\b[^<>]*>|\*+|(?<=\w)_{2}|_{2}(?=\w)|`+",
    re.IGNORECASE,
)
#: What stands where a secret would, and is none.
_PLACEHOLDER = re.compile(
    r"[<$\[{(%]|\*{3}|x{4,}|\.{3}|…|(?:your|the|see|stored|from|ask|in|https?://|vault:|op://|required|none|n/a|empty|changeme|redacted|expired|rotated|invalid|missing)",
    re.IGNORECASE,
)
#: `secretFile: …` says where the secret is.
_ELSEWHERE = re.compile(r"(?:file|path|env|name|ref|dir)$", re.IGNORECASE)
_FILE = re.compile(r"[\w-]+\.(?:crt|key|pem|ya?ml|json|txt)|user:pass(?:word)?", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[A-Za-zÀ-ÿ-]+[.!?:)]*|\d{1,5}")


@dataclass(frozen=True, slots=True)
class PageSecret:
    """A secret's variable, and where it stood. The value itself is kept nowhere."""

    variable: str
    page: str
    line: int


def mask_pages(pages: Sequence[Page]) -> tuple[list[Page], list[PageSecret]]:
    """The pages without their secrets, and which variables now stand for them."""
    names: dict[str, str] = {}
    found: list[PageSecret] = []
    for page in pages:
        for start, value, wanted in _find_secrets(page.text):
            if value not in names:
                names[value] = _choose_free_name(wanted, set(names.values()))
            found.append(PageSecret(names[value], page.name, page.text.count("\n", 0, start) + 1))
    clean = []
    for page in pages:
        text = page.text
        for value in sorted(names, key=len, reverse=True):
            text = _mask_everywhere(text, value, "${" + names[value] + "}")
        clean.append(replace(page, text=text))
    return clean, sorted(set(found), key=lambda s: (s.page, s.line, s.variable))


def _mask_everywhere(text: str, value: str, variable: str) -> str:
    """The text without a value. Digits alone are also in numbers that are something else."""
    if not value.isdecimal():
        return text.replace(value, variable)
    return re.sub(rf"(?<![\w.,/-]){value}(?![\w-]|[.,]\d)", lambda _: variable, text)


def _find_secrets(text: str) -> Iterator[tuple[int, str, str]]:
    """(offset, value, variable) of what looks like a secret, markup in its words or not."""
    taken: list[tuple[int, int]] = []
    for start, value, variable in _find_by_looks(text):
        taken.append((start, start + len(value)))
        yield start, value, variable
    bare, places = _without_markup(text)
    for start, value, variable in _find_by_looks(bare) if bare != text else ():
        first, last = places[start], places[start + len(value) - 1] + 1
        if not any(a < last and first < b for a, b in taken):
            yield first, text[first:last], variable


def _without_markup(text: str) -> tuple[str, list[int]]:
    """The text without markup within lines, and where each of its characters stood."""
    places: list[int] = []
    at = 0
    for match in _INLINE.finditer(text):
        places += range(at, match.start())
        at = match.end()
    places += range(at, len(text))
    return "".join([text[i] for i in places]), places


def _find_by_looks(text: str) -> Iterator[tuple[int, str, str]]:
    """(offset, value, variable) of what looks like a secret as it stands."""
    for pattern, variable in _KNOWN:
        for match in re.finditer(pattern, text, re.IGNORECASE | re.DOTALL):
            group = "secret" if "secret" in match.groupdict() else 0
            if not _PLACEHOLDER.match(match[group]) or group == 0:
                yield match.start(group), match[group], variable
    for match in _FLAG.finditer(text):
        if not _PLACEHOLDER.match(match["secret"]):
            yield match.start("secret"), match["secret"], _name_variable(match["word"])
    for match in _CELL.finditer(text):
        if not _PLACEHOLDER.match(match["secret"]):
            words = f"{match['name']}{match['word']}"
            yield match.start("secret"), match["secret"], _name_variable(words)
    yield from _find_beside_names(text)
    yield from _find_in_columns(text)
    for match in _NAMED.finditer(text):
        value = match["secret"].rstrip(".,:)!?")
        plain = _PLAIN_WORD.fullmatch(value) and not (
            match["joint"] == "=" and len(value) > 7 and "-" not in value
        )
        if _PLACEHOLDER.match(value) or plain or len(value) < 5:
            continue
        if _ELSEWHERE.search(match["tail"]) or _FILE.fullmatch(value):
            continue
        name = f"{match['name'] or ''}{match['word']}{match['tail']}"
        yield match.start("secret"), value, _name_variable(name)


def _find_beside_names(text: str) -> Iterator[tuple[int, str, str]]:
    for match in _BESIDE.finditer(text):
        kind = next(k for k in ("quoted", "strong", "alone") if match[k])
        value = match[kind].rstrip(".,:)!?") if kind != "quoted" else match[kind]
        if not _PLACEHOLDER.match(value) and not _KEEPER.match(value):
            yield match.start(kind), value, _name_variable(f"{match['name']}{match['word']}")


def _find_in_columns(text: str) -> Iterator[tuple[int, str, str]]:
    """The cells of tables under a heading such as `Password`."""
    wanted: list[str] = []
    at, lines = 0, text.split("\n")
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if "|" not in line:
            wanted = []
        elif re.fullmatch(r"[\s|:-]*-[\s|:-]*", below):
            wanted = [head if _COLUMN.search(head) else "" for head in line.split("|")]
        elif wanted:
            parts = [(at + c.start(), c[0]) for c in re.finditer(r"(?:^|(?<=\|))[^|]*", line)]
            yield from _find_under_heading(wanted, parts)
        at += len(line) + 1
    for row in _HTML_ROW.finditer(text):
        cells = [(row.start() + c.start(1), c[1]) for c in _HTML_CELL.finditer(row[0])]
        if "<th" in row[0].lower() and len(cells) > 1:
            wanted = [head if _COLUMN.search(head) else "" for _, head in cells]
        elif wanted:
            yield from _find_under_heading(wanted, cells)


def _find_under_heading(
    wanted: Sequence[str], cells: Iterable[tuple[int, str]]
) -> Iterator[tuple[int, str, str]]:
    for head, (start, cell) in zip(wanted, cells, strict=False):
        said = list(_WITHIN.finditer(cell)) if head else []
        if len(said) != 1:
            continue  # a sentence about the secret
        value = said[0][0]
        if len(value) > 3 and not _PLACEHOLDER.match(value) and not _KEEPER.match(value):
            yield start + said[0].start(), value, _name_variable(re.sub(r"<[^>]*>", "", head))


def _name_variable(words: str) -> str:
    """A variable's name that everything in nvsx masks: it ends as secrets' names do."""
    name = re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
    name = re.sub(r"^(?:THE|A|AN|ITS?|YOUR|OUR|WITH|AND|IS|USE|DAS|LE|EL|LA)_", "", name)
    if re.search(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS)$", name):
        return name
    return f"{name}_SECRET" if name and name[0].isalpha() else "PAGE_SECRET"


def _choose_free_name(wanted: str, taken: set[str]) -> str:
    """The variable's name, numbered before its telling end when another secret has it."""
    if wanted not in taken:
        return wanted
    head, _, tail = wanted.rpartition("_")
    if wanted.endswith("WEBHOOK_URL"):
        head, tail = wanted.removesuffix("_WEBHOOK_URL"), "WEBHOOK_URL"
    head = head or "PAGE"
    return next(n for i in range(2, 10_000) if (n := f"{head}_{i}_{tail}") not in taken)
