"""Real database servers for the tests, on loopback, gone when the tests are.

Each is a child whose standard input is a pipe from here: it ends when the pipe closes, so
that nothing stays behind even after kill -9. PostgreSQL refuses to run as root; then it
runs as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.patience import patience

_UNTIL_EOF = 'stop=$1; shift; "$@" & server=$!; read -r _; kill -s "$stop" "$server"; wait'


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """A server's program; Debian keeps PostgreSQL's off PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    return shutil.which(name, path=path) or name


def account() -> str | None:
    """Who shall run PostgreSQL: None for this user."""
    if os.geteuid() != 0:
        return None
    return next(n for n in ("postgres", "nobody") if _exists(n))


def _exists(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


class Server:
    """A server that can be stopped and started again on the same port."""

    stop_signal = "TERM"

    def __init__(self, command: list[str], port: int, log: Path, user: str | None = None) -> None:
        self.command, self.port, self.log, self.user = command, port, log, user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections; a failed start leaves nothing."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _UNTIL_EOF, "server", self.stop_signal, *self.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                user=self.user,
                cwd="/",
            )
        deadline = time.monotonic() + patience(30)
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the server did not come up: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait(patience(20))


class Postgres(Server):
    """`uri` leads to one of its databases, over TCP."""

    stop_signal = "QUIT"  # at once, whoever is connected

    def uri(self, database: str = "postgres", user: str = "postgres", **options: str) -> str:
        query = "&".join(f"{k}={v}" for k, v in options.items())
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}" + (query and f"?{query}")


_HBA = """
host all postgres 127.0.0.1/32 trust
host all reader 127.0.0.1/32 scram-sha-256
host all stranger 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
"""


@contextmanager
def postgres(certificates: Mapping[str, Path]) -> Iterator[Postgres]:
    """A PostgreSQL with users `postgres` (trusted), `reader` and `stranger` (password), and
    `certified` (client certificate)."""
    user = account()
    folder = Path(tempfile.mkdtemp(prefix="nvsx-pg-", dir="/tmp"))
    try:
        for name in ("server.crt", "server.key", "ca.crt"):
            shutil.copy(certificates[name], folder / name)
            (folder / name).chmod(0o600)
        if user:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, user)
        data = folder / "data"
        subprocess.run(
            [program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
            cwd="/",
        )
        (data / "pg_hba.conf").write_text(_HBA)
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "ssl": "on",
            "ssl_cert_file": folder / "server.crt",
            "ssl_key_file": folder / "server.key",
            "ssl_ca_file": folder / "ca.crt",
        }
        command = [program("postgres"), "-D", str(data), "-p", str(port)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        server = Postgres(command, port, folder / "log", user)
        (folder / "log").touch()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mongo() -> Iterator[Server]:
    """A server that speaks MongoDB's wire protocol, with nothing in it."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nvsx-mongo-") as folder:
        log = Path(folder, "log")
        server = Server(["mongo-java-server", "127.0.0.1", str(port)], port, log)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def make_certificates(folder: Path) -> dict[str, Path]:
    """A CA, certificates of a server and a client, and a CA that nobody knows."""

    def openssl(*args: str | Path) -> None:
        subprocess.run(["openssl", *args], check=True, cwd=folder, stderr=subprocess.DEVNULL)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ca", "other"):
        openssl(*("req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.crt"),
                *("-days", "2", "-subj", f"/CN={ca}"))  # fmt: skip
    names = "DNS:nvsentinel-postgresql.nvsentinel.svc,DNS:mongodb-headless.nvsentinel.svc"
    for name, subject, extra in (
        ("server", "/CN=server", f"subjectAltName={names}"),
        ("client", "/O=Nvidia/CN=certified", "subjectAltName=DNS:client"),
    ):
        (folder / "ext").write_text(extra)
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", "-days", "2"),
            *("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext"),
        )
    return {p.name: p for p in folder.glob("*.*")}
