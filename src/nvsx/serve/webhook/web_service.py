"""The HTTP server of a daemon, webhooks and probes, put together from the project's settings."""

from __future__ import annotations

import asyncio
import logging
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from nvsx.core.errors import NotReady, NvsxError, UsageError
from nvsx.nvsentinel import decoding
from nvsx.project import cel
from nvsx.project.secret_masker import learn_settings
from nvsx.project.settings import FILE
from nvsx.project.settings_reader import SettingsReader, list_waiting_changes
from nvsx.serve.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nvsx.core.senders.sources import OAuth, Sources, Token
    from nvsx.project.secret_files import Secret
    from nvsx.serve.daemon import Daemon
    from nvsx.serve.serve_options import ServeOptions
    from nvsx.serve.webhook.auth import Doorman
    from nvsx.serve.webhook.channels import Channel
    from nvsx.serve.webhook.http_server import WebhookServer
    from nvsx.serve.webhook.listening import TlsFiles

log = logging.getLogger("nvsx.webhook")

#: Seconds between two looks whether nvsx.yaml has changed: a person who saved it tries it next.
READ_EVERY = 2.0


class Webhooks:
    """A daemon's HTTP server: its probes, and in webhook mode its sources.

    `start` it when the daemon has begun, `stop` it first.
    """

    def __init__(self, daemon: Daemon, options: ServeOptions) -> None:
        """Raises NotReady and UsageError when a secret or a certificate cannot be used."""
        serve = daemon.world.home.settings.serve
        self._host = options.host or serve.host
        self._port = serve.port if options.port is None else options.port
        self._open = "webhook" in daemon.modes
        #: Without webhooks nobody asked for an address: one that is taken is no reason to stop.
        self._wanted = self._open or options.host is not None or options.port is not None
        self._token_path = _find_token_path(daemon, serve.token)
        self._token = _find_token(daemon, serve.token) if self._open else _make_token_of_nobody()
        self._server = self._make_server(daemon, options)
        home = daemon.world.home
        self._daemon = daemon
        self._reader = SettingsReader(home.project.root, home.env, home.settings)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> list[str]:
        """Listen; returns what to tell the operator. Raises NotReady."""
        self._following = asyncio.create_task(self._follow_settings())
        try:
            await self._server.start(self._host, self._port)
        except NotReady as error:
            if self._wanted:
                raise
            return [f"no probes (/healthz, /readyz, /metrics): {error.message}; {error.hint}"]
        if not self._open:
            return [f"probes at {self._server.url}/healthz, /readyz and /metrics"]
        told = [f"webhooks at {self._server.url}/webhook and /hooks/<source>"]
        if self._token_path is not None:
            told.append(f"callers need the token in {self._token_path}")
        return told

    @property
    def authorization(self) -> str:
        """The header callers need, for the eyes of the person at a terminal only: not for a
        log, which masks it. "" without a token of nvsx's own keeping."""
        if not self._open or self._token_path is None:
            return ""
        return f"Authorization: Bearer {self._token.values()[0].decode(errors='replace')}"

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
        await self._server.stop()

    async def _follow_settings(self) -> None:
        while True:
            await self._daemon.clock.sleep(READ_EVERY)
            self.reread_settings()

    def reread_settings(self) -> None:
        """Use the sources of nvsx.yaml as they are now. A file that cannot be used changes
        nothing, loudly; what cannot change while running is named."""
        try:
            found = self._reader.read_if_changed()
            if found is None:
                return
            home = self._daemon.world.home
            learn_settings(home.masker, home.env, home.project.root, found)
            if self._open:
                sources = found.serve.sources
                self._server.replace_channels(_open_channels(self._daemon, self._doorman, sources))
        except NvsxError as error:
            log.error("%s has changed and cannot be used; the old settings stay: %s", FILE, error)  # noqa: TRY400
            return
        before, self._reader.current = self._reader.current, found
        log.info("%s has changed; sources in use: %s", FILE, ", ".join(found.serve.sources))
        if waiting := ", ".join(list_waiting_changes(before, found)):
            log.warning("%s: what changed of %s counts at the next start", FILE, waiting)

    def _make_server(self, daemon: Daemon, options: ServeOptions) -> WebhookServer:
        from nvsx.serve.webhook.auth import Doorman
        from nvsx.serve.webhook.http_server import Probes, WebhookServer
        from nvsx.serve.webhook.oauth import TokenEndpoint

        home = daemon.world.home
        serve = home.settings.serve
        strict = serve.require_auth if options.require_auth is None else options.require_auth
        endpoint = None
        if self._open and serve.oauth is not None:
            secret = _find_client_secret(daemon, serve.oauth)
            endpoint = TokenEndpoint(serve.oauth.client_id, secret, self._token)
        self._doorman = doorman = Doorman(
            self._token, operator=not strict and not daemon.world.where.in_pod, endpoint=endpoint
        )

        async def ready() -> Mapping[str, str]:
            _, states = await daemon.readyz()
            return {name: state for name, state in states.items() if state != "ok"}

        def metrics() -> tuple[bytes, str]:
            return daemon.metrics.render(), CONTENT_TYPE

        probes = Probes(ready=ready, metrics=metrics, count=daemon.metrics.count_request)
        return WebhookServer(
            daemon.door,
            _open_channels(daemon, doorman, serve.sources) if self._open else {},
            doorman,
            daemon.clock,
            probes=probes,
            tls=_find_tls_files(daemon, options),
        )


