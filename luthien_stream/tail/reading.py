"""Live reading of the whole log: every stream without a group, joined in one order that is the same for all readers.

Reads take nothing away, so any number may look. What has been kept and what comes is read the same way, by position,
so there is no seam between them. A stream that appears later is read from its beginning. The log itself is the buffer:
a reader that is slow holds a page of each stream, and what is trimmed before it comes to it is told as a gap.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog
from msgspec import Struct

from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Bus, Entry, Reader
from luthien_stream.errors import BusError, PackError
from luthien_stream.events.log import AnyEvent
from luthien_stream.events.pack import COPIES, decode, is_from
from luthien_stream.tail.merge import Merge
from luthien_stream.tail.place import TOLD_MOST, Mark, Place, Resume
from luthien_stream.tail.positions import Gap, Positions

log = structlog.get_logger()

PAGE = 256
"""Entries of one stream in one read."""
BLOCK_MS = 250
GATHER_S = 0.05
"""Pause between reads: many small entries cost less together, and nobody sees the difference."""
SETTLE_S = 0.002
"""The least pause between reads: the server's clock has gone on, so that the millisecond before it is complete."""
RETRY_S = 1.0
AT_ONCE = 16
"""Events given out before others in the process get their turn."""


class Seen(Struct, frozen=True):
    """One event of the log. `time` is when the log took it, microseconds (of the server's clock)."""

    time: int
    stream: str
    entry: str
    src: str
    event: AnyEvent
    n: int = 0
    """Position in its entry."""
    last: bool = True
    """Whether it is the entry's last."""
    told: int = 0
    """When it says that it happened, but not before what stands before it in its stream and millisecond."""

    @property
    def place(self) -> Place:
        """Where it stands in the whole log."""
        ms, sequence = order(self.entry)
        return Place(ms, self.told, sequence, self.n, self.stream)


class Pause(Struct, frozen=True):
    """All that one look at the log brought has been given out; `away`: the log does not answer."""

    away: bool = False


class Reading:
    """One reader. `past`: begin with the oldest entries kept, else with what comes now.

    `resume` is where an earlier reading ended: what was trimmed since is told first. It does not move the beginning.
    """

    def __init__(
        self, bus: Bus, *, past: bool = False, resume: Resume | None = None, follow: bool = True, page: int = PAGE
    ) -> None:
        self._bus, self._follow, self._page = bus, follow, page
        self._positions, self._merge = Positions(past=past, resume=resume), Merge(page)
        self._gaps: list[Gap] = []
        """Found and not yet told: an outage may come between."""
        self._last: Seen | None = None
        self._unfinished: Counter[str] = Counter()

    async def events(self) -> AsyncGenerator[Seen | Gap | Pause]:
        """Yield until interrupted or, without `follow`, to the end of what was kept when it began.

        An outage of the log is waited out, and reading goes on where it was. Raises `BusError` without `follow`.
        """
        while True:
            try:
                async with self._bus.reader() as reader, aclosing(self._read_on(reader)) as events:
                    async for each in events:
                        yield each
                return
            except BusError as error:
                if not self._follow:
                    raise
                log.warning("log_away", error=str(error))
                yield Pause(away=True)
                await asyncio.sleep(RETRY_S)

    @property
    def caught_up(self) -> bool:
        """Whether all has been read that was there at the beginning."""
        return self._positions.at_end()

    def is_past(self, seen: Seen) -> bool:
        """Whether an event had been written when the reading began."""
        return order(seen.entry) <= order(self._positions.ends.get(seen.stream, START))

    def mark(self) -> Mark | None:
        """How far the reading has come with the last event that it gave out; None before the first."""
        if self._last is None:
            return None
        held = Counter(entry.stream for entry in self._merge.waiting) + self._unfinished
        return Mark(self._last.place, {stream: read - held[stream] for stream, read in self._positions.read.items()})

    async def _read_on(self, reader: Reader) -> AsyncGenerator[Seen | Gap | Pause]:
        while True:
            self._gaps += self._positions.look(await self._bus.spans(await self._bus.streams()))
            wanted = {stream: at for stream, at in self._positions.at.items() if stream not in self._merge.ahead}
            # What waits for its millisecond to be over needs no new entry to be given out.
            block = BLOCK_MS if self._follow and not self._merge.waiting else 0
            entries = await reader.read(wanted, count=self._page, block_ms=block) if wanted else []
            whole = self._positions.is_whole(await self._bus.spans(sorted({entry.stream for entry in entries})))
            while self._gaps:
                yield self._gaps.pop(0)
            if not whole:
                continue
            self._positions.take(entries)
            ready = self._merge.add(entries)
            end = not self._follow and self._positions.at_end()
            for number, seen in enumerate(self._in_order([*ready, *self._merge.rest()] if end else ready)):
                if number % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
                self._last = seen
                self._unfinished[seen.stream] -= seen.last
                yield seen
            if end:
                return
            yield Pause()
            await asyncio.sleep(GATHER_S if self._follow and len(entries) < self._page else SETTLE_S)

    def _in_order(self, entries: Sequence[Entry]) -> list[Seen]:
        """Their events. A stream keeps its own order, whatever times its events tell."""
        latest: dict[tuple[str, int], int] = {}
        events: list[Seen] = []
        for entry in entries:
            at = entry.stream, order(entry.id)[0]
            for seen in _events(entry, latest.get(at, 0)):
                latest[at] = seen.told
                events.append(seen)
        self._unfinished = Counter(seen.stream for seen in events if seen.last)
        return sorted(events, key=lambda seen: seen.place)


def _events(entry: Entry, told: int) -> list[Seen]:
    if is_from(entry.raw, COPIES):
        return []
    try:
        pack = decode(entry.raw)
    except PackError as error:
        log.warning("entry_without_pack", stream=entry.stream, entry=entry.id, error=str(error))
        return []
    taken, last = order(entry.id)[0] * 1000, len(pack.events) - 1
    found = []
    for n, event in enumerate(pack.events):
        told = max(told, min(_told_time(event, taken), TOLD_MOST))
        found.append(Seen(taken, entry.stream, entry.id, pack.src, event, n, n == last, told))
    return found


def _told_time(event: AnyEvent, taken: int) -> int:
    try:
        return int(event.time or taken)
    except (TypeError, ValueError):  # an unknown type may have anything there
        return taken
