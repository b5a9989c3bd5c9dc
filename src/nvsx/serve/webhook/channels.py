"""Channels: each source's decoder set-up and gate, made of `serve.sources` in nvsx.yaml.

Every kind of sender has a source of its own name even where nvsx.yaml has none: its
callers then need the daemon's token. Reads the files and variables that hold secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nvsx.core import patterns
from nvsx.core.errors import NotReady
from nvsx.core.senders import signatures
from nvsx.core.senders.generic import GENERIC
from nvsx.core.senders.message_fields import Compute, no_computation
from nvsx.core.senders.registry import SENDERS
from nvsx.core.senders.sender import ReadHealthEvent, SourceSetup
from nvsx.core.senders.sources import (
    Source,
    kind_of,
)
from nvsx.project.secret_files import open_configured_secret
from nvsx.serve.webhook.auth import Doorman, Gate

WEBHOOK = "webhook"
"""The name of `POST /webhook` as a source."""


class Channel(NamedTuple):
    """One source, ready for requests."""

    setup: SourceSetup
    gate: Gate


def add_default_sources(sources: Mapping[str, Source]) -> dict[str, Source]:
    """The configured sources, and one of each kind whose name is still free."""
    return {**{kind: Source() for kind in SENDERS}, **sources}


def set_up_source(
    name: str,
    source: Source,
    read_health_event: ReadHealthEvent,
    compute: Compute = no_computation,
) -> SourceSetup:
    """What a decoder needs of one source; no secret is read. Raises NotReady for a source
    of no kind, which the settings refuse before."""
    kind = kind_of(name, source)
    if kind is None:
        raise NotReady(f"source {name} has no kind")
    for rule in (rule for rules in source.rules().values() for rule in rules):
        try:
            patterns.compiled(rule.pattern or "")
        except ValueError as exc:
            raise NotReady(f"source {name}: pattern {rule.pattern}: {exc}") from None
    sender = SENDERS[kind]
    signed = bool(source.secret_file or source.secret_env)
    return SourceSetup(
        name=name,
        sender=sender,
        rules=source.rules(),
        events=source.events,
        default=source.default,
        scheme=signatures.SCHEMES[source.signature or sender.scheme] if signed else None,
        read_health_event=read_health_event,
        compute=compute,
    )


def set_up_webhook(read_health_event: ReadHealthEvent) -> SourceSetup:
    """The set-up of `POST /webhook`."""
    return SourceSetup(name=WEBHOOK, sender=GENERIC, read_health_event=read_health_event)


def open_channels(
    sources: Mapping[str, Source],
    doorman: Doorman,
    *,
    read_health_event: ReadHealthEvent,
    compute: Compute = no_computation,
    root: Path,
    env: Mapping[str, str],
) -> dict[str, Channel]:
    """All sources by name, `webhook` for POST /webhook among them.

    Raises NotReady with the source's name when a secret that is named is missing.
    """
    channels = {}
    for name, source in add_default_sources(sources).items():
        setup = set_up_source(name, source, read_health_event, compute)
        if source.signature and setup.scheme is None:
            raise NotReady(
                f"source {name} has a signature but no secret",
                f"add serve.sources.{name}.secretFile to nvsx.yaml",
            )
        try:
            secret = open_configured_secret(source.secret_file, source.secret_env, root, env)
        except NotReady as exc:
            raise NotReady(f"source {name}: {exc.message}", exc.hint) from None
        rule = None
        if setup.scheme is not None and secret is not None:
            rule = signatures.SignatureRule(
                setup.scheme.name, source.header or "", source.timestamp_header or ""
            )
            for why in filter(None, map(setup.scheme.why_unusable, secret.values())):
                raise NotReady(f"source {name}: its secret {why}")
        channels[name] = Channel(setup, Gate(setup.sender, doorman, rule, secret))
    own = set_up_webhook(read_health_event)
    channels[WEBHOOK] = Channel(own, Gate(own.sender, doorman))
    return channels
