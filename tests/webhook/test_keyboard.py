"""Who is at the keyboard, asked with real programs: other accounts, proxies, forwarders, ssh.

What runs as another account needs root to start it; a program that is missing is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.patience import until
from tests.webhook.serving import BEARER, DEADLINE, Daemon, serving
from tests.webhook.test_tls import make

from nvsx.serve.webhook.keyboard import Ends, Keyboard, Side

BODY = '{"runbook": "gpu-off-bus"}'
SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
OTHER = "nobody"


def program(name: str) -> str:
    """Its path; Debian keeps servers in a folder that is not on every PATH."""
    found = shutil.which(name, path=SBIN)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI installs it")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def as_other() -> list[str]:
    """The words that run a command as another account."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can start programs as another account")
    return [program("runuser"), "-u", OTHER, "--"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def curl(url: str, *words: str, account: list[str] | None = None) -> int:
    """The status curl gets for a POST; 0 when it gets none."""
    process = await asyncio.create_subprocess_exec(
        *(account or []),
        *(program("curl"), "-q", "-s", "-g", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}"),
        *("--noproxy", "*", "-H", "Content-Type: application/json", "-d", BODY, *words, url),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 2 * DEADLINE)
    return int(out or b"0")


@contextlib.asynccontextmanager
async def running(*command: object, port: int) -> AsyncIterator[None]:
    """A program while the block runs, from when it listens on its port."""
    process = await asyncio.create_subprocess_exec(
        # Another account need not be let into the folder that we stand in.
        *map(str, command),
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, f"{command[0]} ended"
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                break
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        await process.wait()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A folder that another account can read and write; pytest's own are the owner's."""
    folder = Path("/tmp") / f"nvsx-{os.getpid()}-{tmp_path.name[-20:]}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


async def assert_only_the_token_opens(daemon: Daemon, url: str, *words: str) -> None:
    """What comes this way is refused, fires nothing, and the token lets it in: the way works."""
    assert await curl(url, *words) == 401
    assert daemon.intake.offered == []
    assert await curl(url, *words, "-H", f"Authorization: {BEARER['Authorization']}") == 202


# --- the operator -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("::1", "[::1]"),
        ("::", "[::1]"),
        ("localhost", "localhost"),
    ],
)
async def test_a_curl_from_the_daemons_own_account_fires(host: str, name: str) -> None:
    """Over IPv4 and IPv6, and listening on all addresses as the README shows."""
    async with serving(host=host) as daemon:
        assert await curl(f"http://{name}:{daemon.port}/webhook") == 202


async def test_tls_hides_nobody(tmp_path: Path) -> None:
    """The same account, and another, over TLS."""
    program("openssl")
    async with serving(tls=make(tmp_path, "localhost")) as daemon:
        url = f"https://localhost:{daemon.port}/webhook"
        assert await curl(url, "-k") == 202
        assert await curl(url, "-k", account=as_other()) == 401


async def test_a_socket_for_both_families_is_found() -> None:
    """A client that calls ::ffff:127.0.0.1 stands in the kernel's table of IPv6."""
    async with serving() as daemon:
        with socket.socket(socket.AF_INET6) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("::ffff:127.0.0.1", daemon.port))
            head = f"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n"
            head += "Content-Type: application/json\r\n\r\n"
            await loop.sock_sendall(client, head.encode() + BODY.encode())
            answer = await asyncio.wait_for(loop.sock_recv(client, 1000), DEADLINE)
            assert answer.startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize(("minor", "status"), [(1, 202), (0, 401)])
async def test_http_1_0_needs_the_token_even_from_the_own_account(minor: int, status: int) -> None:
    """It is what proxies speak that add nothing; curl speaks 1.1."""
    async with serving() as daemon:
        url = f"http://localhost:{daemon.port}/webhook"
        assert await curl(url, f"--http1.{minor}") == status


# --- other accounts ---------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "localhost"), ("::1", "[::1]")])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
async def test_another_account_of_this_machine_needs_the_token(
    host: str, name: str, version: str
) -> None:
    """The same curl that fires as the daemon's user is 401 as another."""
    account = as_other()
    async with serving(host=host) as daemon:
        url = f"http://{name}:{daemon.port}/webhook"
        assert await curl(url, version, account=account) == 401
        assert daemon.intake.offered == []
        token = f"Authorization: {BEARER['Authorization']}"
        assert await curl(url, version, "-H", token, account=account) == 202


async def test_another_accounts_connection_stays_another_accounts() -> None:
    """One connection for many requests: what the token let in opens nothing without it."""
    account = as_other()
    async with serving() as daemon:
        url = f"http://localhost:{daemon.port}/webhook"
        token = f"Authorization: {BEARER['Authorization']}"
        first = ["-H", token, url, "--next"]
        assert await curl(url, *first, *_AGAIN, account=account) == 202401
        assert len(daemon.intake.fired) == 1


_AGAIN = [
    *("-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"),
    *("-H", "Content-Type: application/json", "-d", BODY),
]
"""What curl sends as its second request over the same connection."""


async def test_a_socket_that_its_program_closed_is_nobodys() -> None:
    """The kernel shows uid 0 for it, root's: a request that was left behind is not root's."""
    async with serving() as daemon:
        loop = asyncio.get_running_loop()
        client = socket.create_connection(("127.0.0.1", daemon.port))
        near, far = client.getpeername(), client.getsockname()
        await loop.run_in_executor(None, client.close)
        ends = Ends(Side(*near), Side(*far))
        assert Keyboard(uid=0).why_not_ours(ends)
        assert Keyboard().why_not_ours(ends)


async def test_a_request_left_behind_by_another_account_is_not_the_daemons() -> None:
    """Its program has gone before anybody looks: the socket has no owner any more."""
    account = as_other()
    head = f"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    async with serving() as daemon:
        process = await asyncio.create_subprocess_exec(
            *(*account, program("socat"), "-u", "STDIN", f"TCP:127.0.0.1:{daemon.port}"),
            stdin=asyncio.subprocess.PIPE,
        )
        await process.communicate((head + BODY).encode())
        await until(lambda: daemon.counted)
        assert daemon.counted == [("webhook", "unauthorized")]
        assert daemon.intake.offered == []


# --- proxies and forwarders -------------------------------------------------------------------

NGINX = """
pid {folder}/pid; error_log {folder}/error.log; daemon off; master_process off;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://{upstream}; {more} }}
  }}
}}
"""


@pytest.mark.parametrize(
    "more",
    [
        "",
        "proxy_http_version 1.1; proxy_set_header Connection '';",
        "proxy_http_version 1.1; proxy_set_header Host localhost;",
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_behind_nginx_everybody_needs_the_token(shared: Path, more: str, host: str) -> None:
    """As Debian sets it up, under an account of its own: it adds no header, and whether it
    speaks HTTP/1.0 or 1.1, to IPv4 or IPv6, its socket is not the daemon's user's."""
    account, port = as_other(), free_port()
    async with serving(host=host) as daemon:
        upstream = f"[::1]:{daemon.port}" if host == "::1" else f"127.0.0.1:{daemon.port}"
        (shared / "conf").write_text(
            NGINX.format(folder=shared, port=port, upstream=upstream, more=more)
        )
        nginx = [program("nginx"), "-e", shared / "error.log", "-c", shared / "conf"]
        async with running(*account, *nginx, port=port):
            await assert_only_the_token_opens(daemon, f"http://localhost:{port}/webhook")


@pytest.mark.parametrize(("more", "status"), [("", 401), ("proxy_http_version 1.1;", 202)])
async def test_nginx_of_the_daemons_own_account_is_that_account(
    shared: Path, more: str, status: int
) -> None:
    """It is refused as it comes, for HTTP/1.0; told to speak 1.1 and to add nothing, nobody
    can tell it from its user, and SECURITY.md says so."""
    port = free_port()
    nginx = program("nginx")
    async with serving() as daemon:
        upstream = f"127.0.0.1:{daemon.port}"
        conf = NGINX.format(folder=shared, port=port, upstream=upstream, more=more)
        (shared / "conf").write_text(conf + ("user root;" if os.geteuid() == 0 else ""))
        command = [nginx, "-e", shared / "error.log", "-c", shared / "conf"]
        async with running(*command, port=port):
            assert await curl(f"http://localhost:{port}/webhook") == status


async def test_a_header_that_a_proxy_adds_betrays_it_under_the_own_account(shared: Path) -> None:
    """The usual line of nginx's manual is enough."""
    port = free_port()
    nginx = program("nginx")
    more = "proxy_http_version 1.1; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    async with serving() as daemon:
        upstream = f"127.0.0.1:{daemon.port}"
        conf = NGINX.format(folder=shared, port=port, upstream=upstream, more=more)
        (shared / "conf").write_text(conf + ("user root;" if os.geteuid() == 0 else ""))
        command = [nginx, "-e", shared / "error.log", "-c", shared / "conf"]
        async with running(*command, port=port):
            await assert_only_the_token_opens(daemon, f"http://localhost:{port}/webhook")


HAPROXY = """
defaults
  mode {mode}
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen all
  bind 127.0.0.1:{port}
  server nvsx 127.0.0.1:{upstream}
"""


@pytest.mark.parametrize("mode", ["http", "tcp"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
async def test_behind_haproxy_everybody_needs_the_token(
    shared: Path, mode: str, version: str
) -> None:
    """It passes Host on and adds nothing unless told to."""
    account, port = as_other(), free_port()
    async with serving() as daemon:
        (shared / "conf").write_text(HAPROXY.format(mode=mode, port=port, upstream=daemon.port))
        haproxy = [program("haproxy"), "-db", "-f", shared / "conf"]
        async with running(*account, *haproxy, port=port):
            await assert_only_the_token_opens(daemon, f"http://localhost:{port}/webhook", version)


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
async def test_behind_a_tcp_forwarder_everybody_needs_the_token(version: str) -> None:
    """It passes every byte on as it came, so only the socket's owner tells."""
    account, port = as_other(), free_port()
    async with serving() as daemon:
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
        command = [program("socat"), listen, f"TCP:127.0.0.1:{daemon.port}"]
        async with running(*account, *command, port=port):
            await assert_only_the_token_opens(daemon, f"http://localhost:{port}/webhook", version)


async def test_what_the_daemons_own_account_forwards_is_its_own() -> None:
    """A forwarder it started itself is that user, and SECURITY.md says so."""
    port = free_port()
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
    async with serving() as daemon:
        command = [program("socat"), listen, f"TCP:127.0.0.1:{daemon.port}"]
        async with running(*command, port=port):
            assert await curl(f"http://localhost:{port}/webhook") == 202


# --- ssh -L -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def ssh_forward(folder: Path, account: str, upstream: int) -> AsyncIterator[int]:
    """ssh -L to the daemon, logged in as this account; gives the near port."""
    sshd, ssh = program("sshd"), program("ssh")
    as_other()
    door, near = free_port(), free_port()
    for name in ("host", "user"):
        await _finish(program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    (folder / "user.pub").chmod(0o644)
    Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "sshd").write_text(
        f"Port {door}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nUsePAM no\nPidFile none\n"
        "PermitRootLogin prohibit-password\nAllowTcpForwarding yes\n"
    )
    options = ["-F", "none", "-i", folder / "user", "-p", str(door), "-N"]
    for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"):
        options += ["-o", option]
    forward = ["-L", f"127.0.0.1:{near}:127.0.0.1:{upstream}", f"{account}@127.0.0.1"]
    async with (
        running(sshd, "-D", "-e", "-f", folder / "sshd", port=door),
        running(ssh, *options, *forward, port=near),
    ):
        yield near


async def _finish(*command: object) -> None:
    process = await asyncio.create_subprocess_exec(*map(str, command))
    assert await process.wait() == 0


async def test_ssh_of_another_account_needs_the_token(shared: Path) -> None:
    """sshd connects as who is logged in."""
    as_other()
    async with serving() as daemon, ssh_forward(shared, _login(), daemon.port) as port:
        await assert_only_the_token_opens(daemon, f"http://localhost:{port}/webhook")


async def test_ssh_of_the_daemons_own_account_is_that_account(shared: Path) -> None:
    """Who can log in as the daemon's user can read its token as well."""
    as_other()
    async with serving() as daemon, ssh_forward(shared, "root", daemon.port) as port:
        assert await curl(f"http://localhost:{port}/webhook") == 202


def _login() -> str:
    """An account that sshd lets in and that is not root's: it has a shell."""
    for entry in pwd.getpwall():
        if entry.pw_uid not in (0, 65534) and entry.pw_shell.endswith(("/sync", "/bash", "/sh")):
            return entry.pw_name
    pytest.skip("no account but root's has a shell")


# --- one connection ------------------------------------------------------------------------------


class FakeConnection(asyncio.Transport):
    """A transport whose socket is still connected for so many looks."""

    def __init__(self, ends: Ends, looks: int) -> None:
        super().__init__()
        self._ends = ends
        self._looks = looks

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self if name == "socket" else default

    def getsockname(self) -> tuple[str, int]:
        return self._ends.near

    def getpeername(self) -> tuple[str, int]:
        self._looks -= 1
        if self._looks < 0:
            raise OSError("not connected")
        return self._ends.far


@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_a_connection_that_ends_during_the_look_proves_nothing(
    tmp_path: Path, looks: int
) -> None:
    """Its port may be another program's by then: the request of who left is not the newcomer's."""
    keyboard = table(tmp_path, 1000)
    reason = await keyboard.proof(FakeConnection(ENDS, looks))()
    assert reason == ("" if looks == 2 else "its connection is gone")


async def test_the_kernel_is_asked_once_for_a_connection(tmp_path: Path) -> None:
    """A socket keeps its owner: later requests of it need no look, another connection does."""
    keyboard = table(tmp_path, 1000)
    first = FakeConnection(ENDS, 100)
    assert await keyboard.proof(first)() == ""
    (tmp_path / "net/tcp").unlink()
    assert await keyboard.proof(first)() == ""
    assert await keyboard.proof(FakeConnection(ENDS, 100))() != ""


# --- a machine that does not tell --------------------------------------------------------------


async def _connected(daemon: Daemon) -> tuple[Ends, asyncio.StreamWriter]:
    _, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    near, far = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
    return Ends(Side(*near), Side(*far)), writer


async def test_without_the_kernels_tables_nothing_is_shown(tmp_path: Path) -> None:
    """A /proc without them, or with what no kernel writes."""
    async with serving() as daemon:
        ends, writer = await _connected(daemon)
        assert Keyboard().why_not_ours(ends) == ""
        assert "does not tell" in Keyboard(tmp_path).why_not_ours(ends)
        (tmp_path / "net").mkdir()
        row = " 0: 0100007F:{:04X} 0100007F:{:04X} 01 0"
        (tmp_path / "net/tcp").write_text(row.format(ends.far.port, ends.near.port))
        assert "does not tell" in Keyboard(tmp_path).why_not_ours(ends)
        writer.close()


ALL_UIDS = "         0          0 4294967295\n"


def table(
    folder: Path, uid: int, inode: int = 7, state: str = "01", users: str = ALL_UIDS
) -> Keyboard:
    """A keyboard of uid 1000 whose kernel shows one socket, 127.0.0.1:50000 to :8080."""
    for part in ("net", "self", "sys/kernel"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    word = struct.unpack("=I", socket.inet_aton("127.0.0.1"))[0]
    row = f"   3: {word:08X}:C350 {word:08X}:1F90 {state} 00000000:00000000 00:00000000 00000000"
    (folder / "net/tcp").write_text(f"  sl  local_address\n{row} {uid:5} 0 {inode} 2 0\n")
    (folder / "self/uid_map").write_text(users)
    (folder / "sys/kernel/overflowuid").write_text("65534\n")
    return Keyboard(folder, uid=1000)


ENDS = Ends(Side("127.0.0.1", 8080), Side("127.0.0.1", 50000))


@pytest.mark.parametrize(
    ("uid", "inode", "state", "reason"),
    [
        (1000, 7, "01", ""),
        (1001, 7, "01", "uid 1001's"),
        (0, 7, "01", "uid 0's"),
        (1000, 0, "01", "no socket"),
        (1000, 7, "06", "no socket"),
        (1000, 7, "05", "no socket"),
        (1000, 7, "0A", "no socket"),
    ],
)
def test_an_open_socket_of_the_own_uid_is_shown(
    tmp_path: Path, uid: int, inode: int, state: str, reason: str
) -> None:
    """Connected, with an inode, and of no other uid: not in TIME_WAIT, half closed, listening."""
    found = table(tmp_path, uid, inode, state).why_not_ours(ENDS)
    assert found == reason or (reason and reason in found)


def test_another_connection_is_not_this_one(tmp_path: Path) -> None:
    """Every one of the four parts counts, and the direction: the own end proves nothing."""
    keyboard = table(tmp_path, 1000)
    near, far = ENDS
    for other in (
        Ends(near, Side("127.0.0.1", 50001)),
        Ends(Side("127.0.0.1", 8081), far),
        Ends(Side("127.0.0.2", 8080), far),
        Ends(near, Side("::1", 50000)),
        Ends(far, near),
    ):
        assert "no socket" in keyboard.why_not_ours(other)


def test_in_a_user_namespace_a_uid_proves_nothing(tmp_path: Path) -> None:
    """Root there is also whoever forwards into it from outside; a process has to be seen."""
    assert "no process" in table(tmp_path, 1000, users="0 1000 1\n").why_not_ours(ENDS)


def test_the_uid_that_stands_for_unknown_ones_proves_nothing(tmp_path: Path) -> None:
    """A daemon that runs as nobody cannot tell its own sockets from those without a uid."""
    table(tmp_path, 65534)
    assert "no process" in Keyboard(tmp_path, uid=65534).why_not_ours(ENDS)


async def test_without_tables_a_process_of_the_own_account_is_looked_for() -> None:
    """As on macOS: this process holds the socket, and is who it says it is."""
    async with serving() as daemon:
        ends, writer = await _connected(daemon)
        assert Keyboard(procfs=None).why_not_ours(ends) == ""
        assert "no process" in Keyboard(procfs=None, uid=os.geteuid() + 1).why_not_ours(ends)
        assert "no process" in Keyboard(procfs=None).why_not_ours(Ends(ends.far, ends.far))
        writer.close()
