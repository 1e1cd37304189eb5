"""Blocking reads in memory: a reader waits on futures that an append resolves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from luthien_stream.bus import ids, keys
from luthien_stream.bus.memory.stream import Group
from luthien_stream.bus.port import Entry, Settled, Settlement
from luthien_stream.errors import BusError, BusUnavailable

if TYPE_CHECKING:
    from luthien_stream.bus.memory.bus import MemoryBus


class Waiters:
    """Who waits for entries of which stream."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def wake(self, stream: str) -> None:
        """An entry was appended."""
        for future in self._waiting.pop(stream, ()):
            _resolve(future)

    def break_all(self, error: Callable[[], BusError]) -> None:
        """Every wait ends with an error, as when the server goes away."""
        for futures in list(self._waiting.values()):
            for future in futures:
                if not future.done():
                    future.set_exception(error())
        self._waiting.clear()

    async def wait(self, streams: Iterable[str], seconds: float) -> None:
        """Return when one of the streams has grown or the time has passed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        for stream in streams:
            self._waiting.setdefault(stream, set()).add(future)
        timer = loop.call_later(seconds, _resolve, future)
        try:
            await future
        finally:
            timer.cancel()
            for stream in streams:
                self._waiting.get(stream, set()).discard(future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class MemoryReader:
    """A reader of the memory bus; also its own context manager."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def __aenter__(self) -> MemoryReader:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def read(self, positions: Mapping[str, str], *, count: int = 64, block_ms: int = 1000) -> list[Entry]:
        """See the port."""

        def take() -> list[Entry]:
            return [entry for stream, after in positions.items() for entry in self._bus.peek(stream, after, count)]

        return await self._blocking(take, positions, block_ms)

    async def turn(
        self, partition: str, settlement: Settlement, position: str, *, count: int = 64, block_ms: int = 1000
    ) -> tuple[Settled, list[Entry]]:
        """See the port."""
        settled = self._bus.settle_now(partition, settlement)
        stream = keys.partition_stream(partition)
        return settled, await self.read({stream: position}, count=count, block_ms=block_ms)

    async def read_group(self, streams: Sequence[str], consumer: str, *, count: int, block_ms: int) -> list[Entry]:
        """See the port."""

        def take() -> list[Entry]:
            return [entry for stream in streams for entry in self._deliver(stream, consumer, count)]

        return await self._blocking(take, streams, block_ms)

    def _deliver(self, name: str, consumer: str, count: int) -> list[Entry]:
        now = self._bus.now_ms()
        stream = self._bus.data.find(name, now)
        if stream is None:
            return []
        stream.group = stream.group or Group()
        return [Entry(name, ids.text(id), raw) for id, raw in stream.deliver(consumer, count, now)]

    async def _blocking(self, take: Callable[[], list[Entry]], streams: Iterable[str], block_ms: int) -> list[Entry]:
        await asyncio.sleep(0)  # a reader that always finds entries must not starve the loop
        if self._bus.closed:
            raise BusUnavailable("The memory bus is closed")
        entries = take()
        if entries or block_ms <= 0:
            return entries
        await self._bus.waiters.wait(streams, block_ms / 1000)
        return take()
