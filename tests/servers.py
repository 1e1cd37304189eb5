"""Servers for tests: a Valkey for the whole session, one of a test's own that may be killed, and fakeredis.

Import the fixtures where they are used: `from tests.servers import shared_valkey, valkey_url, own_valkey`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis.exceptions import ResponseError

from luthien_stream.bus.redis.links import call_once
from luthien_stream.embedded.valkey import EmbeddedValkey


@contextmanager
def running_valkey(folder: Path, *, maxmemory: int = 1 << 30) -> Iterator[EmbeddedValkey]:
    """A Valkey of its own, killed at the end."""
    server = EmbeddedValkey(folder, maxmemory=maxmemory)
    asyncio.run(server.start())
    try:
        yield server
    finally:
        server.kill()


class _PatientHandler(TCPFakeRequestHandler):
    """A refused command ends a connection to fakeredis, but no connection to a server."""

    def setup(self) -> None:
        super().setup()
        read = self.current_client.read_response

        def read_or_refusal() -> object:
            try:
                return read()
            except ResponseError as refusal:
                return refusal

        setattr(self.current_client, "read_response", read_or_refusal)  # noqa: B010 - its type forbids assignment


class _PlainLua(dict[bytes, bytes]):
    """Scripts without their first line of flags, which fakeredis takes for a mistake."""

    def __getitem__(self, digest: bytes) -> bytes:
        return super().__getitem__(digest).replace(b"#!lua", b"--", 1)


@contextmanager
def running_fakeredis() -> Iterator[str]:
    """The URL of a fakeredis that listens on a free port of the loopback."""
    server = TcpFakeServer(("127.0.0.1", 0), server_type="valkey", server_version=(8, 0))
    server.RequestHandlerClass = _PatientHandler
    server.fake_server.script_cache = _PlainLua()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """One Valkey for all tests."""
    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey_url(shared_valkey: EmbeddedValkey) -> str:
    """The session's Valkey, empty."""
    call_once(shared_valkey.url, "FLUSHALL")
    return shared_valkey.url


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey that the test may kill, fill and start again."""
    with running_valkey(tmp_path / "valkey") as server:
        yield server
