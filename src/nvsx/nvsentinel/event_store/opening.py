"""Finds NVSentinel's store: which one it is, the way to it, and the credentials.

A URI in nvsx.yaml wins; with `auto` the ConfigMaps of the installation say what there is.
Names of services are reached as they are from a pod, and through `kubectl port-forward`
from anywhere else. Nothing is looked for before the store is first read, so that having one
costs a run without such watches nothing.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from nvsx.core.errors import ClusterError
from nvsx.core.incident.session import HealthEvent
from nvsx.core.ports import Clock
from nvsx.core.store_uris import why_credentials_unreadable
from nvsx.nvsentinel.event_store.credentials import CredentialSource, Material, load_credentials
from nvsx.nvsentinel.event_store.event_feed import Batch, FeedPosition, HealthEventFeed
from nvsx.nvsentinel.event_store.event_store_errors import HealthEventsError, store_failure
from nvsx.nvsentinel.event_store.mongo import MongoHealthEvents
from nvsx.nvsentinel.event_store.port_forward import Kubectl, PortForward
from nvsx.nvsentinel.event_store.postgres import PostgresHealthEvents
from nvsx.nvsentinel.event_store.store_location import Product, StoreTarget
from nvsx.nvsentinel.installation import Installation

Inspect = Callable[[], Awaitable[Installation]]
_PORTS: Mapping[Product, int] = {"MongoDB": 27017, "PostgreSQL": 5432}
_SECRET_WITHIN = 20.0
_ALTERNATIVE = "set healthEvents.uri in nvsx.yaml, or use --mode watch: it needs no database"


@dataclass(frozen=True, slots=True)
class Reach:
    """From where nvsx works. `environ` is its environment, `folder` a private one for
    drivers that want files, `kubectl` the cluster of this run."""

    environ: Mapping[str, str]
    folder: Path
    kubectl: Kubectl
    in_pod: bool = False


class HealthEvents:
    """The store, found and opened when it is first read, and again until that succeeds.

    Adapter of event_feed.HealthEventFeed for whichever product there is.
    """

    def __init__(
        self,
        uri: str,
        credentials: CredentialSource | None,
        *,
        inspect: Inspect,
        reach: Reach,
        clock: Clock,
    ) -> None:
        self._uri = uri
        self._credentials = credentials
        self._inspect = inspect
        self._reach = reach
        self._clock = clock
        self._store: HealthEventFeed | None = None
        self._opening = asyncio.Lock()

    async def events(self, node: str, since: float) -> Sequence[HealthEvent]:
        async with self._open_store() as store:
            return await store.events(node, since)

    async def after(self, position: FeedPosition, limit: int = 500) -> Batch:
        async with self._open_store() as store:
            return await store.after(position, limit)

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    @asynccontextmanager
    async def _open_store(self) -> AsyncIterator[HealthEventFeed]:
        """The store; found anew next time when this shows that its credentials have changed."""
        async with self._opening:
            if self._store is None:
                try:
                    target = await self._find_store()
                except ClusterError as error:
                    raise store_failure("unavailable", error.message, error.hint) from error
                kind = MongoHealthEvents if target.product == "MongoDB" else PostgresHealthEvents
                self._store = kind(target, self._clock)
            store = self._store
        try:
            yield store
        except HealthEventsError as error:
            if error.kind in ("authentication", "tls") and self._store is store:
                await self.close()
            raise

    async def _find_store(self) -> StoreTarget:
        material = await load_credentials(
            self._credentials, self._reach.environ, self._read_named_secret
        )
        installation = await self._inspect()
        uri = material.uri or ("" if self._uri == "auto" else self._uri)
        uri = uri or make_found_uri(installation, material)
        return make_store_target(uri, material, installation, self._reach)

    async def _read_named_secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """A Secret the operator named, read with the operator's kubectl."""
        command = self._reach.kubectl.command(
            "get", "secret", name, f"--namespace={namespace}", "-o", "json"
        )
        return await _read_secret(command, self._reach.kubectl.environ, f"{namespace}/{name}")


def open_health_events(
    uri: str,
    credentials: CredentialSource | None,
    *,
    inspect: Inspect,
    reach: Reach,
    clock: Clock,
) -> HealthEvents | None:
    """The store that `uri` leads to: `auto`, `none`, or a MongoDB or PostgreSQL URI.

    None for `none`. Connects to nothing; what is wrong is raised by the first read.
    """
    if uri == "none":
        return None
    return HealthEvents(uri, credentials, inspect=inspect, reach=reach, clock=clock)


