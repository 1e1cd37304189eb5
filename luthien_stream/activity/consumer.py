"""The activity consumer: reads every stream as a member of one group, stores batch by batch, then acknowledges.

Nothing is lost whoever fails: an entry is pending in the log until the transaction that stores it has been committed.
While PostgreSQL is away one batch is kept and nothing more is read. What a member that died had taken is claimed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import structlog

from luthien_stream.activity.fold import Delivery, fold
from luthien_stream.activity.quarantine import letter_of_entry, write_or_set_aside
from luthien_stream.activity.store import Store, StoreUnavailable
from luthien_stream.activity.waiting import wait_for_stop
from luthien_stream.bus.port import Bus, Entry, Reader
from luthien_stream.errors import BodyMissing, BusError, PackError
from luthien_stream.events.pack import COPIES, decode, is_from

log = structlog.get_logger()

ENTRIES = 32
"""Entries of one stream in one read: bounds the memory of a batch."""
LINGER_S = 0.2
"""How long a batch gathers after its first entry."""
ENOUGH_BYTES = 4 << 20
"""A batch of this size is stored at once."""
BUSY_BYTES = 256 * 1024
"""A batch over this says that there is much to record: what can wait does."""
RELIST_S = 1.0
SWEEP_S = 5.0
ORPHAN_MS = 60_000
"""Pending for so long in another's hands: its owner is taken for dead."""
BLOCK_MS = 500
BEAT_TTL_MS = 15_000
BACKOFF_S = (0.1, 5.0)
"""First and longest pause after a fault."""

T = TypeVar("T")


class Stopped(Exception):
    """The consumer was told to stop while it waited for a server."""


class Consumer:
    """One member of the activity group. `run` returns after `stop` is set and the batch in hand is stored."""

    def __init__(
        self, bus: Bus, store: Store, stop: asyncio.Event, told: Callable[[Iterable[str]], None] = lambda calls: None
    ) -> None:
        """`told` gets the ids of calls whose rows have been stored."""
        self.told = told
        self.name = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(3)}"
        self.busy = False
        """The last batch was large: there is more to come."""
        self.stored = 0
        """Events stored or set aside so far."""
        self._bus, self._store, self._stop = bus, store, stop
        self._streams: list[str] = []
        self._next_list = self._next_sweep = 0.0

    async def run(self) -> None:
        """Consume until stopped; connects again after any outage of the log."""
        while not self._stop.is_set():
            try:
                async with self._bus.reader() as reader:
                    while not self._stop.is_set():
                        await self._take(reader)
            except BusError as error:
                log.warning("log_away", error=str(error))
                self._next_list = self._next_sweep = 0.0  # a lost reply leaves entries pending in our own name
                await self._pause(1.0)
            except Stopped:
                log.info("stopped_with_entries_pending")
        await self._leave()

    async def _take(self, reader: Reader) -> None:
        """One batch: gather, store, acknowledge."""
        await self._look_around()
        entries = await self._orphans()
        if not entries:
            entries = await self._gather(reader)
        if entries:
            await self._keep(entries)

    async def _look_around(self) -> None:
        if time.monotonic() >= self._next_list:
            self._streams = await self._bus.streams()
            await self._bus.beat("activity", self.name, {"stored": str(self.stored)}, ttl_ms=BEAT_TTL_MS)
            self._next_list = time.monotonic() + RELIST_S

    async def _orphans(self) -> list[Entry]:
        """What a dead member had taken. We hold nothing now, so if we are alone whatever is pending is an orphan."""
        if time.monotonic() < self._next_sweep:
            return []
        others = set(await self._bus.alive("activity")) - {self.name}
        claimed: list[Entry] = []
        for stream in self._streams:
            claimed += await self._bus.claim(stream, self.name, idle_ms=ORPHAN_MS if others else 0, count=ENTRIES)
        if claimed:
            log.info("entries_claimed", entries=len(claimed))
        else:
            self._next_sweep = time.monotonic() + SWEEP_S
        return claimed

    async def _gather(self, reader: Reader) -> list[Entry]:
        if not self._streams:
            await self._pause(LINGER_S)
            return []
        entries = more = await reader.read_group(self._streams, self.name, count=ENTRIES, block_ms=BLOCK_MS)
        deadline = time.monotonic() + LINGER_S
        while more and sum(len(entry.raw) for entry in entries) < ENOUGH_BYTES:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if len(more) < ENTRIES:
                await self._pause(left)
            more = await reader.read_group(self._streams, self.name, count=ENTRIES, block_ms=1)
            entries = [*entries, *more]
        return entries

    async def _keep(self, entries: Sequence[Entry]) -> None:
        batch = await self._decode(entries)
        self.busy = sum(len(entry.raw) for entry in entries) > BUSY_BYTES
        aside = await self._insist(lambda: write_or_set_aside(batch, self._write, self._set_aside))
        by_stream: defaultdict[str, list[str]] = defaultdict(list)
        for entry in entries:
            by_stream[entry.stream].append(entry.id)
        for stream, ids in by_stream.items():
            await self._bus.acknowledge(stream, ids)
        self.stored += sum(len(delivery.pack.events) for delivery in batch)
        if aside:
            log.error("events_set_aside", events=aside, see="luthien-stream dead-letter list")

    async def _decode(self, entries: Sequence[Entry]) -> list[Delivery]:
        batch = []
        for entry in entries:
            if is_from(entry.raw, COPIES):
                continue
            try:
                batch.append(Delivery(entry.stream, entry.id, decode(entry.raw)))
            except PackError as error:
                await self._set_aside(letter_of_entry(entry.stream, entry.id, entry.raw, error))
        return batch

    async def _write(self, batch: Sequence[Delivery]) -> None:
        rows = fold(batch)
        if rows.refs:
            for ref in await self._store.missing_bodies(rows.refs):
                await self._fetch_body(ref)
        await self._store.write(rows)
        self.told({row.call_id for table in (rows.events, rows.runs) for row in table})

    async def _fetch_body(self, ref: str) -> None:
        """Copy a body from the log to the record, one at a time: they are large."""
        try:
            await self._store.write_body(ref, await self._bus.get_body(ref))
        except BodyMissing:
            log.warning("body_gone", ref=ref)

    async def _set_aside(self, letter: dict[str, bytes]) -> None:
        await self._bus.dead_letter(letter)

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do it again until PostgreSQL is there. Raises `Stopped` when told to stop meanwhile."""
        pause, longest = BACKOFF_S
        while True:
            try:
                return await act()
            except StoreUnavailable as error:
                log.warning("record_away", error=str(error), again_in_s=pause)
            await self._look_alive()
            await self._pause(pause)
            if self._stop.is_set():
                raise Stopped
            pause = min(pause * 2, longest)

    async def _look_alive(self) -> None:
        """Keep the heartbeat while waiting, so that nobody takes the batch in hand for an orphan."""
        await self._bus.beat("activity", self.name, {"waits_for": "database"}, ttl_ms=BEAT_TTL_MS)

    async def _pause(self, seconds: float) -> None:
        await wait_for_stop(self._stop, seconds)

    async def _leave(self) -> None:
        try:
            await self._bus.unbeat("activity", self.name)
        except BusError as error:
            log.warning("log_away", error=str(error))
