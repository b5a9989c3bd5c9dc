"""Senders of webhooks, as `nvsx.yaml` describes them under `serve.sources`.

The settings are made of these models, and the decoders read them: which kind of body a
sender posts, how its requests are authenticated, and where in a body the node, the
runbook and the rest are. Nothing here reads a file or a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nvsx.core.fields import Model, Regex, Text, Texts

Kind = Literal[
    "nvsentinel",
    "alertmanager",
    "grafana",
    "pagerduty",
    "opsgenie",
    "jsm",
    "jsm-automation",
    "jira",
    "generic",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Scheme = Literal["pagerduty", "grafana", "github", "websub", "standard-webhooks", "bearer", "basic"]

#: What a sender of this kind can do at best; used once a secret is configured.
DEFAULT_SCHEME: Mapping[Kind, Scheme] = {
    "nvsentinel": "bearer",
    "alertmanager": "bearer",
    "grafana": "grafana",
    "pagerduty": "pagerduty",
    "opsgenie": "bearer",
    "jsm": "bearer",
    "jsm-automation": "bearer",
    "jira": "websub",
    "generic": "github",
}

#: The values a rule can find.
FOUND = ("node", "runbook", "check", "errorCode", "cluster")


class Computed(NamedTuple):
    """What a CEL expression came to, as text; when it came to nothing, `reason` says why."""

    value: str
    reason: str = ""


#: Evaluates a CEL expression over `body`, the (part of the) message being decoded.
Compute = Callable[[str, Mapping[str, object]], Computed]


def no_computation(expression: str, body: Mapping[str, object]) -> Computed:  # noqa: ARG001
    """The evaluator where none is wired: no expression ever finds a value, and it says so."""
    return Computed("", "CEL is not evaluated here")


def _two(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > 2:
        raise ValueError(f"{len(values)} secrets; two are enough to rotate one")
    return values


Two = Annotated[Texts, AfterValidator(_two)]


def _list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
        raise ValueError(f"'{name}' is no header name; letters, digits and - only")
    return name


HeaderName = Annotated[str, AfterValidator(_header_name)]


class Extract(Model):
    """How to find one value in a message."""

    from_: Text | None = Field(
        None, alias="from", description="Dotted path into the body; lists by number: a.0.b."
    )
    pattern: Regex | None = Field(
        None, description="Regular expression; the group of the value's name counts, or the first."
    )
    cel: Text | None = Field(None, description="CEL expression over `body` that gives the text.")

    @model_validator(mode="after")
    def _one_way(self) -> Extract:
        if (self.from_ is None) == (self.cel is None):
            raise ValueError("a rule has exactly one of from, cel")
        return self


Extracts = Annotated[tuple[Extract, ...], BeforeValidator(_list)]


class Source(Model):
    """One sender of webhooks. Values are looked for by the first of its rules that finds
    one, then where this kind of sender usually puts them."""

    kind: Kind | None = Field(None, description="Default: the source's name.")
    secret_file: Two = Field((), description="Signing secret or token; two rotate.")
    secret_env: Two = Field((), description="Names of variables that hold it.")
    signature: Scheme | None = Field(None, description="Default: what this kind of sender does.")
    header: HeaderName | None = Field(None, description="Header that carries the signature.")
    timestamp_header: HeaderName | None = Field(None, description="grafana only: its time header.")
    events: Texts = Field((), description="The sender's event types that may start a run.")
    node: Extracts = Field((), description="Where the node's name is.")
    runbook: Extracts = Field((), description="Where a runbook is named; else routing decides.")
    check: Extracts = Field((), description="Where the check's name is.")
    error_code: Extracts = Field((), description="Where the error code is.")
    cluster: Extracts = Field((), description="Where the cluster's name is.")

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        if self.secret_file and self.secret_env:
            raise ValueError("the secret is in secretFile or in secretEnv, not in both")
        return self

    def rules(self) -> Mapping[str, tuple[Extract, ...]]:
        """The rules by the name of the value they find."""
        return {
            "node": self.node,
            "runbook": self.runbook,
            "check": self.check,
            "errorCode": self.error_code,
            "cluster": self.cluster,
        }


class OAuth(Model):
    """The token endpoint for NVSentinel's exporter, where there is no identity provider."""

    client_id: Text
    secret_file: Text | None = Field(None, description="Holds the client's secret.")
    secret_env: Text | None = Field(None, description="Name of the variable that holds it.")

    @model_validator(mode="after")
    def _one_place(self) -> OAuth:
        if (self.secret_file is None) == (self.secret_env is None):
            raise ValueError("oauth has exactly one of secretFile, secretEnv")
        return self


class Token(Model):
    """Where the daemon's own bearer token is, when not made by nvsx."""

    file: Text | None = None
    env: Text | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Token:
        if (self.file is None) == (self.env is None):
            raise ValueError("token has exactly one of file, env")
        return self


#: Kinds whose messages tell what happened to them by an event type of the sender's.
WITH_EVENT_TYPES: tuple[Kind, ...] = ("pagerduty", "opsgenie", "jsm", "jira")


def misplaced(kind: Kind, source: Source) -> Mapping[str, str]:
    """Settings that mean nothing for a source of this kind: key → why."""
    found = {}
    if source.events and kind not in WITH_EVENT_TYPES:
        found["events"] = f"a {kind} source has no event types"
    scheme = source.signature or DEFAULT_SCHEME[kind]
    if source.timestamp_header and scheme != "grafana":
        found["timestampHeader"] = f"signature {scheme} has no timestamp header to name"
    if source.header and scheme in ("bearer", "basic", "standard-webhooks"):
        found["header"] = f"the header of signature {scheme} is fixed"
    return found


#: A source's name is part of its URL, /hooks/<name>.
SOURCE_NAME = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"


#: What events are told apart by when they come from nvsx's own sources.
_TAKEN = ("webhook", "watch", "poll", "cli")


def _source_name(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"'{name}' is a source of nvsx's own; choose another name")
    if not re.fullmatch(SOURCE_NAME, name):
        raise ValueError(f"'{name}' cannot be part of a URL; lower-case letters, digits, . _ -")
    return name


Sources = dict[Annotated[str, AfterValidator(_source_name)], Source]


def kind_of(name: str, source: Source) -> Kind | None:
    """The kind of the source called `name`; None when neither says."""
    return source.kind or next((kind for kind in KINDS if kind == name), None)
