"""The memory bus's own powers: a clock that tests set, a server that forgets, a limit that is reached."""

from __future__ import annotations

import asyncio

import pytest

from luthien_stream.bus import connect, keys
from luthien_stream.bus.limits import DEAD_LETTERS_KEPT
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import START, Settlement
from luthien_stream.errors import BodyMissing, BusAmbiguous, BusFull

P = keys.partition("main@ab12cd34", 0)
IN = keys.partition_stream(P)
INBOX = keys.inbox("e1")


class Clock:
    """Microseconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_ms(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds * 1000


async def test_time_is_the_clock() -> None:
    """Leases, heartbeats, bodies and streams end by the clock that was given, and entry ids begin with it."""
    bus = MemoryBus(clock=(clock := Clock()))
    assert await bus.append(INBOX, b"x") == "1800000000000-0"
    assert await bus.append(INBOX, b"y") == "1800000000000-1"
    await bus.expire_stream(INBOX, ttl_ms=10)
    await bus.beat("edge", "e1", {}, ttl_ms=10)
    await bus.put_body("ab", b"x", ttl_ms=10)
    assert await bus.acquire(P, "w1", lease_ms=10)
    clock.pass_ms(9)
    assert (await bus.lease_holder(P), await bus.alive("edge"), await bus.get_body("ab")) == ("w1", {"e1": {}}, b"x")
    clock.pass_ms(1)
    assert (await bus.lease_holder(P), await bus.alive("edge"), await bus.range(INBOX, START)) == ("", {}, [])
    with pytest.raises(BodyMissing):
        await bus.get_body("ab")


async def test_a_clock_that_goes_back_does_not_reorder_entries() -> None:
    """Ids only rise."""
    bus = MemoryBus(clock=(clock := Clock()))
    first = await bus.append(IN, b"1")
    clock.pass_ms(-1000)
    await bus.append(IN, b"2")
    assert [entry.raw for entry in await bus.range(IN, first)] == [b"2"]


async def test_a_restart_forgets_what_came_after_the_snapshot() -> None:
    """Entries, turns and owners go back; the run id tells; a snapshot is not touched by what comes after it."""
    bus = MemoryBus()
    acquired = await bus.acquire(P, "w1", lease_ms=60_000)
    assert acquired is not None
    assert (await bus.settle(P, Settlement(acquired.owner, 1, START, outputs=[(INBOX, b"1")]))).outcome == "ok"
    disk, before = bus.snapshot(), await bus.run_id()
    for turn in (2, 3):
        await bus.settle(P, Settlement(acquired.owner, turn, START, outputs=[(INBOX, b"%d" % turn)]))
    for _ in range(2):
        bus.restart(forget_to=disk)
        assert [entry.raw for entry in await bus.range(INBOX, START)] == [b"1"]
        settled = await bus.settle(P, Settlement(acquired.owner, 4, START))
        assert (settled.outcome, settled.turn) == ("gap", 1)
        await bus.append(INBOX, b"lost with the second restart")
    assert await bus.run_id() != before


async def test_a_restart_breaks_blocked_reads_and_begins_a_quiet_time() -> None:
    """Readers fail with a typed error; for one lease only the last owner known may take a partition."""
    bus = MemoryBus(clock=(clock := Clock()))
    assert await bus.acquire(P, "w1", lease_ms=10)
    async with bus.reader() as reader:
        waiting = asyncio.create_task(reader.read({IN: START}, block_ms=60_000))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.pass_ms(100)
        bus.restart()
        with pytest.raises(BusAmbiguous):
            await waiting
    assert await bus.acquire(P, "w2", lease_ms=10) is None
    clock.pass_ms(10)
    assert await bus.acquire(P, "w2", lease_ms=10)


async def test_a_full_bus_refuses_whole() -> None:
    """Past `maxmemory` nothing is appended, and a turn leaves no part behind."""
    bus = MemoryBus(maxmemory=10)
    acquired = await bus.acquire(P, "w1", lease_ms=60_000)
    assert acquired is not None
    await bus.append(INBOX, b"x" * 10)
    with pytest.raises(BusFull):
        await bus.append(INBOX, b"x")
    with pytest.raises(BusFull):
        await bus.settle(P, Settlement(acquired.owner, 1, "1-0", outputs=[(INBOX, b"x")], closed=["a"]))
    assert (await bus.state(P), (await bus.memory())[0]) == ((acquired.owner, 0), 10)
    assert (await bus.settle(P, Settlement(acquired.owner, 1, "1-0", closed=["a"]))).outcome == "ok"
    assert await bus.trim_stream(INBOX, await bus.last_id(INBOX), max_age_ms=0) == 0
    assert await bus.renew(P, acquired.owner, "w1", lease_ms=60_000)


async def test_connect_makes_a_new_bus_each_time() -> None:
    """`memory` is this process's own: what connects twice has two."""
    first, second = connect("memory"), connect("memory")
    await first.append(IN, b"x")
    assert (len(await first.range(IN, START)), len(await second.range(IN, START))) == (1, 0)


async def test_dead_letters_are_bounded() -> None:
    """The newest are kept, as on a server."""
    bus = MemoryBus()
    for number in range(DEAD_LETTERS_KEPT + 2):
        await bus.dead_letter({"event": b"%d" % number})
    letters = await bus.dead_letters(count=DEAD_LETTERS_KEPT * 2)
    assert len(letters) == DEAD_LETTERS_KEPT
    assert letters[0][1] == {"event": b"2"}
