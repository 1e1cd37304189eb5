"""The log that all roles meet on: the port, and its two implementations."""

from __future__ import annotations

from luthien_stream.bus.port import Bus


def connect(url: str) -> Bus:
    """Return the bus at a redis-py URL (`redis://`, `rediss://`, `unix://`), or a new one in this process for `memory`.

    Nothing is sent before the first call.
    """
    if url == "memory":
        from luthien_stream.bus.memory import MemoryBus

        return MemoryBus()
    from luthien_stream.bus.redis import RedisBus

    return RedisBus(url)
