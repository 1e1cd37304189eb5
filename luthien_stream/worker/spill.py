"""Keeping the log short: what old open calls need moves to lists of their own, then the stream is trimmed.

Otherwise one held call would pin a partition's stream, and a takeover would read all of it. Nothing is spilled during a
rebuild: a new owner would move a call's start past what its reader has not seen.
"""

from __future__ import annotations

from collections import deque

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.ids import following, order
from luthien_stream.bus.port import Bus, Entry, Open
from luthien_stream.errors import BusFull, Fenced, PackError
from luthien_stream.events import pack
from luthien_stream.worker.ids import preceding
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.partition import Partition
from luthien_stream.worker.poison import salvage

log = structlog.get_logger()
Packs = dict[str, list[tuple[str, bytes]]]


class Spill:
    """Of one ownership."""

    def __init__(self, bus: Bus, partition: Partition, owner: str, limits: Limits) -> None:
        self._bus = bus
        self._partition = partition
        self._owner = owner
        self._limits = limits
        self._stream = keys.partition_stream(partition.key)
        self._marks: deque[tuple[int, str]] = deque()

    async def run(self, now: int, cursor: str, taken: int) -> None:
        """Spill and trim once. `now` in microseconds, `cursor` as settled, `taken` entries read so far.

        A full server refuses to spill, but not to trim. A rebuild may do the same.
        """
        try:
            if self._partition.rebuilt:
                await self._spill(now, cursor, taken)
        except BusFull:
            log.warning("spill_refused", partition=self._partition.key)
        refs = [ref for call in self._partition.calls.values() for ref in call.bodies_named]
        if refs:
            await self._bus.touch_bodies(refs, ttl_ms=int(self._limits.body_ttl_s * 1000))
        await self._bus.trim(
            self._partition.key,
            self._owner,
            max_age_ms=int(self._limits.log_age_s * 1000),
            min_age_ms=await self._kept_ms(),
        )

    async def _kept_ms(self) -> int:
        """How long the log is kept for those who watch it: not at all where the server gets full."""
        used, limit = await self._bus.memory()
        roomy = not limit or used < limit * self._limits.log_kept_share
        return int(self._limits.log_kept_s * 1000) if roomy else 0

    async def _spill(self, now: int, cursor: str, taken: int) -> None:
        oldest = self._oldest(now, cursor, taken)
        # Where a call begins is asked of the server each time: one that was restarted may have forgotten a spill.
        opened = (await self._bus.open_calls(self._partition.key)) if self._partition.calls else {}
        old = {id: value for id, value in opened.items() if order(value.first) < oldest}
        packs = await self._collect(old, cursor) if old else {}
        for id, value in old.items():
            ttl_ms = max(0, value.deadline - now) // 1000 + int(self._limits.spill_extra_s * 1000)
            moved = await self._bus.spill(
                self._partition.key, self._owner, id, packs.get(id, []), following(cursor), ttl_ms=ttl_ms
            )
            if not moved:
                raise Fenced

    def _oldest(self, now: int, cursor: str, taken: int) -> tuple[int, int]:
        """Calls that begin before this are too old, by time or by entries since."""
        self._marks.append((taken, cursor))
        oldest = (now // 1000 - int(self._limits.spill_age_s * 1000), 0)
        while self._marks[0][0] < taken - self._limits.spill_entries:
            oldest = max(oldest, order(self._marks.popleft()[1]))
        return min(oldest, order(cursor))

    async def _collect(self, calls: dict[str, Open], cursor: str) -> Packs:
        """Read the log once for all of them: their events and effects, entry by entry."""
        firsts = {id: order(call.first) for id, call in calls.items()}
        packs: Packs = {}
        position = preceding(min((call.first for call in calls.values()), key=order))
        while order(position) < order(cursor):
            page = await self._bus.range(self._stream, position, cursor, count=self._limits.page_entries)
            if not page:
                break
            for entry in page:
                _sort(entry, firsts, packs)
            position = page[-1].id
        return packs


def _sort(entry: Entry, firsts: dict[str, tuple[int, int]], packs: Packs) -> None:
    try:
        found = pack.decode(entry.raw)
        src, events = found.src, found.events
    except PackError:
        kept = salvage(entry.raw)
        src, events = kept.src, kept.events
    for call in {event.call for event in events} & firsts.keys():
        if order(entry.id) >= firsts[call]:
            mine = [event for event in events if event.call == call]
            packs.setdefault(call, []).append((entry.id, pack.encode(src, mine)))
