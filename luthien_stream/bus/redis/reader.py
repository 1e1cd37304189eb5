"""A connection of its own for one blocking loop. After an error it connects again with the next call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from luthien_stream.bus import keys
from luthien_stream.bus.port import Entry, Settled, Settlement
from luthien_stream.bus.redis import replies
from luthien_stream.bus.redis.links import Command, Reply, checked, is_missing_group, is_missing_script
from luthien_stream.bus.redis.server import Server
from luthien_stream.bus.redis.settling import settle_command

GRACE_S = 3.0
"""How much longer than its block time a read may take."""


class RedisReader:
    """A reader; also its own context manager. It connects with its first call."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._link = server.link()

    async def __aenter__(self) -> RedisReader:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.drop(self._link)

    async def read(self, positions: Mapping[str, str], *, count: int = 64, block_ms: int = 1000) -> list[Entry]:
        """See the port."""
        (reply,) = await self._call(block_ms, _xread(positions, count, block_ms))
        return replies.read(checked(reply))

    async def turn(
        self, partition: str, settlement: Settlement, position: str, *, count: int = 64, block_ms: int = 1000
    ) -> tuple[Settled, list[Entry]]:
        """See the port."""
        await self._server.connect(self._link)
        settle = settle_command(self._server.scripts, partition, settlement)
        read = _xread({keys.partition_stream(partition): position}, count, block_ms)
        settled, entries = await self._call(block_ms, settle, read)
        if is_missing_script(settled):
            await self._server.scripts.load(self._link)
            (settled,) = await self._call(0, settle)
        return replies.settled(settled), replies.read(checked(entries))

    async def read_group(self, streams: Sequence[str], consumer: str, *, count: int, block_ms: int) -> list[Entry]:
        """See the port. A group that was deleted is made again from its stream's beginning."""
        (reply,) = await self._call(block_ms, _xreadgroup(streams, consumer, count, block_ms))
        if not is_missing_group(reply):
            return replies.read(checked(reply))
        existing = await self._make_groups(streams)
        if not existing:
            await asyncio.sleep(block_ms / 1000)
            return []
        (reply,) = await self._call(block_ms, _xreadgroup(existing, consumer, count, block_ms))
        return replies.read(checked(reply))

    async def _make_groups(self, streams: Sequence[str]) -> list[str]:
        """Give a group to all streams that exist, and return these."""
        found = await self._call(0, *(("EXISTS", stream) for stream in streams))
        existing = [stream for stream, exists in zip(streams, found, strict=True) if exists == 1]
        await self._call(0, *(("XGROUP", "CREATE", stream, keys.ACTIVITY_GROUP, "0") for stream in existing))
        return existing

    async def _call(self, block_ms: int, *commands: Command) -> list[Reply]:
        await self._server.connect(self._link)
        return await self._link.call(commands, block_ms / 1000 + GRACE_S)


def _xread(positions: Mapping[str, str], count: int, block_ms: int) -> Command:
    block = ("BLOCK", block_ms) if block_ms > 0 else ()
    return ("XREAD", "COUNT", count, *block, "STREAMS", *positions, *positions.values())


def _xreadgroup(streams: Sequence[str], consumer: str, count: int, block_ms: int) -> Command:
    block = ("BLOCK", block_ms) if block_ms > 0 else ()
    ends = [">"] * len(streams)
    return ("XREADGROUP", "GROUP", keys.ACTIVITY_GROUP, consumer, "COUNT", count, *block, "STREAMS", *streams, *ends)
