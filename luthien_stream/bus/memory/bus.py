"""The port in one process. It passes the same encoded bytes as the server, and can be made to forget like one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from copy import copy, deepcopy

from luthien_stream.bus import keys
from luthien_stream.bus.ids import order, text
from luthien_stream.bus.memory.data import Data
from luthien_stream.bus.memory.kept import Kept
from luthien_stream.bus.memory.lasting import Lasting
from luthien_stream.bus.memory.partition import Lease
from luthien_stream.bus.memory.reader import MemoryReader, Waiters
from luthien_stream.bus.memory.stream import Group
from luthien_stream.bus.port import START, Acquired, Bus, Entry, Lag, Open, Settled, Settlement, Span
from luthien_stream.errors import BusAmbiguous, BusFull, BusUnavailable

Snapshot = Data


def microseconds() -> int:
    """The wall clock, microseconds since 1970."""
    return time.time_ns() // 1000


class MemoryBus(Kept, Lasting, Bus):
    """All roles of one process share one. `clock` gives microseconds; `maxmemory` (bytes, 0 for none) makes it full.

    The methods of the port are described there.
    """

    def __init__(self, *, clock: Callable[[], int] = microseconds, maxmemory: int = 0) -> None:
        self.data = Data()
        self.waiters = Waiters()
        self.closed = False
        self.maxmemory = maxmemory
        self._clock = clock
        self._run_id = secrets.token_hex(20)
        self._started = 0

    # powers of tests
    def snapshot(self) -> Snapshot:
        """Return what a server would have on its disk now."""
        return deepcopy(self.data)

    def restart(self, *, forget_to: Snapshot | None = None) -> None:
        """Restart the server; with a snapshot it has forgotten all that came after it. Blocked readers fail."""
        if forget_to is not None:
            self.data = deepcopy(forget_to)
        self._run_id = secrets.token_hex(20)
        self._started = self.now_ms()
        self.waiters.break_all(BusAmbiguous)

    def now_ms(self) -> int:
        """The server's time, milliseconds since 1970."""
        return self._clock() // 1000

    # the connection
    def reader(self) -> MemoryReader:
        return MemoryReader(self)

    async def close(self) -> None:
        """End blocked readers with `BusUnavailable`."""
        self.closed = True
        self.waiters.break_all(lambda: BusUnavailable("The memory bus is closed"))

    async def ping(self) -> None:
        self.data.expire(self.now_ms())

    async def run_id(self) -> str:
        return self._run_id

    # streams
    async def append(self, stream: str, raw: bytes) -> str:
        self._refuse_if_full()
        return self._append(stream, raw)

    async def range(self, stream: str, after: str, upto: str = "+", *, count: int = 1000) -> list[Entry]:
        return self.peek(stream, after, count, upto)

    async def first_id(self, stream: str) -> str:
        found = self.data.find(stream, self.now_ms())
        return text(found.ids[0]) if found and found.ids else START

    async def last_id(self, stream: str) -> str:
        found = self.data.find(stream, self.now_ms())
        return text(found.last) if found else START

    async def spans(self, streams: Sequence[str]) -> dict[str, Span]:
        found = {stream: self.data.find(stream, self.now_ms()) for stream in streams}
        return {stream: each.span() if each else Span() for stream, each in found.items()}

    async def register_stream(self, stream: str, *, recorded: bool) -> None:
        made = self.data.make(stream, self.now_ms())
        if recorded and made.group is None:
            made.group = Group()
        self.data.registered.add(stream)

    async def forget_stream(self, stream: str) -> None:
        self.data.registered.discard(stream)

    async def expire_stream(self, stream: str, *, ttl_ms: int) -> None:
        found = self.data.find(stream, self.now_ms())
        if found is not None:
            found.expires = self.now_ms() + ttl_ms

    async def streams(self) -> list[str]:
        now = self.now_ms()
        self.data.registered = {name for name in self.data.registered if self.data.find(name, now)}
        return sorted(self.data.registered)

    async def trim_stream(self, stream: str, before: str, *, max_age_ms: int) -> int:
        return self._trim(stream, order(before), max_age_ms)

    # partitions
    async def acquire(self, partition: str, worker: str, *, lease_ms: int) -> Acquired | None:
        now, found = self.now_ms(), self.data.partition(partition)
        if found.holder(now) not in ("", worker):
            return None
        if found.who not in ("", worker) and now - self._started < lease_ms:
            return None
        crashes = found.take(worker, secrets.token_hex(4), now + lease_ms)
        calls = deepcopy(found.open)
        return Acquired(
            owner=found.owner,
            cursor=found.cursor,
            tail=await self.last_id(keys.partition_stream(partition)),
            open=calls,
            closed=dict(found.closed),
            spills={c: list(s.packs) for c, s in found.spills.items() if c in calls and s.expires > now},
            crashes=crashes,
            suspect=found.suspect,
            run_id=self._run_id,
        )

    async def renew(self, partition: str, owner: str, worker: str, *, lease_ms: int) -> bool:
        found = self.data.partition(partition)
        if found.owner != owner:
            return False
        found.lease = Lease(worker, self.now_ms() + lease_ms)
        return True

    async def release(self, partition: str, owner: str) -> None:
        found = self.data.partition(partition)
        if found.owner == owner:
            found.release()

    async def lease_holder(self, partition: str) -> str:
        return self.data.partition(partition).holder(self.now_ms())

    async def settle(self, partition: str, settlement: Settlement) -> Settled:
        return self.settle_now(partition, settlement)

    async def state(self, partition: str) -> tuple[str, int]:
        found = self.data.partition(partition)
        return found.owner, found.turn

    async def spill(
        self, partition: str, owner: str, call: str, packs: Sequence[tuple[str, bytes]], first: str, *, ttl_ms: int
    ) -> bool:
        found = self.data.partition(partition)
        if found.owner != owner:
            return False
        self._refuse_if_full()
        found.spill(call, packs, first, self.now_ms() + ttl_ms)
        return True

    async def trim(self, partition: str, owner: str, *, max_age_ms: int, min_age_ms: int = 0) -> int:
        found = self.data.partition(partition)
        if found.owner != owner:
            return 0
        point = found.trim_point()
        if min_age_ms:
            point = min(point, (self.now_ms() - min_age_ms, 0))
        return self._trim(keys.partition_stream(partition), point, max_age_ms)

    async def suspect(self, partition: str, owner: str, what: str) -> None:
        found = self.data.partition(partition)
        if found.owner == owner:
            found.suspect = what

    async def open_calls(self, partition: str) -> dict[str, Open]:
        return {call: copy(value) for call, value in self.data.partition(partition).open.items()}

    async def drop_partition(self, partition: str) -> bool:
        now, name = self.now_ms(), keys.partition_stream(partition)
        found, stream = self.data.partition(partition), self.data.find(name, now)
        if found.holder(now) or found.open or (stream is not None and not stream.done(found.cursor, now)):
            return False
        self.data.partitions.pop(partition, None)
        self.data.streams.pop(name, None)
        self.data.registered.discard(name)
        return True

    def last_words(self, partition: str, owner: str, suspect: str) -> None:
        found = self.data.partition(partition)
        if found.owner == owner:
            found.owner, found.who, found.suspect, found.lease = "", "", suspect, None

    async def memory(self) -> tuple[int, int]:
        return self.data.used(), self.maxmemory

    # the activity group
    async def acknowledge(self, stream: str, ids: Sequence[str]) -> None:
        found = self.data.find(stream, self.now_ms())
        if found is not None:
            found.acknowledge([order(id) for id in ids])

    async def claim(self, stream: str, consumer: str, *, idle_ms: int, count: int) -> list[Entry]:
        found = self.data.find(stream, self.now_ms())
        taken = found.claim(consumer, idle_ms, count, self.now_ms()) if found else []
        return [Entry(stream, text(id), raw) for id, raw in taken]

    async def lag(self, stream: str) -> Lag:
        now = self.now_ms()
        found = self.data.find(stream, now)
        if found is None or found.group is None:
            return Lag(stream, None, 0, 0)
        unread = found.after(found.group.delivered, len(found.ids))
        oldest = min([*found.group.pending, *(id for id, _ in unread[:1])], default=(now, 0))
        return Lag(stream, len(unread), len(found.group.pending), now - oldest[0])

    # shared with the readers
    def peek(self, stream: str, after: str, count: int, upto: str = "+") -> list[Entry]:
        """Return entries without waiting."""
        found = self.data.find(stream, self.now_ms())
        if found is None:
            return []
        entries = found.after(order(after), count, None if upto == "+" else order(upto))
        return [Entry(stream, text(id), raw) for id, raw in entries]

    def settle_now(self, partition: str, settlement: Settlement) -> Settled:
        """Write a turn, whole or not at all."""
        found = self.data.partition(partition)
        refused = found.check(settlement)
        if refused is not None:
            return refused
        if settlement.effects or settlement.outputs or settlement.open or settlement.folds:
            self._refuse_if_full()
        found.apply(settlement, self._clock())
        if settlement.effects:
            self._append(keys.partition_stream(partition), settlement.effects)
        for stream, raw in settlement.outputs:
            self._append(stream, raw)
        self._add_folds(settlement.folds)
        return Settled("ok")

    def _append(self, stream: str, raw: bytes) -> str:
        now = self.now_ms()
        id = self.data.make(stream, now).add(raw, now)
        self.waiters.wake(stream)
        return id

    def _trim(self, stream: str, wanted: tuple[int, int], max_age_ms: int) -> int:
        found = self.data.find(stream, self.now_ms())
        return found.trim(found.trim_point(wanted, self.now_ms() - max_age_ms)) if found else 0

    def _refuse_if_full(self) -> None:
        if self.maxmemory and self.data.used() >= self.maxmemory:
            raise BusFull
