"""What people tell an edge: to end calls now. A stream of its own, read by every edge, whatever its pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.port import START, Bus, Entry, Reader
from luthien_stream.edge.call import Call
from luthien_stream.edge.ending import ending
from luthien_stream.edge.failure import stopped
from luthien_stream.edge.inbox import BLOCK_MS, LONGEST_PAUSE_S, PAUSE_S, events_in
from luthien_stream.errors import BusError
from luthien_stream.events.log import StopRequested

log = structlog.get_logger()

SHORTEST = 13
"""Characters of a call's id that name it."""
REPLY_TTL_MS = 60_000


class Orders:
    """Reads them until cancelled."""

    def __init__(self, bus: Bus, edge: str, calls: Callable[[], Mapping[str, Call]]) -> None:
        """`calls` gives the open ones, draws too."""
        self._bus, self._edge, self._calls = bus, edge, calls
        self._stream, self._position = keys.orders(edge), START

    async def run(self) -> None:
        """Do what comes."""
        pause = PAUSE_S
        while True:
            try:
                async with self._bus.reader() as reader:
                    while True:
                        await self._read(reader)
                        pause = PAUSE_S
            except BusError as error:
                log.warning("orders_unreadable", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _read(self, reader: Reader) -> None:
        entries = await reader.read({self._stream: self._position}, count=16, block_ms=BLOCK_MS)
        await self._take(entries)
        if entries:
            self._position = entries[-1].id

    async def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            for src, event in events_in(entry):
                if isinstance(event, StopRequested):
                    ended = self.stop(event)
                    reply = {f"stopped:{src}:{self._edge}": msgspec.msgpack.encode(ended)}
                    await self._bus.put_values(reply, ttl_ms=REPLY_TTL_MS)

    def stop(self, order: StopRequested) -> list[str]:
        """End the calls that are meant; return their ids."""
        ended = []
        for call in list(self._calls().values()):
            if call.over or not _is_meant(call, order):
                continue
            log.warning("call_stopped", call=call.id, by=order.by)
            said = StopRequested(call=call.id, time=order.time, by=order.by, reason=order.reason)
            said.session, said.all = order.session, order.all
            call.lines.notes.outbox.put(said)
            call.farewell = partial(ending, self._bus, self._edge, call)
            call.abandon(stopped(order.by, order.reason))
            ended.append(call.id)
        return ended


def _is_meant(call: Call, order: StopRequested) -> bool:
    if order.all:
        return True
    if order.session and call.asked.published.session == order.session:
        return True
    return len(order.call) >= SHORTEST and call.id.startswith(order.call)