def _open_channels(daemon: Daemon, doorman: Doorman, sources: Sources) -> Mapping[str, Channel]:
    from nvsx.serve.webhook.channels import open_channels

    home = daemon.world.home
    return open_channels(
        sources,
        doorman,
        read_health_event=decoding.decode_cloudevent,
        compute=cel.value,
        root=home.project.root,
        env=home.env,
    )


def _make_token_of_nobody() -> Secret:
    """A token that nobody has: only probes are served, and no file is made for it."""
    from nvsx.project.secret_files import FixedSecret

    return FixedSecret([secrets.token_bytes(32)])


def _find_tls_files(daemon: Daemon, options: ServeOptions) -> TlsFiles | None:
    from nvsx.serve.webhook.listening import TlsFiles

    serve = daemon.world.home.settings.serve
    certificate, key = options.tls_cert or serve.tls_cert, options.tls_key or serve.tls_key
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise UsageError("TLS needs both a certificate and its key", "--tls-cert F --tls-key F")
    root = daemon.world.home.project.root
    return TlsFiles(root / Path(certificate).expanduser(), root / Path(key).expanduser())


def _find_token_path(daemon: Daemon, token: Token | None) -> Path | None:
    """Where callers find the token; None when it is in a variable."""
    from nvsx.project.secret_files import TOKEN_FILE

    if token is None:
        return daemon.world.home.state_dir / TOKEN_FILE
    return daemon.world.home.project.root / Path(token.file).expanduser() if token.file else None


def _find_token(daemon: Daemon, token: Token | None) -> Secret:
    from nvsx.project.secret_files import open_own_token

    if token is None:
        return open_own_token(daemon.world.home.state_dir)
    return _read_named_secret(daemon, token.file, token.env)


def _find_client_secret(daemon: Daemon, oauth: OAuth) -> Secret:
    return _read_named_secret(daemon, oauth.secret_file, oauth.secret_env)


def _read_named_secret(daemon: Daemon, file: str | None, variable: str | None) -> Secret:
    from nvsx.project.secret_files import open_configured_secret

    home = daemon.world.home
    files, variables = (file,) if file else (), (variable,) if variable else ()
    found = open_configured_secret(files, variables, home.project.root, home.env)
    if found is None:
        raise UsageError("the token's place is not named", "serve.token has file or env")
    return found
