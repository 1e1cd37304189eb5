"""What the stages send back: one loop reads the edge's inbox for all calls, and nothing in it waits for a client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.port import START, Bus, Entry, Reader
from luthien_stream.edge.call import Call
from luthien_stream.edge.shadow import Shadow
from luthien_stream.errors import BusError, PackError
from luthien_stream.events import pack
from luthien_stream.events.log import AnyEvent

log = structlog.get_logger()

ENTRIES = 16
"""Entries of one read, at most."""
BLOCK_MS = 1000
PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0


class Inbox:
    """Reads from the beginning of the inbox, whose name is this process's own."""

    def __init__(self, bus: Bus, edge: str, calls: Mapping[str, Call], shadow: Shadow) -> None:
        """`calls` is a live view of the open ones; `shadow` gets what is said beside them."""
        self._bus = bus
        self.stream = keys.inbox(edge)
        self._calls = calls
        self._own = tuple(pack.beginning(f"{kind}:{edge}") for kind in ("edge", "record", "provider"))
        """Its own copies are not decoded again."""
        self.position = START
        """The last entry that was taken, or that was there at the last look where nobody reads."""
        self.bytes = 0
        """Bytes of all entries that were taken."""
        self.block_ms = BLOCK_MS
        """How long one read waits, which is also how long a stop may take."""
        self._shadow = shadow
        self.is_read = False
        """Stages answer here."""
        self.stopped = False

    async def run(self) -> None:
        """Read until `stopped`."""
        pause, self.is_read = PAUSE_S, True
        while not self.stopped:
            try:
                async with self._bus.reader() as reader:
                    while not self.stopped:
                        await self._read(reader)
                        pause = PAUSE_S
            except BusError as error:
                log.warning("inbox_unreadable", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _read(self, reader: Reader) -> None:
        entries = await reader.read({self.stream: self.position}, count=ENTRIES, block_ms=self.block_ms)
        if entries:
            self.take(entries)

    def take(self, entries: Iterable[Entry]) -> None:
        """Hand entries to their calls, then let each call write once."""
        touched: dict[str, Call] = {}
        calls = self._calls
        for entry in entries:
            self.position = entry.id
            self.bytes += len(entry.raw)
            if entry.raw.startswith(self._own):
                continue
            if self._shadow.active and pack.is_from(entry.raw, pack.WATCHERS):
                self._shadow.hear(events_in(entry))
                continue
            for src, event in events_in(entry):
                call = calls.get(event.call)
                if call is not None:
                    call.offer(src, event)
                    touched[call.id] = call
        for call in touched.values():
            call.flush()


def events_in(entry: Entry) -> Iterable[tuple[str, AnyEvent]]:
    """Source and event of all that an entry has; nothing, on record, if it cannot be read."""
    try:
        found = pack.decode(entry.raw)
    except PackError as error:
        log.error("inbox_entry_unreadable", entry=entry.id, error=str(error))
        return ()
    return ((found.src, event) for event in found.events)
