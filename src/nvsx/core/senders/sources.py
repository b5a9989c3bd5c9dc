"""Senders of webhooks, as `nvsx.yaml` describes them under `serve.sources`.

The settings are made of these models, and the decoders read them: which kind of body a
sender posts, how its requests are authenticated, and where in a body the node, the
runbook and the rest are. Nothing here reads a file or a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nvsx.core.fields import Model, Text, Texts
from nvsx.core.senders.message_fields import Extract
from nvsx.core.senders.registry import SENDERS
from nvsx.core.senders.signatures import SCHEMES

if TYPE_CHECKING:
    Kind = str
    SchemeName = str
else:  # what a file may say is what there is
    Kind = Literal[tuple(SENDERS)]
    SchemeName = Literal[tuple(SCHEMES)]


def _refuse_third_secret(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > 2:
        raise ValueError(f"{len(values)} secrets; two are enough to rotate one")
    return values


Two = Annotated[Texts, AfterValidator(_refuse_third_secret)]


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _check_header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
        raise ValueError(f"'{name}' is no header name; letters, digits and - only")
    return name


HeaderName = Annotated[str, AfterValidator(_check_header_name)]


Extracts = Annotated[tuple[Extract, ...], BeforeValidator(_as_list)]


class Source(Model):
    """One sender of webhooks. Values are looked for by the first of its rules that finds
    one, then where this kind of sender usually puts them."""

    kind: Kind | None = Field(None, description="Default: the source's name.")
    secret_file: Two = Field((), description="Signing secret or token; two rotate.")
    secret_env: Two = Field((), description="Names of variables that hold it.")
    signature: SchemeName | None = Field(
        None, description="Default: what this kind of sender does."
    )
    header: HeaderName | None = Field(None, description="Header that carries the signature.")
    timestamp_header: HeaderName | None = Field(None, description="grafana only: its time header.")
    events: Texts = Field((), description="The sender's event types that may start a run.")
    node: Extracts = Field((), description="Where the node's name is.")
    runbook: Extracts = Field((), description="Where a runbook is named; else routing decides.")
    check: Extracts = Field((), description="Where the check's name is.")
    error_code: Extracts = Field((), description="Where the error code is.")
    cluster: Extracts = Field((), description="Where the cluster's name is.")
    resolved: Extracts = Field((), description="Where the state is: firing, resolved, ok, …")
    severity: Extracts = Field((), description="Where the severity is: critical, P1, warning, …")
    time: Extracts = Field((), description="When it began: RFC 3339, or Unix time.")
    key: Extracts = Field((), description="The sender's own identity of the alert.")
    default: bool = Field(
        False, description="Whether alerts that no runbook matches go to the catch-all."
    )

    @model_validator(mode="after")
    def _refuse_two_places_of_secret(self) -> Source:
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
            "resolved": self.resolved,
            "severity": self.severity,
            "time": self.time,
            "key": self.key,
        }


class OAuth(Model):
    """The token endpoint for NVSentinel's exporter, where there is no identity provider."""

    client_id: Text
    secret_file: Text | None = Field(None, description="Holds the client's secret.")
    secret_env: Text | None = Field(None, description="Name of the variable that holds it.")

    @model_validator(mode="after")
    def _require_one_place(self) -> OAuth:
        if (self.secret_file is None) == (self.secret_env is None):
            raise ValueError("oauth has exactly one of secretFile, secretEnv")
        return self


class Token(Model):
    """Where the daemon's own bearer token is, when not made by nvsx."""

    file: Text | None = None
    env: Text | None = None

    @model_validator(mode="after")
    def _require_one_place(self) -> Token:
        if (self.file is None) == (self.env is None):
            raise ValueError("token has exactly one of file, env")
        return self


def misplaced_keys(kind: str, source: Source) -> Mapping[str, str]:
    """Settings that mean nothing for a source of this kind: key → why."""
    found = {}
    sender = SENDERS[kind]
    if source.events and not sender.event_types:
        found["events"] = f"a {kind} source has no event types"
    if source.default and not sender.sends_alerts:
        found["default"] = f"what a {kind} source sends always may go to the catch-all"
    scheme = SCHEMES[source.signature or sender.scheme]
    if source.timestamp_header and not scheme.timestamped:
        found["timestampHeader"] = f"signature {scheme.name} has no timestamp header to name"
    if source.header and not scheme.own_header:
        found["header"] = f"the header of signature {scheme.name} is fixed"
    return found


#: A source's name is part of its URL, /hooks/<name>.
SOURCE_NAME = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"


#: What events are told apart by when they come from nvsx's own sources.
_TAKEN = ("webhook", "watch", "poll", "cli")


def _check_source_name(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"'{name}' is a source of nvsx's own; choose another name")
    if not re.fullmatch(SOURCE_NAME, name):
        raise ValueError(f"'{name}' cannot be part of a URL; lower-case letters, digits, . _ -")
    return name


Sources = dict[Annotated[str, AfterValidator(_check_source_name)], Source]


def kind_of(name: str, source: Source) -> str | None:
    """The kind of the source called `name`; None when neither says."""
    return source.kind or (name if name in SENDERS else None)
