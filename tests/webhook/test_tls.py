import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.webhook.serving import serving

from nvsx.core.errors import NotReady
from nvsx.serve.webhook.listening import TlsFiles

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def make(folder: Path, name: str) -> TlsFiles:
    """A new certificate for 127.0.0.1, over whatever was there."""
    files = TlsFiles(folder / "tls.crt", folder / "tls.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", str(files.key), "-out", str(files.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return files


async def presented(port: int, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The certificate the server shows, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    """New connections get the new one; a pair that does not fit leaves the old one."""
    files = make(tmp_path, "first")
    async with serving(tls=files) as daemon:
        assert daemon.server.url.startswith("https://")
        first = await presented(daemon.port)
        assert first == ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
        make(tmp_path, "second")
        tls = daemon.server._listener._tls
        assert tls is not None
        tls._checked = float("-inf")
        second = await presented(daemon.port)
        assert second == ssl.PEM_cert_to_DER_cert(files.certificate.read_text()) != first
        files.key.write_text("half written")
        tls._checked = float("-inf")
        assert await presented(daemon.port) == second


async def test_plain_http_and_no_tls_at_all_do_not_get_through(tmp_path: Path) -> None:
    """A TLS port answers nothing to HTTP."""
    async with serving(tls=make(tmp_path, "x")) as daemon:
        assert not (
            await daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        ).startswith(b"HTTP/")


def test_unusable_files_are_said_clearly(tmp_path: Path) -> None:
    """At the start, with both names, and never as a question for a passphrase."""
    files = TlsFiles(tmp_path / "no.crt", tmp_path / "no.key")

    async def start() -> None:
        async with serving(tls=files):
            pytest.fail("it started")

    with pytest.raises(NotReady, match=r"no\.crt"):
        asyncio.run(start())
    locked = make(tmp_path, "x")
    subprocess.run(
        ["openssl", "ec", "-aes128", "-passout", "pass:abcd", "-in", locked.key, "-out", files.key],
        check=True,
        capture_output=True,
    )
    files = TlsFiles(locked.certificate, files.key)
    with pytest.raises(NotReady, match="passphrase"):
        asyncio.run(start())
