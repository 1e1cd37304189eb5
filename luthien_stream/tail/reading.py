"""Live reading of the whole log: every stream without a group, joined and ordered by entry id.

Reads take nothing away, so any number may look. What has been kept and what comes is read the same way, by position,
so there is no seam between them. A stream that appears later is read from its beginning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import structlog
from msgspec import Struct

from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Bus, Entry, Reader
from luthien_stream.errors import BusError, PackError
from luthien_stream.events.log import AnyEvent
from luthien_stream.events.pack import COPIES, decode, is_from

log = structlog.get_logger()

PAGE = 256
"""Entries of one stream in one read."""
BLOCK_MS = 250
GATHER_S = 0.05
"""Pause between reads: many small entries cost less together, and nobody sees the difference."""
RELIST_S = 0.5
RETRY_S = 1.0
_LAST_SEQUENCE = 2**64 - 1


class Seen(Struct, frozen=True):
    """One event of the log. `time` is when the log took it, microseconds (of the server's clock)."""

    time: int
    stream: str
    entry: str
    src: str
    event: AnyEvent


def before(time: int) -> str:
    """Return the position from which reading starts with the entries of `time` (microseconds)."""
    return f"{time // 1000 - 1}-{_LAST_SEQUENCE}" if time >= 1000 else START


class Merge:
    """Joins pages of several streams in the order of their ids. Pure.

    Beyond the end of a full page its stream may have more, and so may a stream that was not read because entries of it
    wait here: nothing later than such an end is given out yet.
    """

    def __init__(self, page: int = PAGE) -> None:
        self.ahead: set[str] = set()
        """Streams with entries that wait for others: to read them on would only fill the memory."""
        self._page = page
        self._waiting: list[Entry] = []

    def add(self, entries: Sequence[Entry]) -> list[Entry]:
        """Take what one read of all streams but those ahead brought; return what is next, in order."""
        pages: dict[str, list[Entry]] = {}
        for entry in [*self._waiting, *entries]:
            pages.setdefault(entry.stream, []).append(entry)
        ends = [order(page[-1].id) for stream, page in pages.items() if stream in self.ahead or len(page) >= self._page]
        waiting = sorted([*self._waiting, *entries], key=lambda entry: order(entry.id))
        ready = [entry for entry in waiting if not ends or order(entry.id) <= min(ends)]
        self._waiting = waiting[len(ready) :]
        self.ahead = {entry.stream for entry in self._waiting}
        return ready


async def read_log(bus: Bus, *, since: int | None = None, follow: bool = True) -> AsyncGenerator[Seen]:
    """Yield events from `since` (microseconds; None: from now), until interrupted or, without `follow`, to the end.

    An outage of the log is waited out, and reading goes on where it was. Raises `BusError` without `follow`.
    """
    positions, merge = _Positions(bus, since), Merge()
    while True:
        try:
            async with bus.reader() as reader:
                async for entries in _read_on(reader, positions, merge, follow=follow):
                    for seen in _in_order(entries):
                        yield seen
            return
        except BusError as error:
            if not follow:
                raise
            log.warning("log_away", error=str(error))
            await asyncio.sleep(RETRY_S)


async def _read_on(reader: Reader, positions: _Positions, merge: Merge, *, follow: bool) -> AsyncIterator[list[Entry]]:
    while True:
        await positions.refresh()
        wanted = {stream: at for stream, at in positions.at.items() if stream not in merge.ahead}
        complete = len(wanted) == len(positions.at)
        entries = await reader.read(wanted, count=PAGE, block_ms=BLOCK_MS if follow else 1) if wanted else []
        for entry in entries:
            positions.at[entry.stream] = entry.id
        yield merge.add(entries)
        if not follow and complete and not merge.ahead and (not entries or positions.at_end()):
            return
        if follow and len(entries) < PAGE:
            await asyncio.sleep(GATHER_S)


class _Positions:
    """Where each stream has been read to."""

    def __init__(self, bus: Bus, since: int | None) -> None:
        self.at: dict[str, str] = {}
        self._ends: dict[str, str] = {}
        self._bus, self._since = bus, since
        self._next = 0.0

    async def refresh(self) -> None:
        """Look for streams that have come or gone, twice a second."""
        if time.monotonic() < self._next:
            return
        streams = await self._bus.streams()
        if not self._next:
            self._ends = {stream: await self._bus.last_id(stream) for stream in streams}
        for stream in self.at.keys() - set(streams):
            del self.at[stream]
        for stream in set(streams) - self.at.keys():
            new = START if self._next else self._ends[stream]
            self.at[stream] = new if self._since is None else before(self._since)
        self._next = time.monotonic() + RELIST_S

    def at_end(self) -> bool:
        """Whether all has been read that was there at the beginning."""
        return all(order(at) >= order(self._ends.get(stream, START)) for stream, at in self.at.items())


def _in_order(entries: Sequence[Entry]) -> list[Seen]:
    """Events of these entries. Within a millisecond the ids of two streams say nothing, so the events' times count."""
    events = [seen for entry in entries for seen in _events(entry)]
    return sorted(events, key=lambda seen: (seen.time, _told_time(seen)))


def _told_time(seen: Seen) -> int:
    try:
        return seen.event.time or seen.time
    except (TypeError, ValueError):  # an unknown type may have anything there
        return seen.time


def _events(entry: Entry) -> list[Seen]:
    if is_from(entry.raw, COPIES):
        return []
    try:
        pack = decode(entry.raw)
    except PackError as error:
        log.warning("entry_without_pack", stream=entry.stream, entry=entry.id, error=str(error))
        return []
    taken = order(entry.id)[0] * 1000
    return [Seen(taken, entry.stream, entry.id, pack.src, event) for event in pack.events]
