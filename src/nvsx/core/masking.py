"""Masking: secrets do not leave through what is shown or stored.

A `Masker` knows the values of the environment's secret variables and the forms in which
tools print them (percent-encoded, JSON-escaped, quoted for a shell or for HTML, hexadecimal,
base64 in any alignment, line by line). What scripts print, what the cluster and senders of
webhooks say, and what people note goes through it before anything else sees it. Besides
those values it knows only what cannot be anything else: user-info in URLs, the addresses of
chat webhooks, bearer tokens.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

MASK = "***"
SHORTEST = 8
"""Characters; shorter values would mask ordinary words."""

# The words between the underscores of a variable's name decide. A long word may end another one
# (GITHUBTOKEN) and be one of several (TOKENS, WEBHOOK2, WEBHOOKURL); a short one stands alone,
# else PATH and COMPASS were secrets; KEY and DSN stand last, else KEYBOARD_LAYOUT was one.
_SECRET_NAME = re.compile(
    r"""(?:^|_)(?:
        [A-Z0-9]*(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|WEBHOOK|APIKEY)
            S?(?:URL)?\d*(?:_|$)
        | (?:HOOK_?URL|AUTH|PAT|PASS|PWD)(?:_|$)
        | (?:API|ROUTING|INTEGRATION|SERVICE|ACCESS|PRIVATE)_?KEY
        | (?:KEYS?|DSN)$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_NO_SECRETS = frozenset({"PWD", "SSH_AUTH_SOCK"})
"""Names that only look like a secret's: what every shell and every agent sets."""
OWN_SECRETS = frozenset(
    {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "NVSX_HEALTH_EVENTS_URI"}  # it has a password
)
"""What nvsx itself authenticates with; no script has a use for it."""
_OWN_SECRET_NAME = re.compile(r"NVSX_.*(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY)")
_PLACE_NAME = re.compile(r"_(?:FILE|PATH|DIR)$", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/\s?#\"'<>]{1,1024}@")
_URL_PASSWORD = re.compile(r"://[^/\s?#:@]*:([^/\s?#]+)@")
_URL_PATH = re.compile(r"https?://[^/\s]+/(\S+)")
# Each is looked for only where its mark is: most lines have none of them.
_SHAPES = (
    ("hooks.slack", re.compile(r"(//hooks\.slack(?:-gov)?\.com/)[\w/+=%-]{8,}")),
    ("/api/webhooks/", re.compile(r"(//(?:\w+\.)?discord(?:app)?\.com/api/webhooks/)[\w/-]{8,}")),
    ("webhook.office", re.compile(r"(//[\w.-]*webhook\.office\.com/)[^\s\"'<>\\]{8,}")),
    ("earer", re.compile(r"(\bbearer\s+)(?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}", re.IGNORECASE)),
)
_SHELL_PLAIN = re.compile(r"([^\w@%+=:,./-])")
NAMES = frozenset(
    """
    run_id runbook nickname target_node target_alias node alias cluster context project
    runbook_hash stage id key keys script hook idempotency_key delivery owner kind check agent
    component_class error_codes action strategy state states status verdict code ending purpose
    source stream boot_id path check_name recommended_action processing_strategy
    """.split()
)
"""Fields of our values that `value` leaves alone: they say what a thing is, and a run would
be lost were its node called otherwise from one line to the next."""
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def is_secret_name(name: str) -> bool:
    """Whether variable `name` looks like a secret's. Its value is masked, and no sandbox run or
    drill gets it. nvsx's own facts never are.

    For example SLACK_TOKEN, DB_PASS, GH_PAT, BASIC_AUTH; but not PATH, PWD, KEYBOARD.
    """
    if name.startswith("NVSX_") or name.upper() in _NO_SECRETS:
        return False
    return _SECRET_NAME.search(name) is not None


def is_own_secret(name: str) -> bool:
    """Whether variable `name` holds what nvsx itself authenticates with; no script gets it."""
    return name in OWN_SECRETS or _OWN_SECRET_NAME.fullmatch(name) is not None


def holds_secret(name: str) -> bool:
    """Whether the value of `name` is a secret itself, and not the place of one (TOKEN_FILE): a
    path may be told, and messages would be unreadable without it."""
    return is_secret_name(name) and _PLACE_NAME.search(name) is None


class Masker:
    """Replaces the secrets of `environ`, those in `extra`, and user-info in URLs, by `***`."""

    def __init__(self, environ: Mapping[str, str] = {}, extra: Iterable[str] = ()) -> None:
        found: set[str] = set()
        for name, value in environ.items():
            if holds_secret(name):
                found.update(_make_forms(value))
            elif "://" in value:
                for password in _URL_PASSWORD.findall(value):
                    found.update(_make_forms(password))
        self._needles: list[str] = []
        self._learn_forms(found)
        self.learn(extra)

    def refresh(self) -> None:
        """Learn what is new. Called once for a text or a record, not for each text in it."""

    def learn(self, values: Iterable[str]) -> None:
        """Mask these too from now on."""
        self._learn_forms(form for value in values for form in _make_forms(value))

    def _learn_forms(self, forms: Iterable[str]) -> None:
        self._needles = sorted({*self._needles, *forms}, key=lambda n: (-len(n), n))

    @property
    def longest(self) -> int:
        """Characters in the longest form; a text cut shorter than this may hide one."""
        self.refresh()
        return len(self._needles[0]) if self._needles else 0

    def mask(self, text: str) -> str:
        """`text` with each secret replaced; overlapping secrets become one mask."""
        self.refresh()
        return self._mask_known(text)

    def _mask_known(self, text: str) -> str:
        present = [needle for needle in self._needles if needle in text]
        if present:
            text = _cover_spans(text, _find_spans(text, present))
        if "://" in text and "@" in text:
            text = _USER_INFO.sub(f"{MASK}@", text)
        for mark, shape in _SHAPES:
            if mark in text:
                text = shape.sub(rf"\1{MASK}", text)
        return text

    def hides(self, text: str) -> bool:
        """Whether `mask` would change the text."""
        return self.mask(text) != text

    def value(self, value: T) -> T:
        """`value` with every text in it masked, whatever it is made of; `NAMES` stay."""
        self.refresh()
        masked: Any = self._mask_within(value)
        return masked  # type: ignore[no-any-return]

    def _mask_within(self, value: Any) -> Any:
        match value:
            case str():
                return self._mask_known(value)
            case msgspec.Struct():
                fields = [f for f in value.__struct_fields__ if f not in NAMES]
                old = {f: getattr(value, f) for f in fields}
                new = {f: self._mask_within(v) for f, v in old.items()}
                return msgspec.structs.replace(value, **new) if new != old else value
            case Mapping():
                return {self._mask_within(k): self._mask_within(v) for k, v in value.items()}
            case tuple() | list():
                return type(value)(self._mask_within(v) for v in value)
            case _:
                return value


def _make_forms(value: str) -> Iterator[str]:
    """The forms of one secret value, each long enough to be told from ordinary text."""
    whole = value.strip()
    parts = {whole, *(line.strip() for line in whole.splitlines())}
    path = _URL_PATH.fullmatch(whole)
    if path:
        parts.add(path[1])
    for part in parts:
        if len(part) < SHORTEST or part.startswith("-----"):
            continue
        yield part
        yield from _encode_percent(part)
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield escape(part)
        yield escape(part, quote=False)
        yield _SHELL_PLAIN.sub(r"\\\1", part)
        yield part.replace("'", "'\\''")
        yield part.replace("'", "'\"'\"'")
        yield part.encode().hex()
        yield part.encode().hex().upper()
        yield from _encode_base64(part.encode())


def _encode_percent(text: str) -> Iterator[str]:
    """As libraries do it: everything, all but `/`, a space as `+`, in either case."""
    for safe in ("", "/", ":/?#[]@!$&'()*+,;="):
        form = "".join(
            c if c in _UNRESERVED or c in safe else "".join(f"%{byte:02X}" for byte in c.encode())
            for c in text
        )
        for one in (form, form.replace("%20", "+")):
            yield one
            yield re.sub("%..", lambda found: found[0].lower(), one)


def _encode_base64(raw: bytes) -> Iterator[str]:
    """The characters `raw` alone decides, for each of the three places it can start at."""
    for lead in range(3):
        encoded = base64.b64encode(bytes(lead) + raw).decode()
        first = (0, 2, 3)[lead]
        form = encoded[first : (lead + len(raw)) * 8 // 6]
        if len(form) >= SHORTEST:
            yield form
            yield form.replace("+", "-").replace("/", "_")


def _find_spans(text: str, needles: Iterable[str]) -> list[tuple[int, int]]:
    spans = []
    for needle in needles:
        at = text.find(needle)
        while at >= 0:
            spans.append((at, at + len(needle)))
            at = text.find(needle, at + 1)
    return sorted(spans)


def _cover_spans(text: str, spans: list[tuple[int, int]]) -> str:
    out = []
    end = 0
    covered = 0
    for start, stop in spans:
        if start >= covered:
            out.append(text[end:start])
            out.append(MASK)
        covered = max(covered, stop)
        end = covered
    out.append(text[end:])
    return "".join(out)
