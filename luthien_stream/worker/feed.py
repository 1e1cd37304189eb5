"""From entries to a partition: decode, fetch bodies, put aside what is no event or kills workers.

In careful mode, after owners have died without progress, events are run one by one, each written down before it is run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Bus, Entry
from luthien_stream.core.stagecall import Doom
from luthien_stream.errors import BodyMissing, PackError
from luthien_stream.events import pack
from luthien_stream.events.log import AnyEvent, RequestReceived, RequestReleased
from luthien_stream.worker.clock import Clock
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.partition import Partition
from luthien_stream.worker.patience import sure
from luthien_stream.worker.poison import NOBODY, bury, read_suspect, salvage

log = structlog.get_logger()
BODY_MISSING = Doom("body_missing", "The stored body of the request is gone from the log", gently=False)
POISON = Doom(
    "poison", "An event of this call stopped or ended the worker; it lies among the dead letters", gently=False
)
DEAD_LETTER = Doom("dead_letter", "An event of this call is unreadable; it lies among the dead letters", gently=False)


class Feed:
    """The way in of one ownership."""

    def __init__(
        self,
        bus: Bus,
        partition: Partition,
        owner: str,
        cursor: str,
        *,
        clock: Clock,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._partition = partition
        self._owner = owner
        self._read = order(cursor)
        """An earlier owner has read the log up to here."""
        self._clock = clock
        self._settle = settle
        self._suspect = NOBODY
        self._poison = NOBODY
        self.careful = False

    def beware(self, crashes: int, suspect: str, limits: Limits) -> None:
        """Take what is known of the owners that died: how many, and what the last one was running."""
        self._suspect = read_suspect(suspect)
        self.careful = crashes >= limits.careful_after or self._suspect is not NOBODY
        if self._suspect.crashes >= limits.suspect_crashes:
            self._poison = self._suspect
            self._partition.bar(self._poison.call, self._poison.entry, POISON)
        if self.careful:
            log.warning("careful_mode", partition=self._partition.key, crashes=crashes, suspect=suspect)

    async def trust(self) -> None:
        """Leave careful mode."""
        self.careful = False
        await sure(self._clock, lambda: self._bus.suspect(self._partition.key, self._owner, ""))

    async def suspect(self, call: str, entry: str) -> None:
        """Write down what is run next, counted from what the last owner left: an entry may hold many of its events."""
        text = self._suspect.again(call, entry).text()
        await sure(self._clock, lambda: self._bus.suspect(self._partition.key, self._owner, text))

    async def entry(self, entry: Entry) -> None:
        """Feed one entry."""
        known_only = order(entry.id) <= self._read
        try:
            found = pack.decode(entry.raw)
            src, events = found.src, found.events
        except PackError:
            src, events = await self._salvage(entry, known_only)
        await self._fetch_bodies(entry, events, known_only)
        if self._poison.entry in (entry.id, START):
            await self._bury_poison(entry, events)
        if not self.careful:
            self._partition.take(entry.id, src, events, known_only=known_only)
            return
        for event in events:
            await self.suspect(event.call, entry.id)
            self._partition.take(entry.id, src, [event], known_only=known_only)
            await self._settle()

    async def _salvage(self, entry: Entry, known_only: bool) -> tuple[str, list[AnyEvent]]:
        found = salvage(entry.raw)
        for call in found.calls:
            self._partition.bar(call, entry.id, DEAD_LETTER)
            if call in self._partition.calls:
                self._partition.doom(self._partition.calls[call], DEAD_LETTER)
        for raw in [] if known_only else found.bad:
            log.error("event_undecodable", stream=entry.stream, entry=entry.id, calls=found.calls)
            note = await sure(self._clock, lambda raw=raw: self._bury(entry, "", raw, "undecodable"))  # type: ignore[misc]
            self._partition.notes.append(note)
        return found.src, found.events

    async def _bury_poison(self, entry: Entry, events: Sequence[AnyEvent]) -> None:
        call = self._poison.call
        mine = [event for event in events if event.call == call]
        if not mine or (self._poison.entry == START and call not in self._partition.calls):
            return
        self._poison = NOBODY
        log.error("event_poisonous", stream=entry.stream, entry=entry.id, call=call)
        raw = pack.encode("", mine)
        self._partition.notes.append(await sure(self._clock, lambda: self._bury(entry, call, raw, "poison")))

    async def _bury(self, entry: Entry, call: str, raw: bytes, error: str) -> AnyEvent:
        return await bury(self._bus, entry, call, raw, error)

    async def _fetch_bodies(self, entry: Entry, events: Sequence[AnyEvent], known_only: bool) -> None:
        for event in events:
            if not isinstance(event, RequestReceived | RequestReleased) or not event.body_ref or event.body:
                continue
            if not self._partition.expects(event, known_only=known_only):
                continue
            ref = event.body_ref
            try:
                event.body = await sure(self._clock, lambda ref=ref: self._bus.get_body(ref))  # type: ignore[misc]
            except BodyMissing:
                log.error("body_missing", call=event.call, ref=ref)
                self._partition.bar(event.call, entry.id, BODY_MISSING)
