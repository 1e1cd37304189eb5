"""The final lane of a call, read from the log: from its beginning, then live, by whichever edge it is asked of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from msgspec import Struct

from luthien_stream.bus import keys
from luthien_stream.bus.port import Bus, Entry, Reader
from luthien_stream.edge.directory import Known
from luthien_stream.edge.inbox import events_in
from luthien_stream.errors import UpstreamError
from luthien_stream.events import log, pack
from luthien_stream.events.log import AnyEvent, Terminal

BLOCK_MS = 1000
"""How long one read waits: what is silent comes back empty."""
ENTRIES = 64
SILENT_READS = 15
"""So often, beginning with the first, an empty read leads to the question whether the call's edge still lives."""
_SPEAKERS = {"original": ("edge:",), "final": ("stage:", "record:")}
"""Whose word about a lane ends a client's answer, by what lies in an inbox."""
_TERMINALS = (log.ResponseCompleted, log.ResponseFailed, log.ResponseAborted)


class Gap(Struct, frozen=True):
    """The log no longer has what comes before `earliest`."""

    earliest: int


class EdgeGone(UpstreamError):
    """The edge that had this call is gone: send the request again."""

    status = 503


Piece = log.ResponseStarted | log.ChunkReceived | log.ChunkReleased | Terminal | Gap


class Lane:
    """Picks one call's final lane out of an inbox. Pure: it is fed entries in order, some of them perhaps twice."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._named = known.call.encode()
        self._next: dict[str, int] = {}
        self.over = False
        """The lane has ended; nothing more comes."""

    def take(self, entries: Iterable[Entry]) -> list[Piece]:
        """Take the next entries; return what they have of the lane."""
        found: list[Piece] = []
        for entry in entries:
            if self._named not in entry.raw:
                continue  # most entries of an inbox are other calls': not worth decoding
            if pack.is_from(entry.raw, pack.WATCHERS):
                continue  # said beside the call: no part of its lane
            for src, event in events_in(entry):
                if event.call == self._known.call and event.n >= 0 and not self.over:
                    found += self._take(src, event)
        return found

    def _take(self, src: str, event: AnyEvent) -> list[Piece]:
        expected = self._next.get(src, -1)
        if event.n < expected:
            return []
        self._next[src] = event.n + 1
        chunk = isinstance(event, log.ChunkReceived | log.ChunkReleased) and not src.startswith("provider:")
        # A source begins with other events than chunks; what is missing among those is nothing that a client gets.
        gap = [Gap(event.n)] if chunk and event.n != expected else []
        if isinstance(event, _TERMINALS) and src.startswith(_SPEAKERS[event.lane]):
            self.over = True
            return [event]
        if isinstance(event, log.ResponseDelivered):
            self.over = True
            return [log.ResponseAborted(call=event.call, lane="final", reason=event.left)]
        if chunk or isinstance(event, log.ResponseStarted):
            return [*gap, event]  # type: ignore[list-item]
        return []


@asynccontextmanager
async def reading(bus: Bus, known: Known) -> AsyncIterator[LaneReader]:
    """Read a call's lane over a connection of its own. Raises `BusError`."""
    async with bus.reader() as reader:
        yield LaneReader(bus, reader, known)


class LaneReader:
    """See the module."""

    def __init__(self, bus: Bus, reader: Reader, known: Known) -> None:
        self._bus, self._reader, self._known = bus, reader, known
        self._stream, self._position = keys.inbox(known.edge), known.since
        self._lane = Lane(known)
        self._silent = 0

    @property
    def over(self) -> bool:
        """The lane has ended."""
        return self._lane.over

    async def read(self) -> list[Piece]:
        """What has come, empty after a second of silence. Raises `BusError`, and `EdgeGone` where nothing will come."""
        entries = await self._reader.read({self._stream: self._position}, count=ENTRIES, block_ms=BLOCK_MS)
        if entries:
            self._silent, self._position = 0, entries[-1].id
            return self._lane.take(entries)
        self._silent += 1
        if self._silent % SILENT_READS == 1 and self._known.edge not in await self._bus.alive("edge"):
            raise EdgeGone()
        return []
