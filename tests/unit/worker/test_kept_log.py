"""How long the log is kept for those who watch it."""

from __future__ import annotations

import time

import msgspec

from luthien_stream.bus.memory import MemoryBus
from tests.unit.worker.toys import QUICK, Hands, answer, request
from tests.wait import wait_until

KEEPING = msgspec.structs.replace(QUICK, log_kept_s=30.0)


class Counting(MemoryBus):
    """Counts trims, and its clock can be put on."""

    trims, later_s = 0, 0.0

    def __init__(self, maxmemory: int = 0) -> None:
        super().__init__(clock=lambda: time.time_ns() // 1000 + int(self.later_s * 1e6), maxmemory=maxmemory)

    async def trim(self, partition: str, owner: str, *, max_age_ms: int, min_age_ms: int = 0) -> int:
        self.trims += 1
        return await super().trim(partition, owner, max_age_ms=max_age_ms, min_age_ms=min_age_ms)

    async def some_trims(self) -> None:
        """Wait until the owner has trimmed again, with what has happened until now."""
        before = self.trims
        await wait_until(lambda: self.trims > before + 2)


async def ended_call(bus: Counting) -> tuple[Hands, int]:
    """A call that has ended, and how many entries it took."""
    hands = Hands(bus, limits=KEEPING)
    await hands.acquire("w1")
    await hands.send(request("c"))
    await hands.send(*answer("c", [b"x"]))
    await wait_until(lambda: hands.ended("c"))
    return hands, len(bus.data.streams[hands.stream].ids)


async def test_what_nobody_needs_is_kept_for_a_while() -> None:
    """So that a watch may be away for a moment; then it goes."""
    bus = Counting()
    hands, entries = await ended_call(bus)
    await bus.some_trims()
    assert len(bus.data.streams[hands.stream].ids) >= entries
    bus.later_s = 31.0
    await wait_until(lambda: len(bus.data.streams[hands.stream].ids) <= 1)
    await hands.close()


async def test_a_server_that_gets_full_keeps_nothing_for_those_who_watch() -> None:
    """Watching never makes the gateway refuse calls."""
    bus = Counting()
    hands, _ = await ended_call(bus)
    bus.maxmemory = bus.data.used() * 2
    await wait_until(lambda: len(bus.data.streams[hands.stream].ids) <= 1)
    await hands.close()
