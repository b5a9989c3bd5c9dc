"""Credentials for NVSentinel's store, from the one place the operator names.

A file (a URI, a password, or PEM), a folder like a mounted Kubernetes Secret, a Secret
itself, or an environment variable. What is found is kept out of logs, messages and command
lines: `Material` shows nothing, and drivers that want files get private ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nvsx.nvsentinel.event_store.event_store_errors import HealthEventsError, store_failure

#: What the keys of a Secret (or the files of a folder like one) hold.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "uri": ("uri", "MONGODB_URI", "POSTGRES_URI", "DATASTORE_URI"),
    "username": ("username", "DATASTORE_USERNAME"),
    "password": ("password", "DATASTORE_PASSWORD", "postgres-password", "mongodb-passwords"),
    "ca": ("ca.crt",),
    "certificate": ("tls.crt",),
    "key": ("tls.key",),
}
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)
#: A URI, a password and PEM are some kilobytes: more is the wrong file.
_LARGEST = 1 << 20

ReadSecret = Callable[[str, str], Awaitable[Mapping[str, str]]]
"""Namespace and name of a Secret → its keys and texts. Raises ClusterError."""


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where the credentials are: at most one of a path, `namespace/name` of a Secret, and
    the name of an environment variable."""

    file: str = ""
    secret: str = ""
    env: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """What was found; PEM texts for `ca`, `certificate` and `key`. Its repr shows nothing."""

    uri: str = ""
    username: str = ""
    password: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""


async def load_credentials(
    source: CredentialSource | None, environ: Mapping[str, str], read_secret: ReadSecret
) -> Material:
    """Read the credentials. Raises HealthEventsError (kind `configuration`), ClusterError."""
    if source is None:
        return Material()
    if source.env:
        text = environ.get(source.env, "")
        if not text.strip():
            raise _credentials_unusable(f"the environment variable {source.env} is not set")
        return credentials_of_text(text, source.env)
    if source.secret:
        namespace, _, name = source.secret.partition("/")
        if not (namespace and name):
            raise _credentials_unusable(
                f"{source.secret} names no Secret", "write it as namespace/name"
            )
        return credentials_of_keys(await read_secret(namespace, name), f"Secret {source.secret}")
    return _load_path(Path(source.file).expanduser()) if source.file else Material()


def _load_path(path: Path) -> Material:
    try:
        if path.is_dir():
            names = {n for group in _KEYS.values() for n in group}
            found = {n: _read_small_file(path / n) for n in sorted(names) if (path / n).is_file()}
            return credentials_of_keys(found, f"folder {path}")
        return credentials_of_text(_read_small_file(path), str(path))
    except OSError as error:
        raise _credentials_unusable(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise _credentials_unusable(f"{path} is not text") from None


def _read_small_file(path: Path) -> str:
    if path.stat().st_size > _LARGEST:
        raise OSError(0, "it is too large for credentials")
    return path.read_text("utf-8")


def credentials_of_text(text: str, where: str) -> Material:
    """Credentials in one text: PEM, a URI, or else a password."""
    if "-----BEGIN" in text:
        certificates, key = _CERTIFICATE.findall(text), _KEY.search(text)
        if not certificates or key is None:
            raise _credentials_unusable(f"{where} lacks a certificate or its private key")
        return Material(certificate="\n".join(certificates), key=key[0])
    text = text.strip()
    if not text:
        raise _credentials_unusable(f"{where} is empty")
    return Material(uri=text) if "://" in text else Material(password=text)


def credentials_of_keys(found: Mapping[str, str], where: str) -> Material:
    """Credentials from a Secret's keys."""
    values = {
        field: next((found[n].strip() for n in names if found.get(n, "").strip()), "")
        for field, names in _KEYS.items()
    }
    material = Material(**values)
    if bool(material.certificate) != bool(material.key):
        raise _credentials_unusable(f"{where} has only one of tls.crt and tls.key")
    if not (material.uri or material.password or material.key):
        wanted = "uri, password, or tls.crt with tls.key"
        raise _credentials_unusable(
            f"{where} holds no credentials nvsx knows", f"it looks for {wanted}"
        )
    return material


def _credentials_unusable(message: str, hint: str = "") -> HealthEventsError:
    return store_failure(
        "configuration", message, hint or "see healthEvents.credentials in nvsx.yaml"
    )


def write_private_file(folder: Path, name: str, text: str) -> str:
    """Write `text` to a file that only its owner can read; its path. Drivers want files."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return str(path)