def make_found_uri(installation: Installation, material: Material) -> str:
    """The URI that the installation's ConfigMap comes to. Raises HealthEventsError."""
    provider, facts = installation.provider, installation.datastore
    if not provider.known:
        raise store_failure(
            "unavailable", f"NVSentinel's datastore is not known: {provider.evidence}", _ALTERNATIVE
        )
    if provider.value == "mongodb":
        if facts.get("MONGODB_URI"):
            return facts["MONGODB_URI"]
    elif provider.value in ("postgresql", "postgres"):
        if host := facts.get("DATASTORE_HOST"):
            user = material.username or facts.get("DATASTORE_USERNAME") or "postgres"
            port = facts.get("DATASTORE_PORT") or _PORTS["PostgreSQL"]
            name = facts.get("DATASTORE_DATABASE") or "nvsentinel"
            mode = facts.get("DATASTORE_SSLMODE", "")
            query = f"?sslmode={quote(mode)}" if mode else ""
            return f"postgresql://{quote(user, safe='')}@{host}:{port}/{quote(name)}{query}"
    elif provider.value == "none":
        raise store_failure(
            "configuration",
            "this NVSentinel stores no events: it only monitors",
            "use --mode watch: it needs no database",
        )
    raise store_failure(
        "configuration",
        f"NVSentinel's datastore is {provider.value} ({provider.evidence}), "
        "and its address is not in the ConfigMap",
        _ALTERNATIVE,
    )


def make_store_target(
    uri: str, material: Material, installation: Installation, reach: Reach
) -> StoreTarget:
    """Where `uri` leads from here. Raises HealthEventsError for one that leads nowhere, before
    any of it is shown as a host."""
    if wrong := why_credentials_unreadable(uri):
        what, _, hint = wrong.partition(": ")
        raise store_failure("configuration", what, hint)
    product: Product = "MongoDB" if uri.startswith("mongodb") else "PostgreSQL"
    host, port = _parse_address(uri, _PORTS[product])
    forward = None
    where = service_inside(host, installation.namespace)
    if where is not None and not reach.in_pod:
        service, namespace = where
        forward = PortForward(reach.kubectl, namespace, service, port)
    mongo = product == "MongoDB"
    return StoreTarget(
        product=product,
        uri=uri,
        name=host or "a local socket",
        folder=reach.folder,
        material=material,
        database=installation.database if mongo else "",
        collection=installation.collection if mongo else "",
        forward=forward,
        in_pod=reach.in_pod,
        namespace=installation.namespace,
    )


def _parse_address(uri: str, usual: int) -> tuple[str, int]:
    """The first host of a URI, and its port. MongoDB's may list several."""
    try:
        first = urlsplit(uri).netloc.rpartition("@")[2].split(",")[0]
    except ValueError:
        first = ":?"
    found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d{1,5}))?", first)
    if found is None:
        raise store_failure(
            "configuration",
            "the address in the URI of NVSentinel's store cannot be understood",
            "write user and password percent-encoded: …://user:p%40ss@host:port/database",
        )
    return found[1], int(found[2] or usual)


def service_inside(host: str, namespace: str) -> tuple[str, str] | None:
    """(service, namespace) when `host` is a name that means something in the cluster alone.

    A bare name is a service of NVSentinel's namespace. A pod of a StatefulSet
    (`mongodb-0.mongodb-headless…`) is reached through its service.
    """
    if not host or host == "localhost" or re.fullmatch(r"[\d.]+|\[.*\]", host):
        return None
    labels = host.removesuffix(".").split(".")
    if "svc" in labels[1:]:
        at = labels.index("svc", 1)
        return (labels[at - 2], labels[at - 1]) if at >= 2 else None
    return (host, namespace) if len(labels) == 1 else None


async def _read_secret(
    command: Sequence[str], environ: Mapping[str, str], name: str
) -> Mapping[str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise _no_secret(name, f"kubectl cannot be run: {error.strerror}") from None
    try:
        out, err = await asyncio.wait_for(process.communicate(), _SECRET_WITHIN)
    except TimeoutError:
        raise _no_secret(name, f"kubectl did not end within {_SECRET_WITHIN:g}s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = err.decode("utf-8", "replace").strip().splitlines()
        raise _no_secret(name, said[-1][:300] if said else f"exit code {process.returncode}")
    try:
        data = json.loads(out).get("data") or {}
        return {k: base64.b64decode(v).decode() for k, v in data.items() if _is_text(v)}
    except (ValueError, AttributeError, binascii.Error):
        raise _no_secret(name, "kubectl printed no Secret") from None


def _is_text(encoded: str) -> bool:
    try:
        base64.b64decode(encoded).decode()
    except ValueError:  # a keystore or the like
        return False
    return True


def _no_secret(name: str, why: str) -> HealthEventsError:
    return store_failure(
        "configuration",
        f"Secret {name} with the credentials cannot be read: {why}",
        "nvsx reads it as you: `get` on that Secret is needed, or use credentials.file or env",
    )
