"""A bus that drops calls, executes them and loses the reply, or executes them late; and one that notes writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from luthien_stream.bus import keys
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import Entry, Settled, Settlement
from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.errors import BusAmbiguous, BusUnavailable
from luthien_stream.events import pack
from luthien_stream.events.log import EffectRecorded

if TYPE_CHECKING:
    from tests.chaos.world import World


class Faults(Struct, frozen=True, kw_only=True):
    """Probabilities: `drop`, `late`, `lost` per call, from `kill` to `edge_pause` per step."""

    drop: float = 0.02
    late: float = 0.02
    lost: float = 0.02
    kill: float = 0.0
    pause: float = 0.0
    restart: float = 0.0
    edge_kill: float = 0.0
    edge_pause: float = 0.0
    saved_every: float = 0.06
    """Seconds; a restart forgets what came after the last save."""


class Broken(AssertionError):
    """An invariant does not hold."""


class NotingBus(MemoryBus):
    """The server: it notes every copy of every ordinal and the first record of every effect."""

    def __init__(self, clock: Callable[[], int], *, forgetful: bool) -> None:
        super().__init__(clock=clock)
        self._forgetful = forgetful
        self._copies: dict[tuple[str, str, int], int] = {}
        self.recorded: dict[tuple[str, str, str], Any] = {}
        self.incarnation = 0

    def _append(self, stream: str, raw: bytes) -> str:
        found = pack.decode(raw)
        for event in found.events:
            if isinstance(event, EffectRecorded):
                self.recorded.setdefault((found.src, event.call, event.key), event.value)
            elif event.n >= 0 and not self._forgetful:
                digest = chain(EMPTY, event)
                if self._copies.setdefault((found.src, event.call, event.n), digest) != digest:
                    raise Broken(f"two different copies of {found.src} {event.call} {event.n}")
        return super()._append(stream, raw)


class Connection:
    """A connection to the server: every command is a point where its process may be overtaken, killed, or fail."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = world.server.incarnation

    async def through(self, command: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Send one command."""
        world = self._world
        if world.loop.orderly:
            raise BusUnavailable
        await asyncio.sleep(0)
        self._check_connection()
        chance, faults = world.rng.random(), world.faults
        if world.faulty and chance < faults.drop:
            raise BusUnavailable if chance < faults.drop / 2 else BusAmbiguous
        if world.faulty and chance < faults.drop + faults.late:
            world.late.append((world.server.incarnation, command))
            await asyncio.sleep(0)
            raise BusAmbiguous
        result = await command()
        await asyncio.sleep(0)
        self._check_connection()
        if world.faulty and chance > 1 - faults.lost:
            raise BusAmbiguous
        return result

    def _check_connection(self) -> None:
        if self._seen != self._world.server.incarnation:
            self._seen = self._world.server.incarnation
            raise BusAmbiguous


class FaultyBus:
    """The port as one process sees it: one connection for its commands, and one for each reader."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._commands = Connection(world)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._world.server, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._world.stats[name] += 1
            return await self._commands.through(lambda: method(*args, **kwargs))

        return call

    def reader(self) -> FaultyReader:
        """A reader with the same faults."""
        return FaultyReader(self._world)


class FaultyReader:
    """One connection for one loop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._connection = Connection(world)

    async def __aenter__(self) -> FaultyReader:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def read(self, positions: Mapping[str, str], *, count: int = 64, block_ms: int = 1000) -> list[Entry]:
        """Read entries; a small count makes more turns."""
        inner = self._world.server.reader()
        entries: list[Entry] = await self._connection.through(
            lambda: inner.read(positions, count=min(count, 6), block_ms=block_ms)
        )
        return entries

    async def turn(
        self, partition: str, settlement: Settlement, position: str, *, count: int = 64, block_ms: int = 1000
    ) -> tuple[Settled, list[Entry]]:
        """Settle and read: one write, two commands of the server."""
        settled = await self._connection.through(lambda: self._world.server.settle(partition, settlement))
        stream = keys.partition_stream(partition)
        return settled, await self.read({stream: position}, count=count, block_ms=block_ms)
