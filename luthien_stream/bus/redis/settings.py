"""How a server is set up, for those who check an installation; no role needs it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from luthien_stream.bus.redis.links import find
from luthien_stream.bus.redis.server import Server


class ServerSettings(Struct, frozen=True):
    """What decides whether the log is safe there. Sizes are bytes, 0 for no limit."""

    version: str
    policy: str
    append_only: bool
    used: int
    limit: int


async def server_settings(url: str) -> ServerSettings:
    """Ask the server. Raises `BusError`."""
    server = Server(url)
    try:
        async with asyncio.timeout(10):
            about, memory, persistence = await server.call(
                ("INFO", "server"), ("INFO", "memory"), ("INFO", "persistence")
            )
    finally:
        await server.close()
    return ServerSettings(
        version=find(about, b"valkey_version") or find(about, b"redis_version"),
        policy=find(memory, b"maxmemory_policy"),
        append_only=find(persistence, b"aof_enabled") == "1",
        used=int(find(memory, b"used_memory") or 0),
        limit=int(find(memory, b"maxmemory") or 0),
    )
