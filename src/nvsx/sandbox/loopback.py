"""TLS on loopback: the certificate every sandbox shows, so that kubectl sends its token.

loopback.pem comes with nvsx, key and all: it proves nothing, and a sandbox's kubeconfig is
the only place that trusts it. Who may do what is decided by the token alone.
"""

from __future__ import annotations

import ssl
from functools import cache
from importlib import resources

_FILE = resources.files("nvsx.sandbox").joinpath("loopback.pem")


@cache
def context() -> ssl.SSLContext:
    """The server's side."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    with resources.as_file(_FILE) as path:
        made.load_cert_chain(path)
    return made


@cache
def certificate() -> str:
    """The certificate in PEM, which is its own authority."""
    _, begin, rest = _FILE.read_text(encoding="utf-8").partition("-----BEGIN CERTIFICATE-----")
    return begin + rest
