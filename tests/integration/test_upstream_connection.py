"""The native client over proxies, with certificates of an own CA, and over a Unix socket."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from luthien_stream.config.model import Provider
from luthien_stream.upstream.client import NativeClient
from luthien_stream.upstream.port import UpstreamUnreachable
from tests.integration.connect_proxy import ConnectProxy

ROOT = Path(__file__).parents[2]
HOST = "models.lab.test"
"""A name that nobody resolves: only a proxy can lead there."""


async def _hello(request: web.Request) -> web.Response:
    return web.Response(text=f"hello from {request.host}")


@asynccontextmanager
async def server(context: ssl.SSLContext | None = None, socket: Path | None = None) -> AsyncIterator[int]:
    """Run a server that says hello; gives its port (0 for a Unix socket)."""
    app = web.Application()
    app.router.add_post("/v1/messages", _hello)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.UnixSite(runner, str(socket)) if socket else web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield 0 if socket else int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def said(provider: Provider, socket: Path | None = None) -> str:
    """What the server behind a provider says."""
    client = NativeClient(socket)
    try:
        async with client.open(provider, "/v1/messages", "", [], b"{}") as answer:
            return b"".join([part async for part in answer.chunks()]).decode()
    finally:
        await client.close()


@pytest.fixture
def ca() -> trustme.CA:
    """A certificate authority that no system knows."""
    return trustme.CA()


def tls(ca: trustme.CA, host: str) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for `host`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(context)
    return context


def written(ca: trustme.CA, folder: Path) -> str:
    """The authority's certificate as a file."""
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem")


async def test_an_own_ca_is_trusted_where_it_is_named_and_nowhere_else(ca: trustme.CA, tmp_path: Path) -> None:
    """Without it the error says what to name."""
    async with server(tls(ca, "127.0.0.1")) as port:
        url = f"https://127.0.0.1:{port}"
        own = Provider(url, "anthropic_messages", ca_file=written(ca, tmp_path))
        assert await said(own) == f"hello from 127.0.0.1:{port}"
        with pytest.raises(UpstreamUnreachable, match="ca_file"):
            await said(Provider(url, "anthropic_messages"))
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(UpstreamUnreachable, match="ca_file"):
            await said(Provider(url, "anthropic_messages", ca_file=written(trustme.CA(), other)))


async def test_ssl_cert_file_is_for_all_providers(ca: trustme.CA, tmp_path: Path) -> None:
    """The variable that every program knows, read when a process starts."""
    program = """
import asyncio, sys
from luthien_stream.config.model import Provider
from tests.integration.test_upstream_connection import said
print(asyncio.run(said(Provider(sys.argv[1], "anthropic_messages"))))
"""
    async with server(tls(ca, "127.0.0.1")) as port:
        environment = {**os.environ, "SSL_CERT_FILE": written(ca, tmp_path)}
        words = [sys.executable, "-c", program, f"https://127.0.0.1:{port}"]
        process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, env=environment, cwd=ROOT)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert output.decode() == f"hello from 127.0.0.1:{port}\n"


async def test_https_goes_through_the_environments_proxy_as_a_tunnel(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS ends at the provider; the proxy gets its own credential and sees a name."""
    async with server(tls(ca, HOST)) as port, ConnectProxy(port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@127.0.0.1:{proxy.port}")
        provider = Provider(f"https://{HOST}", "anthropic_messages", ca_file=written(ca, tmp_path))
        assert await said(provider) == f"hello from {HOST}"
        (line,) = proxy.asked
        assert line.startswith(f"CONNECT {HOST}:443 ")
        assert "Basic bWU6d29yZA==" in line


async def test_a_named_proxy_counts_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And `none` over both."""
    async with server() as port, ConnectProxy(port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        named = Provider(f"http://{HOST}", "anthropic_messages", proxy=f"http://127.0.0.1:{proxy.port}")
        assert await said(named) == f"hello from {HOST}"
        assert proxy.asked[0].startswith(f"POST http://{HOST}/v1/messages ")
        with pytest.raises(UpstreamUnreachable, match="HTTPS_PROXY"):
            await said(Provider(f"http://{HOST}", "anthropic_messages"))
        assert await said(Provider(f"http://127.0.0.1:{port}", "anthropic_messages", proxy="none"))
        assert len(proxy.asked) == 1


async def test_a_proxy_that_refuses_is_no_providers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names what to check, and no password."""
    async with ConnectProxy(1, refuses=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@127.0.0.1:{proxy.port}")
        with pytest.raises(UpstreamUnreachable, match="HTTPS_PROXY") as caught:
            await said(Provider(f"https://{HOST}", "anthropic_messages"))
        assert "word" not in str(caught.value)


async def test_a_unix_socket_leads_past_every_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever host the URL names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with server(socket=tmp_path / "s"):
        assert await said(Provider("http://litellm", "anthropic_messages"), tmp_path / "s") == "hello from litellm"
