"""Owning one partition: rebuild what an earlier owner had, then turn after turn until it is lost or given up.

A turn is one write: what the last entries led to is settled, and the stream is read on. What happens while that read
blocks (a judge answers, a call is reaped) is settled at once by `_hurry`, on the command connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Acquired, Entry, Reader, Settlement
from luthien_stream.core.program import Want
from luthien_stream.errors import BusAmbiguous, BusError, BusFull, BusUnavailable, Fenced
from luthien_stream.worker.effects import Effects
from luthien_stream.worker.feed import Feed
from luthien_stream.worker.ids import rebuild_from
from luthien_stream.worker.partition import Partition
from luthien_stream.worker.patience import FIRST_PAUSE_S, sure
from luthien_stream.worker.reap import reap
from luthien_stream.worker.spill import Spill
from luthien_stream.worker.station import Station
from luthien_stream.worker.turns import Turns, TurnsLost

log = structlog.get_logger()


class Owner:
    """One ownership of one partition, from its acquisition to its end."""

    def __init__(self, station: Station, number: int, acquired: Acquired) -> None:
        self._station, self._acquired = station, acquired
        self._bus, self._clock, self._limits = station.bus, station.clock, station.limits
        self.partition = Partition(
            station.stage,
            number,
            station.make,
            now=station.clock.now_us,
            watch=station.watch,
            seen_every=station.limits.seen_every,
        )
        self.key, self.token = self.partition.key, acquired.owner
        station.watch.owners[self.key] = self.token
        self.stream = keys.partition_stream(self.key)
        self.position = self._settled = acquired.cursor
        self.turns = Turns(self._bus, self.key, self.token, self.partition.src, self._clock, self._limits.kept_s)
        self._feed = Feed(
            self._bus, self.partition, self.token, acquired.cursor, clock=self._clock, settle=self._settle_rest
        )
        self._effects = Effects(station.performers, self._adopt)
        self._spill = Spill(self._bus, self.partition, self.token, self._limits)
        self._taken = 0
        self._sending = asyncio.Lock()
        self._due = asyncio.Event()
        self._blocked = False
        self._gaps = 0
        self._leaving = False
        self.lost = False
        """Another worker owns the partition, or the server has forgotten too much."""

    def leave(self) -> None:
        """Give the partition up in good order: finish the turn, settle, release. `run` returns soon after."""
        self._leaving = True

    async def run(self) -> None:
        """Own the partition until it is lost or given up."""
        side: list[asyncio.Task[None]] = []
        try:
            async with self._bus.reader() as reader:
                side = [asyncio.create_task(self._guard(each)) for each in (self._hurry, self._sweep)]
                await self._rebuild()
                await self._serve(reader)
        except (Fenced, TurnsLost) as error:
            self.lost = True
            log.warning("partition_lost", partition=self.key, why=type(error).__name__)
        finally:
            if self._station.watch.owners.get(self.key) == self.token:
                self._station.watch.owners.pop(self.key, None)
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)
            await self._effects.close()
        if not self.lost:
            await self._give_up()

    # taking over
    async def _rebuild(self) -> None:
        acquired, partition = self._acquired, self.partition
        partition.resume(acquired.open, acquired.closed)
        self._feed.beware(acquired.crashes, acquired.suspect, self._limits)
        for packs in acquired.spills.values():
            for id, raw in packs:
                await self._feed.entry(Entry(self.stream, id, raw))
        self.position = rebuild_from(acquired.open.values(), acquired.cursor)
        while order(self.position) < order(acquired.tail) and not self.lost:
            page = await self._page()
            if not page:
                break
            for entry in page:
                await self._take(entry)
            await self._settle_rest()
        if self.lost:
            raise Fenced  # what was not read may have decided already
        self.position = max(self.position, acquired.tail, key=order) if acquired.tail != START else START
        partition.finish_rebuild()
        await self._settle_rest()
        log.info("partition_owned", partition=self.key, open=len(partition.calls), cursor=self.position)

    async def _page(self) -> list[Entry]:
        count = self._limits.page_entries
        return await sure(
            self._clock, lambda: self._bus.range(self.stream, self.position, self._acquired.tail, count=count)
        )

    # turns
    async def _serve(self, reader: Reader) -> None:
        careful_until = self._clock.now_us() + self._limits.careful_s * 1e6
        while not (self._leaving or self.lost):
            try:
                entries = await self._exchange(reader)
            except (Fenced, TurnsLost):
                raise
            except BusError as error:
                log.info("bus_read_failed", partition=self.key, error=type(error).__name__)
                await self._clock.sleep(FIRST_PAUSE_S)
                await self._recover()
                continue
            for entry in entries:
                await self._take(entry)
            if self._feed.careful and self._clock.now_us() > careful_until:
                await self._feed.trust()
        if not self.lost:
            await self._settle_rest()

    async def _exchange(self, reader: Reader) -> list[Entry]:
        """Settle the last turn and read on, in one write."""
        if self.turns.gaps != self._gaps:
            await self._recover()
        async with self._sending:
            settlement = await self._draft()
            self._blocked = True
            if self.partition.touched:
                self._due.set()  # while the draft waited for the log
        count, block_ms = self._limits.read_entries, int(self._limits.block_s * 1000)
        try:
            if settlement is None:
                return await reader.read({self.stream: self.position}, count=count, block_ms=block_ms)
            settled, entries = await reader.turn(self.key, settlement, self.position, count=count, block_ms=block_ms)
        finally:
            self._blocked = False
        await self.turns.answered(settlement, settled)
        return entries

    async def _take(self, entry: Entry) -> None:
        await self._feed.entry(entry)
        self.position = entry.id
        self._taken += 1

    async def _draft(self) -> Settlement | None:
        """Make the next turn of what has happened, None if nothing has."""
        turn = self.partition.turn()
        # Before anything is waited for: entries that come meanwhile are not in this turn.
        cursor = self.position if self.partition.rebuilt else max(self.position, self._acquired.cursor, key=order)
        wanted, self.partition.wanted = self.partition.wanted, []
        answered, self.partition.answered = self.partition.answered, []
        for ref, body in turn.bodies:
            await sure(self._clock, lambda ref=ref, body=body: self._put_body(ref, body))  # type: ignore[misc]
        await self._station.asking.decided(answered)
        for call, want in wanted:
            self._effects.start(call, want)
        self._effects.stop(turn.closed)
        if not turn and cursor == self._settled:
            return None
        self._settled = cursor
        return self.turns.number(turn, cursor)

    async def _put_body(self, ref: str, body: bytes) -> None:
        await self._bus.put_body(ref, body, ttl_ms=int(self._limits.body_ttl_s * 1000))

    async def _settle_rest(self) -> None:
        async with self._sending:
            settlement = await self._draft()
            if settlement is not None:
                await self.turns.settle(settlement)

    async def _recover(self) -> None:
        """After a broken connection or a forgetful server: what is missing there is sent again, and read again."""
        async with self._sending:
            self._gaps = self.turns.gaps
            await self.turns.catch_up()
            last = await sure(self._clock, lambda: self._bus.last_id(self.stream))
            self.position = min(self.position, last, key=order)

    # beside the turns
    async def _adopt(self, call: str, want: Want, value: Any) -> None:
        if self._feed.careful:
            await self._feed.suspect(call, START)
        if self.partition.adopt(call, want, value):
            self._due.set()

    async def _hurry(self) -> None:
        """Settle what happens while the loop is blocked in its read."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._blocked:
                await self._settle_rest()

    async def _sweep(self) -> None:
        """Reap, give credit to silent calls, spill and trim; in a rebuild only trim."""
        spilled = self._clock.now_us()
        while True:
            await self._clock.sleep(self._limits.sweep_s)
            now = self._clock.now_us()
            if self.partition.rebuilt:
                self.partition.forget_closed(now - int(self._limits.closed_s * 1e6))
                if reap(self.partition, self._station.presence, now, self._limits) or self.partition.credit_silent():
                    self._due.set()
            if now - spilled >= self._limits.spill_every_s * 1e6:
                spilled = now
                with suppress(BusUnavailable, BusAmbiguous, BusFull):
                    await self._spill.run(now, self.turns.cursor or self._acquired.cursor, self._taken)

    async def _guard(self, work: Any) -> None:
        """Run a side task; what ends it ends the ownership."""
        try:
            await work()
        except BusError as error:
            self.lost = True
            log.warning("partition_lost", partition=self.key, why=type(error).__name__)
        except Exception:
            self.lost = True
            log.exception("owner_failed", partition=self.key)

    async def _give_up(self) -> None:
        with suppress(BusError):
            if self._feed.careful:
                await self._bus.suspect(self.key, self.token, "")  # what was run last has ended nobody
            await self._bus.release(self.key, self.token)
        log.info("partition_released", partition=self.key)
